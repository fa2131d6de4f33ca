// The peer's verification in the middle of the handshake: what is found, what
// is ignored, and that nothing leaves before the verdict.
#include "cordon/dtls/verification.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "cordon/dtls/credentials.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/forged_chain/forged_chain.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::AsBytes;
using ::cordon::testing::Bytes;
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

class VerificationTest : public ::testing::Test {
 protected:
  // Until the client has the server's whole flight.
  void ToTheClientsVerdict() {
    pair_.Make();
    pair_.Deliver(pair_.client.output.Take(), pair_.server);
    pair_.Deliver(pair_.server.output.Take(), pair_.client);
  }
  // Until the server has the client's certificate, and all that follows it.
  void ToTheServersVerdict() {
    ToTheClientsVerdict();
    pair_.Deliver(pair_.client.output.Take(), pair_.server);
  }
  absl::Status Resume(EngineSide& side,
                      const std::vector<IgnoredError>& ignored = {}) {
    return side.engine->ResumeHandshake(ignored, pair_.now, side.output);
  }
  absl::Status Abort(EngineSide& side) {
    return side.engine->AbortHandshake(pair_.now, side.output);
  }

  EnginePair pair_;
  EngineSide& client_ = pair_.client;
  EngineSide& server_ = pair_.server;
};

// A server whose certificate is self-signed and for another name.
class UntrustedServerTest : public VerificationTest {
 protected:
  UntrustedServerTest() {
    pair_.server_options.certificates = {
        SelfSigned({.common_name = "self", .dns_names = {"other.test"}})};
  }
};

// ACCEPTANCE: QT10, QE2, QE3, QF12, QF15, QF20, QB3
TEST_F(UntrustedServerTest, RestsBeforeAnythingLeavesAndResumes) {
  ToTheClientsVerdict();
  EXPECT_EQ(client_.state(), EngineState::kVerificationFailed);
  EXPECT_TRUE(absl::IsUnauthenticated(client_.engine->error()));
  EXPECT_TRUE(client_.output.sent.empty());
  EXPECT_EQ(server_.state(), EngineState::kHandshaking);
  EXPECT_TRUE(server_.engine->error().ok());
  EXPECT_TRUE(server_.engine->verification_errors().empty());

  const std::vector<VerificationError> errors =
      client_.engine->verification_errors();
  EXPECT_EQ(CodesOf(errors),
            (Codes{Code::kSelfSigned, Code::kHostNameMismatch}));
  EXPECT_EQ(errors[0].subject, "CN=self");
  EXPECT_EQ(client_.engine->info().peer_chain.size(), 1U);
  EXPECT_EQ(client_.engine->info().cipher, "");
  EXPECT_EQ(client_.engine->peer_identity().dns_names,
            std::vector<std::string>{"other.test"});
  EXPECT_TRUE(absl::IsFailedPrecondition(
      client_.engine->Send(AsBytes("early"), client_.output)));

  EXPECT_TRUE(Resume(client_, IgnoreExactly(errors)).ok());
  EXPECT_EQ(client_.state(), EngineState::kHandshaking);
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  EXPECT_EQ(pair_.Carry(client_, server_, "after all"), "after all");
  EXPECT_TRUE(client_.engine->verification_errors().empty());
  EXPECT_EQ(client_.engine->info().ignored_errors, errors);
  EXPECT_FALSE(client_.engine->info().peer_verified);
}

// ACCEPTANCE: QT10, QF13, QB4
TEST_F(UntrustedServerTest, AbortingTellsThePeerAndForgetsEverything) {
  ToTheClientsVerdict();
  ASSERT_EQ(client_.state(), EngineState::kVerificationFailed);
  EXPECT_TRUE(Abort(client_).ok());
  EXPECT_EQ(client_.state(), EngineState::kNotStarted);
  EXPECT_TRUE(client_.engine->error().ok());
  EXPECT_TRUE(client_.engine->verification_errors().empty());
  EXPECT_TRUE(client_.engine->info().peer_chain.empty());
  EXPECT_EQ(client_.engine->NextDeadline(), absl::InfiniteFuture());
  EXPECT_EQ(PlainAlert(client_.output.sent), 48);  // unknown_ca
  pair_.Exchange();
  pair_.BelieveAlert(server_);
  EXPECT_EQ(server_.state(), EngineState::kFailed);
  EXPECT_EQ(GetErrorDetail(server_.engine->error())->alert, 48);
  EXPECT_TRUE(absl::IsFailedPrecondition(Abort(client_)));
}

