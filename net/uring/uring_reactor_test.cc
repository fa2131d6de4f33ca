// What is particular to io_uring.
#include "cordon/net/uring/uring_reactor.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/udp/udp_socket.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

std::unique_ptr<UringReactor> Make(const UringReactor::Options& options = {}) {
  absl::StatusOr<std::unique_ptr<UringReactor>> reactor =
      UringReactor::Create(options);
  if (!reactor.ok()) {
    ADD_FAILURE() << reactor.status();
    return nullptr;
  }
  return *std::move(reactor);
}

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A stranger with a plain socket.
class Stranger {
 public:
  Stranger() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}
  void Send(const Endpoint& to, const std::string& text) {
    sockaddr_storage address;
    const socklen_t length = to.ToSockaddr(&address, AF_INET);
    EXPECT_EQ(sendto(fd_.get(), text.data(), text.size(), 0,
                     reinterpret_cast<sockaddr*>(&address), length),
              static_cast<ssize_t>(text.size()));
  }

 private:
  UniqueFd fd_;
};

Task<absl::Status> EmptyDatagrams(UringReactor& reactor) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket socket,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  Stranger stranger;
  for (int i = 0; i < 100; ++i) {
    stranger.Send(socket.local_endpoint(), "");
    stranger.Send(socket.local_endpoint(), absl::StrCat(i));
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                        co_await WithTimeout(absl::Seconds(10), socket.Recv()));
    EXPECT_EQ(std::string(packet.payload.data(),
                          packet.payload.data() + packet.payload.size()),
              absl::StrCat(i));
  }
  EXPECT_EQ(socket.statistics().empty_datagrams, 100U);
  EXPECT_GE(socket.statistics().receive_rearmed, 100U);
  co_return co_await socket.Close();
}

TEST(UringReactorTest, AnEmptyDatagramFromAStrangerDoesNotEndReceiving) {
  std::unique_ptr<UringReactor> reactor = Make();
  EXPECT_EQ(reactor->Run(EmptyDatagrams(*reactor)), absl::OkStatus());
}

Task<absl::Status> Burst(UringReactor& reactor, int count) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket socket,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  // The socket must listen before the burst.
  (void)co_await SleepFor(absl::Milliseconds(1));
  Stranger stranger;
  for (int i = 0; i < count; ++i) {
    stranger.Send(socket.local_endpoint(), absl::StrCat(i));
  }
  const uint64_t calls = reactor.statistics().system_calls;
  for (int i = 0; i < count; ++i) {
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                        co_await WithTimeout(absl::Seconds(10), socket.Recv()));
    EXPECT_EQ(std::string(packet.payload.data(),
                          packet.payload.data() + packet.payload.size()),
              absl::StrCat(i));
  }
  // Receiving was armed anew, and without a busy loop: about one call for each
  // ring's worth.
  EXPECT_GT(socket.statistics().receive_rearmed, 0U);
  EXPECT_LT(reactor.statistics().system_calls - calls, 60U);
  co_return co_await socket.Close();
}

// ACCEPTANCE: HE5
TEST(UringReactorTest, ABurstLargerThanTheBufferRingIsDeliveredWhole) {
  std::unique_ptr<UringReactor> reactor = Make({.receive_buffers = 8});
  EXPECT_EQ(reactor->Run(Burst(*reactor, 200)), absl::OkStatus());
}

// ACCEPTANCE: HE5
TEST(UringReactorTest, ASmallCompletionQueueLosesNothing) {
  std::unique_ptr<UringReactor> reactor =
      Make({.submissions = 4, .completions = 8, .receive_buffers = 64});
  EXPECT_EQ(reactor->Run(Burst(*reactor, 200)), absl::OkStatus());
}

TEST(UringReactorTest, WhereLockedMemoryIsShortTheErrorNamesTheLimit) {
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  const rlimit little = {.rlim_cur = rlim_t{256} * 1024,
                         .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &little), 0);
  std::vector<std::unique_ptr<UringReactor>> reactors;
  absl::Status status;
  while (status.ok() && reactors.size() < 64) {
    absl::StatusOr<std::unique_ptr<UringReactor>> reactor =
        UringReactor::Create({});
    status = reactor.status();
    if (reactor.ok()) reactors.push_back(*std::move(reactor));
  }
  ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
  if (status.ok()) GTEST_SKIP() << "here rings do not count as locked memory";
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(status.message(), "may have 256 KB")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "RLIMIT_MEMLOCK")) << status;
}

Task<absl::Status> LeaveInFlight(UringReactor& reactor, Endpoint* at) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket socket,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  *at = socket.local_endpoint();
  co_return co_await SleepFor(absl::Milliseconds(2));
}

