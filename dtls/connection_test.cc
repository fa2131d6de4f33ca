// Whole clients and servers over a simulated network.
#include "cordon/dtls/connection.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/when_all.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::CertificateSpec;
using ::cordon::testing::Impairments;
using ::cordon::testing::KeyType;
using ::cordon::testing::SelfSigned;
using ::cordon::testing::SimDatagram;
using ::cordon::testing::SimReactor;
using ::cordon::testing::TestAuthority;
using ::cordon::testing::VirtualClock;

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

const TestAuthority& Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}
const Certificate& ServerCertificate() {
  static const Certificate* const certificate = new Certificate(
      Authority().Issue({.common_name = "server", .dns_names = {"localhost"}}));
  return *certificate;
}
const Certificate& ClientCertificate() {
  static const Certificate* const certificate = new Certificate(
      Authority().Issue({.common_name = "device1", .usage = "clientAuth"}));
  return *certificate;
}

constexpr uint8_t kChangeCipherSpec = 20;

bool HasRecord(const std::vector<uint8_t>& datagram, uint8_t type) {
  for (size_t at = 0; at + 13 <= datagram.size();
       at += 13 + (size_t{datagram[at + 11]} << 8 | datagram[at + 12])) {
    if (datagram[at] == type) return true;
  }
  return false;
}

absl::Time VirtualNow() { return VirtualClock::Epoch(); }

ServerOptions DefaultServer() {
  ServerOptions options;
  options.certificates = {ServerCertificate()};
  options.wall_clock = VirtualNow;
  return options;
}
ClientOptions DefaultClient() {
  ClientOptions options;
  options.trust = Authority().trust();
  options.wall_clock = VirtualNow;
  return options;
}

Context MustMake(absl::StatusOr<Context> context) {
  if (!context.ok()) ADD_FAILURE() << context.status();
  return *std::move(context);
}

// What the two sides saw.
struct Outcome {
  absl::Status client = absl::UnknownError("not run");
  absl::Status server = absl::UnknownError("not run");
  SessionInfo client_info;
  SessionInfo server_info;
  SessionStatistics client_statistics;
  SessionStatistics server_statistics;
  ListenerStatistics listener;
};

class ConnectionTest : public ::testing::Test {
 protected:
  static net::Task<absl::Status> EchoUntilClosed(Connection& connection) {
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    while (true) {
      absl::StatusOr<Message> message = co_await connection.RecvDecrypted();
      if (IsClosed(message.status())) co_return co_await connection.Close();
      if (!message.ok()) co_return message.status();
      CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
    }
  }

  static net::Task<absl::Status> ServeOne(Listener& listener,
                                          Outcome& outcome) {
    CO_ASSIGN_OR_RETURN(Connection connection, co_await listener.Accept());
    outcome.server = co_await EchoUntilClosed(connection);
    outcome.server_info = connection.info();
    outcome.server_statistics = connection.statistics();
    co_return absl::OkStatus();
  }

