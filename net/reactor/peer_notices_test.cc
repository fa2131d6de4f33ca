// What the network says of one peer of a shared socket reaches the receiver as
// that, and takes nothing from the others.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
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

constexpr absl::Duration kPatience = absl::Seconds(20);

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// What a shared socket hears. Datagrams are sent back.
class Echoing final : public DatagramReceiver {
 public:
  explicit Echoing(DatagramSocket& socket) : socket_(socket) {
    socket_.StartReceiving(*this);
  }
  ~Echoing() override { socket_.StopReceiving(); }

  void OnDatagram(const Datagram& datagram) override {
    Path path(datagram.peer, datagram.local);
    socket_.Send(path, datagram.bytes);
  }
  void OnSocketError(const absl::Status& status) override {
    errors.push_back(status);
  }
  void OnPathMtuChanged(size_t) override { ++mtus; }
  void OnPeerNotice(const PeerNotice& notice) override {
    notices.push_back(notice);
  }

  std::vector<PeerNotice> notices;
  std::vector<absl::Status> errors;
  int mtus = 0;

 private:
  DatagramSocket& socket_;
};

// Of the socket, and of its peers.
struct Addresses {
  const char* name;
  Endpoint bind;
  Endpoint peers;
};
const Addresses kV4 = {"V4", Endpoint::LoopbackV4(0), Endpoint::LoopbackV4(0)};
const Addresses kV6 = {"V6", Endpoint::LoopbackV6(0), Endpoint::LoopbackV6(0)};
const Addresses kDual = {"DualStack", Endpoint::AnyV6(0),
                         Endpoint::LoopbackV4(0)};

using Parameters = std::tuple<Backend, Addresses>;

class PeerNoticesTest : public ::testing::TestWithParam<Parameters> {
 protected:
  using Play = Task<absl::Status> (*)(Reactor&, Addresses);

  static void Run(Play play) {
    ReactorOptions options;
    options.backend = std::get<0>(GetParam());
    absl::StatusOr<std::unique_ptr<Reactor>> reactor = MakeReactor(options);
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    EXPECT_EQ((*reactor)->Run(play(**reactor, std::get<1>(GetParam()))),
              absl::OkStatus());
  }
  static void RunInNamespace(Play play) {
    const NamespaceResult result = RunInNetworkNamespace([play] { Run(play); });
    if (!result.allowed) GTEST_SKIP() << result.reason;
    EXPECT_TRUE(result.passed);
  }
};

absl::StatusOr<std::unique_ptr<DatagramSocket>> OpenShared(
    Reactor& reactor, const Addresses& at) {
  DatagramSocketOptions options;
  options.bind = at.bind;
  options.peer_notices = true;
  return reactor.OpenSocket(options);
}

absl::StatusOr<UdpSocket> OpenPeer(Reactor& reactor, const Addresses& at,
                                   const DatagramSocket& shared) {
  DatagramSocketOptions options;
  options.connect = at.peers.WithPort(shared.local_endpoint().port());
  return UdpSocket::Open(reactor, options);
}

Task<absl::Status> Ask(UdpSocket& peer, std::string text) {
  Path path;
  CO_RETURN_IF_ERROR(co_await peer.Send(path, Bytes(text)));
  CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                      co_await WithTimeout(kPatience, peer.Recv()));
  const absl::Span<const uint8_t> bytes = packet.payload.bytes();
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), text);
  co_return absl::OkStatus();
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

// The loop waits, it does not turn.
Task<absl::Status> ExpectRest(Reactor& reactor) {
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(20)));
  const uint64_t before = reactor.statistics().turns;
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(100)));
  EXPECT_LT(reactor.statistics().turns - before, 20U);
  co_return absl::OkStatus();
}