// ACCEPTANCE: QF12, QT11, QF21
TEST_F(UntrustedServerTest, ResumesOnlyIfAllErrorsAreIgnored) {
  ToTheClientsVerdict();
  for (const std::vector<IgnoredError>& some :
       {IgnoreCodes({}), IgnoreCodes({Code::kSelfSigned}),
        IgnoreCodes({Code::kHostNameMismatch, Code::kExpired})}) {
    const absl::Status status = Resume(client_, some);
    EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
    EXPECT_EQ(client_.state(), EngineState::kVerificationFailed);
    EXPECT_EQ(client_.engine->verification_errors().size(), 2U);
    EXPECT_TRUE(client_.output.sent.empty());
  }
  const absl::Status status = Resume(client_, IgnoreCodes({Code::kSelfSigned}));
  ASSERT_EQ(GetErrorDetail(status)->verification_errors.size(), 1U);
  EXPECT_EQ(GetErrorDetail(status)->verification_errors[0].code,
            Code::kHostNameMismatch);
  EXPECT_TRUE(
      Resume(client_, IgnoreCodes({Code::kSelfSigned, Code::kHostNameMismatch}))
          .ok());
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
}

// ACCEPTANCE: QT11, QF21, QE5
TEST_F(UntrustedServerTest, APresetListMustCoverAllErrors) {
  pair_.MakeServer();
  pair_.MakeClient();
  EXPECT_TRUE(
      client_.engine->IgnoreVerificationErrors(IgnoreCodes({Code::kSelfSigned}))
          .ok());
  pair_.Exchange();
  EXPECT_EQ(client_.state(), EngineState::kVerificationFailed);
  EXPECT_EQ(CodesOf(client_.engine->verification_errors()),
            Codes{Code::kHostNameMismatch});
  const std::vector<VerificationError> all = [&] {
    std::vector<VerificationError> errors =
        client_.engine->verification_errors();
    return errors;
  }();

  pair_.Make();
  const std::vector<IgnoredError> both =
      IgnoreCodes({Code::kSelfSigned, Code::kHostNameMismatch});
  EXPECT_TRUE(client_.engine->IgnoreVerificationErrors(both).ok());
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  EXPECT_EQ(client_.engine->info().ignored_errors.size(), 2U);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(client_.engine->IgnoreVerificationErrors({})));

  // The list replaces the one before; an empty one ignores nothing.
  pair_.Make();
  EXPECT_TRUE(client_.engine->IgnoreVerificationErrors(both).ok());
  EXPECT_TRUE(client_.engine->IgnoreVerificationErrors({}).ok());
  pair_.Exchange();
  EXPECT_EQ(client_.engine->verification_errors().size(), 2U);
  EXPECT_EQ(all[0].certificate,
            client_.engine->verification_errors()[1].certificate);
}

// ACCEPTANCE: QE5
TEST_F(UntrustedServerTest, AnErrorIsIgnoredForItsCertificateOnly) {
  ToTheClientsVerdict();
  std::vector<IgnoredError> ignored =
      IgnoreExactly(client_.engine->verification_errors());
  // Another server with the same errors.
  pair_.server_options.certificates = {SelfSigned({.dns_names = {"b.test"}})};
  pair_.Make();
  EXPECT_TRUE(client_.engine->IgnoreVerificationErrors(ignored).ok());
  pair_.Exchange();
  EXPECT_EQ(client_.state(), EngineState::kVerificationFailed);
  EXPECT_EQ(client_.engine->verification_errors().size(), 2U);
}

TEST_F(UntrustedServerTest, AContextMayIgnoreErrorsForAllItsSessions) {
  pair_.client_options.verification.ignored =
      IgnoreCodes({Code::kSelfSigned, Code::kHostNameMismatch});
  pair_.Make();
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
}

// ACCEPTANCE: QB8, HB11
TEST_F(UntrustedServerTest, AVerdictAfterFiveSecondsStillCompletes) {
  ToTheClientsVerdict();
  const absl::Time verdict = pair_.now + absl::Seconds(5);
  // The timers go on: both repeat their flights, and neither goes further.
  while (true) {
    const absl::Time next = std::min(client_.engine->NextDeadline(),
                                     server_.engine->NextDeadline());
    if (next > verdict) break;
    pair_.now = next;
    client_.engine->OnTimeout(next, client_.output);
    server_.engine->OnTimeout(next, server_.output);
    pair_.Exchange();
    ASSERT_EQ(client_.state(), EngineState::kVerificationFailed);
    ASSERT_EQ(server_.state(), EngineState::kHandshaking);
  }
  EXPECT_GE(client_.engine->statistics().retransmissions, 3U);
  EXPECT_GE(server_.engine->statistics().retransmissions, 3U);
  pair_.now = verdict;
  EXPECT_TRUE(
      Resume(client_, IgnoreExactly(client_.engine->verification_errors()))
          .ok());
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
}

