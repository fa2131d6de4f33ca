// Whatever waits for a socket ends, with an error, when the socket is closed or
// destroyed meanwhile.
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/udp_socket.h"
#include "cordon/testing/life/net_scenarios.h"
#include "cordon/testing/life/reactors.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using net::Task;

constexpr absl::Duration kWhile = absl::Milliseconds(5);
constexpr absl::Duration kPatience = absl::Seconds(20);

// What is destroyed and closed, and who waits for it.
struct World {
  explicit World(net::Reactor& on) : reactor(on) {}

  net::Reactor& reactor;
  std::unique_ptr<net::UdpSocket> udp;
  std::unique_ptr<net::DatagramSocket> raw;
  IgnoringReceiver ignorer;
  net::Path path{net::Endpoint::LoopbackV4(9)};
  int ended = 0;
};

const std::string& Text() {
  static const auto* const text = new std::string(100, 'x');
  return *text;
}
absl::Span<const uint8_t> Bytes() {
  return {reinterpret_cast<const uint8_t*>(Text().data()), Text().size()};
}

Task<absl::Status> Recv(World& world) {
  co_return (co_await world.udp->Recv()).status();
}
// The last of these finds the network congested, or its turn used up.
Task<absl::Status> Send(World& world) {
  while (true) {
    CO_RETURN_IF_ERROR(co_await world.udp->Send(world.path, Bytes()));
  }
}
Task<absl::Status> CloseUdp(World& world) { return world.udp->Close(); }
Task<absl::Status> CloseRaw(World& world) { return world.raw->Close(); }

struct Wait {
  std::string name;
  Task<absl::Status> (*wait)(World&) = nullptr;
  // Ends well where nothing is left to wait for.
  bool closes = false;
  // Waits for a network that can be blocked.
  bool blocked = false;
};

void PrintTo(const Wait& wait, std::ostream* out) { *out << wait.name; }

Task<absl::Status> Observe(World& world, const Wait& wait) {
  const absl::Status status = co_await wait.wait(world);
  if (!wait.closes || !status.ok()) {
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  }
  ++world.ended;
  co_return absl::OkStatus();
}

Task<absl::Status> Open(World& world) {
  net::DatagramSocketOptions options;
  options.bind = net::Endpoint::LoopbackV4(0);
  CO_ASSIGN_OR_RETURN(net::UdpSocket udp,
                      net::UdpSocket::Open(world.reactor, options));
  world.udp = std::make_unique<net::UdpSocket>(std::move(udp));
  CO_ASSIGN_OR_RETURN(world.raw, world.reactor.OpenSocket(options));
  world.raw->StartReceiving(world.ignorer);
  // Now the kernel works for them.
  co_return co_await net::SleepFor(kWhile);
}

enum class Ending { kClosed, kDestroyed, kMoved };

void End(World& world, Ending ending, net::TaskScope& closing) {
  switch (ending) {
    case Ending::kClosed:
      closing.Spawn(world.udp->Close());
      closing.Spawn(world.raw->Close());
      return;
    case Ending::kDestroyed:
      world.udp.reset();
      world.raw.reset();
      return;
    case Ending::kMoved: {
      // It lives on in another place, and is closed there.
      auto moved = std::make_unique<net::UdpSocket>(std::move(*world.udp));
      world.udp = std::move(moved);
      closing.Spawn(world.udp->Close());
      closing.Spawn(world.raw->Close());
      return;
    }
  }
}

Task<absl::Status> Live(World& world, const Wait& wait, Ending ending,
                        SimReactor* simulated) {
  CO_RETURN_IF_ERROR(co_await Open(world));
  if (simulated != nullptr) simulated->BlockSends(wait.blocked);
  net::TaskScope waiting;
  net::TaskScope closing;
  for (int i = 0; i < 3; ++i) waiting.Spawn(Observe(world, wait));
  if (!wait.closes) CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  // They have begun, and some are in the kernel.
  co_await net::Yield();
  co_await net::Yield();
  End(world, ending, closing);
  CO_RETURN_IF_ERROR(co_await net::WithTimeout(kPatience, waiting.Join()));
  EXPECT_EQ(world.ended, 3);
  co_return co_await net::WithTimeout(kPatience, closing.Join());
}

class SocketEndingsTest
    : public ::testing::TestWithParam<std::tuple<Wait, ReactorKind>> {
 protected:
  static void Run(Ending ending) {
    const auto& [wait, kind] = GetParam();
    const std::unique_ptr<net::Reactor> reactor = kind.make();
    ASSERT_NE(reactor, nullptr);
    World world(*reactor);
    SimReactor* const simulated =
        kind.simulated ? static_cast<SimReactor*>(reactor.get()) : nullptr;
    EXPECT_EQ(reactor->Run(Live(world, wait, ending, simulated)),
              absl::OkStatus());
  }
};

TEST_P(SocketEndingsTest, MayBeClosedWhileOthersWait) { Run(Ending::kClosed); }

TEST_P(SocketEndingsTest, MayBeDestroyedWhileOthersWait) {
  Run(Ending::kDestroyed);
}

TEST_P(SocketEndingsTest, MayBeMovedWhileOthersWait) { Run(Ending::kMoved); }

INSTANTIATE_TEST_SUITE_P(
    All, SocketEndingsTest,
    ::testing::Combine(
        ::testing::Values(
            Wait{.name = "Recv", .wait = Recv},
            Wait{.name = "Send", .wait = Send},
            Wait{.name = "SendWhileCongested", .wait = Send, .blocked = true},
            Wait{.name = "UdpClose", .wait = CloseUdp, .closes = true},
            Wait{.name = "SocketClose", .wait = CloseRaw, .closes = true}),
        ::testing::ValuesIn(ReactorKinds())),
    [](const auto& param) {
      return absl::StrCat(std::get<0>(param.param).name, "On",
                          std::get<1>(param.param).name);
    });

// Nor does a stopped sender, or one that is destroyed, take the turn of others.
Task<absl::Status> StopOneOfTwo(SimReactor& reactor, World& world) {
  CO_RETURN_IF_ERROR(co_await Open(world));
  reactor.BlockSends(true);
  net::TaskScope first;
  first.Spawn(Send(world));
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  const absl::Status stopped = co_await net::WithTimeout(kWhile, Send(world));
  EXPECT_TRUE(absl::IsDeadlineExceeded(stopped)) << stopped;
  const uint64_t sent = world.udp->statistics().datagrams_sent;
  reactor.BlockSends(false);
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  EXPECT_GT(world.udp->statistics().datagrams_sent, sent + 10);
  first.RequestStop();
  (void)co_await first.Join();
  co_return absl::OkStatus();
}

TEST(SocketEndingsTest, AStoppedSenderTakesNobodysTurn) {
  SimReactor reactor;
  World world(reactor);
  EXPECT_EQ(reactor.Run(StopOneOfTwo(reactor, world)), absl::OkStatus());
}

}  // namespace
}  // namespace cordon::testing
