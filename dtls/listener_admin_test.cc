// A listener as those who look after it see and change it.
#include "cordon/dtls/listener_admin.h"

#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/session_snapshot.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;
using Snapshots = std::vector<std::shared_ptr<const SessionSnapshot>>;

class ListenerAdminTest : public ::testing::Test {
 protected:
  void ExpectRuns(const ServedListener::Body& body) {
    EXPECT_EQ(world_.Run(body), absl::OkStatus());
  }
  ListenerAdmin& admin() { return world_.admin(); }
  uint64_t FirstId() { return admin().Sessions(0, 1).front()->id; }
  // From now on clients hear nothing of the server but its cookies.
  void SilenceServer() {
    world_.reactor.network().set_filter([](SimDatagram& d) {
      return d.from.port() != 4433 || d.bytes[13] == 3;
    });
  }

  ServedListener world_;
};

TEST_F(ListenerAdminTest, SessionsAreListedByTheirIds) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    EXPECT_TRUE(admin().Sessions(0, 100).empty());
    std::vector<Connection> clients;
    for (int i = 0; i < 10; ++i) {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
      clients.push_back(std::move(client));
    }
    co_await ServedListener::Pass(absl::Milliseconds(100));
    const Snapshots all = admin().Sessions(0, 100);
    EXPECT_EQ(all.size(), 10U);
    for (size_t i = 0; i < all.size(); ++i) {
      if (i > 0) {
        EXPECT_GT(all[i]->id, all[i - 1]->id);
      }
      EXPECT_EQ(all[i]->peer, clients[i].local());
      EXPECT_EQ(admin().FindSession(all[i]->id)->peer, all[i]->peer);
    }
    // Page by page the same.
    std::vector<uint64_t> paged;
    uint64_t after = 0;
    while (true) {
      const Snapshots page = admin().Sessions(after, 3);
      if (page.empty()) break;
      EXPECT_LE(page.size(), 3U);
      for (const auto& session : page) paged.push_back(session->id);
      after = paged.back();
    }
    EXPECT_EQ(paged.size(), 10U);
    for (size_t i = 0; i < paged.size(); ++i) EXPECT_EQ(paged[i], all[i]->id);
    // A session that has gone between two pages hides none of the others.
    CO_RETURN_IF_ERROR(co_await clients[4].Close());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(admin().FindSession(all[4]->id), nullptr);
    const Snapshots rest = admin().Sessions(all[4]->id, 100);
    EXPECT_EQ(rest.size(), 5U);
    EXPECT_EQ(rest.front()->id, all[5]->id);
    EXPECT_TRUE(admin().Sessions(all[9]->id, 100).empty());
    EXPECT_TRUE(admin().Sessions(0, 0).empty());
    EXPECT_EQ(admin().FindSession(0), nullptr);
    EXPECT_EQ(admin().FindSession(all[9]->id + 1000), nullptr);
    co_return absl::OkStatus();
  });
}

TEST_F(ListenerAdminTest, IdsAreNeverUsedAgain) {
  std::set<uint64_t> ids;
  auto connect_twice = [&](ServedListener& world) {
    EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
      for (int i = 0; i < 2; ++i) {
        CO_ASSIGN_OR_RETURN(Connection client, co_await world.Connect());
        const uint64_t id = world.admin().Sessions(0, 1).front()->id;
        EXPECT_TRUE(ids.empty() || id > *ids.rbegin());
        ids.insert(id);
        CO_RETURN_IF_ERROR(co_await client.Close());
        co_await ServedListener::Pass(absl::Seconds(1));
      }
      co_return absl::OkStatus();
    }),
              absl::OkStatus());
  };
  connect_twice(world_);
  // Another listener, another reactor: the same process.
  ServedListener other;
  connect_twice(other);
  EXPECT_EQ(ids.size(), 4U);
}

