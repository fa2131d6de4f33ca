// What an address gets from a listener before somebody there has shown that he
// receives: anybody may have written it into a datagram.
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::KeyType;
using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;

constexpr uint64_t kFactor = 3;
constexpr size_t kEpochAt = 3;

// Watches the network. An address is proven by an encrypted record of the
// client, which needs what the server has sent there.
class Ledger {
 public:
  // The share of datagrams that are lost.
  explicit Ledger(double loss = 0) : loss_(loss) {}

  bool Pass(const SimDatagram& d) {
    if (std::uniform_real_distribution<>(0, 1)(random_) < loss_) return false;
    if (d.to == ServedListener::At()) {
      Account& account = accounts_[d.from];
      account.received += d.bytes.size();
      account.proven |= HasEncryptedRecord(d.bytes);
    } else if (d.from == ServedListener::At()) {
      Account& account = accounts_[d.to];
      account.sent += d.bytes.size();
      sent_ += d.bytes.size();
      if (!account.proven) {
        EXPECT_LE(account.sent, kFactor * account.received)
            << "to " << d.to.ToString();
      }
    }
    return true;
  }

  uint64_t sent() const { return sent_; }

 private:
  struct Account {
    uint64_t received = 0;
    uint64_t sent = 0;
    bool proven = false;
  };

  static bool HasEncryptedRecord(const std::vector<uint8_t>& datagram) {
    for (size_t at = 0; at + 13 <= datagram.size();
         at +=
         size_t{13} + size_t{256} * datagram[at + 11] + datagram[at + 12]) {
      if (datagram[at + kEpochAt] != 0 || datagram[at + kEpochAt + 1] != 0) {
        return true;
      }
    }
    return false;
  }

  const double loss_;
  std::mt19937 random_{1};
  std::map<net::Endpoint, Account> accounts_;
  uint64_t sent_ = 0;
};

// The first hello of a client, which then gives up.
net::Task<absl::StatusOr<std::vector<uint8_t>>> CaptureHello(
    ServedListener& world) {
  std::vector<uint8_t> hello;
  world.reactor.network().set_filter([&hello](SimDatagram& d) {
    if (d.to == ServedListener::At() && hello.empty()) hello = d.bytes;
    return false;
  });
  {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world.Open());
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(20));
    scope.RequestStop();
    (void)co_await scope.Join();
  }
  world.reactor.network().set_filter(nullptr);
  co_return hello;
}

class UnprovenAddressTest : public ::testing::Test {
 protected:
  void ExpectRuns(const ServedListener::Body& body) {
    EXPECT_EQ(world_.Run(body), absl::OkStatus());
  }
  void Watch(Ledger& ledger) {
    world_.reactor.network().set_filter(
        [&ledger](SimDatagram& d) { return ledger.Pass(d); });
  }
  ListenerStatistics Now() { return world_.admin().statistics(); }

  ServedListener world_;
};

// A hello that is followed by nothing: forged, or of a client that has died.
// The server's flight and all repetitions of it count together.
// ACCEPTANCE: HA6
TEST_F(UnprovenAddressTest, AForgedAddressGetsThriceTheHelloAtMost) {
  // The hello is smaller than a third of the flight, or larger.
  for (const size_t protocols : {0, 30}) {
    Ledger ledger;
    ServedListener world;
    world.server_options.cookies = false;
    for (size_t i = 0; i < protocols; ++i) {
      world.client_options.alpn.push_back("a protocol of the client " +
                                          std::to_string(i));
    }
    const absl::Status status = world.Run([&]() -> net::Task<absl::Status> {
      CO_ASSIGN_OR_RETURN(const std::vector<uint8_t> hello,
                          co_await CaptureHello(world));
      world.reactor.network().set_filter(
          [&ledger](SimDatagram& d) { return ledger.Pass(d); });
      for (uint8_t i = 1; i <= 50; ++i) {
        const net::Endpoint from = net::Endpoint::V4({10, 0, 0, i}, 5000);
        // What the ledger does not see is sent by nobody.
        ledger.Pass({from, ServedListener::At(), hello});
        world.reactor.Inject(from, ServedListener::At(), hello);
      }
      co_await ServedListener::Pass(absl::Minutes(2));
      EXPECT_EQ(world.admin().statistics().handshakes_begun, 50U);
      EXPECT_EQ(world.admin().statistics().half_open, 0U);
      // The large ones have paid for a flight.
      if (protocols > 0) {
        EXPECT_GT(ledger.sent(), 50 * hello.size());
      }
      world.reactor.network().set_filter(nullptr);
      co_return absl::OkStatus();
    });
    EXPECT_EQ(status, absl::OkStatus());
  }
}

