// What a policy says of certificates, names and keys, and which policies there
// may be.
#include "cordon/dtls/internal/compiled_policy.h"

#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/stack.h>
#include <openssl/x509.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/internal/peer_identity.h"
#include "cordon/dtls/internal/peer_verifier.h"
#include "cordon/net/base/printable.h"
#include "cordon/testing/certs/certs.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using ::cordon::testing::SelfSigned;
using ::cordon::testing::TestAuthority;
using Code = VerificationErrorCode;
using Codes = std::vector<Code>;
using Chain = bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)>;
using Compiled = std::shared_ptr<const CompiledPolicy>;

// In the middle of the test certificates' validity.
constexpr absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);

const TestAuthority& Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}

const Certificate& Device() {
  static const Certificate* const device = new Certificate(
      Authority().Issue({.common_name = "device",
                         .dns_names = {"a.devices.example"},
                         .uris = {"spiffe://example.org/ns/prod/sa/web"}}));
  return *device;
}

Chain ChainOf(const Certificate& certificate) {
  Chain chain(sk_CRYPTO_BUFFER_new_null());
  const auto certificates = ParseCertificates(certificate.chain_pem, "test");
  for (const bssl::UniquePtr<X509>& c : *certificates) {
    uint8_t* der = nullptr;
    const int size = i2d_X509(c.get(), &der);
    bssl::PushToStack(chain.get(),
                      bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(
                          der, static_cast<size_t>(size), nullptr)));
    OPENSSL_free(der);
  }
  return chain;
}

Codes CodesOf(const std::vector<VerificationError>& errors) {
  Codes codes;
  for (const VerificationError& error : errors) codes.push_back(error.code);
  return codes;
}

Policy Strict() {
  Policy policy;
  policy.client_certificate = PeerVerification::kVerify;
  policy.trust = Authority().trust();
  return policy;
}

Compiled Compile(const Policy& policy, uint64_t version = 7) {
  absl::StatusOr<Compiled> compiled = CompiledPolicy::Compile(policy, version);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return *compiled;
}

CompiledPolicy::Judgement Judge(const Policy& policy,
                                const Certificate& certificate) {
  PeerVerifier::Demands demands;
  demands.max_chain_depth = policy.max_chain_depth;
  demands.now = kNow;
  return Compile(policy)->JudgeChain(ChainOf(certificate).get(), demands);
}

void ExpectJudged(const Policy& policy, const Certificate& certificate,
                  const Codes& errors, const Codes& tolerated = {},
                  const Codes& refusals = {}) {
  const CompiledPolicy::Judgement judgement = Judge(policy, certificate);
  EXPECT_EQ(CodesOf(judgement.errors), errors);
  EXPECT_EQ(CodesOf(judgement.tolerated), tolerated);
  EXPECT_EQ(CodesOf(judgement.refusals), refusals);
}

TEST(CompiledPolicyTest, KnowsWhatItWasMadeOf) {
  const Compiled compiled = *CompiledPolicy::Compile(Strict(), 12, 5);
  EXPECT_EQ(compiled->policy(), Strict());
  EXPECT_EQ(compiled->version(), 12U);
  EXPECT_EQ(compiled->judges_before(), 5U);
  EXPECT_EQ(Compile(Strict())->judges_before(), 0U);
}

TEST(CompiledPolicyTest, AGoodCertificateIsGood) {
  ExpectJudged(Strict(), Device(), {});
}

TEST(CompiledPolicyTest, ThePlainPolicyIsAPolicy) {
  Compile(Policy());
  Policy all = Strict();
  all.trust.system = true;
  all.trust.crl_pem = Authority().Crl({});
  all.min_version = "DTLSv1.2";
  Compile(all);
}

struct Wrong {
  std::string message;  // begins so
  std::function<void(Policy&)> change;
};

