// Whole clients and servers over a simulated network.
#include "cordon/dtls/connection.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/when_all.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/connection_run/connection_run.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Authority;
using ::cordon::testing::Bytes;
using ::cordon::testing::DefaultClient;
using ::cordon::testing::DefaultServer;
using ::cordon::testing::MustMake;
using ::cordon::testing::Outcome;
using ::cordon::testing::SimDatagram;
using ::cordon::testing::SimReactor;

class ConnectionTest : public testing::ConnectionRun {};

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

}  // namespace
}  // namespace cordon::dtls