  // Sends `text` again until its echo comes: datagrams get lost.
  static net::Task<absl::Status> Ask(Connection& connection, std::string text) {
    for (int attempt = 0; attempt < 50; ++attempt) {
      CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(Bytes(text)));
      while (true) {
        absl::StatusOr<Message> reply = co_await net::WithTimeout(
            absl::Milliseconds(300), connection.RecvDecrypted());
        if (absl::IsDeadlineExceeded(reply.status())) break;
        if (!reply.ok()) co_return reply.status();
        if (reply->text() == text) co_return absl::OkStatus();
      }
    }
    co_return absl::UnavailableError("no reply");
  }

  static net::Task<absl::Status> Client(Connection& connection,
                                        std::vector<std::string> texts) {
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    for (std::string& text : texts) {
      CO_RETURN_IF_ERROR(co_await Ask(connection, std::move(text)));
    }
    co_return co_await connection.Close();
  }

  static net::Task<absl::Status> Play(SimReactor& reactor, Context server,
                                      Context client,
                                      std::vector<std::string> texts,
                                      std::string name, Outcome& outcome) {
    CO_ASSIGN_OR_RETURN(
        Listener listener,
        Listener::Bind(reactor, net::Endpoint::LoopbackV4(4433), server));
    net::TaskScope scope;
    scope.Spawn(ServeOne(listener, outcome));
    ConnectOptions options;
    options.server_name = std::move(name);
    {
      CO_ASSIGN_OR_RETURN(Connection connection,
                          co_await Connect(reactor, listener.local_endpoint(),
                                           client, options));
      outcome.client = co_await Client(connection, std::move(texts));
      outcome.client_info = connection.info();
      outcome.client_statistics = connection.statistics();
    }
    // The server may have lost the close_notify, or never have been reached;
    // and an alert in the clear it believes only after a while.
    (void)co_await net::SleepFor(absl::Seconds(2));
    scope.RequestStop();
    (void)co_await scope.Join();
    outcome.listener = listener.statistics();
    co_return absl::OkStatus();
  }

  Outcome Run(const ServerOptions& server, const ClientOptions& client,
              std::vector<std::string> texts = {"hello"},
              const Impairments& impairments = {},
              const std::string& name = "localhost") {
    Outcome outcome;
    SimReactor reactor(impairments);
    if (filter_) reactor.network().set_filter(filter_);
    EXPECT_TRUE(reactor
                    .Run(Play(reactor, MustMake(Context::Server(server)),
                              MustMake(Context::Client(client)),
                              std::move(texts), name, outcome))
                    .ok());
    network_ = reactor.network().statistics();
    return outcome;
  }

  cordon::testing::SimNetwork::Filter filter_;
  cordon::testing::SimNetwork::Statistics network_;
};

TEST_F(ConnectionTest, EchoesAndCloses) {
  Outcome o = Run(DefaultServer(), DefaultClient(), {"hello", "", "world"});
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_TRUE(o.server.ok()) << o.server;
  EXPECT_EQ(o.client_info.version, "DTLSv1.2");
  EXPECT_EQ(o.client_info.cipher, o.server_info.cipher);
  EXPECT_EQ(o.client_info.group, "X25519");
  EXPECT_EQ(o.server_info.server_name, "localhost");
  EXPECT_TRUE(o.client_info.peer_verified);
  EXPECT_EQ(o.client_info.peer_subject, "CN=server");
  EXPECT_EQ(o.listener.cookies.sent, 1U);
  EXPECT_EQ(o.listener.cookies.accepted, 1U);
  EXPECT_EQ(o.listener.handshakes_completed, 1U);
  EXPECT_EQ(o.listener.sessions, 0U);
  EXPECT_EQ(o.server_statistics.messages_received, 3U);
  EXPECT_EQ(o.server_statistics.message_bytes_sent, 10U);
}

TEST_F(ConnectionTest, WorksWithoutCookies) {
  ServerOptions server = DefaultServer();
  server.cookies = false;
  Outcome o = Run(server, DefaultClient());
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_EQ(o.listener.cookies.sent, 0U);
}

class KeyTypeTest : public ConnectionTest,
                    public ::testing::WithParamInterface<KeyType> {};

TEST_P(KeyTypeTest, BothSidesMayUseIt) {
  ServerOptions server = DefaultServer();
  server.certificates = {
      Authority().Issue({.dns_names = {"localhost"}, .key = GetParam()})};
  server.verification.mode = PeerVerification::kVerify;
  server.client_trust = Authority().trust();
  ClientOptions client = DefaultClient();
  client.certificate =
      Authority().Issue({.common_name = "device", .key = GetParam()});
  Outcome o = Run(server, client);
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_TRUE(o.server.ok()) << o.server;
  EXPECT_EQ(o.server_info.peer_subject, "CN=device");
}

INSTANTIATE_TEST_SUITE_P(KeyTypes, KeyTypeTest,
                         ::testing::Values(KeyType::kEcdsaP256,
                                           KeyType::kEcdsaP384,
                                           KeyType::kRsa2048,
                                           KeyType::kEd25519));