// It is us who keep the peer waiting, not the other way round.
TEST_F(UntrustedServerTest, RepetitionsRunOutButTheVerdictStillCompletes) {
  pair_.client_options.session.max_retransmissions = 2;
  ToTheClientsVerdict();
  const size_t mtu = client_.engine->statistics().mtu;
  for (int i = 0; i < 3; ++i) pair_.Expire(client_);
  EXPECT_EQ(client_.state(), EngineState::kVerificationFailed);
  EXPECT_EQ(client_.engine->statistics().retransmissions, 2U);
  EXPECT_EQ(client_.engine->statistics().mtu, mtu);
  pair_.now += absl::Seconds(10);
  EXPECT_TRUE(
      Resume(client_, IgnoreExactly(client_.engine->verification_errors()))
          .ok());
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
}

// Whether it did is only seen when it is asked to go on.
TEST_F(UntrustedServerTest, APeerThatGivesUpMeanwhileIsReportedAsSuch) {
  ToTheClientsVerdict();
  server_.engine->Close(pair_.now, server_.output);
  pair_.Deliver(server_.output.Take(), client_);
  pair_.now += absl::Seconds(5);
  client_.engine->OnTimeout(pair_.now, client_.output);
  EXPECT_EQ(client_.state(), EngineState::kVerificationFailed);
  EXPECT_TRUE(
      Resume(client_, IgnoreExactly(client_.engine->verification_errors()))
          .ok());
  pair_.BelieveAlert(client_);
  EXPECT_EQ(client_.state(), EngineState::kFailed);
  EXPECT_TRUE(absl::IsUnavailable(client_.engine->error()));
  EXPECT_TRUE(GetErrorDetail(client_.engine->error())->alert_received);
}

// ACCEPTANCE: QB7
TEST_F(UntrustedServerTest, WithoutAVerdictTheDeadlineEndsItWithAnAlert) {
  pair_.client_options.session.handshake_deadline = absl::Seconds(3);
  ToTheClientsVerdict();
  while (client_.state() == EngineState::kVerificationFailed) {
    pair_.Expire(client_);
  }
  EXPECT_TRUE(absl::IsDeadlineExceeded(client_.engine->error()));
  EXPECT_EQ(PlainAlert(client_.output.sent), 48);
  EXPECT_EQ(client_.engine->NextDeadline(), absl::InfiniteFuture());
}

TEST_F(UntrustedServerTest, WhatIsHeldWhileItRestsIsBounded) {
  ToTheClientsVerdict();
  Bytes noise(1200, 0);
  noise[0] = 22;
  noise[1] = 0xfe;
  noise[2] = 0xfd;
  noise[11] = static_cast<uint8_t>((noise.size() - 13) >> 8);
  noise[12] = static_cast<uint8_t>(noise.size() - 13);
  for (int i = 0; i < 1000; ++i) pair_.Deliver({noise}, client_);
  EXPECT_GT(client_.engine->statistics().records_discarded, 900U);
  EXPECT_EQ(client_.state(), EngineState::kVerificationFailed);
}

// --- Modes -----------------------------------------------------------------

// ACCEPTANCE: QC5, QT12
TEST_F(UntrustedServerTest, AClientThatDoesNotInsistGoesOn) {
  pair_.client_options.verification.mode = PeerVerification::kNone;
  pair_.Make();
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  EXPECT_TRUE(client_.engine->verification_errors().empty());
  EXPECT_FALSE(client_.engine->info().peer_verified);

  pair_.client_options.verification.mode = PeerVerification::kQuery;
  pair_.Make();
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  EXPECT_EQ(CodesOf(client_.engine->verification_errors()),
            (Codes{Code::kSelfSigned, Code::kHostNameMismatch}));
  EXPECT_FALSE(client_.engine->info().peer_verified);

  for (PeerVerification mode :
       {PeerVerification::kAuto, PeerVerification::kVerify,
        PeerVerification::kVerifyIfGiven}) {
    pair_.client_options.verification.mode = mode;
    pair_.Make();
    pair_.Exchange();
    EXPECT_EQ(client_.state(), EngineState::kVerificationFailed);
  }
}