// ACCEPTANCE: HA6
TEST_F(UnprovenAddressTest, AFlightThatIsTooLargeWaitsForTheClientsHellos) {
  world_.server_options.cookies = false;
  world_.server_options.certificates = {ServedListener::Authority().Issue(
      {.dns_names = {"localhost"}, .key = KeyType::kRsa2048, .padding = 500})};
  Ledger ledger;
  Watch(ledger);
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    EXPECT_EQ(Now().cookies.sent, 0U);
    EXPECT_GE(client.statistics().retransmissions, 1U);
    // The server repeats nothing: it is not its turn.
    EXPECT_EQ(Now().traffic.retransmissions, 0U);
    EXPECT_GE(Now().traffic.datagrams_held_back, 1U);
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "all of it"));
    // Once that is so, there is no limit.
    CO_RETURN_IF_ERROR(
        co_await ServedListener::Ask(client, std::string(10'000, 'x')));
    world_.reactor.network().set_filter(nullptr);
    co_return absl::OkStatus();
  });
}

// ACCEPTANCE: HA6
TEST_F(UnprovenAddressTest, HandshakesComeToAnEndOverANetworkThatLoses) {
  for (const bool large : {false, true}) {
    // What does not fit takes several hellos, each time that some is lost.
    Ledger ledger(large ? 0.03 : 0.1);
    ServedListener world;
    world.server_options.cookies = false;
    world.server_options.session.handshake_deadline = absl::Minutes(5);
    world.client_options.session.handshake_deadline = absl::Minutes(5);
    world.server_options.certificates = {ServedListener::Authority().Issue(
        {.dns_names = {"localhost"}, .padding = large ? 1500U : 0U})};
    // Large tickets, and the client's certificate in the resumed session.
    world.server_options.verification.mode = PeerVerification::kVerify;
    world.server_options.client_trust = ServedListener::Authority().trust();
    world.client_options.certificate =
        ServedListener::Authority().Issue({.common_name = "device"});
    const absl::Status status = world.Run([&]() -> net::Task<absl::Status> {
      world.reactor.network().set_filter(
          [&ledger](SimDatagram& d) { return ledger.Pass(d); });
      for (int i = 0; i < 10; ++i) {
        ConnectOptions options;
        {
          CO_ASSIGN_OR_RETURN(Connection first, co_await world.Connect());
          options.resume = *first.Session();
        }
        CO_ASSIGN_OR_RETURN(Connection again, co_await world.Connect(options));
        EXPECT_TRUE(again.info().resumed);
      }
      world.reactor.network().set_filter(nullptr);
      co_return absl::OkStatus();
    });
    EXPECT_EQ(status, absl::OkStatus()) << large;
  }
}

TEST_F(UnprovenAddressTest, TheFactorMayBeLifted) {
  world_.server_options.cookies = false;
  world_.listener_options.amplification_limit = 0;
  world_.server_options.certificates = {ServedListener::Authority().Issue(
      {.dns_names = {"localhost"}, .padding = 5000})};
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    EXPECT_EQ(client.statistics().retransmissions, 0U);
    co_return co_await ServedListener::Ask(client, "at once");
  });
}

// A cookie shows as much as a handshake.
TEST_F(UnprovenAddressTest, ACookieProvesTheAddress) {
  world_.server_options.certificates = {ServedListener::Authority().Issue(
      {.dns_names = {"localhost"}, .padding = 5000})};
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    EXPECT_EQ(Now().cookies.accepted, 1U);
    EXPECT_EQ(client.statistics().retransmissions, 0U);
    co_return co_await ServedListener::Ask(client, "at once");
  });
}