TEST_F(ConnectionTest, WorksWithAPreSharedKey) {
  ServerOptions server;
  server.pre_shared_keys = {{"a", {1, 2, 3}}, {"b", {4, 5, 6}}};
  ClientOptions client;
  client.pre_shared_key = {"b", {4, 5, 6}};
  Outcome o = Run(server, client, {"hello"}, {}, "");
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_EQ(o.client_info.cipher, "ECDHE-PSK-CHACHA20-POLY1305");
  EXPECT_EQ(o.server_info.psk_identity, "b");
}

// A client that would also take a certificate must say whose.
TEST_F(ConnectionTest, APreSharedKeyDoesNotReplaceTheName) {
  ClientOptions client = DefaultClient();
  client.pre_shared_key = {"b", {4, 5, 6}};
  SimReactor reactor;
  Context context = MustMake(Context::Client(client));
  EXPECT_TRUE(absl::IsInvalidArgument(
      reactor
          .Run(Connect(reactor, net::Endpoint::LoopbackV4(1), context,
                       std::string()))
          .status()));
}

TEST_F(ConnectionTest, RefusesAnUnknownPskIdentity) {
  ServerOptions server;
  server.pre_shared_keys = {{"a", {1, 2, 3}}};
  ClientOptions client;
  client.pre_shared_key = {"x", {1, 2, 3}};
  Outcome o = Run(server, client, {"hello"}, {}, "");
  EXPECT_TRUE(absl::IsPermissionDenied(o.client)) << o.client;
  EXPECT_EQ(GetErrorDetail(o.client)->alert, 115);
  EXPECT_TRUE(GetErrorDetail(o.client)->alert_received);
}

TEST_F(ConnectionTest, ACbcSuiteIsUsedOnlyWhenNamed) {
  ServerOptions server;
  server.pre_shared_keys = {{"a", {1, 2, 3}}};
  ClientOptions client;
  client.pre_shared_key = {"a", {1, 2, 3}};
  client.ciphers = "ECDHE-PSK-AES128-CBC-SHA";
  EXPECT_FALSE(Run(server, client, {"hello"}, {}, "").client.ok());
  server.ciphers = client.ciphers;
  Outcome o = Run(server, client, {"hello"}, {}, "");
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_EQ(o.client_info.cipher, "ECDHE-PSK-AES128-CBC-SHA");
}

TEST_F(ConnectionTest, NegotiatesAlpnByTheServersPreference) {
  ServerOptions server = DefaultServer();
  server.alpn = {"coap", "echo"};
  ClientOptions client = DefaultClient();
  client.alpn = {"echo", "coap"};
  Outcome o = Run(server, client);
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_EQ(o.client_info.alpn, "coap");
  EXPECT_EQ(o.server_info.alpn, "coap");
  client.alpn = {"http"};
  o = Run(server, client);
  EXPECT_FALSE(o.client.ok());
  EXPECT_EQ(GetErrorDetail(o.client)->alert, 120);
}

TEST_F(ConnectionTest, PicksTheCertificateByTheNameAskedFor) {
  ServerOptions server = DefaultServer();
  server.certificates = {
      Authority().Issue({.common_name = "one", .dns_names = {"one.test"}}),
      Authority().Issue({.common_name = "two", .dns_names = {"*.two.test"}})};
  EXPECT_EQ(Run(server, DefaultClient(), {}, {}, "a.two.test")
                .client_info.peer_subject,
            "CN=two");
  EXPECT_EQ(
      Run(server, DefaultClient(), {}, {}, "one.test").client_info.peer_subject,
      "CN=one");
}

struct BadServer {
  std::string name;
  VerificationErrorCode code;
  uint8_t alert;
  Certificate (*make)();
};

class BadServerTest : public ConnectionTest,
                      public ::testing::WithParamInterface<BadServer> {};

TEST_P(BadServerTest, IsToldAndNothingIsSentToIt) {
  ServerOptions server = DefaultServer();
  server.certificates = {GetParam().make()};
  Outcome o = Run(server, DefaultClient());
  EXPECT_TRUE(absl::IsUnauthenticated(o.client)) << o.client;
  const auto detail = GetErrorDetail(o.client);
  ASSERT_TRUE(detail.has_value());
  ASSERT_FALSE(detail->verification_errors.empty());
  EXPECT_EQ(detail->verification_errors[0].code, GetParam().code) << o.client;
  EXPECT_EQ(detail->verification_errors[0].depth, 0);
  EXPECT_EQ(detail->alert, GetParam().alert);
  // The server never completed, and knows why.
  EXPECT_EQ(GetErrorDetail(o.server)->alert, GetParam().alert) << o.server;
  EXPECT_EQ(o.listener.handshakes_failed, 1U);
  EXPECT_EQ(o.server_statistics.messages_received, 0U);
}

