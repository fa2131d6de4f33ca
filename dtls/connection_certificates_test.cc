// Whole clients and servers that show each other certificates, good and bad.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cordon/dtls/context.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/connection_run/connection_run.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Authority;
using ::cordon::testing::ClientCertificate;
using ::cordon::testing::DefaultClient;
using ::cordon::testing::DefaultServer;
using ::cordon::testing::KeyType;
using ::cordon::testing::Outcome;
using ::cordon::testing::SelfSigned;
using ::cordon::testing::TestAuthority;
using ::cordon::testing::VirtualNow;

class CertificatesTest : public testing::ConnectionRun {};

class KeyTypeTest : public CertificatesTest,
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

struct BadServer {
  std::string name;
  VerificationErrorCode code;
  uint8_t alert;
  Certificate (*make)();
};

class BadServerTest : public CertificatesTest,
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

TEST_F(CertificatesTest, AllErrorsOfAChainAreReported) {
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

TEST_F(CertificatesTest, AnIpAddressMayBeTheName) {
  ServerOptions server = DefaultServer();
  server.certificates = {Authority().Issue({.ip_addresses = {"127.0.0.1"}})};
  EXPECT_TRUE(Run(server, DefaultClient(), {"x"}, {}, "127.0.0.1").client.ok());
  EXPECT_FALSE(
      Run(server, DefaultClient(), {"x"}, {}, "127.0.0.2").client.ok());
}

TEST_F(CertificatesTest, VerificationMayBeSwitchedOff) {
  ServerOptions server = DefaultServer();
  server.certificates = {SelfSigned({})};
  ClientOptions client = DefaultClient();
  client.verification.mode = PeerVerification::kNone;
  Outcome o = Run(server, client, {"x"}, {}, "");
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_FALSE(o.client_info.peer_verified);
}

TEST_F(CertificatesTest, ARequiredClientCertificateMustBeThereAndGood) {
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

TEST_F(CertificatesTest, ARequestedClientCertificateMayBeMissingButNotBad) {
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

}  // namespace
}  // namespace cordon::dtls
