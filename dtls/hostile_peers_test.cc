// What strangers on the network can make a listener do, and what is left of a
// session once its connection is destroyed.
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/status_macros.h"
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