INSTANTIATE_TEST_SUITE_P(
    BadServers, BadServerTest,
    ::testing::Values(
        BadServer{"Expired", VerificationErrorCode::kExpired, 45,
                  [] {
                    return Authority().Issue(
                        {.dns_names = {"localhost"},
                         .not_after = VirtualNow() - absl::Hours(1)});
                  }},
        BadServer{"NotYetValid", VerificationErrorCode::kNotYetValid, 45,
                  [] {
                    return Authority().Issue(
                        {.dns_names = {"localhost"},
                         .not_before = VirtualNow() + absl::Hours(1)});
                  }},
        BadServer{"UnknownAuthority",
                  VerificationErrorCode::kUnableToGetLocalIssuer, 48,
                  [] {
                    return TestAuthority("Other CA")
                        .Issue({.dns_names = {"localhost"}});
                  }},
        BadServer{"SelfSigned", VerificationErrorCode::kSelfSigned, 48,
                  [] { return SelfSigned({.dns_names = {"localhost"}}); }},
        BadServer{
            "WrongName", VerificationErrorCode::kHostNameMismatch, 42,
            [] { return Authority().Issue({.dns_names = {"other.test"}}); }},
        BadServer{
            "CommonNameOnly", VerificationErrorCode::kHostNameMismatch, 42,
            [] { return Authority().Issue({.common_name = "localhost"}); }},
        BadServer{"WrongUsage", VerificationErrorCode::kInvalidPurpose, 43,
                  [] {
                    return Authority().Issue(
                        {.dns_names = {"localhost"}, .usage = "clientAuth"});
                  }},
        BadServer{"WeakKey", VerificationErrorCode::kWeakKey, 42,
                  [] {
                    return Authority().Issue(
                        {.dns_names = {"localhost"}, .key = KeyType::kRsa1024});
                  }}),
    [](const auto& param) { return param.param.name; });

TEST_F(ConnectionTest, AllErrorsOfAChainAreReported) {
  ServerOptions server = DefaultServer();
  server.certificates = {
      SelfSigned({.dns_names = {"other.test"},
                  .not_after = VirtualNow() - absl::Hours(1)})};
  Outcome o = Run(server, DefaultClient());
  std::vector<VerificationErrorCode> codes;
  const std::optional<ErrorDetail> detail = GetErrorDetail(o.client);
  ASSERT_TRUE(detail.has_value());
  for (const VerificationError& e : detail->verification_errors) {
    codes.push_back(e.code);
    EXPECT_EQ(e.subject, "CN=test");
    EXPECT_FALSE(e.certificate.empty());
  }
  EXPECT_EQ(codes, (std::vector<VerificationErrorCode>{
                       VerificationErrorCode::kSelfSigned,
                       VerificationErrorCode::kExpired,
                       VerificationErrorCode::kHostNameMismatch}));
}

TEST_F(ConnectionTest, AnIpAddressMayBeTheName) {
  ServerOptions server = DefaultServer();
  server.certificates = {Authority().Issue({.ip_addresses = {"127.0.0.1"}})};
  EXPECT_TRUE(Run(server, DefaultClient(), {"x"}, {}, "127.0.0.1").client.ok());
  EXPECT_FALSE(
      Run(server, DefaultClient(), {"x"}, {}, "127.0.0.2").client.ok());
}

TEST_F(ConnectionTest, VerificationMayBeSwitchedOff) {
  ServerOptions server = DefaultServer();
  server.certificates = {SelfSigned({})};
  ClientOptions client = DefaultClient();
  client.verification.mode = PeerVerification::kNone;
  Outcome o = Run(server, client, {"x"}, {}, "");
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_FALSE(o.client_info.peer_verified);
}

