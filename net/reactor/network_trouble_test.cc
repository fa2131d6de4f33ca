// Trouble with the network, the real one, and with the system's limits: it
// harms those whom it concerns, and nobody for longer than it lasts.
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/udp_socket.h"
#include "cordon/testing/network_namespace/network_namespace.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

using ::cordon::testing::NamespaceResult;
using ::cordon::testing::RunInNetworkNamespace;
using ::cordon::testing::SendPathMtuNotice;
using ::cordon::testing::SetLoopbackUp;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr size_t kNarrow = 600;

class NetworkTroubleTest : public ::testing::TestWithParam<Backend> {
 protected:
  static std::unique_ptr<Reactor> Make() {
    ReactorOptions options;
    options.backend = GetParam();
    absl::StatusOr<std::unique_ptr<Reactor>> reactor = MakeReactor(options);
    EXPECT_TRUE(reactor.ok()) << reactor.status();
    return reactor.ok() ? *std::move(reactor) : nullptr;
  }
  // Runs `play` on a reactor in a network of its own.
  static void PlayInNamespace(Task<absl::Status> (*play)(Reactor&)) {
    const NamespaceResult result = RunInNetworkNamespace([play] {
      const std::unique_ptr<Reactor> reactor = Make();
      if (reactor == nullptr) return;
      EXPECT_EQ(reactor->Run(play(*reactor)), absl::OkStatus());
    });
    if (!result.allowed) GTEST_SKIP() << result.reason;
    EXPECT_TRUE(result.passed);
  }
};

class Listening final : public DatagramReceiver {
 public:
  void OnDatagram(const Datagram& datagram) override {
    received.emplace_back(datagram.bytes.begin(), datagram.bytes.end());
  }
  void OnSocketError(const absl::Status& status) override {
    errors.push_back(status);
  }
  void OnPathMtuChanged(size_t mtu) override { mtus.push_back(mtu); }

  std::vector<std::string> received;
  std::vector<absl::Status> errors;
  std::vector<size_t> mtus;
};

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Until `done`, or for as long as anybody would wait.
template <typename Done>
Task<absl::Status> Until(Done done) {
  for (int i = 0; !done(); ++i) {
    if (i == 4000) co_return absl::DeadlineExceededError("it never happened");
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(5)));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Ask(UdpSocket& server, DatagramSocket& client,
                       Listening& listening, size_t size) {
  const std::string text(size, 'q');
  Path path;
  client.Send(path, Bytes(text));
  CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                      co_await WithTimeout(kPatience, server.Recv()));
  EXPECT_EQ(packet.payload.size(), size);
  listening.received.clear();
  CO_RETURN_IF_ERROR(co_await server.Send(packet.path, packet.payload.bytes()));
  CO_RETURN_IF_ERROR(
      co_await Until([&listening] { return !listening.received.empty(); }));
  EXPECT_EQ(listening.received, std::vector<std::string>{text});
  co_return absl::OkStatus();
}