// --- Limits ----------------------------------------------------------------

TEST_F(VerificationTest, BothSidesHaveLimitsForCertificates) {
  pair_.server_options.certificates = {testing::ForUse(
      testing::ForgedChain(3, {.dns_names = 600, .excluded_subtrees = 100}))};
  pair_.Make();
  pair_.Exchange();
  ASSERT_EQ(client_.state(), EngineState::kVerificationFailed);
  EXPECT_EQ(CodesOf(client_.engine->verification_errors()),
            Codes{Code::kLimitExceeded});
  // Who makes an exception makes it for this certificate.
  const std::vector<IgnoredError> exactly =
      IgnoreExactly(client_.engine->verification_errors());
  EXPECT_FALSE(exactly[0].certificate.empty());

  pair_.server_options.certificates = {EnginePair::ServerCertificate()};
  pair_.client_options.certificate = testing::ForUse(
      testing::ForgedChain(3, {.dns_names = 600, .excluded_subtrees = 100}));
  pair_.server_options.client_trust = Authority().trust();
  for (PeerVerification mode :
       {PeerVerification::kQuery, PeerVerification::kVerify}) {
    pair_.server_options.verification.mode = mode;
    pair_.Make();
    pair_.Exchange();
    EXPECT_EQ(pair_.connected(), mode == PeerVerification::kQuery);
    EXPECT_EQ(CodesOf(server_.engine->verification_errors()),
              Codes{Code::kLimitExceeded});
    EXPECT_EQ(server_.engine->info().peer_subject, "");
    EXPECT_TRUE(server_.engine->peer_identity().dns_names.empty());
  }
}

TEST_F(VerificationTest, TheLimitsAreOptions) {
  pair_.client_options.verification.limits.max_names = 2;
  pair_.Make();
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  pair_.client_options.verification.limits.max_names = 1;
  pair_.Make();
  pair_.Exchange();
  ASSERT_EQ(client_.state(), EngineState::kVerificationFailed);
  EXPECT_TRUE(absl::StrContains(client_.engine->error().message(),
                                "max_names is 1, and it comes to 2"))
      << client_.engine->error();
  pair_.client_options.verification.limits.max_names = 0;
  EXPECT_TRUE(
      absl::IsInvalidArgument(Context::Client(pair_.client_options).status()));
}

// ACCEPTANCE: QT12
TEST_F(VerificationTest, AGoodServerPassesInEveryMode) {
  for (PeerVerification mode :
       {PeerVerification::kAuto, PeerVerification::kNone,
        PeerVerification::kQuery, PeerVerification::kVerifyIfGiven,
        PeerVerification::kVerify}) {
    pair_.client_options.verification.mode = mode;
    pair_.Make();
    pair_.Exchange();
    EXPECT_TRUE(pair_.connected()) << PeerVerificationName(mode);
    EXPECT_TRUE(client_.engine->verification_errors().empty());
    EXPECT_EQ(client_.engine->info().peer_verified,
              mode != PeerVerification::kNone);
  }
}

enum class ClientCert { kNone, kSelfSigned, kServerUsage, kGood, kChain };

struct ClientCase {
  ClientCert certificate;
  PeerVerification mode;
};

class ClientCertificateTest : public VerificationTest,
                              public ::testing::WithParamInterface<ClientCase> {
};

const TestAuthority& Middle() {
  static const TestAuthority* const authority =
      new TestAuthority(Authority().IssueAuthority("Middle CA"));
  return *authority;
}

Certificate MakeClientCertificate(ClientCert kind) {
  switch (kind) {
    case ClientCert::kNone:
      return {};
    case ClientCert::kSelfSigned:
      return SelfSigned({.usage = "clientAuth"});
    case ClientCert::kServerUsage:
      return Authority().Issue({.usage = "serverAuth"});
    case ClientCert::kGood:
      return Authority().Issue({.usage = "clientAuth"});
    case ClientCert::kChain:
      return Middle().Issue({.usage = "clientAuth"});
  }
  return {};
}

