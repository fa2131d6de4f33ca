// What strangers on the network can make a listener do, and what is left of a
// session once its connection is destroyed.
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;

constexpr uint8_t kHandshake = 22;
constexpr uint8_t kApplicationData = 23;

class HostilePeersTest : public ::testing::Test {
 protected:
  void ExpectRuns(const ServedListener::Body& body) {
    EXPECT_EQ(world_.Run(body), absl::OkStatus());
  }

  ServedListener world_;
};

// ACCEPTANCE: HA5
TEST_F(HostilePeersTest, AHelloThatResumesNeedsACookieToo) {
  for (const bool tickets : {true, false}) {
    ServedListener world;
    world.server_options.session_tickets = tickets;
    const absl::Status status = world.Run([&]() -> net::Task<absl::Status> {
      ConnectOptions options;
      {
        CO_ASSIGN_OR_RETURN(Connection first, co_await world.Connect(options));
        options.resume = *first.Session();
        CO_RETURN_IF_ERROR(co_await first.Close());
      }
      std::optional<SimDatagram> hello;
      world.reactor.network().set_filter([&hello](SimDatagram& d) {
        if (!hello.has_value() && d.to == ServedListener::At()) hello = d;
        return true;
      });
      {
        CO_ASSIGN_OR_RETURN(Connection again, co_await world.Connect(options));
        EXPECT_TRUE(again.info().resumed);
        CO_RETURN_IF_ERROR(co_await again.Close());
      }
      co_await ServedListener::Pass(absl::Seconds(1));
      world.reactor.network().set_filter(nullptr);
      const ListenerStatistics before = world.admin().statistics();
      constexpr uint64_t kSpoofed = 100;
      for (uint16_t port = 1; port <= kSpoofed; ++port) {
        world.reactor.Inject(net::Endpoint::V4({10, 0, 0, 9}, port),
                             ServedListener::At(), hello->bytes);
      }
      co_await ServedListener::Pass(absl::Seconds(1));
      const ListenerStatistics after = world.admin().statistics();
      EXPECT_EQ(after.handshakes_begun, before.handshakes_begun);
      EXPECT_EQ(after.sessions, before.sessions);
      EXPECT_EQ(after.cookies.sent, before.cookies.sent + kSpoofed);
      EXPECT_LE(after.socket.bytes_sent - before.socket.bytes_sent,
                kSpoofed * hello->bytes.size());
      co_return absl::OkStatus();
    });
    EXPECT_EQ(status, absl::OkStatus());
  }
}

// ACCEPTANCE: HD3
// A record that is genuine but comes from elsewhere may have been carried there
// by anybody: the session stays where it is, and loses nothing.
TEST_F(HostilePeersTest, ASessionDoesNotMoveToWhereItsRecordsComeFrom) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    const net::Endpoint elsewhere = net::Endpoint::V4({10, 0, 0, 9}, 9);
    std::vector<SimDatagram> to_elsewhere;
    std::optional<SimDatagram> taken;
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      if (d.to == elsewhere) to_elsewhere.push_back(d);
      if (d.to != ServedListener::At() || d.bytes[0] != kApplicationData ||
          taken.has_value()) {
        return true;
      }
      taken = d;
      return false;
    });
    const std::vector<uint8_t> text = {'t', 'a', 'k', 'e', 'n'};
    CO_RETURN_IF_ERROR(co_await client.SendEncrypted(text));
    co_await ServedListener::Pass(absl::Milliseconds(100));
    if (!taken.has_value()) co_return absl::InternalError("nothing was sent");
    world_.reactor.Inject(elsewhere, ServedListener::At(), taken->bytes);
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_TRUE(to_elsewhere.empty());
    EXPECT_EQ(world_.admin().statistics().dropped_unknown, 1U);
    // It was not taken for the session's, so its own way it is good still.
    world_.reactor.Inject(taken->from, ServedListener::At(), taken->bytes);
    CO_ASSIGN_OR_RETURN(Message reply, co_await client.RecvDecrypted());
    EXPECT_EQ(reply.text(), "taken");
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "and on"));
    world_.reactor.network().set_filter(nullptr);
    co_return co_await client.Close();
  });
}

// ACCEPTANCE: HE2
TEST_F(HostilePeersTest, NothingIsSentOnceAConnectionIsDestroyed) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    // After 10 ms its timer waits; after 5 s it has expired some times.
    for (const absl::Duration age :
         {absl::Milliseconds(10), absl::Seconds(5)}) {
      size_t sent = 0;
      world_.reactor.network().set_filter([&sent](SimDatagram&) {
        ++sent;
        return false;
      });
      {
        CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
        const absl::Status status =
            co_await net::WithTimeout(age, client.Handshake());
        EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
        EXPECT_GT(sent, 0U);
      }
      const size_t then = sent;
      co_await ServedListener::Pass(absl::Minutes(10));
      EXPECT_EQ(sent, then);
      world_.reactor.network().set_filter(nullptr);
    }
    co_return absl::OkStatus();
  });
}

