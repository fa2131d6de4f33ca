// Policies: shown, judged, set and brought back.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cordon/tools/cordonctl/cordonctl_fixture.h"
#include "cordon/tools/cordonctl/terminal_process.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class PoliciesTest : public CordonctlTest {
 protected:
  void SetUp() override {
    CordonctlTest::SetUp();
    service_.get_policy.answer = [](const auto& request, auto* response) {
      response->set_version(request.version() == 0 ? 5 : request.version());
      response->set_author("alice\x1b");
      response->set_comment("as it was");
      response->mutable_time()->set_seconds(7200);
      response->set_current(request.version() == 0);
      response->mutable_policy()->set_client_certificate(
          request.version() == 0 ? pb::Policy::REQUIRE : pb::Policy::REQUEST);
      response->mutable_policy()->add_allowed_names("*.example.com");
      return grpc::Status::OK;
    };
    service_.set_policy.answer = [](const auto& request, auto* response) {
      response->set_version(request.expected_version() + 1);
      response->set_sessions_closed(2);
      return grpc::Status::OK;
    };
    service_.validate_policy.answer = [](const auto&, auto* response) {
      response->set_sessions_judged(10);
      response->set_sessions_failing(3);
      response->set_present_version(5);
      auto* verdict = response->add_failing();
      verdict->set_session(77);
      verdict->set_peer_address("192.0.2.7:4000");
      verdict->set_peer_name("old\x1b[2J");
      verdict->add_errors()->set_code("name_not_allowed");
      verdict->add_errors()->set_code("expired");
      return grpc::Status::OK;
    };
  }

  std::string PolicyFile(const std::string& text) const {
    return folder_.Write("policy", text);
  }
};

constexpr char kNew[] =
    "client_certificate: REQUIRE\nallowed_names: \"*.example.org\"\n";

TEST_F(PoliciesTest, WhatGetShowsCanBeSet) {
  const std::string out = RunOk({"policy", "get"});
  EXPECT_EQ(out,
            "# Version 5 for all listeners, 1970-01-01 02:00:00, by "
            "alice\\x1b\n"
            "# as it was\n"
            "client_certificate: REQUIRE\n"
            "allowed_names: \"*.example.com\"\n");
  const RunResult again = Run({"policy", "set", PolicyFile(out), "--yes"});
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(again.err, "The policy is in force already.\n");
  EXPECT_TRUE(service_.set_policy.requests.empty());
  const std::string json = RunOk({"policy", "get", "--output=json"});
  EXPECT_EQ(Run({"policy", "set", PolicyFile(json), "--yes"}).err, again.err);
}

TEST_F(PoliciesTest, GetOfAnOldVersion) {
  EXPECT_THAT(RunOk({"policy", "get", "--version=3", "--listener=public"}),
              HasSubstr("# Version 3 for all listeners (not the present one)"));
  EXPECT_EQ(service_.get_policy.requests.at(0).listener(), "public");
}

TEST_F(PoliciesTest, ValidateNamesTheSessionsAndExitsWith7) {
  const RunResult result = Run({"policy", "validate", PolicyFile(kNew)});
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.out,
            "SESSION  PEER            NAME        ERRORS\n"
            "     77  192.0.2.7:4000  old\\x1b[2J  name_not_allowed, expired\n"
            "and 2 more\n");
  EXPECT_EQ(result.err,
            "cordonctl: 3 of 10 sessions would fail under this policy (present "
            "version 5)\n");
  const RunResult json =
      Run({"policy", "validate", PolicyFile(kNew), "--output=json"});
  EXPECT_EQ(json.code, 7);
  pb::ValidatePolicyResponse response;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(json.out, &response).ok());
  EXPECT_EQ(response.failing(0).session(), 77U);
}

