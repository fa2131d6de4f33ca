// That the simulation does what tests rely on.
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/udp/udp_socket.h"
#include "cordon/testing/sim/sim_network.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

// What becomes of 1000 datagrams.
std::vector<std::pair<absl::Duration, std::vector<uint8_t>>> Fate(
    const Impairments& impairments, SimNetwork::Statistics* statistics) {
  SimNetwork network(impairments);
  std::vector<std::pair<absl::Duration, std::vector<uint8_t>>> fate;
  for (int i = 0; i < 1000; ++i) {
    for (SimNetwork::Delivery& d : network.Transmit(
             {net::Endpoint::LoopbackV4(1), net::Endpoint::LoopbackV4(2),
              std::vector<uint8_t>(10, static_cast<uint8_t>(i))})) {
      fate.emplace_back(d.after, std::move(d.datagram.bytes));
    }
  }
  *statistics = network.statistics();
  return fate;
}

TEST(SimNetworkTest, IsTheSameForTheSameSeed) {
  Impairments impairments{.loss = 0.1,
                          .duplicate = 0.1,
                          .reorder = 0.1,
                          .corrupt = 0.1,
                          .jitter = absl::Milliseconds(3),
                          .seed = 7};
  SimNetwork::Statistics a;
  SimNetwork::Statistics b;
  EXPECT_EQ(Fate(impairments, &a), Fate(impairments, &b));
  impairments.seed = 8;
  EXPECT_NE(Fate(impairments, &a), Fate({.seed = 8}, &b));
}

TEST(SimNetworkTest, ImpairsAsOftenAsItIsTold) {
  SimNetwork::Statistics s;
  Fate({.loss = 0.2, .duplicate = 0.1, .reorder = 0.2, .corrupt = 0.1}, &s);
  EXPECT_NEAR(static_cast<double>(s.lost), 200, 50);
  EXPECT_NEAR(static_cast<double>(s.duplicated), 80, 35);
  EXPECT_NEAR(static_cast<double>(s.reordered), 176, 50);
  EXPECT_NEAR(static_cast<double>(s.corrupted), 80, 35);
  Fate({.max_datagram_bytes = 9}, &s);
  EXPECT_EQ(s.too_large, 1000U);
}

TEST(SimReactorTest, TimePassesOnlyWhenNothingElseCanHappen) {
  SimReactor reactor({.delay = absl::Milliseconds(5)});
  auto run = [&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(
        net::UdpSocket a,
        net::UdpSocket::Open(reactor, {.bind = net::Endpoint::LoopbackV4(1)}));
    CO_ASSIGN_OR_RETURN(
        net::UdpSocket b,
        net::UdpSocket::Open(reactor, {.bind = net::Endpoint::LoopbackV4(2)}));
    const absl::Time start = reactor.Now();
    net::Path path(b.local_endpoint());
    const std::vector<uint8_t> bytes(1, 1);
    CO_RETURN_IF_ERROR(co_await a.Send(path, bytes));
    CO_ASSIGN_OR_RETURN(net::UdpSocket::Packet packet, co_await b.Recv());
    EXPECT_EQ(packet.path.peer, a.local_endpoint());
    EXPECT_EQ(reactor.Now(), start + absl::Milliseconds(5));
    co_return co_await net::SleepFor(absl::Hours(1000));
  };
  EXPECT_EQ(reactor.Run(run()), absl::OkStatus());
  EXPECT_EQ(reactor.Now(),
            VirtualClock::Epoch() + absl::Hours(1000) + absl::Milliseconds(5));
}

}  // namespace
}  // namespace cordon::testing
