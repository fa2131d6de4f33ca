// Each kind of wrong certificate has an error of its own.
#include <algorithm>
#include <cctype>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/verification.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::KeyType;
using ::cordon::testing::PlainAlert;
using ::cordon::testing::SelfSigned;
using ::cordon::testing::TestAuthority;
using ::cordon::testing::VirtualClock;
using Code = VerificationErrorCode;
using Codes = std::vector<Code>;

Codes CodesOf(const std::vector<VerificationError>& errors) {
  Codes codes;
  for (const VerificationError& error : errors) codes.push_back(error.code);
  return codes;
}

const TestAuthority& Authority() { return EnginePair::Authority(); }

const TestAuthority& Middle() {
  static const TestAuthority* const authority =
      new TestAuthority(Authority().IssueAuthority("Middle CA"));
  return *authority;
}

struct WrongKind {
  std::string name;
  Code code;
  uint8_t alert;
  std::function<void(EnginePair&)> arrange;
};

class WrongCertificate : public ::testing::Test {
 protected:
  EnginePair pair_;
  EngineSide& client_ = pair_.client;
  EngineSide& server_ = pair_.server;
};

class WrongCertificateTest : public WrongCertificate,
                             public ::testing::WithParamInterface<WrongKind> {};

// ACCEPTANCE: QE5, QC6, QC10, QT14
TEST_P(WrongCertificateTest, HasAnErrorOfItsOwn) {
  const WrongKind& kind = GetParam();
  kind.arrange(pair_);
  pair_.Make();
  pair_.Exchange();
  ASSERT_EQ(client_.state(), EngineState::kVerificationFailed);
  const std::vector<VerificationError> errors =
      client_.engine->verification_errors();
  const Codes codes = CodesOf(errors);
  ASSERT_NE(std::find(codes.begin(), codes.end(), kind.code), codes.end())
      << client_.engine->error();
  EXPECT_EQ(GetErrorDetail(client_.engine->error())->alert, kind.alert);
  for (const VerificationError& error : errors) {
    EXPECT_FALSE(error.certificate.empty());
    EXPECT_FALSE(error.subject.empty());
    EXPECT_TRUE(absl::StrContains(error.message, error.subject));
  }
  EXPECT_TRUE(absl::StrContains(client_.engine->error().message(),
                                VerificationErrorName(kind.code)));
  EXPECT_TRUE(client_.engine->AbortHandshake(pair_.now, client_.output).ok());
  EXPECT_EQ(PlainAlert(client_.output.sent), kind.alert);
}

Certificate ForLocalhost(testing::CertificateSpec spec) {
  spec.dns_names = {"localhost"};
  return Authority().Issue(spec);
}

void Serve(EnginePair& pair, Certificate certificate) {
  pair.server_options.certificates = {std::move(certificate)};
}