TEST_F(PoliciesTest, ValidateIsFineIfAllPass) {
  service_.validate_policy.answer = [](const auto&, auto* response) {
    response->set_sessions_judged(10);
    return grpc::Status::OK;
  };
  EXPECT_EQ(RunOk({"policy", "validate", PolicyFile(kNew)}),
            "The policy is good, and each of the 10 sessions would pass.\n");
}

TEST_F(PoliciesTest, BadPoliciesExitWith7AndSayWhere) {
  ExpectFailure({"policy", "validate", PolicyFile("pinned: 1")}, 7,
                "policy:1:");
  ExpectFailure({"policy", "set", "-", "--yes"}, 7, "the standard input",
                "{\"pinned\": 1}");
  ExpectFailure({"policy", "set", "/none", "--yes"}, 1, "/none");
  service_.set_policy.answer = [](const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                        "policy.pins[1].sha256: is\nshort");
  };
  const RunResult refused =
      Run({"policy", "set", PolicyFile("pins {}"), "--yes"});
  EXPECT_EQ(refused.code, 7);
  EXPECT_THAT(refused.err,
              EndsWith("\ncordonctl: policy.pins[1].sha256: is\\nshort\n"));
}

TEST_F(PoliciesTest, SetWithoutATerminalNeedsYes) {
  ExpectFailure({"policy", "set", PolicyFile(kNew)}, 2, "give --yes");
  EXPECT_TRUE(service_.set_policy.requests.empty());
}

TEST_F(PoliciesTest, SetExpectsTheVersionThatWasThere) {
  const RunResult result = Run({"policy", "set", PolicyFile(kNew), "--yes",
                                "--comment=new names", "--apply_to_sessions"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out,
            "Version 6 is in force for all listeners; 2 sessions closed.\n");
  EXPECT_EQ(result.err,
            "  client_certificate: REQUIRE\n"
            "- allowed_names: \"*.example.com\"\n"
            "+ allowed_names: \"*.example.org\"\n");
  const auto& request = service_.set_policy.requests.at(0);
  EXPECT_EQ(request.expected_version(), 5U);
  EXPECT_EQ(request.comment(), "new names");
  EXPECT_TRUE(request.apply_to_sessions());
  EXPECT_THAT(request.policy().allowed_names(), ElementsAre("*.example.org"));
}

TEST_F(PoliciesTest, SetForAListenerWithoutOneOfItsOwnExpectsNone) {
  RunOk({"policy", "set", PolicyFile(kNew), "--yes", "--listener=public"});
  EXPECT_EQ(service_.set_policy.requests.at(0).expected_version(), 0U);
  EXPECT_EQ(service_.set_policy.requests.at(0).listener(), "public");
  // What all follow can be given to one of them, too.
  RunOk({"policy", "set", PolicyFile(RunOk({"policy", "get"})), "--yes",
         "--listener=public"});
  EXPECT_EQ(service_.set_policy.requests.size(), 2U);
}

TEST_F(PoliciesTest, SetTakesTheVersionThatIsGiven) {
  service_.set_policy.answer = [](const auto& request, auto*) {
    return grpc::Status(grpc::StatusCode::ABORTED,
                        absl::StrCat("not ", request.expected_version()));
  };
  const RunResult result =
      Run({"policy", "set", PolicyFile(kNew), "--yes", "--expected_version=4"});
  EXPECT_EQ(result.code, 6);
  EXPECT_THAT(result.err, HasSubstr("cordonctl: not 4\n"));
}

TEST_F(PoliciesTest, SetAsksOnATerminalInColour) {
  for (const char* answer : {"n\n", "y\n"}) {
    TerminalProcess set(Command({"policy", "set", PolicyFile(kNew)}), 80, 24);
    ASSERT_TRUE(set.WaitForOutput("\x1b[31m- allowed_names: \"*.example.com\""))
        << set.output();
    ASSERT_TRUE(set.WaitForOutput("\x1b[32m+ allowed_names"));
    ASSERT_TRUE(
        set.WaitForOutput("3 of 10 present sessions would not pass but stay."));
    ASSERT_TRUE(
        set.WaitForOutput("Replace version 5 for all listeners? [y/N] "));
    const bool yes = answer[0] == 'y';
    EXPECT_EQ(service_.set_policy.requests.size(), 0U);
    set.Type(answer);
    EXPECT_EQ(set.Wait(), yes ? 0 : 1);
    EXPECT_EQ(service_.set_policy.requests.size(), yes ? 1U : 0U);
  }
}

TEST_F(PoliciesTest, SetTakesPemFromFiles) {
  const std::string pem = "-----BEGIN CERTIFICATE-----\nx\n";
  const std::string crl = "-----BEGIN X509 CRL-----\ny\n";
  RunOk({"policy", "set", PolicyFile(kNew), "--yes",
         "--trust_pem=" + folder_.Write("ca.pem", pem),
         "--crl_pem=" + folder_.Write("crl.pem", crl)});
  const auto& trust = service_.set_policy.requests.at(0).policy().trust();
  EXPECT_EQ(trust.pem(), pem);
  EXPECT_EQ(trust.crl_pem(), crl);
  ExpectFailure({"policy", "set", PolicyFile(kNew), "--yes",
                 "--trust_pem=" + PolicyFile(kNew)},
                7, "is not a PEM file");
}

TEST_F(PoliciesTest, SetAsJson) {
  const RunResult result =
      Run({"policy", "set", "-", "--yes", "--output=json"}, kNew);
  pb::SetPolicyResponse response;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(result.out, &response).ok())
      << result.out;
  EXPECT_EQ(response.version(), 6U);
}

