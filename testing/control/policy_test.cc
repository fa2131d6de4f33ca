// Policies that operators change while the server runs.
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/policy_store.h"
#include "cordon/testing/control/call.h"
#include "cordon/testing/control/controlled_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Stub = v1::Control::Stub;

v1::Policy Policy(const std::string& text) {
  v1::Policy policy = Parse<v1::Policy>(text);
  policy.mutable_trust()->set_pem(
      ControlledServer::Authority().certificate_pem());
  return policy;
}

dtls::Context Named(const std::string& name) {
  return ClientCrowd::ContextWith(
      ControlledServer::Authority().Issue({.dns_names = {name}}));
}

uint8_t AlertOf(const absl::Status& status) {
  return dtls::GetErrorDetail(status)
      .value_or(dtls::ErrorDetail())
      .alert.value_or(0);
}

class PolicyTest : public ::testing::Test {
 protected:
  v1::SetPolicyResponse Set(const v1::Policy& policy, uint64_t expected,
                            const std::string& more = "",
                            grpc::Status* status = nullptr) {
    auto request = Parse<v1::SetPolicyRequest>(more);
    *request.mutable_policy() = policy;
    request.set_expected_version(expected);
    return Call(server_.stub(), &Stub::SetPolicy, request, status);
  }
  void ExpectRefused(const std::string& policy, const std::string& message,
                     uint64_t expected = 1) {
    grpc::Status status;
    Set(Policy(policy), expected, "", &status);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), StartsWith(message)) << policy;
    v1::ValidatePolicyRequest validate;
    *validate.mutable_policy() = Policy(policy);
    Call(server_.stub(), &Stub::ValidatePolicy, validate, &status);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), StartsWith(message)) << policy;
  }
  bool Connects(const dtls::Context& context, size_t listener = 0) {
    return crowd_.Connect(server_.endpoint(listener), context)[0].ok();
  }

  ControlledServer server_{{.listeners = {"public", "internal"}}};
  ClientCrowd crowd_;
};

