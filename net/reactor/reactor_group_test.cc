#include "cordon/net/reactor/reactor_group.h"

#include <array>
#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/udp/udp_socket.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

class ReactorGroupTest : public ::testing::TestWithParam<Backend> {
 protected:
  static ReactorGroup Make(size_t reactors) {
    absl::StatusOr<ReactorGroup> group = ReactorGroup::Create(
        {.reactors = reactors, .reactor = {.backend = GetParam()}});
    EXPECT_TRUE(group.ok()) << group.status();
    return *std::move(group);
  }
};

TEST_P(ReactorGroupTest, RunsOnAThreadEach) {
  ReactorGroup group = Make(3);
  absl::Mutex mutex;
  std::set<std::thread::id> threads;
  auto task = [&](Reactor& reactor) -> Task<absl::Status> {
    absl::MutexLock lock(&mutex);
    threads.insert(std::this_thread::get_id());
    (void)reactor;
    co_return absl::OkStatus();
  };
  EXPECT_TRUE(group.RunOnEach(task).ok());
  EXPECT_EQ(threads.size(), 3U);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

TEST_P(ReactorGroupTest, AnErrorOfOneStopsTheOthers) {
  ReactorGroup group = Make(2);
  Reactor* const failing = &group.reactor(1);
  auto task = [&](Reactor& reactor) -> Task<absl::Status> {
    if (&reactor == failing) co_return absl::DataLossError("mine");
    co_return co_await SleepFor(absl::Hours(1));
  };
  EXPECT_TRUE(absl::IsDataLoss(group.RunOnEach(task)));
}

TEST_P(ReactorGroupTest, StopsFromAnotherThread) {
  ReactorGroup group = Make(2);
  std::atomic<int> running = 0;
  std::thread stopper([&] {
    while (running < 2) std::this_thread::yield();
    group.RequestStop();
  });
  auto task = [&](Reactor&) -> Task<absl::Status> {
    ++running;
    absl::Status status = co_await SleepFor(absl::Hours(1));
    co_return absl::IsCancelled(status) ? absl::OkStatus() : status;
  };
  EXPECT_TRUE(group.RunOnEach(task).ok());
  stopper.join();
}

// Peers are spread over the reactors, and each stays where it is.
TEST_P(ReactorGroupTest, SharesAPortByReusePort) {
  constexpr int kClients = 64;
  constexpr int kRounds = 5;
  ReactorGroup group = Make(2);
  std::vector<UdpSocket> servers;
  Endpoint at = Endpoint::LoopbackV4(0);
  for (size_t i = 0; i < 2; ++i) {
    absl::StatusOr<UdpSocket> socket =
        UdpSocket::Open(group.reactor(i), {.bind = at, .reuse_port = true});
    ASSERT_TRUE(socket.ok()) << socket.status();
    at = socket->local_endpoint();
    servers.push_back(*std::move(socket));
  }
  std::array<std::set<Endpoint>, 2> peers;
  std::atomic<int> received = 0;
  auto serve = [&](Reactor& reactor) -> Task<absl::Status> {
    const size_t mine = &reactor == &group.reactor(0) ? 0 : 1;
    while (true) {
      absl::StatusOr<UdpSocket::Packet> packet = co_await servers[mine].Recv();
      if (absl::IsCancelled(packet.status())) break;
      if (!packet.ok()) co_return packet.status();
      peers[mine].insert(packet->path.peer);
      ++received;
    }
    co_return co_await servers[mine].Close();
  };
  std::thread clients([&] {
    std::unique_ptr<Reactor> reactor = *MakeReactor({});
    auto send = [&]() -> Task<absl::Status> {
      std::vector<UdpSocket> sockets;
      for (int i = 0; i < kClients; ++i) {
        CO_ASSIGN_OR_RETURN(UdpSocket socket,
                            UdpSocket::Open(*reactor, {.connect = at}));
        sockets.push_back(std::move(socket));
      }
      for (int round = 0; round < kRounds; ++round) {
        for (UdpSocket& socket : sockets) {
          Path path;
          const std::array<uint8_t, 3> bytes = {1, 2, 3};
          CO_RETURN_IF_ERROR(co_await socket.Send(path, bytes));
        }
        CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
      }
      co_return absl::OkStatus();
    };
    EXPECT_EQ(reactor->Run(send()), absl::OkStatus());
    while (received < kClients * kRounds) std::this_thread::yield();
    group.RequestStop();
  });
  EXPECT_EQ(group.RunOnEach(serve), absl::OkStatus());
  clients.join();
  EXPECT_EQ(peers[0].size() + peers[1].size(), size_t{kClients});
  EXPECT_GT(peers[0].size(), 8U);
  EXPECT_GT(peers[1].size(), 8U);
}

INSTANTIATE_TEST_SUITE_P(Backends, ReactorGroupTest,
                         ::testing::Values(Backend::kIoUring, Backend::kEpoll),
                         [](const auto& param) {
                           return AbslUnparseFlag(param.param);
                         });

}  // namespace
}  // namespace cordon::net
