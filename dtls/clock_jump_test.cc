// The machine's clock is set while sessions run: what does not leave the
// machine may not notice.
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/dtls/moment.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "cordon/testing/sim/sim_network.h"
#include "cordon/testing/sim/virtual_clock.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;
using ::cordon::testing::VirtualClock;

class ClockJumpTest : public ::testing::Test {
 protected:
  ClockJumpTest() {
    const auto wall = [this] { return VirtualClock::Epoch() + ahead_; };
    world_.server_options.wall_clock = wall;
    world_.client_options.wall_clock = wall;
    // Back and forth, by more than a cookie, a session or a key lives.
    world_.reactor.network().set_filter([this](SimDatagram&) {
      ahead_ = ahead_ > absl::ZeroDuration() ? -absl::Hours(24 * 400)
                                             : absl::Hours(24 * 400);
      ++jumps_;
      return !silent_;
    });
  }
  void ExpectRuns(const ServedListener::Body& body) {
    EXPECT_EQ(world_.Run(body), absl::OkStatus());
    EXPECT_GT(jumps_, 5);
  }

  ServedListener world_;
  absl::Duration ahead_ = absl::ZeroDuration();
  int jumps_ = 0;
  bool silent_ = false;
};

TEST_F(ClockJumpTest, CookiesHandshakesAndSessionsGoOn) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    for (int i = 0; i < 20; ++i) {
      CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "now"));
      co_await ServedListener::Pass(absl::Minutes(1));
    }
    EXPECT_EQ(world_.admin().statistics().cookies.sent, 1U);
    EXPECT_EQ(client.statistics().retransmissions, 0U);
    co_return absl::OkStatus();
  });
}

TEST_F(ClockJumpTest, DeadlinesComeWhenTheyShould) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    silent_ = true;
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    const absl::Time begin = world_.reactor.Now();
    const absl::Status status = co_await client.Handshake();
    EXPECT_FALSE(status.ok());
    const absl::Duration took = world_.reactor.Now() - begin;
    EXPECT_GE(took, absl::Seconds(29));
    EXPECT_LE(took, absl::Seconds(31));
    silent_ = false;
    CO_RETURN_IF_ERROR(co_await client.Handshake());
    co_return co_await ServedListener::Ask(client, "after all");
  });
}

// A clock that is set now and then, and goes on from there.
class SetClockTest : public ::testing::Test {
 protected:
  SetClockTest() {
    const auto wall = [this] { return world_.reactor.Now() + ahead_; };
    world_.server_options.wall_clock = wall;
    world_.client_options.wall_clock = wall;
  }

  ServedListener world_;
  absl::Duration ahead_ = absl::ZeroDuration();
};

TEST_F(SetClockTest, BetweenTheTwoHellosItCostsNothing) {
  EXPECT_EQ(world_.Run([&]() -> net::Task<absl::Status> {
    uint64_t clients = 0;
    for (const absl::Duration step :
         {absl::Hours(1), -absl::Hours(1), absl::Minutes(3), -absl::Minutes(3),
          absl::Hours(24 * 400), -absl::Hours(24 * 400)}) {
      world_.reactor.network().set_filter([&](SimDatagram& d) {
        // A HelloVerifyRequest.
        if (d.bytes[0] == 22 && d.bytes[13] == 3) ahead_ += step;
        return true;
      });
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
      EXPECT_EQ(client.statistics().retransmissions, 0U) << step;
      CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "now"));
      const CookieStatistics cookies = world_.admin().statistics().cookies;
      EXPECT_EQ(cookies.sent, ++clients) << step;
      EXPECT_EQ(cookies.rejected_expired + cookies.rejected_invalid, 0U);
      co_await ServedListener::Pass(absl::Minutes(10));
    }
    co_return absl::OkStatus();
  }),
            absl::OkStatus());
}

// Whose steady clock is another, and whose wall clock is the same.
TEST_F(SetClockTest, AnotherMachineTakesTheCookiesOfAListener) {
  for (const absl::Duration ahead : {absl::Hours(10), -absl::Hours(10)}) {
    ahead_ = ahead;
    std::optional<SimDatagram> hello;
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      // A hello with a cookie is the second message of the handshake.
      const bool second = d.bytes[0] == 22 && d.bytes[13] == 1 &&
                          d.bytes[18] == 1 && !hello.has_value();
      if (second) hello = d;
      return true;
    });
    EXPECT_EQ(world_.Run([&]() -> net::Task<absl::Status> {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
      co_return co_await client.Close();
    }),
              absl::OkStatus());
    ASSERT_TRUE(hello.has_value());
    CookieExchange other = *CookieExchange::Create({});
    std::array<uint8_t, CookieExchange::kReplyBytes> reply;
    const Moment there = {.steady = absl::UnixEpoch(),
                          .wall = world_.reactor.Now() + ahead};
    EXPECT_EQ(other.Process(hello->bytes, hello->from, there, reply).verdict,
              CookieVerdict::kVerified)
        << ahead;
  }
}

TEST_F(SetClockTest, SnapshotsTellTheTimeAsItIsNow) {
  EXPECT_EQ(world_.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    const absl::Time opened = world_.reactor.Now();
    co_await ServedListener::Pass(absl::Minutes(5));
    for (const absl::Duration ahead :
         {absl::ZeroDuration(), absl::Hours(10), -absl::Hours(10)}) {
      ahead_ = ahead;
      const auto sessions = world_.admin().Sessions(0, 10);
      EXPECT_EQ(sessions.size(), 1U);
      if (sessions.empty()) break;
      EXPECT_LT(absl::AbsDuration(sessions[0]->opened - opened - ahead),
                absl::Seconds(1));
      EXPECT_LT(absl::AbsDuration(sessions[0]->last_activity - opened - ahead),
                absl::Seconds(1));
    }
    co_return absl::OkStatus();
  }),
            absl::OkStatus());
}

}  // namespace
}  // namespace cordon::dtls
