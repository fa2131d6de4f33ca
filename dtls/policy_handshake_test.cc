// Handshakes under a policy: who passes, who does not, and who is not let
// through by a session of before.
#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/policy.h"
#include "cordon/dtls/policy_store.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::SelfSigned;
using Code = VerificationErrorCode;
using Codes = std::vector<Code>;

Codes CodesOf(const std::vector<VerificationError>& errors) {
  Codes codes;
  for (const VerificationError& error : errors) codes.push_back(error.code);
  return codes;
}

// A server whose contexts and policies live for several handshakes.
class PolicyHandshakeTest : public ::testing::Test {
 protected:
  PolicyHandshakeTest() {
    pair_.server_options.client_trust = EnginePair::Authority().trust();
    pair_.client_options.certificate = Device();
    policy_.client_certificate = PeerVerification::kVerify;
    policy_.trust = EnginePair::Authority().trust();
  }

  static Certificate Device() {
    static const Certificate* const device =
        new Certificate(EnginePair::Authority().Issue(
            {.common_name = "device", .dns_names = {"device.example"}}));
    return *device;
  }

  // Sets `policy_` and returns its version.
  uint64_t Set() {
    absl::StatusOr<uint64_t> version = policies_.Set(
        {.policy = policy_, .expected_version = policies_.Present("").version});
    EXPECT_TRUE(version.ok()) << version.status();
    return *version;
  }

  void Handshake(const ResumableSession& resume = {}) {
    if (!server_context_.has_value()) {
      server_context_ = *Context::Server(pair_.server_options);
    }
    Context client = *Context::Client(pair_.client_options);
    EngineOptions options = pair_.server_engine;
    options.policy = policies_.ForHandshake("");
    server_ = {};
    server_.engine = *Engine::Create(*server_context_, options);
    server_.engine->Start(pair_.now, server_.output);
    options = pair_.client_engine;
    options.resume = resume;
    client_ = {};
    client_.engine = *Engine::Create(client, options);
    client_.engine->Start(pair_.now, client_.output);
    pair_.Exchange();
  }

  void ExpectConnected(uint64_t version) {
    ASSERT_TRUE(pair_.connected())
        << client_.engine->error() << server_.engine->error();
    EXPECT_EQ(server_.engine->info().policy_version, version);
    EXPECT_EQ(pair_.Carry(client_, server_, "up"), "up");
  }
  // The policy has decided: there is nothing to be ignored.
  void ExpectRefused(const Codes& codes, uint8_t alert) {
    ASSERT_EQ(server_.state(), EngineState::kFailed);
    const absl::Status& error = server_.engine->error();
    EXPECT_TRUE(absl::IsPermissionDenied(error)) << error;
    EXPECT_TRUE(absl::StrContains(error.message(), "policy")) << error;
    EXPECT_EQ(CodesOf(GetErrorDetail(error)->verification_errors), codes);
    EXPECT_EQ(GetErrorDetail(error)->alert, alert);
    ExpectClientTold(alert);
  }
  // The application may still decide otherwise.
  void ExpectNotVerified(const Codes& codes, uint8_t alert) {
    ASSERT_EQ(server_.state(), EngineState::kVerificationFailed)
        << server_.engine->error();
    EXPECT_EQ(CodesOf(server_.engine->verification_errors()), codes);
    server_.engine->Close(pair_.now, server_.output);
    pair_.Exchange();
    ExpectClientTold(alert);
  }
  void ExpectClientTold(uint8_t alert) {
    pair_.BelieveAlert(client_);
    ASSERT_EQ(client_.state(), EngineState::kFailed);
    const std::optional<ErrorDetail> told =
        GetErrorDetail(client_.engine->error());
    EXPECT_EQ(told->alert, alert);
    EXPECT_TRUE(told->alert_received);
  }
  // A session to be resumed.
  ResumableSession First() {
    Handshake();
    EXPECT_TRUE(pair_.connected()) << server_.engine->error();
    return *client_.engine->Session();
  }
  void UseKeys() {
    pair_.server_options.pre_shared_keys = {{"id", {1, 2, 3}}};
    pair_.client_options.trust = {};
    pair_.client_options.certificate = {};
    pair_.client_options.pre_shared_key = {"id", {1, 2, 3}};
    pair_.client_engine.server_name = "";
  }

  EnginePair pair_;
  EngineSide& client_ = pair_.client;
  EngineSide& server_ = pair_.server;
  PolicyStore policies_;
  Policy policy_;
  std::optional<Context> server_context_;
};

TEST_F(PolicyHandshakeTest, NoneAsksForNoCertificate) {
  policy_ = {};
  const uint64_t version = Set();
  Handshake();
  ExpectConnected(version);
  EXPECT_TRUE(server_.engine->info().peer_chain.empty());
}

