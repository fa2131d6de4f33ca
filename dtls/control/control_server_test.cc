// Who can reach the control service, on Unix sockets and on loopback.
#include "cordon/dtls/control/control_server.h"

#include <grpcpp/create_channel_posix.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/testing/fake_control/fake_control.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::cordon::testing::Change;
using ::cordon::testing::ConnectAs;
using ::cordon::testing::ConnectTo;
using ::cordon::testing::FakeControl;
using ::cordon::testing::Health;
using ::cordon::testing::Patient;
using ::cordon::testing::Read;
using ::cordon::testing::Reflect;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using ::testing::SizeIs;
namespace v1 = ::cordon::control::v1;

class ControlServerTest : public ::testing::Test {
 protected:
  std::string Path() const { return folder_.path() + "/control"; }
  std::string Unix() const { return "unix:" + Path(); }

  absl::Status Start(ControlServerOptions options,
                     const AccessRules& rules = {}) {
    options.access = *AccessControl::Create(rules);
    service_ = std::make_unique<FakeControl>(options.access);
    absl::StatusOr<std::unique_ptr<ControlServer>> server =
        ControlServer::Start(std::move(options), {service_->service()});
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }

  const testing::TemporaryFolder folder_{"/tmp"};
  std::unique_ptr<FakeControl> service_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlServerTest, OurOwnUserIsAdminOnAUnixSocket) {
  ASSERT_TRUE(Start({.addresses = {Unix()}}).ok());
  EXPECT_THAT(server_->addresses(), ElementsAre(Unix()));
  EXPECT_EQ(server_->port(), 0);
  const auto channel = ConnectTo(Unix());
  EXPECT_TRUE(Read(channel).ok());
  EXPECT_TRUE(Change(channel).ok());
  const std::string us = absl::StrCat("uid:", geteuid(), " admin");
  EXPECT_THAT(service_->callers(), ElementsAre(us, us));
}

TEST_F(ControlServerTest, TheSocketIsForItsOwnerOnly) {
  ASSERT_TRUE(Start({.addresses = {Unix()}}).ok());
  struct stat file = {};
  ASSERT_EQ(stat(Path().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode, mode_t{S_IFSOCK | 0600});
}

TEST_F(ControlServerTest, LoopbackWithoutTlsNeedsToBeAllowed) {
  for (const std::string address : {"127.0.0.1:0", "[::1]:0", "localhost:0"}) {
    const absl::Status status = Start({.addresses = {address}});
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_EQ(status.message(),
              absl::StrCat("control address \"", address,
                           "\": TCP needs a certificate, its key, and the "
                           "authorities of the clients' certificates; without "
                           "TLS only if allow_plaintext_loopback is set"));
  }
}

TEST_F(ControlServerTest, OtherAddressesAreNeverServedWithoutTls) {
  for (const std::string address : {"0.0.0.0:0", "[::]:0", "192.0.2.1:0"}) {
    const absl::Status status =
        Start({.addresses = {address}, .allow_plaintext_loopback = true});
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("only loopback may be served without TLS, and this "
                          "is not"));
  }
}

TEST_F(ControlServerTest, LoopbackWithoutTlsIsTheUsualAddressesOnly) {
  const absl::Status status =
      Start({.addresses = {"127.0.0.2:0"}, .allow_plaintext_loopback = true});
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the only loopback addresses are 127.0.0.1 and ::1"));
}

TEST_F(ControlServerTest, PathsMayHaveAnyCharacters) {
  const std::string path = folder_.path() + "/a b%2f?#\n\xff";
  ASSERT_TRUE(Start({.addresses = {"unix:" + path}}).ok());
  int error = 0;
  net::UniqueFd fd = ConnectAs(geteuid(), path, &error);
  ASSERT_TRUE(fd.valid()) << strerrordesc_np(error);
  EXPECT_TRUE(
      Change(grpc::CreateInsecureChannelFromFd("path", fd.Release())).ok());
}

