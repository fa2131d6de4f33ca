// That the control service ends when it is told to, whatever its clients do.
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/dtls/control/control_server.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/fake_control/fake_control.h"
#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::cordon::testing::ConnectAs;
using ::cordon::testing::ConnectTo;
using ::cordon::testing::FakeControl;
using ::cordon::testing::Patient;
using ::cordon::testing::Read;
namespace v1 = ::cordon::control::v1;

class ControlServerStopTest : public ::testing::Test {
 protected:
  std::string Path() const { return folder_.path() + "/control"; }

  void Start(ControlServerOptions options = {}) {
    options.addresses.push_back("unix:" + Path());
    if (options.access == nullptr) options.access = *AccessControl::Create({});
    service_ = std::make_unique<FakeControl>(options.access);
    absl::StatusOr<std::unique_ptr<ControlServer>> server =
        ControlServer::Start(std::move(options), {service_->service()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::unique_ptr<v1::Control::Stub> Stub() const {
    return v1::Control::NewStub(ConnectTo("unix:" + Path()));
  }

  const testing::TemporaryFolder folder_{"/tmp"};
  std::unique_ptr<FakeControl> service_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlServerStopTest, OpenStreamsEndWithUnavailable) {
  Start();
  const auto stub = Stub();
  const auto context = Patient();
  const auto stream = stub->WatchSessions(context.get(), {});
  v1::SessionEvent event;
  ASSERT_TRUE(stream->Read(&event));
  server_->Stop(absl::ZeroDuration());
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(service_->streams(), 0u);
}

TEST_F(ControlServerStopTest, TheServiceCanEndItsStreamsWithItsOwnWords) {
  ControlServerOptions options;
  options.on_stop = [this] { service_->EndStreams(); };
  Start(std::move(options));
  const auto stub = Stub();
  const auto context = Patient();
  const auto stream = stub->WatchSessions(context.get(), {});
  v1::SessionEvent event;
  ASSERT_TRUE(stream->Read(&event));
  // The grace is not used up: nothing is left to wait for.
  server_->Stop(absl::Hours(1));
  EXPECT_FALSE(stream->Read(&event));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "the fake service is being stopped");
}

TEST_F(ControlServerStopTest, AClientThatReadsNothingDoesNotHinder) {
  Start();
  const auto stub = Stub();
  const auto context = Patient();
  const auto stream = stub->WatchStatistics(context.get(), {});
  service_->WaitForStreams(1);
  server_->Stop(absl::ZeroDuration());
  EXPECT_EQ(service_->streams(), 0u);
  context->TryCancel();
  v1::Statistics statistics;
  while (stream->Read(&statistics)) {
  }
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(ControlServerStopTest, ConnectionsThatSayNothingDoNotHinder) {
  Start();
  int error = 0;
  const net::UniqueFd silent = ConnectAs(geteuid(), Path(), &error);
  ASSERT_TRUE(silent.valid());
  ASSERT_TRUE(Read(ConnectTo("unix:" + Path())).ok());
  server_->Stop(absl::ZeroDuration());
  // gRPC sends its settings first.
  char bytes[4096];
  while (recv(silent.get(), bytes, sizeof(bytes), 0) > 0) {
  }
}

TEST_F(ControlServerStopTest, TlsHandshakesThatStallDoNotHinder) {
  const testing::TestAuthority authority("Test");
  const Certificate certificate =
      authority.Issue({.ip_addresses = {"127.0.0.1"}});
  ControlServerOptions options;
  options.addresses = {"127.0.0.1:0"};
  options.tls = {
      .certificate = folder_.Write("server.pem", certificate.chain_pem),
      .key = folder_.Write("server.key", certificate.key_pem),
      .client_authorities =
          folder_.Write("ca.pem", authority.certificate_pem())};
  options.access = *AccessControl::Create({.admin_names = {"ops.test"}});
  Start(std::move(options));
  const net::UniqueFd silent(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage address;
  const socklen_t length =
      net::Endpoint::LoopbackV4(static_cast<uint16_t>(server_->port()))
          .ToSockaddr(&address, AF_INET);
  ASSERT_EQ(connect(silent.get(), reinterpret_cast<const sockaddr*>(&address),
                    length),
            0);
  // Half of a ClientHello's record header.
  ASSERT_EQ(send(silent.get(), "\x16\x03", 2, 0), 2);
  server_->Stop(absl::Hours(1));
  char byte = 0;
  EXPECT_LE(recv(silent.get(), &byte, 1, 0), 0);
}

TEST_F(ControlServerStopTest, CallsThatRunMayEndWithinTheGrace) {
  Start();
  const auto stub = Stub();
  grpc::Status drained(grpc::StatusCode::UNKNOWN, "not yet");
  std::thread caller([&] {
    v1::DrainResponse response;
    drained = stub->Drain(Patient().get(), {}, &response);
  });
  service_->WaitForDrain();
  absl::Notification stopped;
  std::thread stopper([&] {
    server_->Stop(absl::Hours(1));
    stopped.Notify();
  });
  // Nobody gets in any more, while the call still runs.
  int error = 0;
  while (ConnectAs(geteuid(), Path(), &error).valid()) {
  }
  EXPECT_FALSE(stopped.HasBeenNotified());
  service_->FinishDrain();
  caller.join();
  stopper.join();
  EXPECT_TRUE(drained.ok()) << drained.error_message();
}

TEST_F(ControlServerStopTest, DestructionEndsEverything) {
  Start();
  const auto stub = Stub();
  const auto context = Patient();
  const auto stream = stub->WatchSessions(context.get(), {});
  v1::SessionEvent event;
  ASSERT_TRUE(stream->Read(&event));
  server_.reset();
  EXPECT_EQ(service_->streams(), 0u);
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(ControlServerStopTest, StoppingTwiceIsFine) {
  int calls = 0;
  ControlServerOptions options;
  options.on_stop = [&] { ++calls; };
  Start(std::move(options));
  server_->Stop(absl::ZeroDuration());
  server_->Stop(absl::ZeroDuration());
  server_.reset();
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace cordon::dtls::control