TEST_F(PolicyTest, TheConfigurationIsTheFirstVersion) {
  const v1::PolicyVersion present = Call(server_.stub(), &Stub::GetPolicy, "");
  EXPECT_EQ(present.version(), 1U);
  EXPECT_TRUE(present.current());
  EXPECT_EQ(present.author(), "configuration");
  EXPECT_EQ(present.policy().client_certificate(), v1::Policy::NONE);
  EXPECT_EQ(
      Call(server_.stub(), &Stub::GetPolicy, "listener: \"public\"").version(),
      1U);
  grpc::Status status;
  Call(server_.stub(), &Stub::GetPolicy, "listener: \"nope\"", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  Call(server_.stub(), &Stub::GetPolicy, "version: 7", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(PolicyTest, AChangeDecidesWhoMayPassFromThenOn) {
  EXPECT_TRUE(Connects(ClientCrowd::ContextWith()));
  EXPECT_EQ(Set(Policy("client_certificate: REQUIRE allowed_names: "
                       "\"*.example.org\""),
                1, "comment: \"robots only\"")
                .version(),
            2U);
  EXPECT_FALSE(Connects(ClientCrowd::ContextWith()));
  EXPECT_FALSE(Connects(Named("robot.example.com")));
  EXPECT_TRUE(Connects(Named("robot.example.org")));
  EXPECT_TRUE(Connects(Named("robot.example.org"), 1));
  const v1::PolicyVersion present = Call(server_.stub(), &Stub::GetPolicy, "");
  EXPECT_EQ(present.version(), 2U);
  EXPECT_EQ(present.comment(), "robots only");
  EXPECT_EQ(present.author(), absl::StrCat("uid:", geteuid()));
  EXPECT_THAT(server_.log(), HasSubstr("sets policy version 2"));
  EXPECT_THAT(server_.log(), HasSubstr("robots only"));
  EXPECT_THAT(server_.log(), HasSubstr("*.example.org"));

  v1::RollBackPolicyRequest back;
  back.set_version(1);
  back.set_expected_version(2);
  EXPECT_EQ(Call(server_.stub(), &Stub::RollBackPolicy, back).version(), 3U);
  EXPECT_TRUE(Connects(ClientCrowd::ContextWith()));
  const v1::ListPolicyVersionsResponse history =
      Call(server_.stub(), &Stub::ListPolicyVersions, "");
  ASSERT_EQ(history.versions_size(), 3);
  EXPECT_EQ(history.versions(0).version(), 3U);
  EXPECT_EQ(history.versions(0).rolled_back_to(), 1U);
  EXPECT_TRUE(history.versions(0).current());
  EXPECT_FALSE(history.versions(1).current());
  EXPECT_EQ(Call(server_.stub(), &Stub::ListPolicyVersions,
                 "page_size: 1 before_version: 3")
                .versions(0)
                .version(),
            2U);
  back.set_version(17);
  back.set_expected_version(3);
  grpc::Status status;
  Call(server_.stub(), &Stub::RollBackPolicy, back, &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(PolicyTest, AListenerMayHaveAPolicyOfItsOwn) {
  EXPECT_EQ(
      Set(Policy("client_certificate: REQUIRE"), 0, "listener: \"internal\"")
          .version(),
      2U);
  EXPECT_TRUE(Connects(ClientCrowd::ContextWith(), 0));
  EXPECT_FALSE(Connects(ClientCrowd::ContextWith(), 1));
  // That for all does not concern it any more.
  Set(Policy("client_certificate: NONE psk { disabled: true }"), 1);
  EXPECT_FALSE(Connects(ClientCrowd::ContextWith(), 1));
  grpc::Status status;
  Set(Policy("client_certificate: NONE"), 0, "listener: \"nope\"", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(PolicyTest, OfTwoOperatorsTheSecondIsToldOfTheFirst) {
  constexpr int kOperators = 8;
  int set = 0;
  int aborted = 0;
  std::vector<std::thread> operators;
  operators.reserve(kOperators);
  absl::Mutex mutex;
  for (int i = 0; i < kOperators; ++i) {
    operators.emplace_back([&, i] {
      grpc::Status status;
      Set(Policy(absl::StrCat("client_certificate: NONE denied_names: \"host",
                              i, ".example.org\"")),
          1, "", &status);
      absl::MutexLock lock(&mutex);
      if (status.ok()) ++set;
      if (status.error_code() == grpc::StatusCode::ABORTED) {
        ++aborted;
        EXPECT_THAT(status.error_message(), HasSubstr("is version 2 by uid:"));
      }
    });
  }
  for (std::thread& thread : operators) thread.join();
  EXPECT_EQ(set, 1);
  EXPECT_EQ(aborted, kOperators - 1);
}

TEST_F(PolicyTest, BadPoliciesAreRefusedByTheNameOfTheField) {
  ExpectRefused("", "policy.client_certificate: ");
  ExpectRefused("client_certificate: REQUIRE pins { sha256: \"12\" }",
                "policy.pins[0].sha256: ");
  ExpectRefused("client_certificate: REQUIRE pins { kind: 5 }",
                "policy.pins[0].kind: ");
  ExpectRefused("client_certificate: REQUIRE tolerated { error: \"bad\" }",
                "policy.tolerated[0].error: ");
  ExpectRefused(
      "client_certificate: REQUIRE tolerated { error: \"expired\" "
      "fingerprint: \"xy\" }",
      "policy.tolerated[0].fingerprint: ");
  ExpectRefused(
      "client_certificate: REQUIRE allowed_names: [\"ok.example.org\", "
      "\"a.*.b\"]",
      "policy.allowed_names[1]: ");
  ExpectRefused("client_certificate: REQUIRE denied_names: \"\"",
                "policy.denied_names[0]: ");
  ExpectRefused("client_certificate: REQUIRE blocked: \"zz\"",
                "policy.blocked[0]: ");
  ExpectRefused("client_certificate: REQUIRE max_chain_depth: 1000",
                "policy.max_chain_depth: ");
  ExpectRefused("client_certificate: REQUIRE min_version: \"SSLv3\"",
                "policy.min_version: ");
  v1::SetPolicyRequest request;
  request.set_expected_version(1);
  request.mutable_policy()->set_client_certificate(v1::Policy::REQUIRE);
  request.mutable_policy()->mutable_trust()->set_pem("rubbish");
  grpc::Status status;
  Call(server_.stub(), &Stub::SetPolicy, request, &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), StartsWith("policy.trust."));
  EXPECT_EQ(Call(server_.stub(), &Stub::GetPolicy, "").version(), 1U);
}

TEST_F(PolicyTest, ValidationTellsWhichSessionsWouldFailAndChangesNothing) {
  Set(Policy("client_certificate: REQUEST"), 1);
  ASSERT_TRUE(Connects(ClientCrowd::ContextWith()));
  ASSERT_TRUE(Connects(Named("a.example.org")));
  ASSERT_TRUE(Connects(Named("b.example.org")));
  v1::ValidatePolicyRequest request;
  *request.mutable_policy() =
      Policy("client_certificate: REQUIRE denied_names: \"b.example.org\"");
  const v1::ValidatePolicyResponse response =
      Call(server_.stub(), &Stub::ValidatePolicy, request);
  EXPECT_EQ(response.sessions_judged(), 3U);
  EXPECT_EQ(response.sessions_failing(), 2U);
  EXPECT_EQ(response.present_version(), 2U);
  ASSERT_EQ(response.failing_size(), 2);
  EXPECT_EQ(response.failing(0).errors(0).code(), "no_peer_certificate");
  EXPECT_EQ(response.failing(1).errors(0).code(), "name_denied");
  EXPECT_EQ(response.failing(1).peer_name(), "b.example.org");
  EXPECT_EQ(Call(server_.stub(), &Stub::ListSessions, "").sessions_size(), 3);
}

TEST_F(PolicyTest, SessionsThatFailAreClosedWithAnAlertIfThatIsAskedFor) {
  Set(Policy("client_certificate: REQUIRE"), 1);
  ASSERT_TRUE(Connects(Named("a.example.org")));
  ASSERT_TRUE(Connects(Named("b.example.org")));
  // Not asked for.
  EXPECT_EQ(Set(Policy("client_certificate: REQUIRE denied_names: "
                       "\"a.example.org\""),
                2)
                .sessions_closed(),
            0U);
  EXPECT_EQ(Call(server_.stub(), &Stub::ListSessions, "").sessions_size(), 2);
  EXPECT_EQ(Set(Policy("client_certificate: REQUIRE denied_names: "
                       "\"b.example.org\""),
                3, "apply_to_sessions: true")
                .sessions_closed(),
            1U);
  const std::vector<absl::Status> ends = crowd_.WaitForEnds(1);
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_EQ(AlertOf(ends[0]), 49) << ends[0];  // access_denied
  const v1::ListSessionsResponse left =
      Call(server_.stub(), &Stub::ListSessions, "");
  ASSERT_EQ(left.sessions_size(), 1);
  EXPECT_THAT(left.sessions(0).peer_certificate().dns_names(),
              ElementsAre("a.example.org"));
}

// "internal" has a policy that its context gave it. What is set for all is in
// force on it all the same, and judges its sessions.
TEST_F(PolicyTest, SessionsOfAllListenersThatFollowAreJudged) {
  dtls::PolicyStore& store = server_.registry().policies();
  dtls::Policy configured = store.Present("internal").policy();
  configured.denied_names = {"old.example.org"};
  ASSERT_EQ(store.EnsurePolicy("internal", configured), absl::OkStatus());
  ASSERT_EQ(store.Present("internal").version, 2U);
  Set(Policy("client_certificate: REQUIRE"), 1);
  ASSERT_EQ(store.Present("internal").version, 3U);
  for (const size_t listener : {0, 1}) {
    ASSERT_TRUE(Connects(Named("a.example.org"), listener));
    ASSERT_TRUE(Connects(Named("b.example.org"), listener));
  }
  const char* policy =
      "client_certificate: REQUIRE denied_names: \"b.example.org\"";
  v1::ValidatePolicyRequest request;
  *request.mutable_policy() = Policy(policy);
  const v1::ValidatePolicyResponse verdict =
      Call(server_.stub(), &Stub::ValidatePolicy, request);
  EXPECT_EQ(verdict.sessions_judged(), 4U);
  EXPECT_EQ(verdict.sessions_failing(), 2U);
  // Its own is there, but not in force.
  const v1::ListPolicyVersionsResponse own =
      Call(server_.stub(), &Stub::ListPolicyVersions, "listener: \"internal\"");
  ASSERT_EQ(own.versions_size(), 1);
  EXPECT_FALSE(own.versions(0).current());

  EXPECT_EQ(Set(Policy(policy), 3, "apply_to_sessions: true").sessions_closed(),
            2U);
  // One that somebody has asked for is left alone.
  Set(Policy("client_certificate: REQUIRE"), 2, "listener: \"internal\"");
  *request.mutable_policy() =
      Policy("client_certificate: REQUIRE denied_names: \"a.example.org\"");
  EXPECT_EQ(
      Call(server_.stub(), &Stub::ValidatePolicy, request).sessions_judged(),
      1U);
}

// While the first caller's judging waits for a reactor, another sets a policy
// and does not ask for any. The first one's sessions are judged, by what is in
// force.
TEST_F(PolicyTest, APolicyThatComesBeforeSessionsAreJudgedJudgesThem) {
  Set(Policy("client_certificate: REQUIRE"), 1);
  ASSERT_TRUE(Connects(Named("a.example.org")));
  ASSERT_TRUE(Connects(Named("b.example.org")));
  dtls::PolicyStore& store = server_.registry().policies();
  absl::Notification busy;
  absl::Notification go_on;
  ASSERT_TRUE(server_.registry().listeners("public").front()->Post(
      [&](dtls::ListenerAdmin&) {
        busy.Notify();
        go_on.WaitForNotification();
      }));
  busy.WaitForNotification();
  absl::Notification setting;
  store.SetJournal([&](const dtls::PolicyVersion&) {
    if (!setting.HasBeenNotified()) setting.Notify();
    return absl::OkStatus();
  });
  v1::SetPolicyResponse first;
  std::thread caller([&] {
    first = Set(Policy("client_certificate: REQUIRE denied_names: "
                       "\"a.example.org\""),
                2, "apply_to_sessions: true");
  });
  setting.WaitForNotification();
  dtls::Policy second = store.Present("").policy();
  second.denied_names = {"b.example.org"};
  // It waits until the first one is in force.
  EXPECT_EQ(store.Set({.policy = second, .expected_version = 3}).value_or(0),
            4U);
  go_on.Notify();
  caller.join();
  EXPECT_EQ(first.version(), 3U);
  EXPECT_EQ(first.sessions_closed(), 1U);
  const v1::ListSessionsResponse left =
      Call(server_.stub(), &Stub::ListSessions, "");
  ASSERT_EQ(left.sessions_size(), 1);
  EXPECT_THAT(left.sessions(0).peer_certificate().dns_names(),
              ElementsAre("a.example.org"));
  store.SetJournal(nullptr);
}

TEST_F(PolicyTest, ToleratedErrorsAreTold) {
  const TestAuthority other("Other CA");
  const dtls::Certificate robot =
      other.Issue({.dns_names = {"robot.example.org"}});
  const dtls::Context stranger = ClientCrowd::ContextWith(robot);
  Set(Policy("client_certificate: REQUIRE"), 1);
  EXPECT_FALSE(Connects(stranger));
  // Not by its name: anybody can have it.
  ExpectRefused(
      "client_certificate: REQUIRE tolerated { error: "
      "\"unable_to_get_local_issuer\" name: \"robot.example.org\" }",
      "policy.tolerated[0].name: ", 2);
  const std::string key = *dtls::SpkiFingerprintOf(robot.chain_pem);
  Set(Policy(absl::StrCat("client_certificate: REQUIRE tolerated { error: "
                          "\"unable_to_verify_first\" spki: \"",
                          key,
                          "\" } tolerated { error: "
                          "\"unable_to_get_local_issuer\" spki: \"",
                          key, "\" name: \"robot.example.org\" }")),
      2);
  EXPECT_FALSE(Connects(ClientCrowd::ContextWith(
      other.Issue({.dns_names = {"robot.example.org"}}))));
  EXPECT_TRUE(Connects(stranger));
  const v1::ListSessionsResponse list =
      Call(server_.stub(), &Stub::ListSessions, "");
  ASSERT_EQ(list.sessions_size(), 1);
  const v1::Verification& verification = list.sessions(0).verification();
  EXPECT_FALSE(verification.verified());
  EXPECT_EQ(verification.policy_version(), 3U);
  ASSERT_GE(verification.ignored_errors_size(), 1);
  EXPECT_FALSE(verification.ignored_errors(0).message().empty());
}

// ACCEPTANCE: HE4
// While a thousand handshakes are going on, policies come and go. Each session
// was judged by one of them, and fits that one.
TEST_F(PolicyTest, EachHandshakeHasExactlyOnePolicy) {
  const dtls::Context odd = Named("odd.example.org");
  const dtls::Context even = Named("even.example.org");
  const v1::Policy for_odd =
      Policy("client_certificate: REQUIRE allowed_names: \"odd.example.org\"");
  const v1::Policy for_even =
      Policy("client_certificate: REQUIRE allowed_names: \"even.example.org\"");
  // Version 2 is for the even, 3 for the odd, and so on.
  Set(for_even, 1);
  constexpr size_t kEach = 500;
  crowd_.Begin(server_.endpoint(), odd, kEach);
  crowd_.Begin(server_.endpoint(), even, kEach);
  uint64_t version = 2;
  for (int i = 0; i < 20; ++i) {
    version = Set(version % 2 == 0 ? for_odd : for_even, version).version();
  }
  // Waits for all of them, too.
  const std::vector<absl::Status> results =
      crowd_.Connect(server_.endpoint(), version % 2 == 0 ? even : odd);
  EXPECT_EQ(results[0], absl::OkStatus());
  const v1::Statistics statistics =
      Call(server_.stub(), &Stub::GetStatistics, "listener: \"public\"");
  uint64_t failed = 0;
  for (const auto& [cause, count] : statistics.total().handshakes_failed()) {
    failed += count;
    EXPECT_EQ(cause == "policy" ? 0 : count, 0U) << cause;
  }
  EXPECT_EQ(statistics.total().handshakes_completed() + failed, 2 * kEach + 1);
  uint64_t seen = 0;
  std::string token;
  do {
    const v1::ListSessionsResponse page = Call(
        server_.stub(), &Stub::ListSessions,
        absl::StrCat("page_size: 1000 page_token: \"", token, "\"").c_str());
    for (const v1::Session& session : page.sessions()) {
      ++seen;
      EXPECT_EQ(session.peer_certificate().dns_names(0),
                session.verification().policy_version() % 2 == 0
                    ? "even.example.org"
                    : "odd.example.org");
    }
    token = page.next_page_token();
  } while (!token.empty());
  EXPECT_EQ(seen, statistics.total().handshakes_completed());
}

TEST(PolicyFileTest, PoliciesOutliveTheProcess) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/policies";
  const auto start = [&] {
    ControlledServer::Options options;
    options.listeners = {"public", "internal"};
    options.control.policy_file = path;
    return options;
  };
  {
    ControlledServer server(start());
    v1::SetPolicyRequest request;
    *request.mutable_policy() = Policy("client_certificate: REQUIRE");
    request.set_listener("internal");
    request.set_comment("at \"night\"");
    Call(server.stub(), &Stub::SetPolicy, request);
  }
  ControlledServer server(start());
  const v1::PolicyVersion kept =
      Call(server.stub(), &Stub::GetPolicy, "listener: \"internal\"");
  EXPECT_EQ(kept.version(), 2U);
  EXPECT_EQ(kept.comment(), "at \"night\"");
  EXPECT_EQ(kept.policy().client_certificate(), v1::Policy::REQUIRE);
  ClientCrowd crowd;
  EXPECT_FALSE(
      crowd.Connect(server.endpoint(1), ClientCrowd::ContextWith())[0].ok());
  EXPECT_TRUE(
      crowd.Connect(server.endpoint(0), ClientCrowd::ContextWith())[0].ok());
}

}  // namespace
}  // namespace cordon::testing