// ACCEPTANCE: QT13, QC5, QC8, QC11, QB3
TEST_P(ClientCertificateTest, IsJudgedBeforeTheServersLastFlight) {
  const auto [kind, mode] = GetParam();
  pair_.client_options.certificate = MakeClientCertificate(kind);
  pair_.server_options.verification.mode = mode;
  pair_.server_options.client_trust = Authority().trust();
  ToTheServersVerdict();
  const bool bad =
      kind == ClientCert::kSelfSigned || kind == ClientCert::kServerUsage;
  const bool fails = (mode == PeerVerification::kVerify &&
                      (bad || kind == ClientCert::kNone)) ||
                     (mode == PeerVerification::kVerifyIfGiven && bad);
  const bool shown =
      mode != PeerVerification::kNone && kind != ClientCert::kNone;
  EXPECT_EQ(server_.engine->info().peer_chain.size(),
            !shown                       ? 0U
            : kind == ClientCert::kChain ? 2U
                                         : 1U);
  if (!fails) {
    pair_.Exchange();
    EXPECT_TRUE(pair_.connected());
    EXPECT_EQ(server_.engine->info().peer_verified, shown && !bad);
    // What is wrong is told, also where nobody insists.
    EXPECT_EQ(server_.engine->verification_errors().empty(), !shown || !bad);
    return;
  }
  EXPECT_EQ(server_.state(), EngineState::kVerificationFailed);
  EXPECT_TRUE(absl::IsUnauthenticated(server_.engine->error()));
  EXPECT_FALSE(server_.engine->verification_errors().empty());
  EXPECT_TRUE(server_.output.sent.empty());
  EXPECT_EQ(client_.state(), EngineState::kHandshaking);
  EXPECT_TRUE(client_.engine->error().ok());
  if (kind == ClientCert::kNone) {
    EXPECT_EQ(CodesOf(server_.engine->verification_errors()),
              Codes{Code::kNoPeerCertificate});
  }
  // Either verdict reaches the client.
  const std::vector<IgnoredError> all =
      IgnoreExactly(server_.engine->verification_errors());
  EXPECT_TRUE(Resume(server_, all).ok());
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  EXPECT_EQ(pair_.Carry(server_, client_, "welcome"), "welcome");

  ToTheServersVerdict();
  ASSERT_EQ(server_.state(), EngineState::kVerificationFailed);
  EXPECT_TRUE(Abort(server_).ok());
  pair_.Exchange();
  pair_.BelieveAlert(client_);
  EXPECT_EQ(client_.state(), EngineState::kFailed);
  EXPECT_TRUE(GetErrorDetail(client_.engine->error())->alert_received);

  // A list that was given before works as well.
  pair_.Make();
  EXPECT_TRUE(server_.engine->IgnoreVerificationErrors(all).ok());
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
}

std::vector<ClientCase> AllClientCases() {
  std::vector<ClientCase> cases;
  for (ClientCert c :
       {ClientCert::kNone, ClientCert::kSelfSigned, ClientCert::kServerUsage,
        ClientCert::kGood, ClientCert::kChain}) {
    for (PeerVerification m :
         {PeerVerification::kAuto, PeerVerification::kQuery,
          PeerVerification::kNone, PeerVerification::kVerifyIfGiven,
          PeerVerification::kVerify}) {
      cases.push_back({c, m});
    }
  }
  return cases;
}

std::string CaseName(const ::testing::TestParamInfo<ClientCase>& info) {
  static const char* const kNames[] = {"NoCertificate", "SelfSigned",
                                       "ServerUsage", "Good", "Chain"};
  std::string name = kNames[static_cast<int>(info.param.certificate)];
  for (char c : PeerVerificationName(info.param.mode)) {
    if (c != '_') name += c;
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, ClientCertificateTest,
                         ::testing::ValuesIn(AllClientCases()), CaseName);

// ACCEPTANCE: QC5
TEST_F(VerificationTest, AServerAsksForCertificatesOnlyIfItKnowsWhomToTrust) {
  pair_.client_options.certificate = MakeClientCertificate(ClientCert::kGood);
  pair_.Make();
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  EXPECT_TRUE(server_.engine->info().peer_chain.empty());
  pair_.server_options.verification.mode = PeerVerification::kVerify;
  const absl::Status status = Context::Server(pair_.server_options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "client_trust"));
}