TEST_F(UnprovenAddressTest, CookiesAreDemandedOnceThereAreManyHandshakes) {
  world_.listener_options.half_open_before_cookies = 2;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(const std::vector<uint8_t> hello,
                        co_await CaptureHello(world_));
    const auto begin = [&](uint8_t i) -> net::Task<void> {
      world_.reactor.Inject(net::Endpoint::V4({10, 0, 0, i}, 5000),
                            ServedListener::At(), hello);
      co_await ServedListener::Pass(absl::Milliseconds(20));
    };
    CO_ASSIGN_OR_RETURN(Connection early, co_await world_.Connect());
    EXPECT_EQ(Now().cookies.sent, 0U);
    co_await begin(1);
    co_await begin(2);
    EXPECT_EQ(Now().half_open, 2U);
    EXPECT_EQ(Now().cookies.sent, 0U);
    co_await begin(3);
    EXPECT_EQ(Now().half_open, 2U);
    EXPECT_EQ(Now().cookies.sent, 1U);
    CO_ASSIGN_OR_RETURN(Connection late, co_await world_.Connect());
    EXPECT_EQ(Now().cookies.sent, 2U);
    EXPECT_EQ(Now().cookies.accepted, 1U);
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(early, "early"));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(late, "late"));
    // They are given up, and it is as before.
    co_await ServedListener::Pass(absl::Minutes(1));
    EXPECT_EQ(Now().half_open, 0U);
    CO_ASSIGN_OR_RETURN(Connection later, co_await world_.Connect());
    EXPECT_EQ(Now().cookies.sent, 2U);
    co_return absl::OkStatus();
  });
}

// A cookie that was asked for while there were many is good when there are few,
// and one that is forged gains nothing.
TEST_F(UnprovenAddressTest, AHelloWithACookieIsTakenAtItsWord) {
  world_.listener_options.half_open_before_cookies = 1;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(const std::vector<uint8_t> hello,
                        co_await CaptureHello(world_));
    world_.reactor.Inject(net::Endpoint::V4({10, 0, 0, 1}, 5000),
                          ServedListener::At(), hello);
    co_await ServedListener::Pass(absl::Milliseconds(20));
    EXPECT_EQ(Now().half_open, 1U);
    // The second hello of this client comes when all is quiet again.
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      return d.from == ServedListener::At() || Now().cookies.sent == 0;
    });
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    EXPECT_EQ(Now().half_open, 1U);
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(Now().cookies.sent, 1U);
    ListenerLimits limits = world_.admin().limits();
    limits.half_open_before_cookies = 1000;
    world_.admin().SetLimits(limits);
    world_.reactor.network().set_filter(nullptr);
    CO_RETURN_IF_ERROR(co_await scope.Join());
    EXPECT_EQ(Now().cookies.accepted, 1U);
    EXPECT_EQ(Now().cookies.sent, 1U);
    co_return co_await ServedListener::Ask(client, "good");
  });
}

// A client repeats its hello while it is being asked for a cookie. The
// repetition is served without one, but the client has gone on with its cookie.
TEST_F(UnprovenAddressTest, ACookieThatCrossesARepeatedHelloIsGood) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    std::vector<SimDatagram> late;
    bool crossed = false;
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      if (d.from != ServedListener::At() || crossed) return true;
      if (late.empty()) {
        late.push_back(d);
      } else {
        crossed = true;
        world_.reactor.Inject(d.from, d.to, late[0].bytes);
      }
      return false;
    });
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(Now().cookies.sent, 1U);
    EXPECT_EQ(Now().sessions, 0U);
    ListenerLimits limits = world_.admin().limits();
    limits.half_open_before_cookies = 1000;
    world_.admin().SetLimits(limits);
    CO_RETURN_IF_ERROR(co_await scope.Join());
    EXPECT_TRUE(crossed);
    EXPECT_EQ(Now().cookies.accepted, 1U);
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "good"));
    // The session without the cookie is over.
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(Now().sessions, 1U);
    EXPECT_EQ(Now().half_open, 0U);
    world_.reactor.network().set_filter(nullptr);
    co_return co_await client.Close();
  });
}