Task<absl::Status> OnePeerIsGone(Reactor& reactor, Addresses at) {
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> shared,
                      OpenShared(reactor, at));
  Echoing echoing(*shared);
  CO_ASSIGN_OR_RETURN(UdpSocket alive, OpenPeer(reactor, at, *shared));
  CO_ASSIGN_OR_RETURN(UdpSocket gone, OpenPeer(reactor, at, *shared));
  CO_RETURN_IF_ERROR(co_await Ask(alive, "before"));
  const Endpoint nowhere = gone.local_endpoint();
  CO_RETURN_IF_ERROR(co_await gone.Close());
  const LocalAddress local = {at.peers, 1};
  Path to_gone(nowhere, local);
  Path to_alive(alive.local_endpoint(), local);
  constexpr int kRounds = 100;
  constexpr int kSends = 4;
  for (int round = 0; round < kRounds; ++round) {
    // Each of the second kind comes after an error.
    for (int i = 0; i < kSends; ++i) {
      shared->Send(to_gone, Bytes("anybody?"));
      shared->Send(to_alive, Bytes(absl::StrCat(round, "/", i)));
      CO_RETURN_IF_ERROR(co_await SleepFor(absl::ZeroDuration()));
    }
    for (int i = 0; i < kSends; ++i) {
      CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                          co_await WithTimeout(kPatience, alive.Recv()));
      const absl::Span<const uint8_t> bytes = packet.payload.bytes();
      EXPECT_EQ(std::string(bytes.begin(), bytes.end()),
                absl::StrCat(round, "/", i));
    }
    CO_RETURN_IF_ERROR(co_await Ask(alive, absl::StrCat("round ", round)));
  }
  EXPECT_EQ(shared->statistics().send_errors, 0U);
  EXPECT_EQ(shared->statistics().send_dropped, 0U);
  EXPECT_TRUE(echoing.errors.empty());
  EXPECT_EQ(echoing.mtus, 0);
  CO_RETURN_IF_ERROR(
      co_await Until([&echoing] { return !echoing.notices.empty(); }));
  EXPECT_EQ(shared->statistics().peer_notices, echoing.notices.size());
  for (const PeerNotice& notice : echoing.notices) {
    EXPECT_EQ(notice.peer, nowhere);
    EXPECT_EQ(notice.local, local);
    EXPECT_EQ(notice.path_mtu, 0U);
  }
  CO_RETURN_IF_ERROR(co_await ExpectRest(reactor));
  CO_RETURN_IF_ERROR(co_await Ask(alive, "after"));
  co_return co_await shared->Close();
}

// ACCEPTANCE: HD5
TEST_P(PeerNoticesTest, APeerThatIsGoneTakesNothingFromTheOthers) {
  Run(OnePeerIsGone);
}

Task<absl::Status> OnePathIsNarrow(Reactor& reactor, Addresses at) {
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> shared,
                      OpenShared(reactor, at));
  Echoing echoing(*shared);
  CO_ASSIGN_OR_RETURN(UdpSocket narrow, OpenPeer(reactor, at, *shared));
  CO_ASSIGN_OR_RETURN(UdpSocket wide, OpenPeer(reactor, at, *shared));
  const Endpoint from = at.peers.WithPort(shared->local_endpoint().port());
  const Endpoint to = narrow.local_endpoint();
  const size_t smallest = at.peers.is_v4() ? 552 : 1280;
  for (size_t mtu : {size_t{1400}, size_t{1300}, size_t{1280}}) {
    const size_t before = echoing.notices.size();
    CO_RETURN_IF_ERROR(SendPathMtuNotice(from, to, mtu));
    CO_RETURN_IF_ERROR(co_await Until(
        [&echoing, before] { return echoing.notices.size() > before; }));
    EXPECT_EQ(echoing.notices.back().peer, to);
    EXPECT_EQ(echoing.notices.back().local, (LocalAddress{at.peers, 1}));
    EXPECT_EQ(echoing.notices.back().path_mtu, mtu);
    for (size_t size : {size_t{100}, size_t{1200}, size_t{3000}}) {
      CO_RETURN_IF_ERROR(co_await Ask(narrow, std::string(size, 'n')));
      CO_RETURN_IF_ERROR(co_await Ask(wide, std::string(size, 'w')));
    }
  }
  EXPECT_EQ(echoing.notices.size(), 3U);
  // Less than any path carries.
  for (size_t mtu : {size_t{68}, size_t{551}, size_t{1279}}) {
    const uint64_t before = shared->statistics().peer_notices;
    CO_RETURN_IF_ERROR(SendPathMtuNotice(from, to, mtu));
    CO_RETURN_IF_ERROR(co_await Until([&shared, before] {
      return shared->statistics().peer_notices > before;
    }));
    EXPECT_GE(echoing.notices.back().path_mtu, smallest);
    CO_RETURN_IF_ERROR(co_await Ask(narrow, std::string(1200, 'n')));
    CO_RETURN_IF_ERROR(co_await Ask(wide, std::string(1200, 'w')));
  }
  EXPECT_TRUE(echoing.errors.empty());
  EXPECT_EQ(echoing.mtus, 0);
  EXPECT_EQ(shared->statistics().send_errors, 0U);
  CO_RETURN_IF_ERROR(co_await ExpectRest(reactor));
  co_return co_await shared->Close();
}