TEST_F(PolicyHandshakeTest, QueryTellsWhatIsWrongAndGoesOn) {
  policy_.client_certificate = PeerVerification::kQuery;
  policy_.denied_names = {"device.example"};
  const uint64_t version = Set();
  Handshake();
  ExpectConnected(version);
  EXPECT_EQ(CodesOf(server_.engine->verification_errors()),
            Codes{Code::kNameDenied});
  EXPECT_FALSE(server_.engine->info().peer_verified);
  pair_.client_options.certificate = {};
  Handshake();
  ExpectConnected(version);
}

TEST_F(PolicyHandshakeTest, RequestTakesNoneOrAGoodOne) {
  policy_.client_certificate = PeerVerification::kVerifyIfGiven;
  const uint64_t version = Set();
  Handshake();
  ExpectConnected(version);
  EXPECT_TRUE(server_.engine->info().peer_verified);
  EXPECT_EQ(server_.engine->info().peer_subject, "CN=device");
  pair_.client_options.certificate = SelfSigned({});
  Handshake();
  ExpectNotVerified({Code::kSelfSigned}, SSL_AD_UNKNOWN_CA);
  pair_.client_options.certificate = {};
  Handshake();
  ExpectConnected(version);
}

TEST_F(PolicyHandshakeTest, RequireTakesAGoodOneOnly) {
  const uint64_t version = Set();
  Handshake();
  ExpectConnected(version);
  pair_.client_options.certificate = SelfSigned({});
  Handshake();
  ExpectNotVerified({Code::kSelfSigned}, SSL_AD_UNKNOWN_CA);
  pair_.client_options.certificate = {};
  Handshake();
  ExpectNotVerified({Code::kNoPeerCertificate}, SSL_AD_HANDSHAKE_FAILURE);
}

// What the context says about clients does not count.
TEST_F(PolicyHandshakeTest, ThePolicyCountsInsteadOfTheContext) {
  pair_.server_options.verification.mode = PeerVerification::kVerify;
  pair_.server_options.verification.ignored =
      IgnoreCodes(std::vector<Code>{Code::kSelfSigned});
  policy_ = {};
  uint64_t version = Set();
  pair_.client_options.certificate = {};
  Handshake();
  ExpectConnected(version);
  policy_.client_certificate = PeerVerification::kVerify;
  policy_.trust = EnginePair::Authority().trust();
  policy_.max_chain_depth = 0;
  version = Set();
  pair_.client_options.certificate = SelfSigned({});
  Handshake();
  ExpectNotVerified({Code::kSelfSigned}, SSL_AD_UNKNOWN_CA);
  policy_.tolerated = {{.error = Code::kSelfSigned}};
  version = Set();
  Handshake();
  ExpectConnected(version);
  EXPECT_EQ(CodesOf(server_.engine->info().ignored_errors),
            Codes{Code::kSelfSigned});
  EXPECT_FALSE(server_.engine->info().peer_verified);
}

TEST_F(PolicyHandshakeTest, AMissingCertificateMayBeTolerated) {
  policy_.tolerated = {{.error = Code::kNoPeerCertificate}};
  const uint64_t version = Set();
  pair_.client_options.certificate = {};
  Handshake();
  ExpectConnected(version);
  EXPECT_EQ(CodesOf(server_.engine->info().ignored_errors),
            Codes{Code::kNoPeerCertificate});
}

TEST_F(PolicyHandshakeTest, PinsAndNamesAreThePolicysOwnRefusal) {
  policy_.denied_names = {"*.example"};
  Set();
  Handshake();
  ExpectRefused({Code::kNameDenied}, SSL_AD_ACCESS_DENIED);
  policy_.denied_names = {};
  policy_.allowed_names = {"other.example"};
  Set();
  Handshake();
  ExpectRefused({Code::kNameNotAllowed}, SSL_AD_ACCESS_DENIED);
  policy_.allowed_names = {};
  policy_.pins = {{.sha256 = std::string(64, '0')}};
  Set();
  Handshake();
  ExpectRefused({Code::kNotPinned}, SSL_AD_ACCESS_DENIED);
}