TEST_F(ListenerAdminTest, ASnapshotTellsWhatIsKnownOfASession) {
  world_.server_options.client_trust = ServedListener::Authority().trust();
  world_.server_options.alpn = {"echo"};
  world_.client_options.alpn = {"echo"};
  world_.client_options.certificate = ServedListener::Authority().Issue(
      {.common_name = "device", .dns_names = {"device.example"}});
  std::shared_ptr<const SessionSnapshot> kept;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    co_await ServedListener::Pass(absl::Seconds(5));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "hello"));
    kept = admin().FindSession(FirstId());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "once more"));
    EXPECT_EQ(kept->peer, client.local());
    co_return absl::OkStatus();
  });
  // It outlives the session, and does not change.
  EXPECT_EQ(kept->local, ServedListener::At());
  EXPECT_EQ(kept->state, EngineState::kConnected);
  EXPECT_FALSE(kept->half_open());
  EXPECT_EQ(kept->info.version, "DTLSv1.2");
  EXPECT_TRUE(absl::StartsWith(kept->info.cipher, "ECDHE-ECDSA-"));
  EXPECT_EQ(kept->info.group, "X25519");
  EXPECT_EQ(kept->info.signature_algorithm, "ecdsa_sha256");
  EXPECT_EQ(kept->info.alpn, "echo");
  EXPECT_EQ(kept->info.server_name, "localhost");
  EXPECT_FALSE(kept->info.resumed);
  EXPECT_TRUE(kept->info.peer_verified);
  EXPECT_EQ(kept->info.policy_version, 1U);
  EXPECT_TRUE(kept->errors.empty());
  EXPECT_EQ(kept->error, absl::OkStatus());
  const PeerIdentity identity = IdentityOf(*kept);
  EXPECT_EQ(identity.subject, "CN=device");
  EXPECT_EQ(identity.dns_names, std::vector<std::string>{"device.example"});
  EXPECT_EQ(identity.endpoint, kept->peer);
  EXPECT_EQ(kept->statistics.messages_received, 1U);
  EXPECT_EQ(kept->statistics.messages_sent, 1U);
  EXPECT_EQ(kept->statistics.message_bytes_received, 5U);
  EXPECT_EQ(kept->statistics.handshake_duration, absl::Milliseconds(10));
  EXPECT_EQ(kept->statistics.mtu, kDefaultMtu);
  // By the virtual clock.
  EXPECT_GE(kept->last_activity - kept->opened, absl::Seconds(5));
  EXPECT_LE(kept->last_activity - kept->opened, absl::Seconds(6));
  // By the context's wall clock, which is the simulation's.
  const absl::Time now = world_.reactor.Now();
  EXPECT_LE(kept->last_activity, now);
  EXPECT_GE(kept->last_activity, now - absl::Minutes(30));
}

TEST_F(ListenerAdminTest, ASnapshotTellsTheAddressThatThePeerTalksTo) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    // A second listener, on any address.
    ListenerOptions options;
    options.name = "any";
    options.registry = world_.registry;
    CO_ASSIGN_OR_RETURN(
        Listener any, Listener::Bind(world_.reactor, net::Endpoint::AnyV4(5000),
                                     admin().context(), options));
    ListenerAdmin* any_admin = nullptr;
    world_.registry->listeners("any").front()->Post(
        [&](ListenerAdmin& a) { any_admin = &a; });
    const net::Endpoint at = net::Endpoint::V4({127, 0, 0, 9}, 5000);
    CO_ASSIGN_OR_RETURN(Connection client,
                        co_await Connect(world_.reactor, at,
                                         world_.client_context(), "localhost"));
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    CO_ASSIGN_OR_RETURN(Connection server, co_await any.Accept());
    CO_RETURN_IF_ERROR(co_await server.Handshake());
    EXPECT_EQ(any_admin->Sessions(0, 1).front()->local, at);
    EXPECT_EQ(server.local(), at);
    co_return co_await scope.Join();
  });
}

TEST_F(ListenerAdminTest, AHandshakeThatGoesOnIsListedToo) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    SilenceServer();
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Seconds(1));
    const auto session = admin().FindSession(FirstId());
    EXPECT_EQ(session->state, EngineState::kHandshaking);
    EXPECT_TRUE(session->half_open());
    EXPECT_EQ(session->info.version, "");
    EXPECT_EQ(session->info.policy_version, 1U);
    EXPECT_EQ(session->chain, nullptr);
    EXPECT_GT(session->statistics.retransmissions, 0U);
    EXPECT_EQ(admin().statistics().half_open, 1U);
    world_.reactor.network().set_filter(nullptr);
    CO_RETURN_IF_ERROR(co_await scope.Join());
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_FALSE(admin().FindSession(session->id)->half_open());
    EXPECT_EQ(admin().statistics().half_open, 0U);
    co_return absl::OkStatus();
  });
}