std::vector<WrongKind> WrongKinds() {
  const absl::Time now = VirtualClock::Epoch();
  std::vector<WrongKind> kinds;
  kinds.push_back({"Expired", Code::kExpired, 45, [now](EnginePair& p) {
                     Serve(p,
                           ForLocalhost({.not_after = now - absl::Hours(1)}));
                   }});
  kinds.push_back({"NotYetValid", Code::kNotYetValid, 45, [now](EnginePair& p) {
                     Serve(p,
                           ForLocalhost({.not_before = now + absl::Hours(1)}));
                   }});
  kinds.push_back({"SelfSigned", Code::kSelfSigned, 48, [](EnginePair& p) {
                     Serve(p, SelfSigned({.dns_names = {"localhost"}}));
                   }});
  kinds.push_back(
      {"UnknownCa", Code::kUnableToGetLocalIssuer, 48, [](EnginePair& p) {
         Serve(p, TestAuthority("Unknown").Issue({.dns_names = {"localhost"}}));
       }});
  kinds.push_back(
      {"UnknownRootInChain", Code::kSelfSignedInChain, 48, [](EnginePair& p) {
         const TestAuthority unknown("Unknown");
         Certificate c = unknown.Issue({.dns_names = {"localhost"}});
         c.chain_pem += unknown.certificate_pem();
         Serve(p, std::move(c));
       }});
  kinds.push_back({"WrongName", Code::kHostNameMismatch, 42, [](EnginePair& p) {
                     Serve(p, Authority().Issue({.dns_names = {"b.test"}}));
                   }});
  kinds.push_back({"WrongUsage", Code::kInvalidPurpose, 43, [](EnginePair& p) {
                     Serve(p, ForLocalhost({.usage = "clientAuth"}));
                   }});
  kinds.push_back({"Revoked", Code::kRevoked, 44, [](EnginePair& p) {
                     Serve(p, ForLocalhost({}));
                     p.client_options.trust.crl_pem =
                         Authority().Crl(p.server_options.certificates);
                   }});
  kinds.push_back(
      {"NoCrlOfItsIssuer", Code::kCrlUnavailable, 42, [](EnginePair& p) {
         p.client_options.trust.crl_pem = TestAuthority("Other").Crl({});
       }});
  kinds.push_back({"CrlTooOld", Code::kCrlInvalid, 42, [now](EnginePair& p) {
                     p.client_options.trust.crl_pem =
                         Authority().Crl({}, now - absl::Hours(1));
                   }});
  kinds.push_back({"Blocked", Code::kBlocked, 49, [](EnginePair& p) {
                     p.client_options.verification.blocked = {*FingerprintOf(
                         EnginePair::ServerCertificate().chain_pem)};
                   }});
  kinds.push_back({"RootBlocked", Code::kBlocked, 49, [](EnginePair& p) {
                     p.client_options.verification.blocked = {
                         *FingerprintOf(Authority().certificate_pem())};
                   }});
  kinds.push_back({"ChainTooLong", Code::kPathTooLong, 42, [](EnginePair& p) {
                     p.client_options.verification.max_chain_depth = 0;
                     Serve(p, Middle().Issue({.dns_names = {"localhost"}}));
                   }});
  kinds.push_back({"WeakKey", Code::kWeakKey, 42, [](EnginePair& p) {
                     Serve(p, ForLocalhost({.key = KeyType::kRsa1024}));
                   }});
  kinds.push_back(
      {"WeakKeyOfAnAuthority", Code::kWeakKey, 42, [](EnginePair& p) {
         Serve(p, Authority()
                      .IssueAuthority("Weak CA", 0, KeyType::kRsa1024)
                      .Issue({.dns_names = {"localhost"}}));
       }});
  kinds.push_back(
      {"WeakSignature", Code::kWeakSignature, 42,
       [](EnginePair& p) { Serve(p, ForLocalhost({.sha1 = true})); }});
  kinds.push_back(
      {"IssuerIsNoAuthority", Code::kInvalidCa, 42,
       [](EnginePair& p) { Serve(p, testing::IssuedByALeaf(Authority())); }});
  return kinds;
}

std::string KindName(const ::testing::TestParamInfo<WrongKind>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Kinds, WrongCertificateTest,
                         ::testing::ValuesIn(WrongKinds()), KindName);

TEST_F(WrongCertificate, ARevocationListWithoutThePeerLetsItPass) {
  pair_.client_options.trust.crl_pem =
      Authority().Crl({ForLocalhost({}), ForLocalhost({})});
  pair_.Make();
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  // Of an authority in between there need not be a list.
  pair_.client_options.trust.crl_pem += Middle().Crl({});
  Serve(pair_, Middle().Issue({.dns_names = {"localhost"}}));
  pair_.Make();
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
}

// ACCEPTANCE: QC6
TEST_F(WrongCertificate, TheDepthCountsAuthoritiesBelowTheAnchor) {
  const TestAuthority lower = Middle().IssueAuthority("Lower CA");
  Serve(pair_, lower.Issue({.dns_names = {"localhost"}}));
  for (int depth : {0, 1, 2, 100}) {
    pair_.client_options.verification.max_chain_depth = depth;
    pair_.Make();
    pair_.Exchange();
    EXPECT_EQ(pair_.connected(), depth >= 2) << depth;
  }
  pair_.client_options.verification.max_chain_depth = 101;
  EXPECT_TRUE(
      absl::IsInvalidArgument(Context::Client(pair_.client_options).status()));
}

// ACCEPTANCE: QC10
TEST_F(WrongCertificate, ABlockListNeedsFingerprints) {
  for (const char* text : {"", "abc", "zz"}) {
    pair_.client_options.verification.blocked = {text};
    const absl::Status status = Context::Client(pair_.client_options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_TRUE(absl::StrContains(status.message(), "SHA-256"));
  }
  // As `openssl x509 -fingerprint` prints them.
  std::string fingerprint =
      *FingerprintOf(EnginePair::ServerCertificate().chain_pem);
  std::string pretty;
  for (size_t i = 0; i < fingerprint.size(); i += 2) {
    if (i > 0) pretty += ':';
    pretty += static_cast<char>(std::toupper(fingerprint[i]));
    pretty += static_cast<char>(std::toupper(fingerprint[i + 1]));
  }
  pair_.client_options.verification.blocked = {pretty};
  pair_.Make();
  pair_.Exchange();
  EXPECT_EQ(CodesOf(client_.engine->verification_errors()),
            Codes{Code::kBlocked});
}

}  // namespace
}  // namespace cordon::dtls