Task<absl::Status> NoticeForOne(Reactor& reactor) {
  DatagramSocketOptions options;
  options.bind = Endpoint::LoopbackV4(0);
  CO_ASSIGN_OR_RETURN(UdpSocket server, UdpSocket::Open(reactor, options));
  options.connect = server.local_endpoint();
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> narrow,
                      reactor.OpenSocket(options));
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> wide,
                      reactor.OpenSocket(options));
  Listening narrow_heard;
  Listening wide_heard;
  narrow->StartReceiving(narrow_heard);
  wide->StartReceiving(wide_heard);
  CO_RETURN_IF_ERROR(co_await Ask(server, *narrow, narrow_heard, 1200));
  CO_RETURN_IF_ERROR(co_await Ask(server, *wide, wide_heard, 1200));
  EXPECT_GT(narrow->path_mtu(), size_t{1500});
  for (int i = 1; i <= 5; ++i) {
    CO_RETURN_IF_ERROR(SendPathMtuNotice(narrow->local_endpoint(),
                                         server.local_endpoint(), kNarrow));
    const size_t count = static_cast<size_t>(i);
    CO_RETURN_IF_ERROR(co_await Until(
        [&narrow_heard, count] { return narrow_heard.mtus.size() >= count; }));
    // What is sent now is delivered, even if it is larger than that.
    for (size_t size : {size_t{100}, size_t{500}, size_t{1200}}) {
      CO_RETURN_IF_ERROR(co_await Ask(server, *narrow, narrow_heard, size));
      CO_RETURN_IF_ERROR(co_await Ask(server, *wide, wide_heard, size));
    }
  }
  EXPECT_EQ(narrow_heard.mtus, std::vector<size_t>(5, kNarrow));
  EXPECT_EQ(narrow->path_mtu(), kNarrow);
  EXPECT_TRUE(narrow_heard.errors.empty());
  EXPECT_TRUE(wide_heard.mtus.empty());
  EXPECT_TRUE(wide_heard.errors.empty());
  // Nor is the shared socket of the server impressed by one about itself.
  CO_RETURN_IF_ERROR(SendPathMtuNotice(server.local_endpoint(),
                                       narrow->local_endpoint(), kNarrow));
  for (int i = 0; i < 5; ++i) {
    CO_RETURN_IF_ERROR(co_await Ask(server, *narrow, narrow_heard, 1200));
    CO_RETURN_IF_ERROR(co_await Ask(server, *wide, wide_heard, 1200));
  }
  EXPECT_EQ(server.statistics().send_errors, 0U);
  CO_RETURN_IF_ERROR(co_await narrow->Close());
  co_return co_await wide->Close();
}

// ACCEPTANCE: HD5
TEST_P(NetworkTroubleTest, APathMtuNoticeReachesTheSocketItBelongsTo) {
  PlayInNamespace(NoticeForOne);
}

Task<absl::Status> TrainsOverANarrowPath(Reactor& reactor) {
  DatagramSocketOptions options;
  options.bind = Endpoint::AnyV4(0);
  options.receive_buffer = 4 << 20;
  CO_ASSIGN_OR_RETURN(UdpSocket server, UdpSocket::Open(reactor, options));
  // Two peers at addresses of their own: the system remembers for each.
  options.bind = Endpoint::V4({127, 0, 0, 2}, 0);
  CO_ASSIGN_OR_RETURN(UdpSocket narrow, UdpSocket::Open(reactor, options));
  options.bind = Endpoint::V4({127, 0, 0, 3}, 0);
  CO_ASSIGN_OR_RETURN(UdpSocket wide, UdpSocket::Open(reactor, options));
  const Endpoint from = Endpoint::LoopbackV4(server.local_endpoint().port());
  CO_RETURN_IF_ERROR(SendPathMtuNotice(from, narrow.local_endpoint(), kNarrow));
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(20)));
  const LocalAddress local = {Endpoint::LoopbackV4(0), 1};
  Path to_narrow(narrow.local_endpoint(), local);
  Path to_wide(wide.local_endpoint(), local);
  constexpr int kTrain = 10;
  for (int round = 0; round < 3; ++round) {
    for (Path* path : {&to_narrow, &to_wide}) {
      const uint64_t trains = server.statistics().trains_sent;
      for (int i = 0; i < kTrain; ++i) {
        CO_RETURN_IF_ERROR(
            co_await server.Send(*path, Bytes(std::string(1200, 't'))));
      }
      UdpSocket& there = path == &to_narrow ? narrow : wide;
      for (int i = 0; i < kTrain; ++i) {
        CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                            co_await WithTimeout(kPatience, there.Recv()));
        EXPECT_EQ(packet.payload.size(), 1200U);
      }
      // The wide one's datagrams are still sent by one call.
      if (path == &to_wide) {
        EXPECT_EQ(server.statistics().trains_sent - trains, 1U);
      }
    }
  }
  EXPECT_EQ(server.statistics().send_errors, 0U);
  co_return absl::OkStatus();
}