TEST_F(ListenerAdminTest, ASessionIsClosedInOrder) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "hello"));
    EXPECT_TRUE(admin().CloseSession(FirstId(),
                                     absl::UnavailableError("for maintenance"),
                                     SSL_AD_CLOSE_NOTIFY));
    absl::StatusOr<Message> end = co_await client.RecvDecrypted();
    EXPECT_TRUE(IsClosed(end.status())) << end.status();
    EXPECT_EQ(world_.ended.size(), 1U);
    EXPECT_EQ(world_.ended.front().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(world_.ended.front().message(), "for maintenance");
    EXPECT_EQ(GetErrorDetail(world_.ended.front())->limit, "closed_by_admin");
    EXPECT_EQ(admin().statistics().sessions_closed_by_admin, 1U);
    EXPECT_EQ(admin().statistics().sessions, 0U);
    co_return absl::OkStatus();
  });
}

TEST_F(ListenerAdminTest, ASessionIsClosedByAnAlert) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    CO_ASSIGN_OR_RETURN(Connection other, co_await world_.Connect());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "hello"));
    EXPECT_TRUE(admin().CloseSession(FirstId(),
                                     absl::PermissionDeniedError("not you"),
                                     SSL_AD_ACCESS_DENIED));
    absl::StatusOr<Message> end = co_await client.RecvDecrypted();
    EXPECT_TRUE(absl::IsPermissionDenied(end.status())) << end.status();
    EXPECT_EQ(GetErrorDetail(end.status())->alert, SSL_AD_ACCESS_DENIED);
    EXPECT_TRUE(GetErrorDetail(end.status())->alert_received);
    EXPECT_EQ(world_.ended.size(), 1U);
    EXPECT_TRUE(absl::IsPermissionDenied(world_.ended.front()));
    EXPECT_EQ(world_.ended.front().message(), "not you");
    // The others are none the worse.
    co_return co_await ServedListener::Ask(other, "still there");
  });
}

TEST_F(ListenerAdminTest, AHandshakeIsClosed) {
  // The client does not try again before it believes what it is told.
  world_.client_options.session.retransmission_timeout = absl::Seconds(4);
  world_.client_options.session.min_retransmission_timeout = absl::Seconds(4);
  ExpectRuns([&]() -> net::Task<absl::Status> {
    SilenceServer();
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    world_.reactor.network().set_filter(nullptr);
    EXPECT_TRUE(admin().CloseSession(FirstId(),
                                     absl::UnavailableError("for maintenance"),
                                     SSL_AD_CLOSE_NOTIFY));
    const absl::Status told = co_await scope.Join();
    EXPECT_EQ(GetErrorDetail(told)->alert, SSL_AD_USER_CANCELLED) << told;
    EXPECT_EQ(world_.ended.size(), 1U);
    EXPECT_EQ(world_.ended.front().message(), "for maintenance");
    const ListenerStatistics s = admin().statistics();
    EXPECT_EQ(s.failures[static_cast<size_t>(HandshakeFailure::kAborted)], 1U);
    EXPECT_EQ(s.handshakes_failed, 1U);
    EXPECT_EQ(s.half_open, 0U);
    co_return absl::OkStatus();
  });
}

TEST_F(ListenerAdminTest, ASessionIsClosedBeforeItsHandshake) {
  // The service takes its time before it handshakes.
  world_.session = [](Connection& connection) -> net::Task<absl::Status> {
    co_await ServedListener::Pass(absl::Seconds(1));
    co_return co_await connection.Handshake();
  };
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    const uint64_t id = FirstId();
    EXPECT_EQ(admin().FindSession(id)->state, EngineState::kNotStarted);
    EXPECT_TRUE(admin().CloseSession(
        id, absl::UnavailableError("for maintenance"), SSL_AD_CLOSE_NOTIFY));
    EXPECT_EQ(admin().statistics().half_open, 0U);
    // Its client may come again.
    CO_RETURN_IF_ERROR(co_await scope.Join());
    EXPECT_EQ(world_.ended.front().message(), "for maintenance");
    EXPECT_EQ(admin().statistics().handshakes_begun, 1U);
    EXPECT_EQ(admin().statistics().handshakes_completed, 1U);
    co_return absl::OkStatus();
  });
}