// ACCEPTANCE: HD5
TEST_P(PeerNoticesTest, ANarrowPathIsToldOfItsPeer) {
  RunInNamespace(OnePathIsNarrow);
}

Task<absl::Status> Flood(Reactor& reactor, Addresses at) {
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> shared,
                      OpenShared(reactor, at));
  Echoing echoing(*shared);
  CO_ASSIGN_OR_RETURN(UdpSocket peer, OpenPeer(reactor, at, *shared));
  const Endpoint from = at.peers.WithPort(shared->local_endpoint().port());
  constexpr int kRounds = 100;
  constexpr int kNotices = 100;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kNotices; ++i) {
      CO_RETURN_IF_ERROR(
          SendPathMtuNotice(from, at.peers.WithPort(1 + i), 1300));
    }
    CO_RETURN_IF_ERROR(co_await Ask(peer, absl::StrCat(round)));
  }
  EXPECT_EQ(shared->statistics().send_errors, 0U);
  CO_RETURN_IF_ERROR(co_await Until([&echoing] {
    return echoing.notices.size() == size_t{kRounds} * kNotices;
  }));
  CO_RETURN_IF_ERROR(co_await ExpectRest(reactor));
  // Nobody listens any more, and nobody is kept busy.
  shared->StopReceiving();
  for (int i = 0; i < kNotices; ++i) {
    CO_RETURN_IF_ERROR(SendPathMtuNotice(from, peer.local_endpoint(), 1300));
  }
  CO_RETURN_IF_ERROR(co_await ExpectRest(reactor));
  shared->StartReceiving(echoing);
  CO_RETURN_IF_ERROR(co_await Ask(peer, "after"));
  co_return co_await shared->Close();
}

// ACCEPTANCE: HD5
TEST_P(PeerNoticesTest, AFloodOfThemIsDealtWithBetweenTheDatagrams) {
  RunInNamespace(Flood);
}

// A socket that did not ask is told nothing.
Task<absl::Status> Unasked(Reactor& reactor, Addresses at) {
  DatagramSocketOptions options;
  options.bind = at.bind;
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> shared,
                      reactor.OpenSocket(options));
  Echoing echoing(*shared);
  CO_ASSIGN_OR_RETURN(UdpSocket peer, OpenPeer(reactor, at, *shared));
  const Endpoint from = at.peers.WithPort(shared->local_endpoint().port());
  CO_RETURN_IF_ERROR(SendPathMtuNotice(from, peer.local_endpoint(), 1300));
  CO_RETURN_IF_ERROR(co_await Ask(peer, "heard"));
  EXPECT_TRUE(echoing.notices.empty());
  EXPECT_EQ(shared->statistics().peer_notices, 0U);
  co_return co_await shared->Close();
}

TEST_P(PeerNoticesTest, WhoDoesNotAskIsNotTold) { RunInNamespace(Unasked); }

INSTANTIATE_TEST_SUITE_P(Reactors, PeerNoticesTest,
                         ::testing::Combine(::testing::Values(Backend::kIoUring,
                                                              Backend::kEpoll),
                                            ::testing::Values(kV4, kV6, kDual)),
                         [](const auto& param) {
                           return absl::StrCat(
                               AbslUnparseFlag(std::get<0>(param.param)),
                               std::get<1>(param.param).name);
                         });

}  // namespace
}  // namespace cordon::net