// ACCEPTANCE: HD5
TEST_P(NetworkTroubleTest, ANarrowPathOfOnePeerEndsNobodysTrains) {
  PlayInNamespace(TrainsOverANarrowPath);
}

Task<absl::Status> DownAndUp(Reactor& reactor) {
  DatagramSocketOptions options;
  options.bind = Endpoint::LoopbackV4(0);
  CO_ASSIGN_OR_RETURN(UdpSocket server, UdpSocket::Open(reactor, options));
  options.connect = server.local_endpoint();
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> client,
                      reactor.OpenSocket(options));
  Listening heard;
  client->StartReceiving(heard);
  CO_RETURN_IF_ERROR(co_await Ask(server, *client, heard, 100));
  Path to_client(client->local_endpoint());
  Path to_server;
  for (int round = 0; round < 3; ++round) {
    CO_RETURN_IF_ERROR(SetLoopbackUp(false));
    for (int i = 0; i < 20; ++i) {
      CO_RETURN_IF_ERROR(co_await server.Send(to_client, Bytes("lost")));
      client->Send(to_server, Bytes("lost"));
      CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
    }
    CO_RETURN_IF_ERROR(SetLoopbackUp(true));
    CO_RETURN_IF_ERROR(co_await Ask(server, *client, heard, 100));
  }
  co_return co_await client->Close();
}

TEST_P(NetworkTroubleTest, AnInterfaceMayGoDownAndComeBack) {
  PlayInNamespace(DownAndUp);
}

Task<absl::Status> WithoutDescriptors(Reactor& reactor) {
  DatagramSocketOptions options;
  options.bind = Endpoint::LoopbackV4(0);
  CO_ASSIGN_OR_RETURN(UdpSocket server, UdpSocket::Open(reactor, options));
  options.connect = server.local_endpoint();
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> client,
                      reactor.OpenSocket(options));
  Listening heard;
  client->StartReceiving(heard);
  rlimit before = {};
  if (getrlimit(RLIMIT_NOFILE, &before) != 0) {
    co_return absl::InternalError("getrlimit");
  }
  const int next = dup(0);
  close(next);
  const rlimit none = {.rlim_cur = static_cast<rlim_t>(next),
                       .rlim_max = before.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &none) != 0) {
    co_return absl::InternalError("setrlimit");
  }
  for (int i = 0; i < 10; ++i) {
    const absl::Status opened = reactor.OpenSocket(options).status();
    EXPECT_TRUE(absl::IsResourceExhausted(opened)) << opened;
    // Those that are there are served.
    CO_RETURN_IF_ERROR(co_await Ask(server, *client, heard, 100));
  }
  const absl::Status made = MakeReactor({}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(made)) << made;
  if (setrlimit(RLIMIT_NOFILE, &before) != 0) {
    co_return absl::InternalError("setrlimit");
  }
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> another,
                      reactor.OpenSocket(options));
  Listening another_heard;
  another->StartReceiving(another_heard);
  CO_RETURN_IF_ERROR(co_await Ask(server, *another, another_heard, 100));
  CO_RETURN_IF_ERROR(co_await another->Close());
  co_return co_await client->Close();
}

TEST_P(NetworkTroubleTest, WithoutDescriptorsThoseWhoAreThereAreServed) {
  PlayInNamespace(WithoutDescriptors);
}

INSTANTIATE_TEST_SUITE_P(Reactors, NetworkTroubleTest,
                         ::testing::Values(Backend::kIoUring, Backend::kEpoll),
                         [](const auto& param) {
                           return param.param == Backend::kIoUring ? "IoUring"
                                                                   : "Epoll";
                         });

}  // namespace
}  // namespace cordon::net