TEST_F(ListenerAdminTest, ClosingTwiceCountsOnce) {
  world_.session = [](Connection& connection) -> net::Task<absl::Status> {
    absl::Status status = co_await ServedListener::Echo(connection);
    // It keeps its connection although the session is over.
    co_await ServedListener::Pass(absl::Seconds(10));
    co_return status;
  };
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    const uint64_t id = FirstId();
    // A status that is no error is replaced by one.
    EXPECT_TRUE(
        admin().CloseSession(id, absl::OkStatus(), SSL_AD_CLOSE_NOTIFY));
    co_await ServedListener::Pass(absl::Seconds(1));
    const auto closed = admin().FindSession(id);
    EXPECT_EQ(closed->state, EngineState::kFailed);
    EXPECT_TRUE(absl::IsUnavailable(closed->error)) << closed->error;
    EXPECT_TRUE(admin().CloseSession(id, absl::UnavailableError("again"),
                                     SSL_AD_CLOSE_NOTIFY));
    EXPECT_EQ(admin().FindSession(id)->error, closed->error);
    EXPECT_EQ(admin().statistics().sessions_closed_by_admin, 1U);
    EXPECT_FALSE(admin().CloseSession(id + 1000, absl::UnavailableError("no"),
                                      SSL_AD_CLOSE_NOTIFY));
    EXPECT_EQ(admin().statistics().sessions_closed_by_admin, 1U);
    co_return absl::OkStatus();
  });
  EXPECT_EQ(world_.ended.size(), 1U);
}

TEST_F(ListenerAdminTest, LimitsAreChangedWhileItRuns) {
  world_.listener_options.max_sessions = 2;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    EXPECT_EQ(admin().limits().max_sessions, 2U);
    EXPECT_EQ(admin().limits().accept_backlog, 1024U);
    CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Connect());
    CO_ASSIGN_OR_RETURN(Connection second, co_await world_.Connect());
    CO_ASSIGN_OR_RETURN(Connection third, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(third.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(200));
    EXPECT_EQ(admin().statistics().dropped_max_sessions, 1U);
    EXPECT_EQ(admin().statistics().sessions, 2U);
    // Its next hello is served.
    admin().SetLimits({.max_sessions = 3});
    EXPECT_EQ(admin().limits().max_sessions, 3U);
    CO_RETURN_IF_ERROR(co_await scope.Join());
    EXPECT_EQ(admin().statistics().sessions, 3U);
    // A lower limit ends nobody, but lets nobody in.
    admin().SetLimits({.max_sessions = 1, .accept_backlog = 0});
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(first, "first"));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(second, "second"));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(third, "third"));
    CO_ASSIGN_OR_RETURN(Connection fourth, co_await world_.Open());
    net::TaskScope again;
    again.Spawn(fourth.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(200));
    EXPECT_EQ(admin().statistics().dropped_max_sessions, 2U);
    admin().SetLimits({.max_sessions = 10, .accept_backlog = 0});
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_GT(admin().statistics().dropped_accept_backlog, 0U);
    EXPECT_EQ(admin().statistics().sessions, 3U);
    again.RequestStop();
    co_return co_await again.Join();
  });
}

TEST_F(ListenerAdminTest, CookieParametersAreChangedWhileItRuns) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    const absl::Status status =
        admin().SetCookieParameters({.secret = "too short!"});
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_FALSE(absl::StrContains(status.message(), "too short!"));
    // A client that has a cookie of before is still served.
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      if (d.from.port() == 4433 && d.bytes[13] == 3) {
        EXPECT_TRUE(admin()
                        .SetCookieParameters({.hash = CookieHash::kSha384,
                                              .secret = std::string(32, 's')})
                        .ok());
      }
      return true;
    });
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    EXPECT_EQ(admin().statistics().cookies.sent, 1U);
    EXPECT_EQ(admin().statistics().cookies.accepted, 1U);
    co_return absl::OkStatus();
  });
}

}  // namespace
}  // namespace cordon::dtls
