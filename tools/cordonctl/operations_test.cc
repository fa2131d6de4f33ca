// Secrets, limits, the log level and the drain.
#include <string>
#include <vector>

#include "cordon/tools/cordonctl/cordonctl_fixture.h"
#include "cordon/tools/cordonctl/terminal_process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class OperationsTest : public CordonctlTest {};

TEST_F(OperationsTest, CookieSecretsAreRandomOrFromAFile) {
  service_.rotate_cookie_secret.answer = [](const auto&, auto* response) {
    response->set_listeners(2);
    return grpc::Status::OK;
  };
  EXPECT_EQ(RunOk({"cookies", "rotate"}),
            "Cookie secret of 2 listeners replaced.\n");
  // All bytes of the file count, and none is shown.
  const std::string secret("secret\0secret\xff\n1", 16);
  const RunResult result =
      Run({"cookies", "rotate", "--listener=public", "--output=json",
           "--secret_file=" + folder_.Write("secret", secret)});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "{\n \"listeners\": 2\n}\n");
  const auto& requests = service_.rotate_cookie_secret.requests;
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].secret(), "");
  EXPECT_EQ(requests[1].secret(), secret);
  EXPECT_EQ(requests[1].listener(), "public");
}

TEST_F(OperationsTest, SecretsThatAreTooShortAreNotSentNorShown) {
  const std::string file = folder_.Write("short", "fifteen bytes..");
  const RunResult result = ExpectFailure(
      {"cookies", "rotate", "--secret_file=" + file}, 7, "at least 16");
  EXPECT_THAT(result.err, Not(HasSubstr("fifteen")));
  ExpectFailure({"tickets", "rotate", "--secret_file=" + file}, 7,
                "at least 32");
  EXPECT_TRUE(service_.rotate_cookie_secret.requests.empty());
}

TEST_F(OperationsTest, TicketKeys) {
  service_.rotate_ticket_keys.answer = [](const auto&, auto* response) {
    response->set_listeners(1);
    return grpc::Status::OK;
  };
  const std::string secret(32, 's');
  const RunResult result =
      Run({"tickets", "rotate", "--secret_file=-"}, secret);
  EXPECT_EQ(result.out, "Ticket keys of 1 listener replaced.\n");
  EXPECT_EQ(service_.rotate_ticket_keys.requests.at(0).secret(), secret);
}

TEST_F(OperationsTest, CredentialsComeInPairs) {
  service_.reload_credentials.answer = [](const auto&, auto* response) {
    auto* certificate = response->add_certificates();
    certificate->set_subject("CN=\x1b[2Jserver");
    certificate->add_dns_names("a.example");
    certificate->add_dns_names("b.example");
    certificate->mutable_not_after()->set_seconds(7200);
    certificate->set_fingerprint("00ff");
    return grpc::Status::OK;
  };
  const auto pem = [this](const std::string& name) {
    return folder_.Write(name, "-----BEGIN " + name);
  };
  EXPECT_EQ(
      RunOk({"credentials", "reload", "--chain=" + pem("a"),
             "--key=" + pem("ak"), "--chain", pem("b"),
             "--chain_key=" + pem("bk")}),
      "SUBJECT           NAMES                VALID UNTIL          "
      "FINGERPRINT\n"
      "CN=\\x1b[2Jserver  a.example,b.example  1970-01-01 02:00:00  00ff\n");
  const auto& request = service_.reload_credentials.requests.at(0);
  ASSERT_EQ(request.credentials_size(), 2);
  EXPECT_EQ(request.credentials(0).chain_pem(), "-----BEGIN a");
  EXPECT_EQ(request.credentials(0).key_pem(), "-----BEGIN ak");
  EXPECT_EQ(request.credentials(1).chain_pem(), "-----BEGIN b");
  EXPECT_EQ(request.credentials(1).key_pem(), "-----BEGIN bk");

  RunOk({"credentials", "reload", "--output=json"});
  EXPECT_EQ(service_.reload_credentials.requests.at(1).credentials_size(), 0);
  ExpectFailure({"credentials", "reload", "--chain=" + pem("a")}, 2,
                "each --chain needs a key");
}