// RFC 6347 section 4.2.1: the answer to a hello takes the number of its record,
// and messages are counted from the first hello on.
// ACCEPTANCE: HA8
TEST_F(HostilePeersTest, TheServersFirstFlightContinuesTheNumbersOfTheHello) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    std::vector<std::vector<uint8_t>> records;
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      if (d.bytes[0] == kHandshake) records.push_back(d.bytes);
      return true;
    });
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    world_.reactor.network().set_filter(nullptr);
    const auto number = [&](size_t i) { return records[i][10]; };
    const auto type = [&](size_t i) { return records[i][13]; };
    const auto message = [&](size_t i) { return records[i][18]; };
    if (records.size() < 4) co_return absl::InternalError("no handshake");
    // A hello, the request, the hello again, and the server's.
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(type(i), (std::array<int, 4>{1, 3, 1, 2})[i]);
      EXPECT_EQ(number(i), i / 2);
      EXPECT_EQ(message(i), i / 2);
    }
    co_return co_await client.Close();
  });
}

// ACCEPTANCE: HA11
TEST_F(HostilePeersTest, HellosInAPeersNameNeverKeepItOut) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    // One without cookie, and one whose cookie is for another random.
    std::vector<std::vector<uint8_t>> spoofed;
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      if (d.to == ServedListener::At() && d.bytes[0] == kHandshake &&
          d.bytes[13] == 1) {
        spoofed.push_back(d.bytes);
        for (size_t i = 27; i < 59; ++i) spoofed.back()[i] ^= 0x5a;
      }
      return true;
    });
    {
      CO_ASSIGN_OR_RETURN(Connection other, co_await world_.Connect());
      CO_RETURN_IF_ERROR(co_await other.Close());
    }
    EXPECT_EQ(spoofed.size(), 2U);
    co_await ServedListener::Pass(absl::Seconds(1));
    const ListenerStatistics before = world_.admin().statistics();
    // Before each of the peer's first datagrams, and after the one before it.
    int attacked = 0;
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      const bool is_spoofed =
          std::find(spoofed.begin(), spoofed.end(), d.bytes) != spoofed.end();
      if (d.to != ServedListener::At() || is_spoofed || attacked >= 2) {
        return true;
      }
      ++attacked;
      for (const std::vector<uint8_t>& hello : spoofed) {
        world_.reactor.Inject(d.from, d.to, hello);
      }
      return true;
    });
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "it is me"));
    const ListenerStatistics after = world_.admin().statistics();
    EXPECT_EQ(after.handshakes_begun, before.handshakes_begun + 1);
    EXPECT_EQ(after.handshakes_completed, before.handshakes_completed + 1);
    EXPECT_GE(after.cookies.sent, before.cookies.sent + 4);
    world_.reactor.network().set_filter(nullptr);
    co_return co_await client.Close();
  });
}

// A slow server asks twice for a cookie, once for each repetition of the first
// hello: what comes late is no reason to begin anew.
TEST_F(HostilePeersTest, ALateHelloVerifyRequestChangesNothing) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    std::vector<SimDatagram> held;
    std::set<std::vector<uint8_t>> randoms;
    bool holding = true;
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      if (d.to != ServedListener::At()) {
        if (holding) held.push_back(d);
        return !holding;
      }
      if (d.bytes[0] == kHandshake && d.bytes[13] == 1) {
        randoms.insert({d.bytes.begin() + 27, d.bytes.begin() + 59});
      }
      return true;
    });
    const auto release = [&](size_t from, size_t to) {
      for (size_t i = from; i < to; ++i) {
        world_.reactor.Inject(held[i].from, held[i].to, held[i].bytes);
      }
    };
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Seconds(3));
    const size_t requests = held.size();
    EXPECT_GE(requests, 3U);
    release(0, 1);
    co_await ServedListener::Pass(absl::Seconds(5));
    EXPECT_GT(held.size(), requests);
    release(1, requests);
    co_await ServedListener::Pass(absl::Seconds(5));
    holding = false;
    release(requests, held.size());
    const absl::Status status = co_await scope.Join();
    EXPECT_EQ(randoms.size(), 1U);
    world_.reactor.network().set_filter(nullptr);
    co_return status;
  });
}

