// The machine's clock is set while sessions run: only certificates are judged
// by it, so nothing else may notice.
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/listener_admin.h"
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

}  // namespace
}  // namespace cordon::dtls
