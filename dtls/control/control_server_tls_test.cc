// The control service on TCP: both sides show certificates, and those of the
// server may be replaced while it runs.
#include <sys/socket.h>

#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/dtls/control/control_server.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/fake_control/fake_control.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::cordon::testing::CertificateSpec;
using ::cordon::testing::Change;
using ::cordon::testing::ConnectTo;
using ::cordon::testing::FakeControl;
using ::cordon::testing::Health;
using ::cordon::testing::Patient;
using ::cordon::testing::Read;
using ::cordon::testing::Reflect;
using ::cordon::testing::TestAuthority;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
namespace v1 = ::cordon::control::v1;

const TestAuthority& Servers() {
  static const TestAuthority* const authority = new TestAuthority("Servers");
  return *authority;
}

const TestAuthority& Clients() {
  static const TestAuthority* const authority = new TestAuthority("Clients");
  return *authority;
}

Certificate ServerCertificate() {
  return Servers().Issue({.ip_addresses = {"127.0.0.1"}});
}

Certificate ClientCertificate(const std::string& dns_name) {
  return Clients().Issue(
      {.common_name = "admin.test", .dns_names = {dns_name}});
}

class ControlServerTlsTest : public ::testing::Test {
 protected:
  static AccessRules Rules() {
    return {.admin_names = {"admin.test", "uri:spiffe://example.org/*/ops"},
            .reader_names = {"*.readers.test"}};
  }

  // The files' folder is a link, as where secrets are mounted in containers:
  // all files change at once.
  void Install(const Certificate& server, const std::string& authorities) {
    const std::string folder = absl::StrCat(folder_.path(), "/", ++installed_);
    std::filesystem::create_directory(folder);
    const std::string name = absl::StrCat(installed_);
    folder_.Write(name + "/server.pem", server.chain_pem);
    folder_.Write(name + "/server.key", server.key_pem);
    folder_.Write(name + "/clients.pem", authorities);
    std::filesystem::create_directory_symlink(folder, folder_.path() + "/new");
    std::filesystem::rename(folder_.path() + "/new", folder_.path() + "/now");
  }

  TlsFiles Files() const {
    const std::string now = folder_.path() + "/now/";
    return {.certificate = now + "server.pem",
            .key = now + "server.key",
            .client_authorities = now + "clients.pem"};
  }

  absl::Status Start(ControlServerOptions options, const AccessRules& rules) {
    options.access = *AccessControl::Create(rules);
    options.log = [this](absl::string_view line) {
      absl::MutexLock lock(&mutex_);
      log_.emplace_back(line);
    };
    options.log_refused = [this](absl::string_view line) {
      absl::MutexLock lock(&mutex_);
      refused_.emplace_back(line);
    };
    service_ = std::make_unique<FakeControl>(options.access);
    absl::StatusOr<std::unique_ptr<ControlServer>> server =
        ControlServer::Start(std::move(options), {service_->service()});
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }

  void StartTls(ControlServerOptions options = {}) {
    Install(ServerCertificate(), Clients().certificate_pem());
    options.addresses = {"127.0.0.1:0"};
    options.tls = Files();
    const absl::Status status = Start(std::move(options), Rules());
    ASSERT_TRUE(status.ok()) << status;
  }