// The client answers the first that it gets. That the server wants another
// cookie it sees by the number of the record; it then begins anew.
// ACCEPTANCE: HA9
TEST_F(HostilePeersTest, ForgedHelloVerifyRequestsCostTimeOnly) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    for (const int attacks : {1, 2, 4}) {
      int hellos = 0;
      int attacked = 0;
      world_.reactor.network().set_filter([&](SimDatagram& d) {
        if (d.to != ServedListener::At() || d.bytes[0] != kHandshake ||
            d.bytes[13] != 1) {
          return true;
        }
        ++hellos;
        // Its first hello: there is no cookie yet.
        if (d.bytes[18] != 0 || attacked >= attacks) return true;
        ++attacked;
        for (uint8_t cookie = 0; cookie < 20; ++cookie) {
          const std::vector<uint8_t> forged = {
              22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, cookie, 0,    17, 3,      0,
              0,  5,    0,    0, 0, 0, 0, 0, 0, 5, 0xfe,   0xff, 2,  cookie, 7};
          world_.reactor.Inject(d.to, d.from, forged);
        }
        return true;
      });
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
      const absl::Status status = co_await client.Handshake();
      world_.reactor.network().set_filter(nullptr);
      EXPECT_EQ(status, absl::OkStatus()) << attacks;
      EXPECT_EQ(attacked, attacks);
      EXPECT_EQ(hellos, 2 * (attacks + 1));
      EXPECT_LT(client.statistics().handshake_duration,
                attacks * absl::Milliseconds(400) + absl::Milliseconds(100));
      CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "it is me"));
      CO_RETURN_IF_ERROR(co_await client.Close());
    }
    co_return absl::OkStatus();
  });
}

// A server that wants no cookie gives up over a forged one. By then the
// client's application has been asked about the server: it is asked again.
TEST_F(HostilePeersTest, ANewBeginningAsksForAVerdictAgain) {
  world_.server_options.cookies = false;
  int asked = 0;
  ConnectOptions options;
  options.verify_peer =
      [&asked](const PeerIdentity&) -> net::Task<VerificationVerdict> {
    ++asked;
    co_await ServedListener::Pass(absl::Milliseconds(10));
    co_return VerificationVerdict::Accept();
  };
  ExpectRuns([&]() -> net::Task<absl::Status> {
    std::set<std::vector<uint8_t>> randoms;
    bool refused = false;
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      if (d.to == ServedListener::At()) {
        if (d.bytes[0] != kHandshake || d.bytes[13] != 1) return true;
        if (randoms.empty()) {
          const std::vector<uint8_t> forged = {
              22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0,    0,    17, 3, 0,
              0,  5,    0,    0, 0, 0, 0, 0, 0, 5, 0xfe, 0xff, 2,  7, 7};
          world_.reactor.Inject(d.to, d.from, forged);
        }
        randoms.insert({d.bytes.begin() + 27, d.bytes.begin() + 59});
        return true;
      }
      if (asked == 0 || randoms.size() > 1) return true;
      if (!refused) {
        refused = true;
        const std::vector<uint8_t> alert = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0,
                                            0,  0,    9,    0, 2, 2, 10};
        world_.reactor.Inject(d.from, d.to, alert);
      }
      return false;
    });
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect(options));
    EXPECT_EQ(asked, 2);
    EXPECT_EQ(randoms.size(), 2U);
    EXPECT_LT(client.statistics().handshake_duration, absl::Seconds(3));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "it is me"));
    world_.reactor.network().set_filter(nullptr);
    co_return co_await client.Close();
  });
}

// One of the two hellos, or the answer to the first, is lost or comes twice.
TEST_F(HostilePeersTest, TheCookieExchangeOutlivesLossesAndRepetitions) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    for (size_t at = 0; at < 3; ++at) {
      for (const bool lost : {true, false}) {
        size_t number = 0;
        world_.reactor.network().set_filter([&, at, lost](SimDatagram& d) {
          // Not what is left of the session before.
          if (d.bytes[0] != kHandshake || number++ != at) return true;
          if (!lost) world_.reactor.Inject(d.from, d.to, d.bytes);
          return !lost;
        });
        CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
        const absl::Status status = co_await client.Handshake();
        EXPECT_EQ(status, absl::OkStatus()) << at << " " << lost;
        EXPECT_EQ(client.statistics().retransmissions, lost ? 1U : 0U);
        world_.reactor.network().set_filter(nullptr);
        CO_RETURN_IF_ERROR(co_await client.Close());
      }
    }
    co_return absl::OkStatus();
  });
}

}  // namespace
}  // namespace cordon::dtls
