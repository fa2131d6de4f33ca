// Sessions whose peers fall silent.
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;

constexpr absl::Duration kTimeout = absl::Minutes(5);

class IdleTimeoutTest : public ::testing::Test {
 protected:
  void Connect() {
    pair_.server_options.session.idle_timeout = kTimeout;
    pair_.Make();
    pair_.Exchange();
    ASSERT_TRUE(pair_.connected());
    connected_ = pair_.now;
  }

  // Calls the server as it wishes to be called, until `end`.
  void RunServerUntil(absl::Time end) {
    while (pair_.server.engine->NextDeadline() <= end) {
      pair_.Expire(pair_.server);
    }
    pair_.now = end;
  }

  void ExpectIdle() {
    EXPECT_EQ(pair_.server.state(), EngineState::kFailed);
    const absl::Status& error = pair_.server.engine->error();
    EXPECT_TRUE(absl::IsDeadlineExceeded(error)) << error;
    EXPECT_EQ(error.message(), "the peer has sent nothing for 5m");
    EXPECT_EQ(GetErrorDetail(error).value_or(ErrorDetail()).limit,
              "idle_timeout");
  }

  EnginePair pair_;
  absl::Time connected_;
};

TEST_F(IdleTimeoutTest, ASilentPeerGetsCloseNotify) {
  Connect();
  RunServerUntil(connected_ + kTimeout - absl::Nanoseconds(1));
  EXPECT_EQ(pair_.server.state(), EngineState::kConnected);
  EXPECT_TRUE(pair_.server.output.sent.empty());
  RunServerUntil(connected_ + kTimeout);
  ExpectIdle();
  pair_.Exchange();
  EXPECT_EQ(pair_.client.state(), EngineState::kPeerClosed);
  EXPECT_EQ(pair_.server.engine->NextDeadline(), absl::InfiniteFuture());
}

TEST_F(IdleTimeoutTest, EachMessageGivesAnotherWhile) {
  Connect();
  for (const char* text : {"a", "", "b"}) {
    RunServerUntil(pair_.now + kTimeout - absl::Seconds(1));
    pair_.Carry(pair_.client, pair_.server, text);
  }
  const absl::Time last = pair_.now;
  RunServerUntil(last + kTimeout - absl::Nanoseconds(1));
  EXPECT_EQ(pair_.server.state(), EngineState::kConnected);
  RunServerUntil(last + kTimeout);
  ExpectIdle();
}

// Neither what we send counts, nor what anybody may have sent.
TEST_F(IdleTimeoutTest, OnlyThePeersMessagesCount) {
  Connect();
  ASSERT_TRUE(pair_.client.engine
                  ->Send(testing::AsBytes("message"), pair_.client.output)
                  .ok());
  const std::vector<Bytes> sent = pair_.client.output.Take();
  pair_.Deliver(sent, pair_.server);
  RunServerUntil(connected_ + kTimeout - absl::Seconds(1));
  pair_.Carry(pair_.server, pair_.client, "anybody there?");
  // A repetition, and a forgery.
  pair_.Deliver(sent, pair_.server);
  Bytes forged = sent.front();
  forged[10] += 1;
  pair_.Deliver({forged}, pair_.server);
  EXPECT_EQ(pair_.server.engine->statistics().records_discarded, 2U);
  RunServerUntil(connected_ + kTimeout);
  ExpectIdle();
}

TEST_F(IdleTimeoutTest, IsOffByDefault) {
  pair_.Make();
  pair_.Exchange();
  ASSERT_TRUE(pair_.connected());
  for (EngineSide* side : {&pair_.client, &pair_.server}) {
    // The last flight's timer at most.
    while (side->engine->NextDeadline() < absl::InfiniteFuture()) {
      pair_.Expire(*side);
    }
    EXPECT_EQ(side->state(), EngineState::kConnected);
  }
}

TEST(IdleListenerTest, TheSessionEndsAndIsCounted) {
  ServedListener world;
  world.server_options.session.idle_timeout = kTimeout;
  EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection silent, co_await world.Connect());
    CO_ASSIGN_OR_RETURN(Connection busy, co_await world.Connect());
    co_await ServedListener::Pass(kTimeout / 2);
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(busy, "busy"));
    co_await ServedListener::Pass(kTimeout / 2 + absl::Seconds(1));
    EXPECT_EQ(world.admin().statistics().sessions_idle, 1U);
    EXPECT_EQ(world.admin().statistics().sessions, 1U);
    EXPECT_EQ(world.ended.size(), 1U);
    if (!world.ended.empty()) {
      EXPECT_TRUE(absl::IsDeadlineExceeded(world.ended[0])) << world.ended[0];
    }
    const absl::StatusOr<Message> closed = co_await silent.RecvDecrypted();
    EXPECT_TRUE(IsClosed(closed.status())) << closed.status();
    co_return co_await ServedListener::Ask(busy, "still there");
  }),
            absl::OkStatus());
}

TEST(IdleListenerTest, ItMayBeChangedForSessionsThatBeginFromThenOn) {
  ServedListener world;
  EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
    const auto set = [&](size_t seconds) {
      ListenerLimits limits = world.admin().limits();
      limits.idle_timeout_seconds = seconds;
      world.admin().SetLimits(limits);
    };
    CO_ASSIGN_OR_RETURN(Connection before, co_await world.Connect());
    set(60);
    CO_ASSIGN_OR_RETURN(Connection limited, co_await world.Connect());
    set(~size_t{0});
    CO_ASSIGN_OR_RETURN(Connection patient, co_await world.Connect());
    set(0);
    CO_ASSIGN_OR_RETURN(Connection after, co_await world.Connect());
    co_await ServedListener::Pass(absl::Seconds(59));
    EXPECT_EQ(world.admin().statistics().sessions_idle, 0U);
    co_await ServedListener::Pass(absl::Hours(100));
    EXPECT_EQ(world.admin().statistics().sessions_idle, 1U);
    const absl::StatusOr<Message> closed = co_await limited.RecvDecrypted();
    EXPECT_TRUE(IsClosed(closed.status())) << closed.status();
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(before, "before"));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(patient, "patient"));
    co_return co_await ServedListener::Ask(after, "after");
  }),
            absl::OkStatus());
}

// One listener may have sessions that wait longer than others.
TEST(IdleListenerTest, ASessionMayHaveItsOwn) {
  ServedListener world;
  world.server_options.session.idle_timeout = kTimeout;
  world.session = [](Connection& connection) -> net::Task<absl::Status> {
    SessionOptions patient;
    patient.idle_timeout = absl::Hours(10);
    SessionOverrides overrides;
    overrides.session = patient;
    CO_RETURN_IF_ERROR(connection.Configure(overrides));
    co_return co_await ServedListener::Echo(connection);
  };
  EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world.Connect());
    co_await ServedListener::Pass(absl::Hours(9));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "patient"));
    co_await ServedListener::Pass(absl::Hours(10));
    EXPECT_EQ(world.admin().statistics().sessions_idle, 1U);
    co_return absl::OkStatus();
  }),
            absl::OkStatus());
}

}  // namespace
}  // namespace cordon::dtls