// A server that was told a name demands it of clients.
TEST_F(VerificationTest, AServerMayDemandAName) {
  pair_.server_options.client_trust = Authority().trust();
  pair_.server_options.verification.mode = PeerVerification::kVerify;
  pair_.client_options.certificate =
      Authority().Issue({.dns_names = {"device7.test"}});
  SessionOverrides overrides;
  for (const char* name : {"device7.test", "device8.test"}) {
    overrides.verify_name = name;
    server_.engine = std::move(
        Engine::Create(*Context::Server(pair_.server_options), {}, overrides)
            .value());
    server_.engine->Start(pair_.now, server_.output);
    pair_.MakeClient();
    pair_.Exchange();
    EXPECT_EQ(pair_.connected(), std::string(name) == "device7.test");
  }
}

// --- Names -----------------------------------------------------------------

// ACCEPTANCE: QC9
TEST_F(VerificationTest, OnlySubjectAlternativeNamesCount) {
  pair_.server_options.certificates = {
      Authority().Issue({.common_name = "localhost"})};
  pair_.Make();
  pair_.Exchange();
  EXPECT_EQ(CodesOf(client_.engine->verification_errors()),
            Codes{Code::kHostNameMismatch});
  pair_.client_options.verification.common_name_fallback = true;
  pair_.Make();
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  // Where there is such a name the common name does not count.
  pair_.server_options.certificates = {Authority().Issue(
      {.common_name = "localhost", .dns_names = {"other.test"}})};
  pair_.Make();
  pair_.Exchange();
  EXPECT_EQ(CodesOf(client_.engine->verification_errors()),
            Codes{Code::kHostNameMismatch});
}

// ACCEPTANCE: QC9
TEST_F(VerificationTest, NamesMatchAsRfc9525Says) {
  pair_.server_options.certificates = {
      Authority().Issue({.dns_names = {"*.example.com", "www.example.net"},
                         .ip_addresses = {"192.0.2.1", "2001:db8::1"}})};
  const std::pair<const char*, bool> cases[] = {
      {"a.example.com", true},    {"A.EXAMPLE.com", true},
      {"a.b.example.com", false}, {"example.com", false},
      {"www.example.net", true},  {"wwww.example.net", false},
      {"192.0.2.1", true},        {"192.0.2.2", false},
      {"2001:db8::1", true},      {"2001:db8:0:0::1", true},
      {"2001:db8::2", false}};
  for (const auto& [name, good] : cases) {
    pair_.client_engine.server_name = name;
    pair_.Make();
    pair_.Exchange();
    EXPECT_EQ(pair_.connected(), good) << name;
  }
}

// ACCEPTANCE: QF3, QC9
TEST_F(VerificationTest, TheNameToVerifyMayDifferFromTheOneThatIsSent) {
  SessionOverrides overrides;
  overrides.verify_name = "localhost";
  client_.engine =
      std::move(Engine::Create(*Context::Client(pair_.client_options),
                               {.server_name = "sent.test"}, overrides)
                    .value());
  pair_.MakeServer();
  client_.engine->Start(pair_.now, client_.output);
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  EXPECT_EQ(server_.engine->info().server_name, "sent.test");
  EXPECT_TRUE(client_.engine->info().peer_verified);
}

// ACCEPTANCE: QE5
TEST(VerificationErrorTest, EveryCodeHasANameAndAnId) {
  for (int i = 0; i <= static_cast<int>(kLastVerificationErrorCode); ++i) {
    const auto code = static_cast<Code>(i);
    EXPECT_FALSE(VerificationErrorName(code).empty());
    const absl::StatusOr<Code> parsed =
        ParseVerificationErrorId(VerificationErrorId(code));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, code);
  }
  const absl::Status status = ParseVerificationErrorId("selfsigned").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "self_signed"));
}

// Equality of an error is code and certificate.
// ACCEPTANCE: QE5
TEST(VerificationErrorTest, AreComparedByCodeAndCertificate) {
  const VerificationError a{Code::kExpired, 0, "CN=a", "DER-A", "text"};
  VerificationError b = a;
  EXPECT_TRUE(IgnoredError({Code::kExpired, "DER-A"}).Covers(a));
  EXPECT_TRUE(IgnoredError({Code::kExpired, ""}).Covers(a));
  b.certificate = "DER-B";
  EXPECT_FALSE(IgnoredError({Code::kExpired, "DER-A"}).Covers(b));
  EXPECT_FALSE(IgnoredError({Code::kRevoked, "DER-A"}).Covers(a));
  EXPECT_EQ(NotIgnored({a, b}, IgnoreExactly({a})),
            std::vector<VerificationError>{b});
}

}  // namespace
}  // namespace cordon::dtls