  // A connection that says nothing.
  net::UniqueFd ConnectSilently() const {
    net::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage address;
    const socklen_t length =
        net::Endpoint::LoopbackV4(static_cast<uint16_t>(server_->port()))
            .ToSockaddr(&address, AF_INET);
    EXPECT_EQ(
        connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length),
        0);
    return fd;
  }

  // A new connection of a client with this certificate.
  std::shared_ptr<grpc::Channel> Connect(
      const Certificate& client,
      const TestAuthority& servers = Servers()) const {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = servers.certificate_pem();
    options.pem_cert_chain = client.chain_pem;
    options.pem_private_key = client.key_pem;
    return ConnectTo(server_->addresses()[0], grpc::SslCredentials(options));
  }

  grpc::StatusCode ReadAs(const Certificate& client) const {
    return Read(Connect(client)).error_code();
  }

  std::vector<std::string> log() const {
    absl::MutexLock lock(&mutex_);
    return log_;
  }
  std::vector<std::string> refused() const {
    absl::MutexLock lock(&mutex_);
    return refused_;
  }

  const testing::TemporaryFolder folder_;
  int installed_ = 0;
  mutable absl::Mutex mutex_;
  std::vector<std::string> log_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> refused_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<FakeControl> service_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlServerTlsTest, CallersHaveTheRolesOfTheirNames) {
  StartTls();
  EXPECT_TRUE(Change(Connect(ClientCertificate("admin.test"))).ok());
  EXPECT_TRUE(
      Change(Connect(Clients().Issue({.uris = {"spiffe://example.org/a/ops"}})))
          .ok());
  const auto reader = Connect(ClientCertificate("a.readers.test"));
  EXPECT_TRUE(Read(reader).ok());
  EXPECT_EQ(Change(reader).error_message(),
            "cert:a.readers.test has the role reader; this needs the role "
            "admin");
  EXPECT_THAT(service_->callers(),
              ElementsAre("cert:admin.test admin",
                          "cert:spiffe://example.org/a/ops admin",
                          "cert:a.readers.test reader"));
}