TEST_F(ConnectionTest, ARequiredClientCertificateMustBeThereAndGood) {
  ServerOptions server = DefaultServer();
  server.verification.mode = PeerVerification::kVerify;
  server.client_trust = Authority().trust();
  ClientOptions client = DefaultClient();
  Outcome o = Run(server, client);
  EXPECT_TRUE(absl::IsUnauthenticated(o.server)) << o.server;
  EXPECT_EQ(GetErrorDetail(o.server)->verification_errors[0].code,
            VerificationErrorCode::kNoPeerCertificate);
  EXPECT_FALSE(o.client.ok());

  client.certificate = TestAuthority("Other CA").Issue({});
  o = Run(server, client);
  EXPECT_TRUE(absl::IsUnauthenticated(o.server)) << o.server;
  EXPECT_TRUE(absl::IsPermissionDenied(o.client)) << o.client;

  client.certificate = Authority().Issue({.usage = "serverAuth"});
  o = Run(server, client);
  EXPECT_EQ(GetErrorDetail(o.server)->verification_errors[0].code,
            VerificationErrorCode::kInvalidPurpose);

  client.certificate = ClientCertificate();
  o = Run(server, client);
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_TRUE(o.server_info.peer_verified);
}

TEST_F(ConnectionTest, ARequestedClientCertificateMayBeMissingButNotBad) {
  ServerOptions server = DefaultServer();
  server.verification.mode = PeerVerification::kVerifyIfGiven;
  server.client_trust = Authority().trust();
  ClientOptions client = DefaultClient();
  Outcome o = Run(server, client);
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_FALSE(o.server_info.peer_verified);
  client.certificate = TestAuthority("Other CA").Issue({});
  EXPECT_FALSE(Run(server, client).client.ok());
}

TEST_F(ConnectionTest, HandshakesAtMtu300WithAChainOf5Kilobytes) {
  TestAuthority middle = Authority().IssueAuthority("Middle", 4000);
  ServerOptions server = DefaultServer();
  server.certificates = {
      middle.Issue({.dns_names = {"localhost"}, .padding = 1000})};
  server.verification.mode = PeerVerification::kVerify;
  server.client_trust = Authority().trust();
  server.session.mtu = 300;
  ClientOptions client = DefaultClient();
  client.session.mtu = 300;
  client.certificate = middle.Issue({.padding = 1000});
  Impairments impairments;
  impairments.max_datagram_bytes = 300 - 28;
  Outcome o = Run(server, client, {"small"}, impairments);
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_EQ(network_.too_large, 0U);
  EXPECT_LE(network_.largest_bytes, 300U - 28U);
  EXPECT_GT(o.server_statistics.datagrams_received, 20U);
}

// ACCEPTANCE: HA10
TEST_F(ConnectionTest, AHelloInFragmentsGetsACookieAndASession) {
  ServerOptions server = DefaultServer();
  server.alpn = {"last"};
  ClientOptions client = DefaultClient();
  client.session.mtu = 256;
  for (int i = 0; i < 30; ++i) {
    client.alpn.push_back(absl::StrCat("a-protocol-with-a-long-name-", i));
  }
  client.alpn.push_back("last");
  int fragments = 0;
  filter_ = [&fragments](SimDatagram& d) {
    // A ClientHello in message 1, the one with the cookie.
    fragments += d.bytes[0] == 22 && d.bytes[13] == 1 && d.bytes[18] == 1;
    return true;
  };
  Outcome o = Run(server, client);
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_EQ(o.client_info.alpn, "last");
  EXPECT_GE(fragments, 4);
  EXPECT_EQ(o.listener.cookies.sent, 1U);
  EXPECT_EQ(o.listener.cookies.accepted, 1U);
  EXPECT_EQ(o.client_statistics.retransmissions, 0U);
}

TEST_F(ConnectionTest, RefusesMessagesThatAreTooLarge) {
  Outcome o = Run(DefaultServer(), DefaultClient(),
                  {std::string(kMaxMessageBytes, 'x'),
                   std::string(kMaxMessageBytes + 1, 'x')});
  EXPECT_TRUE(absl::IsInvalidArgument(o.client)) << o.client;
  EXPECT_EQ(o.client_statistics.messages_sent, 1U);
}

