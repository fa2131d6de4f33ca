// Policies that change while handshakes are going on: each handshake has one,
// from begin to end, and sessions that slipped past a new one are judged by it.
#include <openssl/ssl.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/dtls/policy_store.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;

// Notes for each session which policy it was begun and accepted under.
class Witness final : public SessionObserver {
 public:
  struct Session {
    // What was in force before and after it was seen.
    uint64_t in_force = 0;
    uint64_t begun = 0;
    uint64_t connected = 0;
    EngineState last = EngineState::kNotStarted;
    std::string name;
  };

  explicit Witness(const PolicyStore& policies) : policies_(policies) {}

  void OnSessionEvent(SessionEventKind kind,
                      const std::shared_ptr<const SessionSnapshot>& now,
                      absl::string_view) override {
    Session& session = sessions[now->id];
    session.last = now->state;
    if (kind == SessionEventKind::kOpened) {
      session.begun = now->info.policy_version;
      session.in_force = policies_.Present("default").version;
    }
    if (now->state == EngineState::kConnected) {
      session.connected = now->info.policy_version;
    }
    const PeerIdentity identity = IdentityOf(*now);
    if (!identity.dns_names.empty()) session.name = identity.dns_names.front();
  }

  std::map<uint64_t, Session> sessions;

 private:
  const PolicyStore& policies_;
};

// Which of the names below a version denies: odd ones "odd.example", even ones
// "even.example".
Policy ForVersion(uint64_t version) {
  Policy policy;
  policy.client_certificate = PeerVerification::kVerify;
  policy.trust = ServedListener::Authority().trust();
  policy.denied_names = {version % 2 == 1 ? "odd.example" : "even.example"};
  return policy;
}

class PolicyInFlightTest : public ::testing::Test {
 protected:
  PolicyInFlightTest() : policies_(world_.registry->policies()) {}

  uint64_t SetNext(bool apply = false) {
    const uint64_t present = policies_.Present("").version;
    absl::StatusOr<uint64_t> version =
        policies_.Set({.policy = ForVersion(present + 1),
                       .expected_version = present,
                       .apply_to_sessions = apply});
    EXPECT_TRUE(version.ok()) << version.status();
    return *version;
  }
  void UseClient(const std::string& name) {
    world_.client_options.certificate =
        ServedListener::Authority().Issue({.dns_names = {name}});
  }
  net::Task<absl::Status> Visit(Context context) {
    ConnectOptions options;
    options.server_name = "localhost";
    absl::StatusOr<Connection> client = co_await Connect(
        world_.reactor, ServedListener::At(), context, options);
    const absl::Status status = co_await client->Handshake();
    // Until the server has refused it, if it does.
    if (status.ok()) co_await ServedListener::Pass(absl::Seconds(1));
    co_return absl::OkStatus();
  }

  // Clients of either name; `meanwhile` runs beside them. Each must have been
  // judged by exactly one version.
  void RunMany(size_t clients_in_all,
               const std::function<net::Task<void>()>& meanwhile) {
    auto witness = std::make_shared<Witness>(policies_);
    std::vector<Context> clients;
    for (const char* name : {"odd.example", "even.example"}) {
      UseClient(name);
      clients.push_back(*Context::Client(world_.client_options));
    }
    EXPECT_EQ(world_.Run([&]() -> net::Task<absl::Status> {
      world_.admin().AddObserver(witness);
      net::TaskScope scope;
      for (size_t i = 0; i < clients_in_all; ++i)
        scope.Spawn(Visit(clients[i % 2]));
      co_await meanwhile();
      CO_RETURN_IF_ERROR(co_await scope.Join());
      co_await ServedListener::Pass(absl::Seconds(1));
      const ListenerStatistics s = world_.admin().statistics();
      EXPECT_EQ(s.handshakes_begun, clients_in_all);
      EXPECT_EQ(s.handshakes_completed + s.handshakes_failed, clients_in_all);
      EXPECT_EQ(s.failures[static_cast<size_t>(HandshakeFailure::kPolicy)],
                s.handshakes_failed);
      co_return absl::OkStatus();
    }),
              absl::OkStatus());
    EXPECT_EQ(witness->sessions.size(), clients_in_all);
    size_t passed = 0;
    for (const auto& [id, session] : witness->sessions) {
      const bool odd = session.name == "odd.example";
      ASSERT_TRUE(odd || session.name == "even.example") << session.name;
      EXPECT_LE(session.begun, session.in_force);
      EXPECT_GT(session.begun, 0U);
      versions_.insert(session.begun);
      const bool denied = odd == (session.begun % 2 == 1);
      if (denied) {
        EXPECT_EQ(session.connected, 0U) << session.name << session.begun;
      } else {
        EXPECT_EQ(session.connected, session.begun) << session.name;
        ++passed;
      }
      if (exact_) {
        EXPECT_EQ(session.begun, session.in_force);
      }
    }
    EXPECT_GT(passed, 0U);
    EXPECT_LT(passed, clients_in_all);
  }

  ServedListener world_{{.delay = absl::Milliseconds(20),
                         .jitter = absl::Milliseconds(60),
                         .seed = 7}};
  PolicyStore& policies_;
  // Of the sessions that were begun.
  std::set<uint64_t> versions_;
  // Nobody sets policies on another thread.
  bool exact_ = true;
};

