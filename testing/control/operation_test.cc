// Secrets, certificates, limits, draining, the log level, and roles.
#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "cordon/dtls/control/control.h"
#include "cordon/dtls/control/credential_reloader.h"
#include "cordon/dtls/error.h"
#include "cordon/testing/control/call.h"
#include "cordon/testing/control/controlled_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Stub = v1::Control::Stub;

TEST(SecretsTest, CookiesAndTicketsGoOnAfterARotation) {
  ControlledServer server({.listeners = {"public", "internal"}});
  ClientCrowd crowd;
  EXPECT_EQ(Call(server.stub(), &Stub::RotateCookieSecret, "").listeners(), 2U);
  EXPECT_EQ(Call(server.stub(), &Stub::RotateTicketKeys, "").listeners(), 2U);
  EXPECT_EQ(Call(server.stub(), &Stub::RotateCookieSecret,
                 "listener: \"public\" secret: \"0123456789abcdef\"")
                .listeners(),
            1U);
  EXPECT_EQ(Call(server.stub(), &Stub::RotateTicketKeys,
                 "secret: \"0123456789abcdef0123456789abcdef\"")
                .listeners(),
            2U);
  EXPECT_TRUE(
      crowd.Connect(server.endpoint(), ClientCrowd::ContextWith())[0].ok());
  EXPECT_THAT(server.log(), HasSubstr("rotates the cookie secret"));
  EXPECT_THAT(server.log(), Not(HasSubstr("0123456789abcdef")));

  grpc::Status status;
  Call(server.stub(), &Stub::RotateCookieSecret, "secret: \"short\"", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), StartsWith("secret: "));
  EXPECT_THAT(status.error_message(), Not(HasSubstr("short")));
  Call(server.stub(), &Stub::RotateTicketKeys, "secret: \"short\"", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  Call(server.stub(), &Stub::RotateCookieSecret, "listener: \"nope\"", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(SecretsTest, WithoutTicketsThereAreNoKeysToRotate) {
  ControlledServer::Options options;
  options.server.session_tickets = false;
  options.listeners = {"public", "public"};
  ControlledServer server(std::move(options));
  grpc::Status status;
  Call(server.stub(), &Stub::RotateTicketKeys, "", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

// What a client sees of the server's certificate.
std::string Presented(ClientCrowd& crowd, const ControlledServer& server,
                      const TestAuthority& authority) {
  dtls::ClientOptions options;
  options.trust = authority.trust();
  return crowd
      .Connect(server.endpoint(), *dtls::Context::Client(std::move(options)))[0]
      .ToString();
}

TEST(CredentialsTest, AreReplacedByTheCallOrNotAtAll) {
  ControlledServer server;
  ClientCrowd crowd;
  const TestAuthority next("Next CA");
  const dtls::Certificate good = next.Issue({.dns_names = {"localhost"}});
  const dtls::Certificate other = next.Issue({.dns_names = {"localhost"}});
  v1::ReloadCredentialsRequest request;
  v1::Credential* credential = request.add_credentials();
  credential->set_chain_pem(good.chain_pem);
  grpc::Status status;
  Call(server.stub(), &Stub::ReloadCredentials, request, &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), StartsWith("credentials[0].key_pem: "));
  credential->set_key_pem(other.key_pem);
  Call(server.stub(), &Stub::ReloadCredentials, request, &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), StartsWith("credentials: "));
  EXPECT_EQ(Presented(crowd, server, ControlledServer::Authority()), "OK");

  credential->set_key_pem(good.key_pem);
  const v1::ReloadCredentialsResponse response =
      Call(server.stub(), &Stub::ReloadCredentials, request);
  ASSERT_EQ(response.certificates_size(), 1);
  EXPECT_THAT(response.certificates(0).issuer(), HasSubstr("Next CA"));
  EXPECT_EQ(Presented(crowd, server, next), "OK");
  EXPECT_NE(Presented(crowd, server, ControlledServer::Authority()), "OK");
  EXPECT_THAT(server.log(), HasSubstr("replaces certificates"));
  EXPECT_THAT(server.log(), Not(HasSubstr("PRIVATE KEY")));

  Call(server.stub(), &Stub::ReloadCredentials, "", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

// A folder as Kubernetes mounts it: the files are links to links that are
// swapped as one.
class MountedSecret {
 public:
  explicit MountedSecret(const std::string& folder) : folder_(folder) {
    EXPECT_EQ(symlink("..data/tls.crt", certificate().c_str()), 0);
    EXPECT_EQ(symlink("..data/tls.key", key().c_str()), 0);
  }
  std::string certificate() const { return folder_ + "/tls.crt"; }
  std::string key() const { return folder_ + "/tls.key"; }

  void Swap(const dtls::Certificate& certificate) {
    const std::string version = absl::StrCat("..version", ++versions_);
    const std::string path = folder_ + "/" + version;
    EXPECT_EQ(mkdir(path.c_str(), 0700), 0);
    std::ofstream(path + "/tls.crt") << certificate.chain_pem;
    std::ofstream(path + "/tls.key") << certificate.key_pem;
    EXPECT_EQ(symlink(version.c_str(), (folder_ + "/..next").c_str()), 0);
    EXPECT_EQ(
        rename((folder_ + "/..next").c_str(), (folder_ + "/..data").c_str()),
        0);
  }

 private:
  const std::string folder_;
  int versions_ = 0;
};

TEST(CredentialsTest, AreReadAgainWhenTheirFilesChange) {
  TemporaryFolder folder;
  MountedSecret secret(folder.path());
  secret.Swap(
      ControlledServer::Authority().Issue({.dns_names = {"localhost"}}));
  ControlledServer server;
  std::string log;
  dtls::control::Log sink([&](dtls::control::LogLevel, absl::string_view line) {
    absl::StrAppend(&log, line, "\n");
  });
  dtls::control::CredentialReloader reloader(
      &server.registry(), &sink,
      {dtls::control::CertificateFiles(secret.certificate(), secret.key())},
      absl::InfiniteDuration());
  ClientCrowd crowd;
  reloader.CheckFiles();
  EXPECT_EQ(log, "");

  const TestAuthority next("Next CA");
  secret.Swap(next.Issue({.dns_names = {"localhost"}}));
  reloader.CheckFiles();
  EXPECT_EQ(Presented(crowd, server, next), "OK");
  EXPECT_THAT(log, HasSubstr("the file watch replaces certificates"));

  log.clear();
  secret.Swap({.chain_pem = "rubbish", .key_pem = "rubbish"});
  reloader.CheckFiles();
  reloader.CheckFiles();
  EXPECT_THAT(log, StartsWith("the certificates in use stay"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_EQ(Presented(crowd, server, next), "OK");
}

TEST(CredentialsTest, AreReadAgainWhenAnOperatorAsks) {
  TemporaryFolder folder;
  MountedSecret secret(folder.path());
  const TestAuthority next("Next CA");
  secret.Swap(next.Issue({.dns_names = {"localhost"}}));
  ControlledServer::Options options;
  options.control.credentials = {
      dtls::control::CertificateFiles(secret.certificate(), secret.key())};
  options.control.credential_interval = absl::InfiniteDuration();
  ControlledServer server(std::move(options));
  ClientCrowd crowd;
  EXPECT_EQ(Presented(crowd, server, ControlledServer::Authority()), "OK");
  EXPECT_EQ(
      Call(server.stub(), &Stub::ReloadCredentials, "").certificates_size(), 1);
  EXPECT_EQ(Presented(crowd, server, next), "OK");
  secret.Swap({.chain_pem = "rubbish", .key_pem = "rubbish"});
  grpc::Status status;
  Call(server.stub(), &Stub::ReloadCredentials, "", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr(secret.certificate()));
  EXPECT_EQ(Presented(crowd, server, next), "OK");
}

dtls::ClientOptions HastyOptions() {
  dtls::ClientOptions options;
  options.trust = ControlledServer::Authority().trust();
  options.session.handshake_deadline = absl::Milliseconds(300);
  return options;
}

TEST(LimitsTest, AreReadAndChanged) {
  ControlledServer server({.listeners = {"public", "internal"}});
  ClientCrowd crowd;
  const v1::GetLimitsResponse before =
      Call(server.stub(), &Stub::GetLimits, "listener: \"public\"");
  ASSERT_EQ(before.listeners_size(), 1);
  EXPECT_EQ(before.listeners(0).limits(0).name(), "max_sessions");
  EXPECT_EQ(before.listeners(0).limits(0).value(), 1'000'000U);
  EXPECT_EQ(before.listeners(0).limits(2).name(), "max_half_open");
  EXPECT_EQ(before.listeners(0).limits(2).value(), 16'384U);
  EXPECT_EQ(before.listeners(0).limits(3).name(), "max_half_open_per_source");
  EXPECT_EQ(before.listeners(0).limits(3).value(), 2'048U);
  const v1::GetLimitsResponse after =
      Call(server.stub(), &Stub::SetLimits,
           "listener: \"public\" limits { name: \"max_sessions\" value: 1 }");
  EXPECT_EQ(after.listeners(0).limits(0).value(), 1U);
  EXPECT_EQ(after.listeners(0).limits(1).value(), 1024U);
  EXPECT_TRUE(
      crowd.Connect(server.endpoint(), ClientCrowd::ContextWith())[0].ok());
  EXPECT_FALSE(
      crowd
          .Connect(server.endpoint(), *dtls::Context::Client(HastyOptions()))[0]
          .ok());
  EXPECT_GE(Call(server.stub(), &Stub::GetStatistics, "")
                .total()
                .limits_hit()
                .at("max_sessions"),
            1U);
  EXPECT_TRUE(
      crowd.Connect(server.endpoint(1), ClientCrowd::ContextWith())[0].ok());
  // What has changed, and nothing else.
  EXPECT_THAT(server.log(), HasSubstr("sets limits of listener \"public\": "
                                      "max_sessions 1000000 -> 1\n"));

  // A hello that comes while there may be no handshake.
  const v1::GetLimitsResponse none = Call(
      server.stub(), &Stub::SetLimits,
      "listener: \"internal\" limits { name: \"max_half_open\" value: 0 }");
  EXPECT_EQ(none.listeners(0).limits(2).value(), 0U);
  EXPECT_FALSE(crowd
                   .Connect(server.endpoint(1),
                            *dtls::Context::Client(HastyOptions()))[0]
                   .ok());
  EXPECT_GE(Call(server.stub(), &Stub::GetStatistics, "")
                .total()
                .limits_hit()
                .at("max_half_open"),
            1U);

  grpc::Status status;
  Call(server.stub(), &Stub::SetLimits, "limits { name: \"speed\" value: 1 }",
       &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), StartsWith("limits[0].name: "));
  Call(server.stub(), &Stub::SetLimits, "", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(DrainTest, AcceptsNobodyAndClosesThoseThatStayTooLong) {
  ControlledServer server;
  ClientCrowd crowd;
  crowd.Connect(server.endpoint(), ClientCrowd::ContextWith(), 2);
  EXPECT_EQ(Call(server.stub(), &Stub::Drain, "deadline { seconds: 3600 }")
                .sessions(),
            2U);
  EXPECT_TRUE(
      Call(server.stub(), &Stub::ListListeners, "").listeners(0).draining());
  dtls::ClientOptions hasty;
  hasty.trust = ControlledServer::Authority().trust();
  hasty.session.handshake_deadline = absl::Milliseconds(300);
  EXPECT_FALSE(crowd
                   .Connect(server.endpoint(),
                            *dtls::Context::Client(std::move(hasty)))[0]
                   .ok());
  Call(server.stub(), &Stub::Drain, "");
  for (const absl::Status& end : crowd.WaitForEnds(2)) {
    EXPECT_TRUE(dtls::IsClosed(end)) << end;
  }
  EXPECT_EQ(server.WaitForListeners(), absl::OkStatus());
  grpc::Status status;
  Call(server.stub(), &Stub::Drain, "deadline { seconds: -1 }", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(LogLevelTest, IsReadAndChanged) {
  ControlledServer::Options options;
  // Called on the service's threads.
  absl::Mutex mutex;
  std::vector<dtls::control::LogLevel> levels;
  options.control.on_log_level = [&](dtls::control::LogLevel level) {
    absl::MutexLock lock(&mutex);
    levels.push_back(level);
  };
  ControlledServer server(std::move(options));
  EXPECT_EQ(Call(server.stub(), &Stub::GetLogLevel, "").level(), v1::INFO);
  EXPECT_EQ(Call(server.stub(), &Stub::SetLogLevel, "level: ERROR").level(),
            v1::ERROR);
  EXPECT_EQ(Call(server.stub(), &Stub::GetLogLevel, "").level(), v1::ERROR);
  {
    absl::MutexLock lock(&mutex);
    EXPECT_THAT(levels, ElementsAre(dtls::control::LogLevel::kError));
  }
  EXPECT_THAT(server.log(), HasSubstr("INFO -> ERROR"));
  Call(server.stub(), &Stub::SetLogLevel, "level: DEBUG");
  Call(server.stub(), &Stub::GetLogLevel, "");
  EXPECT_THAT(server.log(), HasSubstr("calls GetLogLevel: OK after "));
  grpc::Status status;
  Call(server.stub(), &Stub::SetLogLevel, "", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(RolesTest, ReadersMayLookOnly) {
  ControlledServer::Options options;
  options.control.addresses = {"127.0.0.1:0"};
  options.control.allow_plaintext_loopback = true;
  ControlledServer server(std::move(options));
  auto reader = v1::Control::NewStub(grpc::CreateChannel(
      server.control().addresses()[1], grpc::InsecureChannelCredentials()));
  Call(*reader, &Stub::ListSessions, "");
  Call(*reader, &Stub::GetStatistics, "");
  Call(*reader, &Stub::GetPolicy, "");
  v1::ValidatePolicyRequest validate;
  validate.mutable_policy()->set_client_certificate(v1::Policy::NONE);
  Call(*reader, &Stub::ValidatePolicy, validate);
  Call(*reader, &Stub::GetLimits, "");
  Call(*reader, &Stub::GetLogLevel, "");
  const auto refused = [&](const grpc::Status& status) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED)
        << status.error_message();
  };
  grpc::Status status;
  Call(*reader, &Stub::CloseSessions, "ids: 1", &status), refused(status);
  Call(*reader, &Stub::SetPolicy, "", &status), refused(status);
  Call(*reader, &Stub::RollBackPolicy, "", &status), refused(status);
  Call(*reader, &Stub::RotateCookieSecret, "", &status), refused(status);
  Call(*reader, &Stub::RotateTicketKeys, "", &status), refused(status);
  Call(*reader, &Stub::ReloadCredentials, "", &status), refused(status);
  Call(*reader, &Stub::SetLimits, "", &status), refused(status);
  Call(*reader, &Stub::Drain, "", &status), refused(status);
  Call(*reader, &Stub::SetLogLevel, "", &status), refused(status);
  EXPECT_THAT(server.log(), HasSubstr("refused Drain: "));
}

}  // namespace
}  // namespace cordon::testing