TEST_F(ConnectionTest, GivesUpAtTheDeadline) {
  filter_ = [](SimDatagram&) { return false; };
  ClientOptions client = DefaultClient();
  client.session.handshake_deadline = absl::Seconds(7);
  Outcome o = Run(DefaultServer(), client);
  EXPECT_TRUE(absl::IsDeadlineExceeded(o.client)) << o.client;
  EXPECT_EQ(GetErrorDetail(o.client)->limit, "handshake_deadline");
  // 0.4, 1.2, 2.8 and 6 seconds after the start.
  EXPECT_EQ(o.client_statistics.retransmissions, 4U);
}

// The server is done when it has sent its last flight, and must answer when the
// client repeats its own.
TEST_F(ConnectionTest, TheLastFlightIsSentAgain) {
  int finished = 0;
  filter_ = [&finished](SimDatagram& d) {
    // First the last flight is lost twice.
    const bool last_flight =
        d.from.port() == 4433 && HasRecord(d.bytes, kChangeCipherSpec);
    return !last_flight || ++finished > 2;
  };
  Outcome o = Run(DefaultServer(), DefaultClient());
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_TRUE(o.server.ok()) << o.server;
  EXPECT_EQ(finished, 3);
}

TEST_F(ConnectionTest, ManyRecordsMayComeInOneDatagram) {
  // Joins what goes to the server, two by two.
  SimReactor reactor;
  std::vector<uint8_t> held;
  int joined = 0;
  reactor.network().set_filter([&](SimDatagram& d) {
    if (d.to.port() != 4433 || d.bytes[0] != 23) return true;
    if (held.empty()) {
      held = d.bytes;
      return false;
    }
    d.bytes.insert(d.bytes.begin(), held.begin(), held.end());
    held.clear();
    ++joined;
    return true;
  });
  Outcome outcome;
  auto client = [](SimReactor& r,
                   Listener& listener) -> net::Task<absl::Status> {
    Context context = MustMake(Context::Client(DefaultClient()));
    ConnectOptions options;
    options.server_name = "localhost";
    CO_ASSIGN_OR_RETURN(
        Connection connection,
        co_await Connect(r, listener.local_endpoint(), context, options));
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    for (int i = 0; i < 10; ++i) {
      CO_RETURN_IF_ERROR(
          co_await connection.SendEncrypted(Bytes(absl::StrCat(i))));
    }
    for (int i = 0; i < 10; ++i) {
      CO_ASSIGN_OR_RETURN(Message reply, co_await connection.RecvDecrypted());
      EXPECT_EQ(reply.text(), absl::StrCat(i));
    }
    co_return co_await connection.Close();
  };
  auto both = [&](SimReactor& r) -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(
        Listener listener,
        Listener::Bind(r, net::Endpoint::LoopbackV4(4433),
                       MustMake(Context::Server(DefaultServer()))));
    auto [served, status] =
        co_await net::WhenAll(ServeOne(listener, outcome), client(r, listener));
    co_return status;
  };
  EXPECT_EQ(reactor.Run(both(reactor)), absl::OkStatus());
  EXPECT_EQ(joined, 5);
}

TEST_F(ConnectionTest, RepeatedAndForgedRecordsAreDropped) {
  int copies = 0;
  filter_ = [&copies](SimDatagram& d) {
    if (d.bytes[0] == 23) {
      ++copies;
      // The record twice, and once with a byte changed.
      std::vector<uint8_t> once = d.bytes;
      std::vector<uint8_t> forged = d.bytes;
      forged.back() ^= 1;
      d.bytes = forged;
      d.bytes.insert(d.bytes.end(), once.begin(), once.end());
      d.bytes.insert(d.bytes.end(), once.begin(), once.end());
      d.bytes.insert(d.bytes.end(), {1, 2, 3});
    }
    return true;
  };
  Outcome o = Run(DefaultServer(), DefaultClient(), {"a", "b", "c"});
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_EQ(o.server_statistics.messages_received, 3U);
  // Of each: the forged one, the copy, and the rest that is no record.
  EXPECT_EQ(o.server_statistics.records_discarded, 9U);
}