// Neither a verdict nor a list of the application's goes beyond the policy.
TEST_F(PolicyHandshakeTest, TheApplicationIsNotAskedAboutWhomThePolicyRefuses) {
  policy_.denied_names = {"device.example"};
  Set();
  pair_.server_engine.ask_for_verdict = true;
  Handshake();
  EXPECT_FALSE(server_.engine->verdict_wanted());
  ExpectRefused({Code::kNameDenied}, SSL_AD_ACCESS_DENIED);
  // Not even if the context ignores all errors of this certificate.
  pair_.server_engine.ask_for_verdict = false;
  const std::vector<VerificationError> errors =
      GetErrorDetail(server_.engine->error())->verification_errors;
  pair_.server_options.verification.ignored = IgnoreExactly(errors);
  server_context_.reset();
  Handshake();
  ExpectRefused({Code::kNameDenied}, SSL_AD_ACCESS_DENIED);
}

// Its names are looked at when somebody would let it pass, not before.
TEST_F(PolicyHandshakeTest, WhoIgnoresAnErrorDoesNotPassADeniedName) {
  policy_.denied_names = {"device.example"};
  Set();
  pair_.client_options.certificate =
      SelfSigned({.dns_names = {"device.example"}});
  Handshake();
  ASSERT_EQ(server_.state(), EngineState::kVerificationFailed);
  EXPECT_EQ(CodesOf(server_.engine->verification_errors()),
            Codes{Code::kSelfSigned});
  const absl::Status status = server_.engine->ResumeHandshake(
      IgnoreExactly(server_.engine->verification_errors()), pair_.now,
      server_.output);
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  pair_.Exchange();
  ExpectRefused({Code::kNameDenied}, SSL_AD_ACCESS_DENIED);
  // Nor if the error was ignored from the start.
  pair_.server_options.verification.ignored =
      IgnoreExactly(GetErrorDetail(status)->verification_errors);
  for (IgnoredError& ignored : pair_.server_options.verification.ignored) {
    ignored.code = Code::kSelfSigned;
  }
  server_context_.reset();
  Handshake();
  ExpectRefused({Code::kNameDenied}, SSL_AD_ACCESS_DENIED);
  // Another name passes.
  policy_.denied_names = {"other.example"};
  ExpectConnected([&] {
    const uint64_t version = Set();
    Handshake();
    return version;
  }());
}

TEST_F(PolicyHandshakeTest, NorDoesWhomTheApplicationAccepts) {
  policy_.denied_names = {"device.example"};
  Set();
  pair_.client_options.certificate =
      SelfSigned({.dns_names = {"device.example"}});
  pair_.server_engine.ask_for_verdict = true;
  Handshake();
  ASSERT_TRUE(server_.engine->verdict_wanted());
  server_.engine->GiveVerdict(VerificationVerdict::Accept(), pair_.now,
                              server_.output);
  pair_.Exchange();
  ExpectRefused({Code::kNameDenied}, SSL_AD_ACCESS_DENIED);
}

TEST_F(PolicyHandshakeTest, KeysMayBeDisabled) {
  UseKeys();
  policy_ = {};
  uint64_t version = Set();
  Handshake();
  ExpectConnected(version);
  EXPECT_EQ(server_.engine->info().psk_identity, "id");
  for (int kind = 0; kind < 3; ++kind) {
    policy_ = {};
    if (kind == 0) policy_.psk_disabled = true;
    if (kind == 1) policy_.psk_disabled_identities = {"id"};
    if (kind == 2) policy_.psk_enabled_identities = {"another"};
    Set();
    Handshake();
    ExpectRefused({Code::kPskNotAllowed}, SSL_AD_UNKNOWN_PSK_IDENTITY);
  }
  policy_.psk_enabled_identities = {"another", "id"};
  version = Set();
  Handshake();
  ExpectConnected(version);
}

TEST_F(PolicyHandshakeTest, ADisabledKeyIsNotLookedUp) {
  UseKeys();
  pair_.server_options.pre_shared_keys = {};
  pair_.server_options.psk_lookup = true;
  pair_.server_engine.ask_for_psk = true;
  policy_ = {};
  policy_.psk_disabled_identities = {"id"};
  Set();
  Handshake();
  EXPECT_FALSE(server_.engine->wanted_psk().has_value());
  ExpectRefused({Code::kPskNotAllowed}, SSL_AD_UNKNOWN_PSK_IDENTITY);
}

// By ticket, and by session id.
class PolicyResumptionTest : public PolicyHandshakeTest,
                             public ::testing::WithParamInterface<bool> {
 protected:
  PolicyResumptionTest() { pair_.server_options.session_tickets = GetParam(); }
  bool resumed() const { return client_.engine->info().resumed; }
};

std::string NameOf(const ::testing::TestParamInfo<bool>& tickets) {
  return tickets.param ? "ByTicket" : "BySessionId";
}

INSTANTIATE_TEST_SUITE_P(, PolicyResumptionTest, ::testing::Bool(), NameOf);