TEST_F(PoliciesTest, HistoryIsPagedAndTheNewestFirst) {
  service_.list_policy_versions.answer = [](const auto& request,
                                            auto* response) {
    uint64_t version =
        request.before_version() == 0 ? 5 : request.before_version() - 1;
    const uint32_t size = std::min<uint32_t>(2, request.page_size());
    for (uint32_t i = 0; i < size && version > 0; ++i, --version) {
      auto* one = response->add_versions();
      one->set_version(version);
      one->set_author("bob");
      one->set_comment(absl::StrCat("no ", version));
      one->mutable_time()->set_seconds(7200);
      one->set_current(version == 5);
      if (version == 4) one->set_rolled_back_to(2);
    }
    return grpc::Status::OK;
  };
  EXPECT_EQ(
      RunOk({"policy", "history", "--limit=3"}),
      "VERSION  FOR            TIME                 AUTHOR  PRESENT  COMMENT\n"
      "      5  all listeners  1970-01-01 02:00:00  bob     yes      no 5\n"
      "      4  all listeners  1970-01-01 02:00:00  bob     -        no 4 "
      "(version 2 brought back)\n"
      "      3  all listeners  1970-01-01 02:00:00  bob     -        no 3\n");
  pb::ListPolicyVersionsResponse json;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(
                  RunOk({"policy", "history", "--all", "--output=json"}), &json)
                  .ok());
  EXPECT_EQ(json.versions_size(), 5);
}

TEST_F(PoliciesTest, RollBackShowsTheDifference) {
  service_.roll_back_policy.answer = [](const auto& request, auto* response) {
    response->set_version(request.expected_version() + 1);
    return grpc::Status::OK;
  };
  const RunResult result =
      Run({"policy", "rollback", "3", "--yes", "--comment=back"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("- client_certificate: REQUIRE\n"
                                    "+ client_certificate: REQUEST\n"));
  EXPECT_EQ(result.out,
            "Version 6 is in force for all listeners; 0 sessions closed.\n");
  const auto& request = service_.roll_back_policy.requests.at(0);
  EXPECT_EQ(request.version(), 3U);
  EXPECT_EQ(request.expected_version(), 5U);
  EXPECT_EQ(request.comment(), "back");
  ExpectFailure({"policy", "rollback", "three", "--yes"}, 2, "\"three\"");
}

}  // namespace
}  // namespace cordon::tools::ctl