TEST_F(OperationsTest, Limits) {
  const auto show = [](auto* response) {
    auto* listener = response->add_listeners();
    listener->set_listener("public");
    auto* limit = listener->add_limits();
    limit->set_name("max_sessions");
    limit->set_value(50000);
    return grpc::Status::OK;
  };
  service_.get_limits.answer = [show](const auto&, auto* r) { return show(r); };
  service_.set_limits.answer = [show](const auto&, auto* r) { return show(r); };
  constexpr char kTable[] =
      "LISTENER  LIMIT         VALUE\n"
      "public    max_sessions  50000\n";
  EXPECT_EQ(RunOk({"limits", "get"}), kTable);
  EXPECT_THAT(RunOk({"limits", "get", "--output=json"}),
              HasSubstr("\"value\": \"50000\""));
  EXPECT_EQ(RunOk({"limits", "set", "max_sessions=50000",
                   "half_open_before_cookies=0", "--listener=public"}),
            kTable);
  const auto& request = service_.set_limits.requests.at(0);
  EXPECT_EQ(request.listener(), "public");
  ASSERT_EQ(request.limits_size(), 2);
  EXPECT_EQ(request.limits(0).name(), "max_sessions");
  EXPECT_EQ(request.limits(0).value(), 50000U);
  EXPECT_EQ(request.limits(1).value(), 0U);
  for (const char* bad : {"max_sessions", "=7", "max_sessions=x", "a=-1"}) {
    ExpectFailure({"limits", "set", bad}, 2, "is not NAME=VALUE");
  }
}

TEST_F(OperationsTest, ALimitThatLetsNobodyInHasToBeConfirmed) {
  service_.set_limits.answer = [](const auto&, auto*) {
    return grpc::Status::OK;
  };
  for (const char* limit :
       {"max_sessions=0", "max_session_memory=0", "max_session_memory=16383",
        "accept_backlog=0", "max_half_open=0", "max_half_open_per_source=0",
        "handshake_rate_per_source=0", "handshake_burst_per_source=0"}) {
    ExpectFailure({"limits", "set", "idle_timeout_seconds=5", limit}, 2,
                  "give --yes");
  }
  EXPECT_TRUE(service_.set_limits.requests.empty());
  RunOk({"limits", "set", "max_sessions=0", "--yes"});
  EXPECT_EQ(service_.set_limits.requests.size(), 1U);
  // These let people in.
  RunOk({"limits", "set", "max_reassembly_bytes=0", "idle_timeout_seconds=0",
         "half_open_before_cookies=0", "max_session_memory=16384",
         "max_sessions=1"});
  EXPECT_EQ(service_.set_limits.requests.size(), 2U);

  const std::vector<std::string> command =
      Command({"limits", "set", "max_sessions=0", "--listener=public"});
  TerminalProcess no(command, 80, 24);
  ASSERT_TRUE(no.WaitForOutput("Set it? [y/N] "));
  EXPECT_THAT(no.output(), HasSubstr("With max_sessions=0, nobody is let in by "
                                     "listener \"public\". "));
  no.Type("n\n");
  EXPECT_EQ(no.Wait(), 1);
  EXPECT_EQ(service_.set_limits.requests.size(), 2U);
  TerminalProcess yes(command, 80, 24);
  ASSERT_TRUE(yes.WaitForOutput("? [y/N] "));
  yes.Type("y\n");
  EXPECT_EQ(yes.Wait(), 0);
  EXPECT_EQ(service_.set_limits.requests.size(), 3U);
}

TEST_F(OperationsTest, LogLevel) {
  service_.get_log_level.answer = [](const auto&, auto* response) {
    response->set_level(pb::WARNING);
    return grpc::Status::OK;
  };
  service_.set_log_level.answer = [](const auto& request, auto* response) {
    response->set_level(request.level());
    return grpc::Status::OK;
  };
  EXPECT_EQ(RunOk({"log", "get"}), "warning\n");
  EXPECT_EQ(RunOk({"log", "set", "debug"}), "debug\n");
  EXPECT_THAT(RunOk({"log", "set", "ERROR", "--output=json"}),
              HasSubstr("\"level\": \"ERROR\""));
  EXPECT_EQ(service_.set_log_level.requests.at(0).level(), pb::DEBUG);
  ExpectFailure({"log", "set", "debgu"}, 2, "did you mean debug?");
}

TEST_F(OperationsTest, Drain) {
  service_.drain.answer = [](const auto&, auto* response) {
    response->set_sessions(1234);
    return grpc::Status::OK;
  };
  EXPECT_EQ(RunOk({"drain", "--listener=public", "--deadline=2m"}),
            "No new sessions are accepted by listener \"public\"; 1,234 are "
            "still there.\n");
  EXPECT_EQ(service_.drain.requests.at(0).listener(), "public");
  EXPECT_EQ(service_.drain.requests.at(0).deadline().seconds(), 120);
  EXPECT_THAT(RunOk({"drain", "--output=json"}),
              HasSubstr("\"sessions\": \"1234\""));
  EXPECT_EQ(service_.drain.requests.at(1).deadline().seconds(), 30);
  ExpectFailure({"drain", "--deadline=-1s"}, 2, "--deadline=-1s");
}

}  // namespace
}  // namespace cordon::tools::ctl