TEST_F(ControlServerTest, CallersOnLoopbackAreReaders) {
  ASSERT_TRUE(
      Start({.addresses = {"127.0.0.1:0"}, .allow_plaintext_loopback = true})
          .ok());
  EXPECT_NE(server_->port(), 0);
  const std::string address = absl::StrCat("127.0.0.1:", server_->port());
  EXPECT_THAT(server_->addresses(), ElementsAre(address));
  const auto channel = ConnectTo(address);
  EXPECT_TRUE(Read(channel).ok());
  const grpc::Status status = Change(channel);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(status.error_message(),
            "loopback has the role reader; this needs the role admin");
  EXPECT_THAT(service_->callers(), ElementsAre("loopback reader"));
}

TEST_F(ControlServerTest, CallersOnLoopbackAreAdminsOnlyIfTheRulesSaySo) {
  ASSERT_TRUE(
      Start({.addresses = {"127.0.0.1:0"}, .allow_plaintext_loopback = true},
            {.loopback_is_admin = true})
          .ok());
  EXPECT_TRUE(Change(ConnectTo(server_->addresses()[0])).ok());
  EXPECT_THAT(service_->callers(), ElementsAre("loopback admin"));
}

// The mark of a connection is nothing that a client could send.
TEST_F(ControlServerTest, WhatCallersSayOfThemselvesDoesNotCount) {
  ASSERT_TRUE(
      Start({.addresses = {"127.0.0.1:0"}, .allow_plaintext_loopback = true})
          .ok());
  const auto stub = v1::Control::NewStub(ConnectTo(server_->addresses()[0]));
  const auto context = Patient();
  context->AddMetadata("cordon_connection_mark", "uid:0");
  v1::GetLogLevelResponse response;
  EXPECT_EQ(stub->SetLogLevel(context.get(), {}, &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ControlServerTest, ServesSeveralAddresses) {
  const std::string second = folder_.path() + "/second";
  ASSERT_TRUE(Start({.addresses = {Unix(), "127.0.0.1:0", "unix://" + second},
                     .allow_plaintext_loopback = true})
                  .ok());
  ASSERT_THAT(server_->addresses(), SizeIs(3));
  EXPECT_EQ(server_->addresses()[2], "unix:" + second);
  for (const std::string& address : server_->addresses()) {
    EXPECT_TRUE(Read(ConnectTo(address)).ok()) << address;
  }
  const std::string us = absl::StrCat("uid:", geteuid(), " admin");
  EXPECT_THAT(service_->callers(), ElementsAre(us, "loopback reader", us));
}

TEST_F(ControlServerTest, AnswersProbesAndReflection) {
  ASSERT_TRUE(Start({.addresses = {Unix()}}).ok());
  const auto channel = ConnectTo(Unix());
  EXPECT_EQ(Health(channel), "SERVING");
  const std::string services = Reflect(channel);
  EXPECT_THAT(services, HasSubstr("cordon.control.v1.Control"));
  EXPECT_THAT(services, HasSubstr("grpc.health.v1.Health"));
}

TEST_F(ControlServerTest, OtherServersOfTheProcessAreLeftAsTheyAre) {
  ASSERT_TRUE(Start({.addresses = {Unix()}}).ok());
  EXPECT_FALSE(grpc::DefaultHealthCheckServiceEnabled());
  FakeControl other(*AccessControl::Create({}));
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(other.service());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto channel = ConnectTo(absl::StrCat("127.0.0.1:", port));
  EXPECT_THAT(Health(channel), HasSubstr("error 12"));
  // And what comes through such a server is not trusted.
  EXPECT_EQ(Read(channel).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(Read(channel).error_message(),
              HasSubstr("it is not known who calls"));
  server->Shutdown();
}

TEST_F(ControlServerTest, RefusesRequestsThatAreTooLarge) {
  ASSERT_TRUE(
      Start({.addresses = {Unix()}, .max_request_bytes = 100'000}).ok());
  const auto stub = v1::Control::NewStub(ConnectTo(Unix()));
  v1::RotateCookieSecretRequest request;
  v1::RotateCookieSecretResponse response;
  request.set_secret(std::string(90'000, 'x'));
  EXPECT_TRUE(
      stub->RotateCookieSecret(Patient().get(), request, &response).ok());
  request.set_secret(std::string(110'000, 'x'));
  EXPECT_EQ(stub->RotateCookieSecret(Patient().get(), request, &response)
                .error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(ControlServerTest, RefusesConnectionsBeyondTheLimitOfTheirAddress) {
  ASSERT_TRUE(Start({.addresses = {Unix(), "127.0.0.1:0"},
                     .allow_plaintext_loopback = true,
                     .max_connections = 1})
                  .ok());
  const auto first = ConnectTo(Unix());
  ASSERT_TRUE(Read(first).ok());
  const auto second = ConnectTo(Unix());
  EXPECT_EQ(Read(second).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_GE(server_->statistics().connections_over_limit, 1u);
  EXPECT_TRUE(Read(first).ok());
  EXPECT_TRUE(Read(ConnectTo(server_->addresses()[1])).ok());
}

TEST_F(ControlServerTest, SaysWhatIsWrongWithItsOptions) {
  const std::string file = folder_.Write("file", "");
  const auto message = [&](ControlServerOptions options,
                           const AccessRules& rules = {}) {
    const absl::Status status = Start(std::move(options), rules);
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  };
  EXPECT_THAT(message({}), HasSubstr("the control service has no address"));
  EXPECT_THAT(message({.addresses = {"unix:"}}),
              HasSubstr("control address \"unix:\": the path of the Unix "
                        "socket is empty"));
  EXPECT_THAT(message({.addresses = {"unix:" + std::string(108, 'x')}}),
              HasSubstr("bytes, at most 107 are possible"));
  EXPECT_THAT(message({.addresses = {"unix:" + file}}),
              HasSubstr("is there already and is no socket"));
  EXPECT_THAT(message({.addresses = {"unix-abstract:x"}}),
              HasSubstr("neither \"unix:/path\" nor \"host:port\""));
  EXPECT_THAT(message({.addresses = {Path()}}),
              HasSubstr("neither \"unix:/path\" nor \"host:port\""));
  EXPECT_THAT(message({.addresses = {"127.0.0.1:65536"}}),
              HasSubstr("control address \"127.0.0.1:65536\": "));
  EXPECT_THAT(message({.addresses = {Unix()}}, {.admin_users = {}}),
              HasSubstr("no user may connect"));
  EXPECT_THAT(message({.addresses = {Unix()}, .max_connections = 0}),
              HasSubstr("max_connections must be greater than 0"));
  EXPECT_THAT(
      message({.addresses = {Unix()}, .keepalive_time = absl::ZeroDuration()}),
      HasSubstr("keepalive_time must be greater than 0"));
}

TEST_F(ControlServerTest, AnAddressThatIsTakenIsAnErrorAndNothingIsLeft) {
  ASSERT_TRUE(
      Start({.addresses = {"127.0.0.1:0"}, .allow_plaintext_loopback = true})
          .ok());
  const std::string taken = server_->addresses()[0];
  FakeControl service(*AccessControl::Create({}));
  const absl::Status status =
      ControlServer::Start(
          {.addresses = {Unix(), taken}, .allow_plaintext_loopback = true},
          {service.service()})
          .status();
  EXPECT_EQ(status.message(),
            absl::StrCat("control address \"", taken, "\": cannot listen on ",
                         taken, ": Address already in use"));
  struct stat file = {};
  EXPECT_NE(stat(Path().c_str(), &file), 0);
}

TEST_F(ControlServerTest, TwoServersCannotHaveTheSameSocket) {
  ASSERT_TRUE(Start({.addresses = {Unix()}}).ok());
  FakeControl service(*AccessControl::Create({}));
  const absl::Status status =
      ControlServer::Start({.addresses = {Unix()}}, {service.service()})
          .status();
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("another process listens on " + Path()));
  EXPECT_TRUE(Read(ConnectTo(Unix())).ok());
}

TEST_F(ControlServerTest, CanBeStartedAgainOnTheSamePath) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Start({.addresses = {Unix()}}).ok());
    EXPECT_TRUE(Read(ConnectTo(Unix())).ok());
    server_->Stop(absl::ZeroDuration());
    struct stat file = {};
    EXPECT_NE(stat(Path().c_str(), &file), 0);
    server_.reset();
  }
}

}  // namespace
}  // namespace cordon::dtls::control