TEST(CompiledPolicyTest, ABadFieldIsNamedFirst) {
  const std::string good(64, 'a');
  const std::vector<Wrong> cases = {
      {"client_certificate: say NONE, QUERY, REQUEST or REQUIRE",
       [](Policy& p) { p.client_certificate = PeerVerification::kAuto; }},
      {"trust: ", [](Policy& p) { p.trust = {}; }},
      {"trust: ",
       [](Policy& p) {
         p.trust = {};
         p.client_certificate = PeerVerification::kVerifyIfGiven;
       }},
      {"trust.pem: ", [](Policy& p) { p.trust.pem = "no certificate"; }},
      {"trust.pem: the trust anchors: certificate 2 cannot be read",
       [](Policy& p) {
         p.trust.pem +=
             "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
       }},
      {"trust.crl_pem: ", [](Policy& p) { p.trust.crl_pem = "no list"; }},
      {"max_chain_depth: ", [](Policy& p) { p.max_chain_depth = -1; }},
      {"max_chain_depth: ", [](Policy& p) { p.max_chain_depth = 101; }},
      {"blocked[1]: \"ab\" is no SHA-256 fingerprint",
       [&](Policy& p) { p.blocked = {good, "ab"}; }},
      {"tolerated[0].error: ", [](Policy& p) { p.tolerated = {{}}; }},
      {"tolerated[0].error: \"name_denied\"",
       [](Policy& p) { p.tolerated = {{.error = Code::kNameDenied}}; }},
      {"tolerated[0].error: \"name_not_allowed\"",
       [](Policy& p) { p.tolerated = {{.error = Code::kNameNotAllowed}}; }},
      {"tolerated[0].error: \"not_pinned\"",
       [](Policy& p) { p.tolerated = {{.error = Code::kNotPinned}}; }},
      {"tolerated[0].error: \"psk_not_allowed\"",
       [](Policy& p) { p.tolerated = {{.error = Code::kPskNotAllowed}}; }},
      {"tolerated[1].fingerprint: ",
       [](Policy& p) {
         p.tolerated = {{.error = Code::kExpired},
                        {.error = Code::kExpired, .fingerprint = "xy"}};
       }},
      {"tolerated[0].name: \"a b\" is no DNS name",
       [](Policy& p) {
         p.tolerated = {{.error = Code::kExpired, .name = "a b"}};
       }},
      {"pins[1].sha256: ",
       [&](Policy& p) { p.pins = {{.sha256 = good}, {.sha256 = good + "a"}}; }},
      {"pins[0].sha256: ", [](Policy& p) { p.pins = {{}}; }},
      {"allowed_names[1]: \"a.*.b\" is no DNS name",
       [](Policy& p) { p.allowed_names = {"a.b", "a.*.b"}; }},
      {"denied_names[0]: \"uri:x\" is no URI",
       [](Policy& p) { p.denied_names = {"uri:x"}; }},
      {"psk.enabled_identities[0]: ",
       [](Policy& p) { p.psk_enabled_identities = {""}; }},
      {"psk.disabled_identities[1]: an identity must have from 1 to 128",
       [](Policy& p) {
         p.psk_disabled_identities = {"a", std::string(129, 'a')};
       }},
      {"min_version: \"DTLSv1.0\" is not supported",
       [](Policy& p) { p.min_version = "DTLSv1.0"; }},
      {"allowed_names: it has 100001 entries; at most 100000",
       [](Policy& p) { p.allowed_names.resize(100'001, "a.b"); }},
      {"denied_names: ",
       [](Policy& p) { p.denied_names.resize(100'001, "a.b"); }},
      {"blocked: ", [&](Policy& p) { p.blocked.resize(100'001, good); }},
      {"pins: ", [&](Policy& p) { p.pins.resize(100'001, {.sha256 = good}); }},
      {"tolerated: ",
       [](Policy& p) {
         p.tolerated.resize(100'001, {.error = Code::kExpired});
       }},
      {"psk.enabled_identities: ",
       [](Policy& p) { p.psk_enabled_identities.resize(100'001, "a"); }},
      {"psk.disabled_identities: ",
       [](Policy& p) { p.psk_disabled_identities.resize(100'001, "a"); }},
  };
  for (const Wrong& wrong : cases) {
    Policy policy = Strict();
    wrong.change(policy);
    const absl::Status status = CompiledPolicy::Compile(policy, 1).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << wrong.message << status;
    EXPECT_TRUE(absl::StartsWith(status.message(), wrong.message))
        << wrong.message << " <> " << status.message();
    EXPECT_FALSE(absl::StrContains(status.message(), "\n"));
  }
}

TEST(CompiledPolicyTest, AModeThatTrustsNobodyNeedsNoAnchors) {
  for (PeerVerification mode :
       {PeerVerification::kNone, PeerVerification::kQuery}) {
    Policy policy;
    policy.client_certificate = mode;
    Compile(policy);
  }
}

TEST(CompiledPolicyTest, PinsAreOfTheKeyOrOfTheCertificate) {
  const PeerIdentity device = IdentityOf(ChainOf(Device()).get());
  const std::string other(64, '0');
  Policy policy = Strict();
  policy.pins = {{.kind = Pin::Kind::kSpki, .sha256 = device.spki_fingerprint}};
  ExpectJudged(policy, Device(), {});
  policy.pins = {
      {.kind = Pin::Kind::kCertificate, .sha256 = device.fingerprint}};
  ExpectJudged(policy, Device(), {});
  // Upper case and colons are as good.
  const std::string upper = absl::AsciiStrToUpper(device.fingerprint);
  policy.pins[0].sha256 =
      absl::StrCat(upper.substr(0, 2), ":", upper.substr(2));
  ExpectJudged(policy, Device(), {});
  // One of several is enough.
  policy.pins = {{.sha256 = other},
                 {.sha256 = device.spki_fingerprint},
                 {.kind = Pin::Kind::kCertificate, .sha256 = other}};
  ExpectJudged(policy, Device(), {});
  // One kind does not stand for the other.
  policy.pins = {{.kind = Pin::Kind::kSpki, .sha256 = device.fingerprint}};
  ExpectJudged(policy, Device(), {}, {}, {Code::kNotPinned});
  policy.pins = {
      {.kind = Pin::Kind::kCertificate, .sha256 = device.spki_fingerprint}};
  ExpectJudged(policy, Device(), {}, {}, {Code::kNotPinned});
  EXPECT_TRUE(absl::StrContains(
      Judge(policy, Device()).refusals.front().message, device.fingerprint));
}

// An authority's pin would let everybody pass whom it has issued.
TEST(CompiledPolicyTest, OnlyThePeersOwnCertificateIsPinned) {
  const TestAuthority middle = Authority().IssueAuthority("Middle CA");
  const Certificate device = middle.Issue({.common_name = "device"});
  Policy policy = Strict();
  policy.pins = {{.kind = Pin::Kind::kCertificate,
                  .sha256 = *dtls::FingerprintOf(middle.certificate_pem())}};
  ExpectJudged(policy, device, {}, {}, {Code::kNotPinned});
}

TEST(CompiledPolicyTest, NamesAreAllowedAndDenied) {
  Policy policy = Strict();
  policy.allowed_names = {"*.devices.example"};
  ExpectJudged(policy, Device(), {});
  policy.allowed_names = {"*.other.example",
                          "uri:spiffe://example.org/ns/*/sa/web"};
  ExpectJudged(policy, Device(), {});
  policy.allowed_names = {"b.devices.example"};
  ExpectJudged(policy, Device(), {}, {}, {Code::kNameNotAllowed});
  EXPECT_TRUE(
      absl::StrContains(Judge(policy, Device()).refusals.front().message,
                        "a.devices.example, spiffe://example.org"));
  // A denial outweighs what is allowed.
  policy.allowed_names = {"*.devices.example"};
  policy.denied_names = {"a.devices.example"};
  ExpectJudged(policy, Device(), {}, {}, {Code::kNameDenied});
  policy.allowed_names = {"b.devices.example"};
  ExpectJudged(policy, Device(), {}, {},
               {Code::kNameDenied, Code::kNameNotAllowed});
  policy = Strict();
  policy.denied_names = {"uri:spiffe://example.org/**"};
  ExpectJudged(policy, Device(), {}, {}, {Code::kNameDenied});
  EXPECT_TRUE(
      absl::StrContains(Judge(policy, Device()).refusals.front().message,
                        "uri:spiffe://example.org/**"));
  policy.denied_names = {"b.devices.example"};
  ExpectJudged(policy, Device(), {});
}

TEST(CompiledPolicyTest, NamesOfChainsThatAnybodyCanMakeAreNotLookedAt) {
  const Certificate stranger =
      testing::SelfSigned({.dns_names = {"a.devices.example"}});
  Policy policy = Strict();
  policy.denied_names = {"a.devices.example"};
  policy.allowed_names = {"b.devices.example"};
  CompiledPolicy::Judgement judgement = Judge(policy, stranger);
  EXPECT_EQ(CodesOf(judgement.errors), Codes{Code::kSelfSigned});
  EXPECT_EQ(CodesOf(judgement.refusals), Codes());
  EXPECT_TRUE(judgement.names_unjudged);
  // Before somebody lets it pass all the same.
  EXPECT_EQ(CodesOf(Compile(policy)->JudgeNames(ChainOf(stranger).get(), {})),
            (Codes{Code::kNameDenied, Code::kNameNotAllowed}));
  judgement = Judge(policy, Device());
  EXPECT_FALSE(judgement.names_unjudged);
  EXPECT_EQ(CodesOf(judgement.refusals),
            (Codes{Code::kNameDenied, Code::kNameNotAllowed}));
}

TEST(CompiledPolicyTest, NamesInARefusalAreEscapedAndFew) {
  Policy policy = Strict();
  policy.allowed_names = {"other.example"};
  std::vector<std::string> names = {"evil\x1b[2J"};
  for (int i = 0; i < 300; ++i) names.push_back(absl::StrCat("n", i));
  const CompiledPolicy::Judgement judgement = Judge(
      policy, Authority().Issue({.dns_names = names, .usage = "clientAuth"}));
  ASSERT_EQ(judgement.refusals.size(), 1U);
  const std::string& message = judgement.refusals.front().message;
  EXPECT_EQ(message, net::PrintableText(message));
  EXPECT_TRUE(absl::StrContains(message, "evil\\x1b[2J, n0, n1, n2 and 297"))
      << message;
  EXPECT_LE(message.size(), 8 * net::kMaxNameBytes);
}

TEST(CompiledPolicyTest, WhoHasNoNameIsAllowedByNoPattern) {
  const Certificate nameless =
      Authority().Issue({.common_name = "a.devices.example"});
  Policy policy = Strict();
  policy.denied_names = {"a.devices.example"};
  ExpectJudged(policy, nameless, {});
  policy.denied_names = {};
  policy.allowed_names = {"a.devices.example"};
  ExpectJudged(policy, nameless, {}, {}, {Code::kNameNotAllowed});
}

Certificate Expired(const std::string& name) {
  return Authority().Issue({.common_name = name,
                            .dns_names = {name},
                            .not_after = kNow - absl::Hours(1)});
}

TEST(CompiledPolicyTest, AnErrorIsToleratedOfAnybody) {
  Policy policy = Strict();
  ExpectJudged(policy, Expired("a.example"), {Code::kExpired});
  policy.tolerated = {{.error = Code::kExpired}};
  ExpectJudged(policy, Expired("a.example"), {}, {Code::kExpired});
  // Another error still counts.
  ExpectJudged(policy, SelfSigned({}), {Code::kSelfSigned});
}

TEST(CompiledPolicyTest, AnErrorIsToleratedOfOneCertificate) {
  const Certificate mine = Expired("a.example");
  const Certificate other = Expired("a.example");
  Policy policy = Strict();
  policy.tolerated = {{.error = Code::kExpired,
                       .fingerprint = absl::AsciiStrToUpper(
                           *dtls::FingerprintOf(mine.chain_pem))}};
  ExpectJudged(policy, mine, {}, {Code::kExpired});
  ExpectJudged(policy, other, {Code::kExpired});
}

TEST(CompiledPolicyTest, AnErrorIsToleratedOfOneName) {
  Policy policy = Strict();
  policy.tolerated = {{.error = Code::kExpired, .name = "*.old.example"}};
  ExpectJudged(policy, Expired("a.old.example"), {}, {Code::kExpired});
  ExpectJudged(policy, Expired("a.example"), {Code::kExpired});
  // Both, if both are given.
  const Certificate mine = Expired("a.old.example");
  policy.tolerated[0].fingerprint = *dtls::FingerprintOf(mine.chain_pem);
  ExpectJudged(policy, mine, {}, {Code::kExpired});
  ExpectJudged(policy, Expired("a.old.example"), {Code::kExpired});
}

TEST(CompiledPolicyTest, AnErrorIsToleratedOfOneKey) {
  const Certificate mine = Expired("a.example");
  Policy policy = Strict();
  policy.tolerated = {{.error = Code::kExpired,
                       .spki = absl::AsciiStrToUpper(
                           *dtls::SpkiFingerprintOf(mine.chain_pem))}};
  ExpectJudged(policy, mine, {}, {Code::kExpired});
  ExpectJudged(policy, Expired("a.example"), {Code::kExpired});
  policy.tolerated[0].spki = "xy";
  const absl::Status status = CompiledPolicy::Compile(policy, 1).status();
  EXPECT_TRUE(absl::StartsWith(status.message(), "tolerated[0].spki: "))
      << status;
}

// With these errors anybody can have made the certificate, with any name.
TEST(CompiledPolicyTest, WhatBreaksTrustIsNotToleratedOfAName) {
  const std::vector<Code> breaking = {
      Code::kUnableToGetIssuer,
      Code::kUnableToGetLocalIssuer,
      Code::kUnableToVerifyFirst,
      Code::kSelfSigned,
      Code::kSelfSignedInChain,
      Code::kUnableToDecryptSignature,
      Code::kUnableToDecodeIssuerKey,
      Code::kSignatureInvalid,
      Code::kRevoked,
      Code::kInvalidCa,
      Code::kPathTooLong,
      Code::kNotTrusted,
      Code::kRejected,
      Code::kSubjectIssuerMismatch,
      Code::kAuthorityKeyMismatch,
      Code::kWeakKey,
      Code::kWeakSignature,
      Code::kBlocked,
  };
  for (const Code code : breaking) {
    EXPECT_TRUE(BreaksTrust(code));
    Policy policy = Strict();
    policy.tolerated = {{.error = Code::kExpired},
                        {.error = code, .name = "a.example"}};
    const absl::Status status = CompiledPolicy::Compile(policy, 1).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << VerificationErrorId(code);
    EXPECT_TRUE(absl::StartsWith(status.message(), "tolerated[1].name: "))
        << status;
    for (const absl::string_view part :
         {VerificationErrorId(code), absl::string_view("fingerprint"),
          absl::string_view("spki")}) {
      EXPECT_TRUE(absl::StrContains(status.message(), part)) << status;
    }
    // Of the one who is meant it is.
    policy.tolerated[1].fingerprint = std::string(64, 'a');
    EXPECT_TRUE(CompiledPolicy::Compile(policy, 1).ok());
    policy.tolerated[1].fingerprint = "";
    policy.tolerated[1].spki = std::string(64, 'a');
    EXPECT_TRUE(CompiledPolicy::Compile(policy, 1).ok());
    // Nor of anybody, where names are to tell who may pass.
    policy.tolerated = {{.error = code}};
    EXPECT_TRUE(CompiledPolicy::Compile(policy, 1).ok());
    policy.allowed_names = {"a.example"};
    const absl::Status any = CompiledPolicy::Compile(policy, 1).status();
    EXPECT_TRUE(absl::StartsWith(any.message(), "tolerated[0].error: ")) << any;
    policy.pins = {{.sha256 = std::string(64, 'a')}};
    EXPECT_TRUE(CompiledPolicy::Compile(policy, 1).ok());
  }
  for (const Code code :
       {Code::kExpired, Code::kNotYetValid, Code::kInvalidNotBefore,
        Code::kInvalidNotAfter, Code::kCrlUnavailable, Code::kCrlInvalid,
        Code::kInvalidPurpose, Code::kHostNameMismatch}) {
    EXPECT_FALSE(BreaksTrust(code));
    Policy policy = Strict();
    policy.tolerated = {{.error = code, .name = "a.example"}};
    policy.allowed_names = {"a.example"};
    EXPECT_TRUE(CompiledPolicy::Compile(policy, 1).ok())
        << VerificationErrorId(code);
  }
}

TEST(CompiledPolicyTest, AForgerDoesNotGetInByTheNameOfAStranger) {
  const Certificate known = SelfSigned({.dns_names = {"a.example"}});
  const Certificate forged = SelfSigned({.dns_names = {"a.example"}});
  Policy policy = Strict();
  policy.tolerated = {{.error = Code::kSelfSigned,
                       .name = "a.example",
                       .spki = *dtls::SpkiFingerprintOf(known.chain_pem)}};
  ExpectJudged(policy, known, {}, {Code::kSelfSigned});
  ExpectJudged(policy, forged, {Code::kSelfSigned});
}

TEST(CompiledPolicyTest, TolerancesDoNotReachPinsAndNames) {
  Policy policy = Strict();
  policy.tolerated = {{.error = Code::kExpired}};
  policy.pins = {{.sha256 = std::string(64, '0')}};
  policy.denied_names = {"a.example"};
  ExpectJudged(policy, Expired("a.example"), {}, {Code::kExpired},
               {Code::kNotPinned, Code::kNameDenied});
}

TEST(CompiledPolicyTest, BlockedCertificatesAreBlocked) {
  Policy policy = Strict();
  policy.blocked = {*dtls::FingerprintOf(Device().chain_pem)};
  ExpectJudged(policy, Device(), {Code::kBlocked});
  // The root as well.
  policy.blocked = {*dtls::FingerprintOf(Authority().certificate_pem())};
  ExpectJudged(policy, Device(), {Code::kBlocked});
}

TEST(CompiledPolicyTest, TheDepthIsBounded) {
  const TestAuthority middle = Authority().IssueAuthority("Middle CA");
  const Certificate device = middle.Issue({.common_name = "device"});
  Policy policy = Strict();
  policy.max_chain_depth = 1;
  ExpectJudged(policy, device, {});
  policy.max_chain_depth = 0;
  ExpectJudged(policy, device, {Code::kPathTooLong});
}

TEST(CompiledPolicyTest, RevocationListsCount) {
  Policy policy = Strict();
  policy.trust.crl_pem = Authority().Crl({});
  ExpectJudged(policy, Device(), {});
  policy.trust.crl_pem = Authority().Crl({Device()});
  ExpectJudged(policy, Device(), {Code::kRevoked});
  policy.trust.crl_pem = TestAuthority("Another CA").Crl({});
  ExpectJudged(policy, Device(), {Code::kCrlUnavailable});
  policy.trust.crl_pem = Authority().Crl({}, kNow - absl::Hours(1));
  // Of the device, and of the authority itself.
  ExpectJudged(policy, Device(), {Code::kCrlInvalid, Code::kCrlInvalid});
}

TEST(CompiledPolicyTest, IdentitiesOfKeysAreEnabledAndDisabled) {
  Policy policy;
  EXPECT_TRUE(Compile(policy)->AllowsPsk("a"));
  policy.psk_disabled_identities = {"a"};
  EXPECT_FALSE(Compile(policy)->AllowsPsk("a"));
  EXPECT_TRUE(Compile(policy)->AllowsPsk("A"));
  policy.psk_enabled_identities = {"a", "b"};
  EXPECT_FALSE(Compile(policy)->AllowsPsk("a"));
  EXPECT_TRUE(Compile(policy)->AllowsPsk("b"));
  EXPECT_FALSE(Compile(policy)->AllowsPsk("c"));
  policy.psk_disabled = true;
  EXPECT_FALSE(Compile(policy)->AllowsPsk("b"));
  EXPECT_TRUE(
      absl::StrContains(CompiledPolicy::PskError("a\n\"b").message, "a\\n\\"));
}

Codes JudgeSession(const Policy& policy, const Certificate* certificate,
                   std::optional<absl::string_view> psk = std::nullopt) {
  const Chain chain = certificate == nullptr ? nullptr : ChainOf(*certificate);
  return CodesOf(Compile(policy)->JudgeSession(chain.get(), psk, kNow));
}

TEST(CompiledPolicyTest, SessionsWithCertificatesAreJudged) {
  const Certificate expired = Expired("a.example");
  Policy policy = Strict();
  EXPECT_EQ(JudgeSession(policy, &Device()), Codes());
  policy.denied_names = {"a.devices.example"};
  policy.max_chain_depth = 0;
  EXPECT_EQ(JudgeSession(policy, &Device()), Codes{Code::kNameDenied});
  EXPECT_EQ(JudgeSession(policy, &expired), Codes{Code::kExpired});
  policy.denied_names = {"a.example"};
  EXPECT_EQ(JudgeSession(policy, &expired),
            (Codes{Code::kExpired, Code::kNameDenied}));
  policy.client_certificate = PeerVerification::kVerifyIfGiven;
  EXPECT_EQ(JudgeSession(policy, &expired),
            (Codes{Code::kExpired, Code::kNameDenied}));
  // Nobody insists.
  for (PeerVerification mode :
       {PeerVerification::kQuery, PeerVerification::kNone}) {
    policy.client_certificate = mode;
    EXPECT_EQ(JudgeSession(policy, &expired), Codes());
  }
}

TEST(CompiledPolicyTest, SessionsWithoutCertificateAreJudged) {
  Policy policy = Strict();
  EXPECT_FALSE(Compile(policy)->ToleratesAnonymous());
  EXPECT_EQ(JudgeSession(policy, nullptr), Codes{Code::kNoPeerCertificate});
  policy.tolerated = {{.error = Code::kNoPeerCertificate}};
  EXPECT_TRUE(Compile(policy)->ToleratesAnonymous());
  EXPECT_EQ(JudgeSession(policy, nullptr), Codes());
  // Who has no certificate has no name either.
  policy.tolerated[0].name = "a.example";
  EXPECT_FALSE(Compile(policy)->ToleratesAnonymous());
  for (PeerVerification mode :
       {PeerVerification::kVerifyIfGiven, PeerVerification::kQuery,
        PeerVerification::kNone}) {
    policy.client_certificate = mode;
    EXPECT_EQ(JudgeSession(policy, nullptr), Codes());
  }
}

TEST(CompiledPolicyTest, SessionsWithKeysAreJudged) {
  Policy policy = Strict();
  EXPECT_EQ(JudgeSession(policy, nullptr, "a"), Codes());
  policy.psk_disabled_identities = {"a"};
  EXPECT_EQ(JudgeSession(policy, nullptr, "a"), Codes{Code::kPskNotAllowed});
  EXPECT_EQ(JudgeSession(policy, nullptr, "b"), Codes());
  // Not to be taken for a session without key.
  EXPECT_EQ(JudgeSession(policy, nullptr, ""), Codes());
  policy.psk_disabled = true;
  EXPECT_EQ(JudgeSession(policy, nullptr, ""), Codes{Code::kPskNotAllowed});
  policy.psk_disabled = false;
  policy.psk_enabled_identities = {"b"};
  EXPECT_EQ(JudgeSession(policy, nullptr, ""), Codes{Code::kPskNotAllowed});
}

TEST(CompiledPolicyTest, ARefusalSaysWhyAndTellsThePeer) {
  struct Case {
    Code code;
    uint8_t alert;
  };
  for (const Case& c :
       {Case{Code::kExpired, SSL_AD_CERTIFICATE_EXPIRED},
        Case{Code::kNameDenied, SSL_AD_ACCESS_DENIED},
        Case{Code::kNotPinned, SSL_AD_ACCESS_DENIED},
        Case{Code::kRevoked, SSL_AD_CERTIFICATE_REVOKED},
        Case{Code::kSelfSigned, SSL_AD_UNKNOWN_CA},
        Case{Code::kNoPeerCertificate, SSL_AD_HANDSHAKE_FAILURE},
        Case{Code::kPskNotAllowed, SSL_AD_UNKNOWN_PSK_IDENTITY}}) {
    VerificationError first;
    first.code = c.code;
    first.message = "the first";
    VerificationError second;
    second.message = "the second";
    const absl::Status status = Compile(Strict(), 41)->Refusal({first, second});
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "version 41"));
    EXPECT_TRUE(absl::StrContains(status.message(), "the first; the second"));
    const ErrorDetail detail = *GetErrorDetail(status);
    EXPECT_EQ(detail.alert, c.alert);
    EXPECT_FALSE(detail.alert_received);
    EXPECT_EQ(detail.verification_errors.size(), 2U);
  }
}

}  // namespace
}  // namespace cordon::dtls::internal
