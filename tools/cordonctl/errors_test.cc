// What goes wrong: exit codes, services that are not there, certificates.
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/tools/cordonctl/cordonctl_fixture.h"
#include "gmock/gmock.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ErrorsTest : public CordonctlTest {};

TEST_F(ErrorsTest, EachStatusHasItsExitCode) {
  for (const auto& [status, code] : std::vector<std::pair<int, int>>{
           {grpc::StatusCode::UNAVAILABLE, 3},
           {grpc::StatusCode::PERMISSION_DENIED, 4},
           {grpc::StatusCode::UNAUTHENTICATED, 4},
           {grpc::StatusCode::NOT_FOUND, 5},
           {grpc::StatusCode::ABORTED, 6},
           {grpc::StatusCode::INVALID_ARGUMENT, 7},
           {grpc::StatusCode::OUT_OF_RANGE, 7},
           {grpc::StatusCode::DEADLINE_EXCEEDED, 8},
           {grpc::StatusCode::FAILED_PRECONDITION, 1},
           {grpc::StatusCode::INTERNAL, 1},
           {grpc::StatusCode::UNIMPLEMENTED, 1}}) {
    service_.get_session.answer = [answer = status](const auto&, auto*) {
      return grpc::Status(static_cast<grpc::StatusCode>(answer),
                          "because\n\x1b[2J");
    };
    const RunResult result =
        ExpectFailure({"sessions", "get", "7"}, code, "because\\n\\x1b[2J");
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(ErrorsTest, ErrorsOfJsonAreNotOnTheStandardOutput) {
  EXPECT_EQ(
      ExpectFailure({"listeners", "--output=json"}, 1, "cannot do this").out,
      "");
}

TEST_F(ErrorsTest, ASilentServiceTimesOut) {
  absl::Notification asked_in_vain;
  service_.list_listeners.answer = [&](const auto&, auto*) {
    asked_in_vain.WaitForNotification();
    return grpc::Status::OK;
  };
  ExpectFailure({"listeners", "--timeout=50ms"}, 8, "--timeout");
  asked_in_vain.Notify();
  // It uses the notification.
  StopServer();
}

TEST_F(ErrorsTest, WrongUsageExitsWith2) {
  ExpectFailure({}, 2, "which command?");
  ExpectFailure({"lisetners"}, 2, "did you mean listeners?");
  ExpectFailure({"listeners", "--ouput=json"}, 2, "did you mean --output?");
  ExpectFailure({"listeners", "--output=xml"}, 2, "is not table or json");
  ExpectFailure({"listeners", "--color=red"}, 2,
                "is not auto, always or never");
  ExpectFailure({"listeners", "--timeout=0s"}, 2, "--timeout must be");
  ExpectFailure({"listeners", "--timeout=soon"}, 2, "--timeout=soon");
  ExpectFailure({"sessions", "list", "--state=conected"}, 2,
                "did you mean connected?");
  ExpectFailure({"sessions", "list", "--order=size"}, 2, "is not id, age");
  ExpectFailure({"sessions", "list", "--min_age=-5m"}, 2, "--min_age=-5m");
  ExpectFailure({"sessions", "list", "--limit=0"}, 2, "at least 1");
}

TEST_F(ErrorsTest, TheTargetMustBeNamed) {
  testing::Process none({"env", "-u", "CORDON_CONTROL",
                         testing::Runfile("tools/cordonctl/cordonctl"),
                         "listeners"});
  EXPECT_EQ(none.Wait(), 2);
  EXPECT_THAT(none.output(), HasSubstr("set $CORDON_CONTROL"));
  ExpectFailure({"listeners", "--target=host"}, 2, "has no port");
  ExpectFailure({"listeners", "--target=unix:/s", "--ca=x"}, 2, "leave them");
  ExpectFailure({"listeners", "--target=192.0.2.1:1", "--plaintext"}, 2,
                "only for this machine");
  ExpectFailure({"listeners", "--target=localhost:1", "--cert=x"}, 2,
                "give both or none");
}

TEST_F(ErrorsTest, WhatIsNotThereIsUnreachable) {
  const std::string nowhere =
      absl::StrCat("--target=unix:", socket_folder_, "/nowhere");
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{
           {"listeners"}, {"sessions", "watch"}, {"stats", "--watch"}}) {
    std::vector<std::string> arguments = command;
    arguments.push_back(nowhere);
    const RunResult result =
        ExpectFailure(arguments, 3, "/nowhere: No such file or directory");
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(ErrorsTest, AFullDiskIsTold) {
  service_.list_listeners.answer = [](const auto&, auto*) {
    return grpc::Status::OK;
  };
  std::vector<std::string> command = {"sh", "-c", "exec \"$@\" > /dev/full",
                                      "sh"};
  for (const std::string& one : Command({"listeners"})) command.push_back(one);
  testing::Process process(command);
  EXPECT_EQ(process.Wait(), 1);
  EXPECT_THAT(process.output(), HasSubstr("does not take what was printed"));
}

TEST_F(ErrorsTest, HelpNeedsNoService) {
  const std::string help =
      RunOk({"--target=unix:/nowhere", "help", "policy", "set"});
  EXPECT_THAT(help, HasSubstr("cordonctl policy set FILE"));
  EXPECT_THAT(help, HasSubstr("\n    trust { system: true }\n"));
  EXPECT_EQ(RunOk({"policy", "set", "--help"}), help);
  EXPECT_THAT(RunOk({"help"}), HasSubstr("Exit codes:"));
}

TEST_F(ErrorsTest, ColoursAreForTerminalsAndThoseWhoAsk) {
  service_.list_listeners.answer = [](const auto&, auto*) {
    return grpc::Status::OK;
  };
  EXPECT_THAT(RunOk({"listeners"}), Not(HasSubstr("\x1b")));
  EXPECT_THAT(RunOk({"listeners", "--color=always"}), HasSubstr("\x1b[1mNAME"));
}

// The same over TLS.
class TlsTest : public CordonctlTest {
 protected:
  TlsTest() : authority_("Control CA"), other_("Other CA") {}

  void SetUp() override {
    CordonctlTest::SetUp();
    if (IsSkipped()) return;
    service_.list_listeners.answer = [](const auto&, auto* response) {
      response->add_listeners()->set_name("over TLS");
      return grpc::Status::OK;
    };
    const dtls::Certificate server = authority_.Issue(
        {.common_name = "server", .dns_names = {"control.example"}});
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = authority_.certificate_pem();
    options.pem_key_cert_pairs.push_back({server.key_pem, server.chain_pem});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options),
                             &port_);
    builder.RegisterService(&service_);
    tls_server_ = builder.BuildAndStart();
    ASSERT_NE(tls_server_, nullptr);
    ca_ = folder_.Write("ca.pem", authority_.certificate_pem());
  }
  void TearDown() override {
    if (tls_server_ != nullptr) tls_server_->Shutdown();
    CordonctlTest::TearDown();
  }

  std::vector<std::string> Arguments(const testing::TestAuthority& authority,
                                     const std::string& ca,
                                     const std::string& name) const {
    const dtls::Certificate client =
        authority.Issue({.common_name = "operator"});
    return {"listeners",
            absl::StrCat("--target=127.0.0.1:", port_),
            "--ca=" + ca,
            "--cert=" + folder_.Write("me.pem", client.chain_pem),
            "--key=" + folder_.Write("me.key", client.key_pem),
            "--server_name=" + name};
  }

  testing::TestAuthority authority_;
  testing::TestAuthority other_;
  std::unique_ptr<grpc::Server> tls_server_;
  int port_ = 0;
  std::string ca_;
};

TEST_F(TlsTest, BothSidesKnowEachOther) {
  EXPECT_THAT(RunOk(Arguments(authority_, ca_, "control.example")),
              HasSubstr("over TLS"));
}

TEST_F(TlsTest, WrongCertificatesAreUnreachable) {
  ExpectFailure(
      Arguments(authority_, folder_.Write("o.pem", other_.certificate_pem()),
                "control.example"),
      3, "cannot reach 127.0.0.1:");
  ExpectFailure(Arguments(authority_, ca_, "elsewhere.example"), 3,
                "cannot reach 127.0.0.1:");
  ExpectFailure(Arguments(other_, ca_, "control.example"), 3,
                "cannot reach 127.0.0.1:");
  // Without a certificate, and without TLS.
  ExpectFailure({"listeners", absl::StrCat("--target=127.0.0.1:", port_),
                 "--ca=" + ca_, "--server_name=control.example"},
                3, "cannot reach 127.0.0.1:");
  ExpectFailure(
      {"listeners", absl::StrCat("--target=127.0.0.1:", port_), "--plaintext"},
      3, "cannot reach 127.0.0.1:");
}

TEST_F(TlsTest, FilesThatAreNotPemAreTold) {
  std::vector<std::string> arguments =
      Arguments(authority_, folder_.Write("x", "no PEM"), "control.example");
  ExpectFailure(arguments, 7, "--ca=");
  arguments[2] = "--ca=/none";
  ExpectFailure(arguments, 1, "/none");
}

// What keeps the two TLS libraries apart is not needed in a program that has
// only one of them.
TEST(CordonctlDependenciesTest, HaveNoBoringSsl) {
  std::ifstream file(testing::Runfile("tools/cordonctl/dependencies"));
  int lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    EXPECT_THAT(line, Not(HasSubstr("boringssl")));
    EXPECT_THAT(line, Not(::testing::StartsWith("//dtls:")));
  }
  EXPECT_GT(lines, 10);
}

}  // namespace
}  // namespace cordon::tools::ctl