// Who is there already is not disturbed by what a stranger sends in his name.
TEST_F(UnprovenAddressTest, AnAddressWithASessionNeedsACookie) {
  world_.listener_options.half_open_before_cookies = 1000;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(const std::vector<uint8_t> hello,
                        co_await CaptureHello(world_));
    net::Endpoint of_client;
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      if (d.to == ServedListener::At()) of_client = d.from;
      return true;
    });
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    world_.reactor.Inject(of_client, ServedListener::At(), hello);
    co_await ServedListener::Pass(absl::Milliseconds(20));
    EXPECT_EQ(Now().cookies.sent, 1U);
    EXPECT_EQ(Now().sessions, 1U);
    world_.reactor.network().set_filter(nullptr);
    co_return co_await ServedListener::Ask(client, "undisturbed");
  });
}

// Linux delivers datagrams from sources that cannot be answered. Whoever sends
// them forges them, and each could be a source of its own.
TEST_F(UnprovenAddressTest, ASourceThatCannotBeAnsweredBeginsNothing) {
  const std::vector<net::Endpoint> sources = {
      net::Endpoint(),
      net::Endpoint::V4({10, 0, 0, 1}, 0),
      ServedListener::At().WithPort(0),
      *net::Endpoint::Parse("[2001:db8::1]:0"),
      net::Endpoint::AnyV4(5000),
      net::Endpoint::AnyV6(5000),
      net::Endpoint::V4({0, 1, 2, 3}, 5000),
      net::Endpoint::V4({224, 0, 0, 1}, 5000),
      *net::Endpoint::Parse("[ff02::1]:5000"),
      net::Endpoint::V4({255, 255, 255, 255}, 5000),
      *net::Endpoint::Parse("[::ffff:255.255.255.255]:5000"),
      *net::Endpoint::Parse("[::ffff:10.0.0.1]:0")};
  // Whether or not cookies are demanded.
  for (const bool cookies : {true, false}) {
    for (const size_t before_cookies : {0, 1000}) {
      ServedListener world;
      world.server_options.cookies = cookies;
      world.listener_options.half_open_before_cookies = before_cookies;
      const absl::Status status = world.Run([&]() -> net::Task<absl::Status> {
        CO_ASSIGN_OR_RETURN(Connection client, co_await world.Connect());
        CO_ASSIGN_OR_RETURN(const std::vector<uint8_t> hello,
                            co_await CaptureHello(world));
        const ListenerStatistics before = world.admin().statistics();
        for (const net::Endpoint& source : sources) {
          for (int i = 0; i < 5; ++i) {
            world.reactor.Inject(source, ServedListener::At(), hello);
          }
        }
        co_await ServedListener::Pass(absl::Seconds(1));
        const ListenerStatistics after = world.admin().statistics();
        EXPECT_EQ(after.sessions, before.sessions);
        EXPECT_EQ(after.handshakes_begun, before.handshakes_begun);
        EXPECT_EQ(after.cookies.sent, before.cookies.sent);
        EXPECT_EQ(after.cookies.accepted, before.cookies.accepted);
        EXPECT_EQ(after.socket.datagrams_sent, before.socket.datagrams_sent);
        EXPECT_EQ(after.dropped_bad_source - before.dropped_bad_source,
                  5 * sources.size());
        co_return co_await ServedListener::Ask(client, "undisturbed");
      });
      EXPECT_EQ(status, absl::OkStatus());
    }
  }
}

// An exchange that refuses to judge has proven nothing.
TEST_F(UnprovenAddressTest, ForgedHellosPushNobodyOut) {
  world_.listener_options.max_half_open = 2;
  world_.listener_options.half_open_grace = absl::ZeroDuration();
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(const std::vector<uint8_t> hello,
                        co_await CaptureHello(world_));
    // The honest client's last flight is late.
    bool hold = true;
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      return !hold || d.from == ServedListener::At() ||
             Now().cookies.accepted == 0;
    });
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(Now().half_open, 1U);
    for (uint8_t i = 1; i <= 60; ++i) {
      world_.reactor.Inject(net::Endpoint::V4({10, 0, 0, i}, 0),
                            ServedListener::At(), hello);
    }
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(Now().half_open, 1U);
    EXPECT_EQ(Now().half_open_evicted, 0U);
    hold = false;
    CO_RETURN_IF_ERROR(co_await scope.Join());
    world_.reactor.network().set_filter(nullptr);
    co_return co_await ServedListener::Ask(client, "in");
  });
}

}  // namespace
}  // namespace cordon::dtls