TEST_F(PolicyInFlightTest, EachOfAThousandHandshakesHasOnePolicy) {
  SetNext();
  RunMany(1000, [&]() -> net::Task<void> {
    // Some have not begun, some are done, most are between.
    co_await ServedListener::Pass(absl::Milliseconds(180));
    EXPECT_GT(world_.admin().statistics().half_open, 300U);
    EXPECT_EQ(SetNext(), 2U);
    for (int i = 0; i < 10; ++i) {
      co_await ServedListener::Pass(absl::Milliseconds(10));
      SetNext();
    }
  });
  EXPECT_GT(versions_.size(), 2U);
}

TEST_F(PolicyInFlightTest, AlsoWhenAnotherThreadSetsThem) {
  SetNext();
  exact_ = false;
  std::atomic<bool> done = false;
  std::thread setting([&] {
    while (!done) SetNext();
  });
  RunMany(200, []() -> net::Task<void> { co_return; });
  done = true;
  setting.join();
}

// One client, whose last flight is held back until a policy is set.
class SlippedPastTest : public PolicyInFlightTest {
 protected:
  SlippedPastTest() { SetNext(); }

  // The client has begun, and is not done.
  net::Task<void> Hold() {
    world_.reactor.network().set_filter(
        [](SimDatagram& d) { return d.to.port() != 4433 || d.bytes[13] == 1; });
    co_await ServedListener::Pass(absl::Milliseconds(700));
    EXPECT_EQ(world_.admin().statistics().half_open, 1U);
    EXPECT_EQ(world_.admin().Sessions(0, 1).front()->info.policy_version, 1U);
  }
  void Release() { world_.reactor.network().set_filter(nullptr); }
  // Runs a handshake under version 1, and `meanwhile` in the middle of it;
  // returns what the client has received at last.
  absl::Status Slip(const std::function<void()>& meanwhile) {
    absl::Status end;
    EXPECT_EQ(world_.Run([&]() -> net::Task<absl::Status> {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
      net::TaskScope scope;
      scope.Spawn(client.Handshake());
      co_await Hold();
      meanwhile();
      Release();
      // It completes under the policy that it began with, in any case.
      CO_RETURN_IF_ERROR(co_await scope.Join());
      co_await ServedListener::Pass(absl::Seconds(1));
      statistics_ = world_.admin().statistics();
      EXPECT_EQ(statistics_.handshakes_completed, 1U);
      if (statistics_.sessions == 1) {
        EXPECT_EQ(world_.admin().Sessions(0, 1).front()->info.policy_version,
                  1U);
        co_return co_await ServedListener::Ask(client, "still there");
      }
      end = (co_await client.RecvDecrypted()).status();
      co_return absl::OkStatus();
    }),
              absl::OkStatus());
    return end;
  }
  void ExpectClosed(const absl::Status& told, uint8_t alert) {
    EXPECT_TRUE(GetErrorDetail(told).has_value()) << told;
    if (!GetErrorDetail(told).has_value()) return;
    EXPECT_TRUE(GetErrorDetail(told)->alert_received);
    EXPECT_EQ(GetErrorDetail(told)->alert, alert);
    EXPECT_EQ(statistics_.sessions, 0U);
    EXPECT_EQ(statistics_.sessions_closed_by_admin, 1U);
    ASSERT_EQ(world_.ended.size(), 1U);
    EXPECT_TRUE(absl::IsPermissionDenied(world_.ended.front()))
        << world_.ended.front();
  }

  ListenerStatistics statistics_;
};

TEST_F(SlippedPastTest, APolicyThatIsNotForSessionsLeavesItAlone) {
  UseClient("even.example");
  EXPECT_EQ(Slip([&] { EXPECT_EQ(SetNext(), 2U); }), absl::OkStatus());
  EXPECT_EQ(statistics_.sessions, 1U);
}

TEST_F(SlippedPastTest, APolicyThatIsForSessionsClosesIt) {
  UseClient("even.example");
  ExpectClosed(Slip([&] { EXPECT_EQ(SetNext(/*apply=*/true), 2U); }),
               SSL_AD_ACCESS_DENIED);
  EXPECT_TRUE(absl::StrContains(world_.ended.front().message(), "version 2"));
}

TEST_F(SlippedPastTest, WhoeverPassesMayStay) {
  UseClient("another.example");
  EXPECT_EQ(Slip([&] { EXPECT_EQ(SetNext(/*apply=*/true), 2U); }),
            absl::OkStatus());
  EXPECT_EQ(statistics_.sessions, 1U);
}

// Version 4 is not for sessions, but they were to be judged since version 2.
TEST_F(SlippedPastTest, LaterPoliciesDoNotMakeItForgotten) {
  UseClient("even.example");
  ExpectClosed(Slip([&] {
                 SetNext(/*apply=*/true);
                 SetNext();
                 SetNext();
               }),
               SSL_AD_ACCESS_DENIED);
  EXPECT_TRUE(absl::StrContains(world_.ended.front().message(), "version 4"));
}

TEST_F(SlippedPastTest, AListenersOwnPolicyJudgesToo) {
  UseClient("even.example");
  ExpectClosed(Slip([&] {
                 EXPECT_TRUE(policies_
                                 .Set({.listener = "default",
                                       .policy = ForVersion(2),
                                       .apply_to_sessions = true})
                                 .ok());
               }),
               SSL_AD_ACCESS_DENIED);
}

TEST_F(SlippedPastTest, ADrainDoesNotPutItOff) {
  UseClient("even.example");
  ExpectClosed(Slip([&] {
                 SetNext(/*apply=*/true);
                 world_.admin().Drain(absl::Hours(1));
               }),
               SSL_AD_ACCESS_DENIED);
}

}  // namespace
}  // namespace cordon::dtls