// Not even what asks for no role, nor the common name, which is "admin.test".
TEST_F(ControlServerTlsTest, WhoIsNotOnTheListMayCallNothing) {
  StartTls();
  const auto stranger = Connect(ClientCertificate("stranger.test"));
  const grpc::Status status = Read(stranger);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(status.error_message(),
            "cert:stranger.test may not use the control service: it is neither "
            "among its readers nor among its admins");
  EXPECT_THAT(Health(stranger), StartsWith("error 7"));
  EXPECT_THAT(Reflect(stranger), StartsWith("error 7"));
  v1::RotateCookieSecretResponse response;
  EXPECT_EQ(v1::Control::NewStub(stranger)
                ->RotateCookieSecret(Patient().get(), {}, &response)
                .error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(service_->callers(), IsEmpty());

  const auto nameless = Connect(Clients().Issue({.common_name = "admin.test"}));
  EXPECT_THAT(Read(nameless).error_message(),
              HasSubstr("a certificate without DNS names and URIs may not"));
}

TEST_F(ControlServerTlsTest, ProbesAndReflectionWorkForThoseOnTheList) {
  StartTls();
  const auto reader = Connect(ClientCertificate("a.readers.test"));
  EXPECT_EQ(Health(reader), "SERVING");
  EXPECT_THAT(Reflect(reader), HasSubstr("cordon.control.v1.Control"));
}

TEST_F(ControlServerTlsTest, BadCertificatesDoNotGetThrough) {
  StartTls();
  CertificateSpec spec = {.dns_names = {"admin.test"}};
  ASSERT_EQ(ReadAs(Clients().Issue(spec)), grpc::StatusCode::OK);
  spec.not_after = absl::Now() - absl::Hours(1);
  EXPECT_EQ(ReadAs(Clients().Issue(spec)), grpc::StatusCode::UNAVAILABLE);
  spec = {.dns_names = {"admin.test"}};
  spec.not_before = absl::Now() + absl::Hours(1);
  EXPECT_EQ(ReadAs(Clients().Issue(spec)), grpc::StatusCode::UNAVAILABLE);
  spec = {.dns_names = {"admin.test"}};
  EXPECT_EQ(ReadAs(Servers().Issue(spec)), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReadAs(testing::SelfSigned(spec)), grpc::StatusCode::UNAVAILABLE);
  spec.usage = "serverAuth";
  EXPECT_EQ(ReadAs(Clients().Issue(spec)), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(service_->callers(), ElementsAre("cert:admin.test admin"));
}

TEST_F(ControlServerTlsTest, WhoShowsNoCertificateDoesNotGetThrough) {
  StartTls();
  EXPECT_EQ(ReadAs({}), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Read(ConnectTo(server_->addresses()[0])).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(service_->callers(), IsEmpty());
}

TEST_F(ControlServerTlsTest, TlsIsUsedOnLoopbackThoughPlainTextIsAllowed) {
  Install(ServerCertificate(), Clients().certificate_pem());
  ASSERT_TRUE(Start({.addresses = {"127.0.0.1:0"},
                     .tls = Files(),
                     .allow_plaintext_loopback = true},
                    Rules())
                  .ok());
  EXPECT_EQ(Read(ConnectTo(server_->addresses()[0])).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReadAs(ClientCertificate("admin.test")), grpc::StatusCode::OK);
}

TEST_F(ControlServerTlsTest, ListensOnAllAddressesWithTls) {
  Install(ServerCertificate(), Clients().certificate_pem());
  ASSERT_TRUE(
      Start({.addresses = {"0.0.0.0:0"}, .tls = Files()}, Rules()).ok());
  EXPECT_EQ(server_->addresses()[0], absl::StrCat("0.0.0.0:", server_->port()));
}

TEST_F(ControlServerTlsTest, NewFilesAreUsedForNewConnections) {
  StartTls();
  const Certificate client = ClientCertificate("admin.test");
  const auto before = Connect(client);
  ASSERT_TRUE(Read(before).ok());
  ASSERT_THAT(log(), IsEmpty());

  const TestAuthority other("Other servers");
  Install(other.Issue({.ip_addresses = {"127.0.0.1"}}),
          Clients().certificate_pem());
  EXPECT_EQ(Read(Connect(client)).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Read(Connect(client, other)).ok());
  EXPECT_TRUE(Read(before).ok());
  EXPECT_THAT(log(), ElementsAre("the control service's certificate files have "
                                 "changed and were read again"));
}

TEST_F(ControlServerTlsTest, NewClientAuthoritiesReplaceTheOldOnes) {
  StartTls();
  const TestAuthority other("Other clients");
  const Certificate theirs = other.Issue({.dns_names = {"admin.test"}});
  EXPECT_EQ(ReadAs(theirs), grpc::StatusCode::UNAVAILABLE);
  Install(ServerCertificate(), other.certificate_pem());
  EXPECT_EQ(ReadAs(theirs), grpc::StatusCode::OK);
  EXPECT_EQ(ReadAs(ClientCertificate("admin.test")),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ControlServerTlsTest, BadNewFilesChangeNothing) {
  StartTls();
  const Certificate client = ClientCertificate("admin.test");
  ASSERT_EQ(ReadAs(client), grpc::StatusCode::OK);
  Certificate mismatch = ServerCertificate();
  mismatch.key_pem = ServerCertificate().key_pem;
  const std::string clients = Clients().certificate_pem();
  for (const auto& [server, authorities, why] :
       {std::tuple(mismatch, clients, "/now/server.key is not that of the"),
        std::tuple(Certificate{.chain_pem = "", .key_pem = ""}, clients,
                   "server.pem"),
        std::tuple(ServerCertificate(), std::string("nothing"), "clients.pem"),
        // A bundle with something in it that is no certificate, of which only a
        // part would be used.
        std::tuple(ServerCertificate(),
                   std::string("-----BEGIN CERTIFICATE-----\nAAAA\n"
                               "-----END CERTIFICATE-----\n") +
                       clients,
                   "clients.pem: block 1 (CERTIFICATE) is not a certificate"),
        std::tuple(ServerCertificate(),
                   clients + "-----BEGIN CERTIFICATE-----\n!\n"
                             "-----END CERTIFICATE-----\n",
                   "clients.pem: block 2 is damaged"),
        std::tuple(ServerCertificate(),
                   clients + clients.substr(0, clients.size() / 2),
                   "clients.pem: block 2 is damaged")}) {
    Install(server, authorities);
    EXPECT_EQ(ReadAs(client), grpc::StatusCode::OK) << why;
    const size_t lines = log().size();
    ASSERT_NE(lines, 0u);
    EXPECT_THAT(log().back(), HasSubstr("the old ones stay in use: "));
    EXPECT_THAT(log().back(), HasSubstr(why));
    // Said once.
    EXPECT_EQ(ReadAs(client), grpc::StatusCode::OK);
    EXPECT_EQ(log().size(), lines);
  }
  std::filesystem::remove(folder_.path() + "/now");
  EXPECT_EQ(ReadAs(client), grpc::StatusCode::OK);
  EXPECT_THAT(log().back(), HasSubstr("cannot read"));
  Install(ServerCertificate(), clients);
  EXPECT_EQ(ReadAs(client), grpc::StatusCode::OK);
  EXPECT_THAT(log().back(), HasSubstr("were read again"));
}

TEST_F(ControlServerTlsTest, ABundleMayHaveSeveralAuthoritiesAndComments) {
  const TestAuthority other("Other clients");
  Install(ServerCertificate(),
          absl::StrCat("Ours:\n", Clients().certificate_pem(), "\nTheirs:\n",
                       other.certificate_pem(), "\nThat is all.\n"));
  ASSERT_TRUE(
      Start({.addresses = {"127.0.0.1:0"}, .tls = Files()}, Rules()).ok());
  EXPECT_EQ(ReadAs(ClientCertificate("admin.test")), grpc::StatusCode::OK);
  EXPECT_EQ(ReadAs(other.Issue({.dns_names = {"admin.test"}})),
            grpc::StatusCode::OK);
}

// Which does not change the folder itself.
TEST_F(ControlServerTlsTest, AFileThatChangesInAFolderOfAuthoritiesIsSeen) {
  Install(ServerCertificate(), Clients().certificate_pem());
  std::filesystem::create_directory(folder_.path() + "/authorities");
  folder_.Write("authorities/one.pem", Clients().certificate_pem());
  TlsFiles files = Files();
  files.client_authorities = folder_.path() + "/authorities";
  ASSERT_TRUE(
      Start({.addresses = {"127.0.0.1:0"}, .tls = files}, Rules()).ok());
  const TestAuthority other("Other clients");
  const Certificate theirs = other.Issue({.dns_names = {"admin.test"}});
  const Certificate ours = ClientCertificate("admin.test");
  EXPECT_EQ(ReadAs(ours), grpc::StatusCode::OK);
  EXPECT_EQ(ReadAs(theirs), grpc::StatusCode::UNAVAILABLE);
  folder_.Write("authorities/one.pem", other.certificate_pem());
  EXPECT_EQ(ReadAs(theirs), grpc::StatusCode::OK);
  EXPECT_EQ(ReadAs(ours), grpc::StatusCode::UNAVAILABLE);
  folder_.Write("authorities/two.pem", Clients().certificate_pem());
  EXPECT_EQ(ReadAs(ours), grpc::StatusCode::OK);
}

TEST_F(ControlServerTlsTest, SilentConnectionsDoNotKeepAdminsOut) {
  StartTls();
  std::vector<net::UniqueFd> silent;
  for (int i = 0; i < 200; ++i) silent.push_back(ConnectSilently());
  EXPECT_TRUE(Change(Connect(ClientCertificate("admin.test"))).ok());
  const ControlServer::Statistics statistics = server_->statistics();
  EXPECT_GT(statistics.unauthenticated_evicted, 0U);
  EXPECT_EQ(statistics.connections_over_limit, 0U);
  // And those that are there, when others come.
  const auto admin = Connect(ClientCertificate("admin.test"));
  EXPECT_TRUE(Change(admin).ok());
  const uint64_t evicted = server_->statistics().unauthenticated_evicted;
  for (int i = 0; i < 100; ++i) silent.push_back(ConnectSilently());
  while (server_->statistics().unauthenticated_evicted < evicted + 60) {
  }
  EXPECT_TRUE(Change(admin).ok());
}

TEST_F(ControlServerTlsTest, AReaderWithManyConnectionsDoesNotKeepAdminsOut) {
  StartTls({.max_connections = 6,
            .max_connections_per_reader = 3,
            .connections_for_admins = 2});
  std::vector<std::shared_ptr<grpc::Channel>> idle;
  const auto connect = [&](const std::string& name) {
    idle.push_back(Connect(ClientCertificate(name)));
    return Read(idle.back()).error_code();
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(connect("a.readers.test"), grpc::StatusCode::OK);
  }
  EXPECT_EQ(connect("a.readers.test"), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(connect("b.readers.test"), grpc::StatusCode::OK);
  EXPECT_EQ(connect("b.readers.test"), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(connect("admin.test"), grpc::StatusCode::OK);
  EXPECT_EQ(connect("admin.test"), grpc::StatusCode::OK);
  EXPECT_GE(server_->statistics().connections_over_limit, 2U);
  EXPECT_TRUE(Read(idle[0]).ok());
}

TEST_F(ControlServerTlsTest, AuthenticationHasADeadline) {
  StartTls({.authentication_timeout = absl::Milliseconds(200),
            .handshake_timeout = absl::Hours(1)});
  const auto admin = Connect(ClientCertificate("admin.test"));
  const auto stranger = Connect(ClientCertificate("stranger.test"));
  ASSERT_TRUE(Read(admin).ok());
  EXPECT_EQ(Read(stranger).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  const net::UniqueFd silent = ConnectSilently();
  char byte = 0;
  EXPECT_LE(recv(silent.get(), &byte, 1, 0), 0);
  // That of the stranger, too, and not that of the admin.
  EXPECT_EQ(server_->statistics().unauthenticated_timed_out, 2U);
  EXPECT_EQ(server_->statistics().connections, 1U);
  EXPECT_TRUE(Read(admin).ok());
  EXPECT_EQ(server_->statistics().connections_accepted, 3U);
}

TEST_F(ControlServerTlsTest, StrangersAreLoggedAtALimitedRate) {
  StartTls();
  const auto stranger = Connect(ClientCertificate("stranger.test"));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Read(stranger).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }
  EXPECT_EQ(server_->statistics().callers_refused, 100U);
  EXPECT_THAT(refused(),
              Contains(HasSubstr("refused a call: cert:stranger.test "
                                 "may not use the control")));
  EXPECT_LE(refused().size(), 60U);
  EXPECT_THAT(log(), IsEmpty());
}

TEST_F(ControlServerTlsTest, SaysWhatIsWrongWithItsFiles) {
  Install(ServerCertificate(), Clients().certificate_pem());
  const auto message = [&](const TlsFiles& tls,
                           const AccessRules& rules = Rules()) {
    const absl::Status status =
        Start({.addresses = {"127.0.0.1:0"}, .tls = tls}, rules);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()),
                StartsWith("control address \"127.0.0.1:0\": "));
    return std::string(status.message());
  };
  TlsFiles files = Files();
  files.certificate = "";
  EXPECT_THAT(message(files), HasSubstr("TLS lacks a certificate"));
  files = Files();
  files.key = "";
  EXPECT_THAT(message(files), HasSubstr("TLS lacks the certificate's key"));
  files = Files();
  files.client_authorities = "";
  EXPECT_THAT(message(files), HasSubstr("TLS lacks the authorities"));
  files = Files();
  files.key += ".not";
  EXPECT_THAT(message(files), HasSubstr("cannot read " + files.key));
  files = Files();
  files.key = folder_.Write("other.key", ServerCertificate().key_pem);
  EXPECT_THAT(message(files),
              HasSubstr(absl::StrCat("the private key in ", files.key,
                                     " is not that of the certificate in ",
                                     files.certificate)));
  files.key = folder_.Write("locked.key",
                            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n"
                            "-----END ENCRYPTED PRIVATE KEY-----\n");
  EXPECT_THAT(message(files), HasSubstr(files.key + " has no private key, or "
                                                    "it is encrypted"));
  EXPECT_THAT(message(Files(), {}),
              HasSubstr("no client may connect: name some certificates"));
}

}  // namespace
}  // namespace cordon::dtls::control
