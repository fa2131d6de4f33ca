// Options that are wrong are refused, and the message says which and why.
#include "cordon/dtls/context.h"

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "cordon/testing/certs/certs.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::TestAuthority;

ServerOptions GoodServer() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  static const Certificate* const certificate =
      new Certificate(authority->Issue({.dns_names = {"localhost"}}));
  ServerOptions options;
  options.certificates = {*certificate};
  return options;
}

absl::Status MakeServer(const std::function<void(ServerOptions&)>& change) {
  ServerOptions options = GoodServer();
  change(options);
  return Context::Server(std::move(options)).status();
}
absl::Status MakeClient(const std::function<void(ClientOptions&)>& change) {
  ClientOptions options;
  change(options);
  return Context::Client(std::move(options)).status();
}

void ExpectRefused(const absl::Status& status, const std::string& why) {
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::StrContains(std::string(status.message()), why)) << status;
}

TEST(ContextTest, GoodOptionsAreTaken) {
  EXPECT_TRUE(MakeServer([](ServerOptions&) {}).ok());
  EXPECT_TRUE(MakeClient([](ClientOptions&) {}).ok());
  EXPECT_TRUE(Context::Server(GoodServer())->is_server());
}

TEST(ContextTest, AServerNeedsCredentials) {
  ExpectRefused(MakeServer([](ServerOptions& o) { o.certificates.clear(); }),
                "certificate or a pre-shared key");
}

// ACCEPTANCE: QT12, QE1, QF1
TEST(ContextTest, AKeyMustFitItsCertificate) {
  const std::string other_key = TestAuthority("Other").Issue({}).key_pem;
  ExpectRefused(MakeServer([&](ServerOptions& o) {
                  o.certificates[0].key_pem = other_key;
                }),
                "does not fit the certificate (CN=test)");
}

TEST(ContextTest, PemMustBeReadable) {
  ExpectRefused(
      MakeServer([](ServerOptions& o) { o.certificates[0].chain_pem = "x"; }),
      "no certificate in PEM form");
  ExpectRefused(MakeServer([](ServerOptions& o) {
                  o.certificates[0].chain_pem.resize(200);
                }),
                "certificate 1 cannot be read");
  ExpectRefused(
      MakeServer([](ServerOptions& o) { o.certificates[0].key_pem = "x"; }),
      "private key");
  ExpectRefused(MakeServer([](ServerOptions& o) {
                  o.certificates[0].key_pem =
                      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
                      "-----END ENCRYPTED PRIVATE KEY-----\n";
                }),
                "encrypted");
  ExpectRefused(MakeClient([](ClientOptions& o) { o.trust.pem = "x"; }),
                "trust anchors");
}

TEST(ContextTest, CipherSuitesMustBeKnownAndSafe) {
  for (const char* bad : {"FOO", "ECDHE-RSA-AES128-SHA", "AES128-GCM-SHA256",
                          "ALL", "NULL-SHA", "ECDHE-PSK-NULL-SHA"}) {
    ExpectRefused(MakeServer([&](ServerOptions& o) { o.ciphers = bad; }), bad);
  }
  ExpectRefused(MakeServer([](ServerOptions& o) { o.ciphers = ":,"; }),
                "empty");
  EXPECT_TRUE(MakeServer([](ServerOptions& o) {
                o.ciphers =
                    "ECDHE-ECDSA-AES256-GCM-SHA384,"
                    "ECDHE-RSA-CHACHA20-POLY1305";
              }).ok());
}

TEST(ContextTest, ClientAuthenticationNeedsTrust) {
  ExpectRefused(MakeServer([](ServerOptions& o) {
                  o.verification.mode = PeerVerification::kVerify;
                }),
                "client_trust");
}

TEST(ContextTest, PreSharedKeysMustBeUsable) {
  ExpectRefused(
      MakeServer([](ServerOptions& o) { o.pre_shared_keys = {{"", {1}}}; }),
      "identity");
  ExpectRefused(
      MakeServer([](ServerOptions& o) { o.pre_shared_keys = {{"a", {}}}; }),
      "the pre-shared key of \"a\"");
  ExpectRefused(MakeServer([](ServerOptions& o) {
                  o.pre_shared_keys = {{"a", {1}}, {"a", {2}}};
                }),
                "two pre-shared keys for \"a\"");
  ExpectRefused(MakeClient([](ClientOptions& o) {
                  o.pre_shared_key = {std::string(200, 'i'), {1}};
                }),
                "identity");
}

TEST(ContextTest, SessionOptionsMustBeInRange) {
  ExpectRefused(MakeServer([](ServerOptions& o) { o.session.mtu = 255; }),
                "session.mtu is 255");
  ExpectRefused(MakeClient([](ClientOptions& o) { o.session.mtu = 65536; }),
                "session.mtu is 65536");
  ExpectRefused(MakeServer([](ServerOptions& o) {
                  o.session.handshake_deadline = absl::ZeroDuration();
                }),
                "handshake_deadline");
  ExpectRefused(MakeServer([](ServerOptions& o) {
                  o.session.retransmission_timeout = absl::Milliseconds(1);
                }),
                "retransmission_timeout is 1ms");
  ExpectRefused(MakeServer([](ServerOptions& o) {
                  o.session.max_retransmission_timeout = absl::Milliseconds(1);
                }),
                "max_retransmission_timeout");
  ExpectRefused(
      MakeServer([](ServerOptions& o) { o.session.max_queued_messages = 0; }),
      "max_queued_messages");
}

TEST(ContextTest, AlpnNamesMustFit) {
  ExpectRefused(MakeServer([](ServerOptions& o) { o.alpn = {""}; }), "ALPN");
  ExpectRefused(
      MakeClient([](ClientOptions& o) { o.alpn = {std::string(256, 'a')}; }),
      "ALPN");
}

TEST(CredentialsTest, FilesThatAreMissingAreNamed) {
  const absl::Status status =
      LoadCertificate("/nonexistent/c.pem", "/nonexistent/k.pem").status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_TRUE(
      absl::StrContains(std::string(status.message()), "/nonexistent/c.pem"));
  EXPECT_TRUE(absl::IsNotFound(LoadTrustAnchors("/nonexistent").status()));
}

TEST(CredentialsTest, ReadsPreSharedKeysAndNeverRepeatsThem) {
  absl::StatusOr<PreSharedKey> psk = ParsePreSharedKey("coap:device:00fF10");
  ASSERT_TRUE(psk.ok()) << psk.status();
  EXPECT_EQ(psk->identity, "coap:device");
  EXPECT_EQ(psk->key, (std::vector<uint8_t>{0x00, 0xff, 0x10}));
  for (const char* bad : {"deadbeef", ":deadbeef", "id:deadbee",
                          "id:deadbeefxx", "id:", "id:deadbeef:0"}) {
    const absl::Status status = ParsePreSharedKey(bad).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad;
    EXPECT_FALSE(absl::StrContains(std::string(status.message()), "deadbee"))
        << status;
  }
}

}  // namespace
}  // namespace cordon::dtls