TEST_P(PolicyResumptionTest, IsUnderThePolicyOfNow) {
  Set();
  const ResumableSession session = First();
  policy_.allowed_names = {"device.example"};
  const uint64_t version = Set();
  Handshake(session);
  ExpectConnected(version);
  EXPECT_TRUE(resumed());
  EXPECT_TRUE(server_.engine->info().peer_verified);
}

TEST_P(PolicyResumptionTest, DoesNotPassADeniedName) {
  Set();
  const ResumableSession session = First();
  policy_.denied_names = {"device.example"};
  Set();
  Handshake(session);
  ExpectRefused({Code::kNameDenied}, SSL_AD_ACCESS_DENIED);
}

TEST_P(PolicyResumptionTest, DoesNotPassAPinOrABlock) {
  Set();
  const ResumableSession session = First();
  policy_.pins = {{.sha256 = std::string(64, '0')}};
  Set();
  Handshake(session);
  ExpectRefused({Code::kNotPinned}, SSL_AD_ACCESS_DENIED);
  policy_.pins = {};
  policy_.blocked = {*FingerprintOf(Device().chain_pem)};
  Set();
  Handshake(session);
  ExpectNotVerified({Code::kBlocked}, SSL_AD_ACCESS_DENIED);
}

TEST_P(PolicyResumptionTest, DoesNotPassARevocation) {
  Set();
  const ResumableSession session = First();
  policy_.trust.crl_pem = EnginePair::Authority().Crl({Device()});
  Set();
  Handshake(session);
  ExpectNotVerified({Code::kRevoked}, SSL_AD_CERTIFICATE_REVOKED);
}

// What was tolerated once counts again.
TEST_P(PolicyResumptionTest, DoesNotPassAToleranceThatIsGone) {
  pair_.client_options.certificate = SelfSigned({});
  policy_.tolerated = {{.error = Code::kSelfSigned}};
  Set();
  const ResumableSession session = First();
  policy_.tolerated = {};
  Set();
  Handshake(session);
  ExpectNotVerified({Code::kSelfSigned}, SSL_AD_UNKNOWN_CA);
}

TEST_P(PolicyResumptionTest, DoesNotPassWithoutCertificateWhereOneIsRequired) {
  const Certificate device =
      std::exchange(pair_.client_options.certificate, {});
  // Begun where none was asked for: the certificate is asked for now.
  policy_.client_certificate = PeerVerification::kNone;
  Set();
  const ResumableSession unasked = First();
  policy_.client_certificate = PeerVerification::kVerify;
  Set();
  Handshake(unasked);
  ExpectNotVerified({Code::kNoPeerCertificate}, SSL_AD_HANDSHAKE_FAILURE);
  // Begun where that it was missing was tolerated.
  policy_.tolerated = {{.error = Code::kNoPeerCertificate}};
  uint64_t version = Set();
  const ResumableSession tolerated = First();
  Handshake(tolerated);
  ExpectConnected(version);
  EXPECT_TRUE(resumed());
  EXPECT_EQ(CodesOf(server_.engine->info().ignored_errors),
            Codes{Code::kNoPeerCertificate});
  policy_.tolerated = {};
  version = Set();
  Handshake(tolerated);
  ExpectNotVerified({Code::kNoPeerCertificate}, SSL_AD_HANDSHAKE_FAILURE);
  // The application may let it pass, as in any other handshake.
  Handshake(tolerated);
  ASSERT_EQ(server_.state(), EngineState::kVerificationFailed);
  EXPECT_TRUE(server_.engine
                  ->ResumeHandshake(
                      IgnoreCodes(std::vector<Code>{Code::kNoPeerCertificate}),
                      pair_.now, server_.output)
                  .ok());
  pair_.Exchange();
  ExpectConnected(version);
}

TEST_P(PolicyResumptionTest, UnderOtherAnchorsIsANewHandshake) {
  Set();
  const ResumableSession session = First();
  static const testing::TestAuthority* const other =
      new testing::TestAuthority("Other CA");
  policy_.trust.pem += other->certificate_pem();
  const uint64_t version = Set();
  Handshake(session);
  ExpectConnected(version);
  EXPECT_FALSE(resumed());
}

TEST_P(PolicyResumptionTest, DoesNotPassWithADisabledKey) {
  UseKeys();
  policy_ = {};
  Set();
  const ResumableSession session = First();
  uint64_t version = Set();
  Handshake(session);
  ExpectConnected(version);
  EXPECT_TRUE(resumed());
  policy_.psk_disabled_identities = {"id"};
  Set();
  Handshake(session);
  ExpectRefused({Code::kPskNotAllowed}, SSL_AD_UNKNOWN_PSK_IDENTITY);
}

}  // namespace
}  // namespace cordon::dtls
