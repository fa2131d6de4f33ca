// Flights are repeated after the time that they were given, although the turn
// of the loop in which they were sent had lasted long by then.
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "cordon/testing/sim/sim_network.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;

class LongTurnTest : public ::testing::Test {
 protected:
  LongTurnTest() {
    world_.reactor.network().set_filter([this](SimDatagram&) {
      sent_.push_back(world_.reactor.clock().Now());
      return !silent_;
    });
  }
  // What the coroutine that is running now does for so long.
  void Work(absl::Duration duration) {
    world_.reactor.clock().Advance(duration);
  }

  ServedListener world_;
  bool silent_ = false;
  std::vector<absl::Time> sent_;
};

TEST_F(LongTurnTest, AFlightIsNotRepeatedEarly) {
  const absl::Status status = world_.Run([&]() -> net::Task<absl::Status> {
    silent_ = true;
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    Work(absl::Milliseconds(350));
    (void)co_await net::WithTimeout(absl::Seconds(2), client.Handshake());
    co_return absl::OkStatus();
  });
  EXPECT_EQ(status, absl::OkStatus());
  ASSERT_GE(sent_.size(), 3U);
  EXPECT_EQ(sent_[1] - sent_[0], absl::Milliseconds(400));
  EXPECT_EQ(sent_[2] - sent_[1], absl::Milliseconds(800));
}

TEST_F(LongTurnTest, AHandshakeHasTheTimeThatItWasGiven) {
  world_.client_options.session.handshake_deadline = absl::Seconds(5);
  const absl::Status status = world_.Run([&]() -> net::Task<absl::Status> {
    silent_ = true;
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    Work(absl::Seconds(3));
    const absl::Time begin = world_.reactor.clock().Now();
    const absl::Status ended = co_await client.Handshake();
    EXPECT_TRUE(absl::IsDeadlineExceeded(ended)) << ended;
    EXPECT_EQ(world_.reactor.Now() - begin, absl::Seconds(5));
    co_return absl::OkStatus();
  });
  EXPECT_EQ(status, absl::OkStatus());
}

TEST_F(LongTurnTest, ADrainHasTheTimeThatItWasGiven) {
  const absl::Status status = world_.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    Work(absl::Seconds(3));
    const absl::Time begin = world_.reactor.clock().Now();
    world_.admin().Drain(absl::Seconds(5));
    while (client.state() == EngineState::kConnected) {
      co_await ServedListener::Pass(absl::Milliseconds(10));
    }
    EXPECT_GE(world_.reactor.Now() - begin, absl::Seconds(5));
    co_return absl::OkStatus();
  });
  EXPECT_EQ(status, absl::OkStatus());
}

// Sessions that go on while turns are long: nobody is timed out too early, and
// time never seems to go back.
TEST_F(LongTurnTest, SessionsGoOn) {
  const absl::Status status = world_.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    for (int i = 0; i < 20; ++i) {
      Work(absl::Milliseconds(250));
      CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "still there?"));
    }
    EXPECT_EQ(client.statistics().retransmissions, 0U);
    co_return absl::OkStatus();
  });
  EXPECT_EQ(status, absl::OkStatus());
}

}  // namespace
}  // namespace cordon::dtls