Task<absl::Status> WaitForQuiet(UringReactor& reactor) {
  // The wake-up's stays.
  for (int i = 0; i < 1000 && reactor.operations_in_flight() > 1; ++i) {
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
  }
  EXPECT_EQ(reactor.operations_in_flight(), 1U);
  co_return absl::OkStatus();
}

TEST(UringReactorTest, ADestroyedSocketIsReleasedByTheKernel) {
  std::unique_ptr<UringReactor> reactor = Make();
  Endpoint at;
  ASSERT_TRUE(reactor->Run(LeaveInFlight(*reactor, &at)).ok());
  ASSERT_TRUE(reactor->Run(WaitForQuiet(*reactor)).ok());
  // And its port is free.
  EXPECT_TRUE(UdpSocket::Open(*reactor, {.bind = at}).ok());
}

// ACCEPTANCE: HE5
TEST(UringReactorTest, MayBeDestroyedWithEverythingInFlight) {
  std::unique_ptr<UringReactor> reactor = Make();
  std::vector<UdpSocket> sockets;
  auto open = [](UringReactor& r,
                 std::vector<UdpSocket>& out) -> Task<absl::Status> {
    for (int i = 0; i < 20; ++i) {
      CO_ASSIGN_OR_RETURN(
          UdpSocket socket,
          UdpSocket::Open(r, {.bind = Endpoint::LoopbackV4(0)}));
      out.push_back(std::move(socket));
    }
    (void)co_await SleepFor(absl::Milliseconds(2));
    Path path;
    path.peer = out[0].local_endpoint();
    co_return co_await out[1].Send(path, Bytes("in flight"));
  };
  ASSERT_TRUE(reactor->Run(open(*reactor, sockets)).ok());
  sockets.clear();
  reactor.reset();
}

TEST(UringReactorTest, MayBeMadeOnOneThreadAndRunOnAnother) {
  std::unique_ptr<UringReactor> reactor = Make();
  absl::Status status = absl::UnknownError("not run");
  std::thread other([&] {
    Endpoint at;
    status = reactor->Run(LeaveInFlight(*reactor, &at));
  });
  other.join();
  EXPECT_TRUE(status.ok());
  reactor.reset();
}

TEST(UringReactorTest, ManySocketsMayOutliveTheThreadThatUsedThem) {
  std::unique_ptr<UringReactor> reactor = Make({.submissions = 8});
  std::vector<UdpSocket> sockets;
  std::thread other([&] {
    auto open = [](UringReactor& r,
                   std::vector<UdpSocket>& out) -> Task<absl::Status> {
      for (int i = 0; i < 50; ++i) {
        CO_ASSIGN_OR_RETURN(
            UdpSocket socket,
            UdpSocket::Open(r, {.bind = Endpoint::LoopbackV4(0)}));
        out.push_back(std::move(socket));
      }
      co_return co_await SleepFor(absl::Milliseconds(2));
    };
    EXPECT_TRUE(reactor->Run(open(*reactor, sockets)).ok());
  });
  other.join();
  sockets.clear();
  reactor.reset();
}

TEST(UringReactorDeathTest, ASecondThreadIsTurnedAway) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::unique_ptr<UringReactor> reactor = Make();
        Endpoint at;
        reactor->Run(LeaveInFlight(*reactor, &at)).IgnoreError();
        std::thread other(
            [&] { reactor->Run(LeaveInFlight(*reactor, &at)).IgnoreError(); });
        other.join();
      },
      "used from a second thread");
}

Task<absl::Status> OneCallATurn(UringReactor& reactor) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket a, UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  CO_ASSIGN_OR_RETURN(
      UdpSocket b, UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  (void)co_await SleepFor(absl::Milliseconds(1));
  const ReactorStatistics before = reactor.statistics();
  for (int i = 0; i < 100; ++i) {
    Path path;
    path.peer = b.local_endpoint();
    CO_RETURN_IF_ERROR(co_await a.Send(path, Bytes("x")));
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                        co_await WithTimeout(absl::Seconds(10), b.Recv()));
  }
  const ReactorStatistics after = reactor.statistics();
  EXPECT_EQ(after.system_calls - before.system_calls,
            after.turns - before.turns);
  co_return absl::OkStatus();
}

TEST(UringReactorTest, MakesOneSystemCallATurn) {
  std::unique_ptr<UringReactor> reactor = Make();
  EXPECT_EQ(reactor->Run(OneCallATurn(*reactor)), absl::OkStatus());
}

}  // namespace
}  // namespace cordon::net