TEST_F(ConnectionTest, EachSuspensionMayBeStoppedAndGoneOnWith) {
  SimReactor reactor;
  auto run = [&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(
        Listener listener,
        Listener::Bind(reactor, net::Endpoint::LoopbackV4(4433),
                       MustMake(Context::Server(DefaultServer()))));
    const absl::Status accepted =
        (co_await net::WithTimeout(absl::Seconds(1), listener.Accept()))
            .status();
    EXPECT_TRUE(absl::IsDeadlineExceeded(accepted)) << accepted;

    ConnectOptions options;
    options.server_name = "localhost";
    Context context = MustMake(Context::Client(DefaultClient()));
    CO_ASSIGN_OR_RETURN(
        Connection client,
        co_await Connect(reactor, listener.local_endpoint(), context, options));
    const absl::Status early = (co_await client.RecvDecrypted()).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(early)) << early;
    absl::Status stopped =
        co_await net::WithTimeout(absl::Milliseconds(1), client.Handshake());
    EXPECT_TRUE(absl::IsDeadlineExceeded(stopped)) << stopped;

    CO_ASSIGN_OR_RETURN(Connection server, co_await listener.Accept());
    stopped =
        co_await net::WithTimeout(absl::Milliseconds(1), server.Handshake());
    EXPECT_TRUE(absl::IsDeadlineExceeded(stopped)) << stopped;
    // It went on meanwhile.
    auto [one, two] =
        co_await net::WhenAll(client.Handshake(), server.Handshake());
    CO_RETURN_IF_ERROR(one);
    CO_RETURN_IF_ERROR(two);
    const absl::Status received =
        (co_await net::WithTimeout(absl::Seconds(1), server.RecvDecrypted()))
            .status();
    EXPECT_TRUE(absl::IsDeadlineExceeded(received)) << received;
    CO_RETURN_IF_ERROR(co_await client.SendEncrypted(Bytes("after that")));
    CO_ASSIGN_OR_RETURN(Message message, co_await server.RecvDecrypted());
    EXPECT_EQ(message.text(), "after that");
    CO_RETURN_IF_ERROR(co_await server.Close());
    const absl::Status closed = (co_await client.RecvDecrypted()).status();
    EXPECT_TRUE(IsClosed(closed)) << closed;
    const absl::Status late = (co_await server.RecvDecrypted()).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(late)) << late;
    co_return co_await client.Close();
  };
  EXPECT_EQ(reactor.Run(run()), absl::OkStatus());
}

TEST_F(ConnectionTest, ManySeedsOfABadNetworkAllComplete) {
  Impairments impairments;
  impairments.loss = 0.2;
  impairments.reorder = 0.2;
  impairments.duplicate = 0.1;
  impairments.jitter = absl::Milliseconds(20);
  int completed = 0;
  constexpr int kSeeds = 3000;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    impairments.seed = seed;
    ServerOptions server = DefaultServer();
    ClientOptions client = DefaultClient();
    if (seed % 2 == 0) {
      server.verification.mode = PeerVerification::kVerify;
      server.client_trust = Authority().trust();
      client.certificate = ClientCertificate();
    }
    if (seed % 3 == 0) server.session.mtu = client.session.mtu = 500;
    Outcome o = Run(server, client, {"one", "two"}, impairments);
    EXPECT_TRUE(o.client.ok()) << "seed " << seed << ": " << o.client;
    completed += o.client.ok() ? 1 : 0;
  }
  EXPECT_EQ(completed, kSeeds);
}

TEST_F(ConnectionTest, CorruptionNeverChangesAMessage) {
  Impairments impairments;
  impairments.corrupt = 0.1;
  for (int seed = 1; seed <= 200; ++seed) {
    impairments.seed = seed;
    // `Ask` compares; a session may fail, but not with another text.
    Outcome o = Run(DefaultServer(), DefaultClient(), {"one", "two", "three"},
                    impairments);
    EXPECT_LE(o.server_statistics.message_bytes_received,
              11U * o.server_statistics.messages_received);
  }
}

}  // namespace
}  // namespace cordon::dtls
