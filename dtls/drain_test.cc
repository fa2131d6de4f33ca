// A listener that is drained: nobody is let in, and those who are there have
// time until a deadline.
#include <openssl/ssl.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;

class DrainTest : public ::testing::Test {
 protected:
  void ExpectRuns(const ServedListener::Body& body) {
    EXPECT_EQ(world_.Run(body), absl::OkStatus());
  }
  ListenerAdmin& admin() { return world_.admin(); }
  void ExpectDrained() {
    EXPECT_TRUE(absl::IsFailedPrecondition(world_.accept_status))
        << world_.accept_status;
    EXPECT_TRUE(absl::StrContains(world_.accept_status.message(), "drained"));
  }

  ServedListener world_;
};

TEST_F(DrainTest, EndsAtOnceIfThereIsNobody) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    EXPECT_FALSE(admin().draining());
    admin().Drain(absl::Hours(1));
    EXPECT_TRUE(admin().draining());
    co_await ServedListener::Pass(absl::Milliseconds(1));
    ExpectDrained();
    co_return absl::OkStatus();
  });
}

TEST_F(DrainTest, LetsNobodyInAndThoseWhoAreThereGoOn) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    admin().Drain(absl::Minutes(1));
    CO_ASSIGN_OR_RETURN(Connection late, co_await world_.Open());
    const absl::Status status =
        co_await net::WithTimeout(absl::Seconds(5), late.Handshake());
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    const ListenerStatistics s = admin().statistics();
    EXPECT_GT(s.dropped_draining, 1U);
    EXPECT_EQ(s.sessions, 1U);
    EXPECT_EQ(s.cookies.sent, 1U);
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "still there"));
    EXPECT_EQ(world_.accept_status, absl::OkStatus());
    // The last one has gone: there is nothing to wait for.
    CO_RETURN_IF_ERROR(co_await client.Close());
    co_await ServedListener::Pass(absl::Seconds(1));
    ExpectDrained();
    EXPECT_EQ(admin().statistics().sessions_closed_by_admin, 0U);
    // It still counts who comes too late.
    const uint64_t dropped = admin().statistics().dropped_draining;
    CO_ASSIGN_OR_RETURN(Connection later, co_await world_.Open());
    (void)co_await net::WithTimeout(absl::Milliseconds(100), later.Handshake());
    EXPECT_EQ(admin().statistics().dropped_draining, dropped + 1);
    co_return absl::OkStatus();
  });
}

TEST_F(DrainTest, ClosesAtItsDeadlineWhoIsLeft) {
  constexpr size_t kSessions = 300;  // more than are closed in one turn
  ExpectRuns([&]() -> net::Task<absl::Status> {
    std::vector<Connection> clients;
    for (size_t i = 0; i < kSessions; ++i) {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
      clients.push_back(std::move(client));
    }
    const absl::Time deadline = world_.reactor.Now() + absl::Seconds(30);
    admin().Drain(absl::Seconds(30));
    (void)co_await net::SleepUntil(deadline - absl::Milliseconds(100));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(clients[0], "still"));
    EXPECT_EQ(admin().statistics().sessions, kSessions);
    for (Connection& client : clients) {
      absl::StatusOr<Message> end = co_await client.RecvDecrypted();
      EXPECT_TRUE(IsClosed(end.status())) << end.status();
    }
    EXPECT_LE(world_.reactor.Now(), deadline + absl::Milliseconds(100));
    ExpectDrained();
    EXPECT_EQ(admin().statistics().sessions_closed_by_admin, kSessions);
    EXPECT_EQ(world_.ended.size(), kSessions);
    for (const absl::Status& status : world_.ended) {
      EXPECT_TRUE(absl::IsUnavailable(status)) << status;
      EXPECT_TRUE(absl::StrContains(status.message(), "drained"));
    }
    co_return absl::OkStatus();
  });
}

TEST_F(DrainTest, ClosesHandshakesToo) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    world_.reactor.network().set_filter([](SimDatagram& d) {
      return d.from.port() != 4433 || d.bytes[13] == 3;
    });
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    world_.reactor.network().set_filter(
        [](SimDatagram& d) { return d.from.port() == 4433; });
    admin().Drain(absl::Milliseconds(50));
    const absl::Status told = co_await scope.Join();
    EXPECT_EQ(GetErrorDetail(told)->alert, SSL_AD_USER_CANCELLED) << told;
    ExpectDrained();
    const ListenerStatistics s = admin().statistics();
    EXPECT_EQ(s.failures[static_cast<size_t>(HandshakeFailure::kAborted)], 1U);
    co_return absl::OkStatus();
  });
}

TEST_F(DrainTest, MayBeHurriedAndPutOff) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    const absl::Time begin = world_.reactor.Now();
    admin().Drain(absl::InfiniteDuration());
    co_await ServedListener::Pass(absl::Hours(1));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "an hour later"));
    admin().Drain(absl::Seconds(1));
    admin().Drain(absl::Seconds(10));
    co_await ServedListener::Pass(absl::Seconds(5));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "put off"));
    admin().Drain(absl::ZeroDuration());
    absl::StatusOr<Message> end = co_await client.RecvDecrypted();
    EXPECT_TRUE(IsClosed(end.status())) << end.status();
    EXPECT_LE(world_.reactor.Now() - begin,
              absl::Hours(1) + absl::Milliseconds(5500));
    co_return absl::OkStatus();
  });
}

// Also where the service has stopped accepting by itself.
TEST_F(DrainTest, ClosesTheSessionsOfAListenerThatHadStopped) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    world_.listener().StopAccepting();
    co_await ServedListener::Pass(absl::Milliseconds(1));
    EXPECT_TRUE(absl::IsFailedPrecondition(world_.accept_status));
    admin().Drain(absl::Seconds(1));
    absl::StatusOr<Message> end = co_await client.RecvDecrypted();
    EXPECT_TRUE(IsClosed(end.status())) << end.status();
    co_return absl::OkStatus();
  });
}

}  // namespace
}  // namespace cordon::dtls
