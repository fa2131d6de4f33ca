// Sessions that are resumed: by tickets and by session ids, and judged again.
#include "cordon/dtls/resumption.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::SelfSigned;
using ::cordon::testing::ServedListener;
using ::cordon::testing::TestAuthority;
using ::cordon::testing::VirtualClock;

// Contexts that live for several handshakes, as in a process.
class ResumptionTest : public ::testing::Test {
 protected:
  // Makes the contexts anew: a restart of both processes.
  void MakeContexts() {
    server_context_.emplace(*Context::Server(pair_.server_options));
    client_context_.emplace(*Context::Client(pair_.client_options));
  }
  void Handshake(const ResumableSession& resume = {},
                 const SessionOverrides& of_server = {}) {
    if (!server_context_.has_value()) MakeContexts();
    server_ = {};
    server_.engine = *Engine::Create(*server_context_, {}, of_server);
    client_ = {};
    EngineOptions options = pair_.client_engine;
    options.resume = resume;
    client_.engine = *Engine::Create(*client_context_, options);
    server_.engine->Start(pair_.now, server_.output);
    client_.engine->Start(pair_.now, client_.output);
    pair_.Exchange();
  }
  // A first session, to be resumed.
  ResumableSession First() {
    Handshake();
    EXPECT_TRUE(pair_.connected()) << client_.engine->error();
    EXPECT_FALSE(client_.engine->info().resumed);
    absl::StatusOr<ResumableSession> session = client_.engine->Session();
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }
  void ExpectResumed(bool resumed) {
    ASSERT_TRUE(pair_.connected())
        << client_.engine->error() << server_.engine->error();
    EXPECT_EQ(client_.engine->info().resumed, resumed);
    EXPECT_EQ(server_.engine->info().resumed, resumed);
    EXPECT_EQ(pair_.Carry(client_, server_, "up"), "up");
    EXPECT_EQ(pair_.Carry(server_, client_, "down"), "down");
  }

  EnginePair pair_;
  EngineSide& client_ = pair_.client;
  EngineSide& server_ = pair_.server;
  std::optional<Context> server_context_;
  std::optional<Context> client_context_;
};

// ACCEPTANCE: QC7
TEST_F(ResumptionTest, ByTicketAndBySessionId) {
  for (bool tickets : {true, false}) {
    pair_.server_options.session_tickets = tickets;
    MakeContexts();
    ResumableSession session = First();
    EXPECT_GT(session.expires(), pair_.now + absl::Minutes(90));
    // Again and again.
    for (int i = 0; i < 3; ++i) {
      Handshake(session);
      ExpectResumed(true);
      EXPECT_TRUE(client_.engine->info().peer_verified);
      EXPECT_EQ(client_.engine->info().peer_subject, "CN=server");
      session = *client_.engine->Session();
    }
  }
}

// ACCEPTANCE: QC7
TEST_F(ResumptionTest, AServerMayHaveNeither) {
  pair_.server_options.session_tickets = false;
  pair_.server_options.session_ids = false;
  Handshake();
  EXPECT_TRUE(absl::IsNotFound(client_.engine->Session().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(server_.engine->Session().status()));
}

TEST_F(ResumptionTest, ATicketMayContainALongChain) {
  pair_.server_options.client_trust = EnginePair::Authority().trust();
  pair_.client_options.certificate = EnginePair::Authority().Issue(
      {.common_name = "client", .padding = 20'000});
  const ResumableSession session = First();
  EXPECT_EQ(pair_.Carry(client_, server_, "up"), "up");
  Handshake(session);
  ExpectResumed(true);
}

// Its hello fills more datagrams than a listener keeps before the session is
// accepted.
TEST(LongTicketTest, IsTakenByAListener) {
  ServedListener world;
  world.server_options.client_trust = ServedListener::Authority().trust();
  world.client_options.certificate = ServedListener::Authority().Issue(
      {.common_name = "client", .padding = 20'000});
  EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection first, co_await world.Connect());
    ConnectOptions options;
    options.resume = *first.Session();
    CO_ASSIGN_OR_RETURN(Connection second, co_await world.Connect(options));
    EXPECT_TRUE(second.info().resumed);
    co_return absl::OkStatus();
  }),
            absl::OkStatus());
}

TEST_F(ResumptionTest, SurvivesAFile) {
  const std::string kept = First().Serialize();
  client_context_.emplace(*Context::Client(pair_.client_options));
  absl::StatusOr<ResumableSession> session =
      client_context_->ParseSession(kept);
  ASSERT_TRUE(session.ok()) << session.status();
  Handshake(*session);
  ExpectResumed(true);
  for (const std::string& bad :
       {std::string(), std::string("garbage"), kept.substr(0, 100)}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(client_context_->ParseSession(bad).status()));
  }
  EXPECT_EQ(ResumableSession().Serialize(), "");
}

TEST_F(ResumptionTest, AForgottenSessionBecomesANewOne) {
  const ResumableSession session = First();
  MakeContexts();
  Handshake(session);
  ExpectResumed(false);
}

// ACCEPTANCE: QC7
TEST_F(ResumptionTest, ServersWithTheSameTicketSecretTakeEachOthersTickets) {
  pair_.server_options.session_ticket_secret = std::string(32, 's');
  const ResumableSession session = First();
  MakeContexts();
  Handshake(session);
  ExpectResumed(true);
  pair_.server_options.session_ticket_secret = std::string(32, 't');
  MakeContexts();
  Handshake(session);
  ExpectResumed(false);
  pair_.server_options.session_ticket_secret = "short";
  const absl::Status status = Context::Server(pair_.server_options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "32"));
  EXPECT_FALSE(absl::StrContains(status.message(), "short"));
}

TEST_F(ResumptionTest, ASessionExpires) {
  pair_.server_options.session_lifetime = absl::Minutes(10);
  const ResumableSession session = First();
  pair_.now += absl::Minutes(9);
  Handshake(session);
  ExpectResumed(true);
  pair_.now += absl::Minutes(2);
  Handshake(session);
  ExpectResumed(false);
}

// A process whose machine's clock was set since it began has another steady
// time than one that began later: tickets go by what both call the time.
class SetClockResumptionTest : public ResumptionTest,
                               public ::testing::WithParamInterface<int> {
 protected:
  SetClockResumptionTest() {
    pair_.server_options.session_ticket_secret = std::string(32, 's');
    pair_.server_options.wall_clock = [this] { return wall_; };
    pair_.client_options.wall_clock = pair_.server_options.wall_clock;
  }
  // The clock was set, and one process does not know.
  void SetClock() { wall_ += absl::Hours(GetParam()); }
  void Wait(absl::Duration time) {
    wall_ += time;
    pair_.now += time;
  }

  absl::Time wall_ = VirtualClock::Epoch();
};

TEST_P(SetClockResumptionTest, AProcessThatBeganLaterTakesTheTicket) {
  SetClock();
  const ResumableSession session = First();
  EXPECT_EQ(session.expires(), wall_ + absl::Hours(2));
  // Another process, whose steady time is the wall clock's.
  pair_.now = wall_;
  MakeContexts();
  Wait(absl::Minutes(119));
  Handshake(session);
  ExpectResumed(true);
  Wait(absl::Minutes(2));
  Handshake(session);
  ExpectResumed(false);
}

TEST_P(SetClockResumptionTest, ASessionFromBeforeIsResumedIfItsTimeIsRight) {
  const ResumableSession session = First();
  SetClock();
  Handshake(session);
  ExpectResumed(GetParam() == 1);
  // Whatever was set: sessions that begin now are resumed.
  const ResumableSession later = *client_.engine->Session();
  Wait(absl::Minutes(50));
  Handshake(later);
  ExpectResumed(true);
}

// Also by their ids, which stay in the process.
TEST_P(SetClockResumptionTest, SessionIdsGoByTheSameTime) {
  pair_.server_options.session_tickets = false;
  const ResumableSession session = First();
  SetClock();
  Handshake(session);
  ExpectResumed(GetParam() == 1);
  const ResumableSession later = *client_.engine->Session();
  Wait(absl::Minutes(50));
  Handshake(later);
  ExpectResumed(true);
}

INSTANTIATE_TEST_SUITE_P(Hours, SetClockResumptionTest,
                         ::testing::Values(1, -1, 10, -10, 10'000, -10'000));

// In query mode anybody's certificate is kept with the session: what that takes
// is limited.
class SessionIdLimitTest : public ResumptionTest {
 protected:
  static constexpr size_t kLongBytes = 50'000;

  SessionIdLimitTest() {
    pair_.server_options.session_tickets = false;
    pair_.server_options.verification.mode = PeerVerification::kQuery;
    pair_.server_options.client_trust = EnginePair::Authority().trust();
    // Long ones are looked at.
    pair_.server_options.verification.limits.max_certificate_bytes = 65'536;
    pair_.server_options.verification.limits.max_chain_bytes = 100'000;
  }
  ResumableSession FirstOf(const Certificate& client) {
    pair_.client_options.certificate = client;
    client_context_.emplace(*Context::Client(pair_.client_options));
    return First();
  }
};

TEST_F(SessionIdLimitTest, ChainsOfStrangersCountInTheirBytes) {
  pair_.server_options.max_session_id_bytes = 4 * kLongBytes;
  MakeContexts();
  const Certificate stranger =
      SelfSigned({.common_name = "stranger", .padding = kLongBytes});
  const ResumableSession honest = FirstOf(EnginePair::Authority().Issue(
      {.common_name = "device", .usage = "clientAuth"}));
  EXPECT_EQ(server_context_->session_ids().sessions, 1U);
  EXPECT_LT(server_context_->session_ids().bytes, 2000U);
  for (uint64_t i = 1; i <= 20; ++i) {
    const ResumableSession session = FirstOf(stranger);
    const SessionIdStatistics kept = server_context_->session_ids();
    EXPECT_LE(kept.bytes, 4 * kLongBytes);
    EXPECT_LE(kept.sessions, 4U);
    EXPECT_EQ(kept.sessions + kept.dropped_max_session_id_bytes, i + 1);
    EXPECT_EQ(kept.dropped_max_session_ids, 0U);
    // The youngest is there.
    Handshake(session);
    ExpectResumed(true);
    EXPECT_EQ(server_.engine->info().peer_subject, "CN=stranger");
  }
  Handshake(honest);
  ExpectResumed(false);
}

TEST_F(SessionIdLimitTest, ThereAreNoMoreThanTheyMayBe) {
  pair_.server_options.max_session_ids = 3;
  MakeContexts();
  std::vector<ResumableSession> sessions;
  for (int i = 0; i < 5; ++i) sessions.push_back(First());
  EXPECT_EQ(server_context_->session_ids().sessions, 3U);
  EXPECT_EQ(server_context_->session_ids().dropped_max_session_ids, 2U);
  for (size_t i = 2; i < sessions.size(); ++i) {
    Handshake(sessions[i]);
    ExpectResumed(true);
  }
  // A resumed session is not kept once more.
  EXPECT_EQ(server_context_->session_ids().sessions, 3U);
  Handshake(sessions[0]);
  ExpectResumed(false);
}

// A ticket's session is kept by the client, whatever id it makes up for it.
TEST_F(SessionIdLimitTest, SessionsWithTicketsAreNotKept) {
  pair_.server_options.session_tickets = true;
  MakeContexts();
  const ResumableSession session = First();
  for (int i = 0; i < 3; ++i) {
    Handshake(session);
    ExpectResumed(true);
  }
  EXPECT_EQ(server_context_->session_ids().sessions, 0U);
  EXPECT_EQ(server_context_->session_ids().bytes, 0U);
}

// The certificate is judged again, by this connection's name.
TEST_F(ResumptionTest, AnotherNameIsNotResumedUnseen) {
  const ResumableSession session = First();
  pair_.client_engine.server_name = "other.test";
  Handshake(session);
  EXPECT_EQ(client_.state(), EngineState::kVerificationFailed);
  ASSERT_EQ(client_.engine->verification_errors().size(), 1U);
  EXPECT_EQ(client_.engine->verification_errors()[0].code,
            VerificationErrorCode::kHostNameMismatch);
  EXPECT_TRUE(client_.engine->peer_identity().resumed);
  const std::vector<IgnoredError> ignored =
      IgnoreExactly(client_.engine->verification_errors());
  EXPECT_TRUE(
      client_.engine->ResumeHandshake(ignored, pair_.now, client_.output).ok());
  pair_.Exchange();
  ExpectResumed(true);
}

TEST_F(ResumptionTest, WhatWasIgnoredOnceCountsAgain) {
  pair_.server_options.certificates = {
      SelfSigned({.dns_names = {"localhost"}})};
  pair_.client_options.verification.mode = PeerVerification::kNone;
  const ResumableSession session = First();
  pair_.client_options.verification.mode = PeerVerification::kVerify;
  client_context_.emplace(*Context::Client(pair_.client_options));
  Handshake(session);
  EXPECT_EQ(client_.state(), EngineState::kVerificationFailed);
}

class ClientCertificateResumptionTest : public ResumptionTest {
 protected:
  ClientCertificateResumptionTest() {
    pair_.server_options.wall_clock = [this] { return wall_; };
    pair_.server_options.client_trust = EnginePair::Authority().trust();
    pair_.server_options.verification.mode = PeerVerification::kVerify;
    pair_.server_options.session_ticket_secret = std::string(32, 's');
    pair_.client_options.certificate = EnginePair::Authority().Issue(
        {.common_name = "device",
         .not_after = VirtualClock::Epoch() + absl::Hours(1)});
  }

  absl::Time wall_ = VirtualClock::Epoch();
};

// ACCEPTANCE: QC7, QC8
TEST_F(ClientCertificateResumptionTest, TheServerStillKnowsItsClient) {
  const ResumableSession session = First();
  Handshake(session);
  ExpectResumed(true);
  EXPECT_EQ(server_.engine->info().peer_subject, "CN=device");
  EXPECT_TRUE(server_.engine->info().peer_verified);
}

TEST_F(ClientCertificateResumptionTest, TheServerJudgesItAgain) {
  const ResumableSession session = First();
  // The certificate has expired, the session has not.
  wall_ += absl::Minutes(90);
  Handshake(session);
  EXPECT_EQ(server_.state(), EngineState::kVerificationFailed);
  ASSERT_FALSE(server_.engine->verification_errors().empty());
  EXPECT_EQ(server_.engine->verification_errors()[0].code,
            VerificationErrorCode::kExpired);
  // What the client sends in the meantime is kept.
  ASSERT_EQ(client_.state(), EngineState::kConnected);
  ASSERT_TRUE(
      client_.engine->Send(testing::AsBytes("early"), client_.output).ok());
  pair_.Exchange();
  EXPECT_TRUE(server_.output.messages.empty());
  const std::vector<IgnoredError> ignored =
      IgnoreExactly(server_.engine->verification_errors());
  EXPECT_TRUE(
      server_.engine->ResumeHandshake(ignored, pair_.now, server_.output).ok());
  EXPECT_EQ(server_.output.messages, std::vector<std::string>{"early"});
  pair_.Exchange();
  ExpectResumed(true);

  Handshake(session);
  ASSERT_EQ(server_.state(), EngineState::kVerificationFailed);
  EXPECT_TRUE(server_.engine->AbortHandshake(pair_.now, server_.output).ok());
  pair_.Exchange();
  EXPECT_EQ(client_.state(), EngineState::kFailed);
  EXPECT_EQ(GetErrorDetail(client_.engine->error())->alert, 45);
}

// A ticket that was given without a certificate does not stand for one.
TEST_F(ClientCertificateResumptionTest, OtherRulesAreAnotherSession) {
  pair_.server_options.verification.mode = PeerVerification::kNone;
  const ResumableSession session = First();
  pair_.server_options.verification.mode = PeerVerification::kVerify;
  server_context_.emplace(*Context::Server(pair_.server_options));
  Handshake(session);
  ExpectResumed(false);
  EXPECT_EQ(server_.engine->info().peer_subject, "CN=device");
}

// A client without a certificate that was let in once, by a word for that
// session alone, is no client with a certificate when it comes back.
TEST_F(ClientCertificateResumptionTest, NobodyIsJudgedAgain) {
  pair_.client_options.certificate = {};
  for (bool by_mode : {true, false}) {
    MakeContexts();
    SessionOverrides once;
    if (by_mode) once.verification_mode = PeerVerification::kNone;
    Handshake({}, once);
    if (!by_mode) {
      ASSERT_EQ(server_.state(), EngineState::kVerificationFailed);
      ASSERT_TRUE(
          server_.engine
              ->ResumeHandshake(
                  IgnoreCodes({VerificationErrorCode::kNoPeerCertificate}),
                  pair_.now, server_.output)
              .ok());
      pair_.Exchange();
    }
    ASSERT_TRUE(pair_.connected());
    const ResumableSession session = *client_.engine->Session();

    Handshake(session);
    ASSERT_EQ(server_.state(), EngineState::kVerificationFailed);
    ASSERT_EQ(server_.engine->verification_errors().size(), 1U);
    EXPECT_EQ(server_.engine->verification_errors()[0].code,
              VerificationErrorCode::kNoPeerCertificate);
    EXPECT_TRUE(server_.engine->AbortHandshake(pair_.now, server_.output).ok());
    pair_.Exchange();
    EXPECT_EQ(client_.state(), EngineState::kFailed);

    // Unless somebody says so again.
    Handshake(session);
    ASSERT_EQ(server_.state(), EngineState::kVerificationFailed);
    ASSERT_TRUE(
        server_.engine
            ->ResumeHandshake(
                IgnoreCodes({VerificationErrorCode::kNoPeerCertificate}),
                pair_.now, server_.output)
            .ok());
    pair_.Exchange();
    ExpectResumed(true);
    ASSERT_EQ(server_.engine->info().ignored_errors.size(), 1U);
  }
}

TEST_F(ClientCertificateResumptionTest, NobodyMayBeExpected) {
  pair_.client_options.certificate = {};
  pair_.server_options.verification.ignored =
      IgnoreCodes({VerificationErrorCode::kNoPeerCertificate});
  const ResumableSession session = First();
  Handshake(session);
  ExpectResumed(true);
  ASSERT_EQ(server_.engine->info().ignored_errors.size(), 1U);
  EXPECT_FALSE(server_.engine->info().peer_verified);
}

TEST_F(ResumptionTest, WithAPreSharedKeyToo) {
  pair_.server_options.certificates.clear();
  pair_.server_options.pre_shared_keys = {{"id", {1, 2, 3}}};
  pair_.client_options.trust = {};
  pair_.client_options.pre_shared_key = {"id", {1, 2, 3}};
  pair_.client_engine.server_name = "";
  const ResumableSession session = First();
  Handshake(session);
  ExpectResumed(true);
  EXPECT_EQ(server_.engine->info().psk_identity, "id");
  EXPECT_TRUE(server_.engine->info().psk);
}

// A server that is restarted, with a secret for its tickets, and has other keys
// then.
class PskResumptionTest : public ResumptionTest {
 protected:
  PskResumptionTest() {
    pair_.server_options.certificates.clear();
    pair_.server_options.session_ticket_secret = std::string(32, 's');
    pair_.server_options.pre_shared_keys = {{"id", {1, 2, 3}},
                                            {"other", {4, 5, 6}}};
    pair_.client_options.trust = {};
    pair_.client_options.pre_shared_key = {"id", {1, 2, 3}};
    pair_.client_engine.server_name = "";
  }
  void RestartServerWith(std::vector<PreSharedKey> keys) {
    pair_.server_options.pre_shared_keys = std::move(keys);
    server_context_.emplace(*Context::Server(pair_.server_options));
  }
  void ExpectUnknown() {
    EXPECT_NE(server_.state(), EngineState::kConnected);
    EXPECT_NE(client_.state(), EngineState::kConnected);
    EXPECT_EQ(client_.output.messages.size(), 0U);
    pair_.BelieveAlert(client_);
    EXPECT_EQ(GetErrorDetail(client_.engine->error())->alert, 115)
        << client_.engine->error();
  }
};

TEST_F(PskResumptionTest, WithTheSameKeyItGoesOn) {
  const ResumableSession session = First();
  RestartServerWith({{"id", {1, 2, 3}}});
  Handshake(session);
  ExpectResumed(true);
  // Again and again: what tells the key goes on with the session.
  pair_.now += absl::Hours(1);
  Handshake(*client_.engine->Session());
  ExpectResumed(true);
}

TEST_F(PskResumptionTest, AKeyThatIsGoneEndsItsSessions) {
  const ResumableSession session = First();
  RestartServerWith({{"other", {4, 5, 6}}});
  Handshake(session);
  ExpectUnknown();
}

// Whoever has the new key makes a new session; whoever has the old one does
// not.
TEST_F(PskResumptionTest, AKeyThatWasReplacedEndsItsSessions) {
  const ResumableSession session = First();
  RestartServerWith({{"id", {1, 2, 4}}});
  Handshake(session);
  EXPECT_NE(server_.state(), EngineState::kConnected);
  pair_.client_options.pre_shared_key = {"id", {1, 2, 4}};
  client_context_.emplace(*Context::Client(pair_.client_options));
  Handshake(session);
  ExpectResumed(false);
  Handshake(*client_.engine->Session());
  ExpectResumed(true);
}

TEST_F(PskResumptionTest, AnotherIdentitysKeyIsAnother) {
  const ResumableSession session = First();
  RestartServerWith({{"id", {4, 5, 6}}, {"other", {1, 2, 3}}});
  Handshake(session);
  EXPECT_NE(server_.state(), EngineState::kConnected);
}

// With sessions ids, which the context keeps, and with tickets.
TEST_F(PskResumptionTest, WithinAContextBothWaysGoOn) {
  for (const bool tickets : {true, false}) {
    pair_.server_options.session_tickets = tickets;
    MakeContexts();
    ResumableSession session = First();
    for (int i = 0; i < 3; ++i) {
      Handshake(session);
      ExpectResumed(true);
      session = *client_.engine->Session();
    }
  }
}

// The key is looked up by the application, for a session that is resumed, too.
class LookedUpPskResumptionTest : public ::testing::Test {
 protected:
  LookedUpPskResumptionTest() {
    world_.server_options.certificates.clear();
    world_.server_options.psk_lookup = true;
    world_.listener_options.psk_lookup = [this](const std::string& identity)
        -> net::Task<absl::StatusOr<std::vector<uint8_t>>> {
      EXPECT_EQ(identity, "id");
      ++lookups_;
      co_await ServedListener::Pass(absl::Milliseconds(100));
      if (key_.empty()) co_return absl::NotFoundError("no such device");
      co_return key_;
    };
    world_.client_options = {};
    world_.client_options.pre_shared_key = {"id", {1, 2, 3}};
  }

  ServedListener world_;
  std::vector<uint8_t> key_ = {1, 2, 3};
  int lookups_ = 0;
};

TEST_F(LookedUpPskResumptionTest, IsAskedForEachSession) {
  for (const bool tickets : {true, false}) {
    key_ = {1, 2, 3};
    lookups_ = 0;
    world_.server_options.session_tickets = tickets;
    EXPECT_EQ(world_.Run([&]() -> net::Task<absl::Status> {
      CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Connect());
      EXPECT_EQ(lookups_, 1);
      ConnectOptions options;
      options.resume = *first.Session();
      CO_ASSIGN_OR_RETURN(Connection second, co_await world_.Connect(options));
      EXPECT_TRUE(second.info().resumed);
      CO_RETURN_IF_ERROR(co_await ServedListener::Ask(second, "known"));
      EXPECT_EQ(lookups_, 2);
      // Another key, then none: the server ends the session before it has given
      // the service anything of it.
      for (const std::vector<uint8_t>& key :
           {std::vector<uint8_t>{1, 2, 4}, std::vector<uint8_t>()}) {
        key_ = key;
        const int before = lookups_;
        absl::StatusOr<Connection> third = co_await world_.Connect(options);
        absl::Status end = third.status();
        if (third.ok()) end = co_await ServedListener::Ask(*third, "unknown");
        EXPECT_FALSE(end.ok());
        EXPECT_EQ(GetErrorDetail(end).value_or(ErrorDetail()).alert, 115)
            << end;
        EXPECT_EQ(lookups_, before + 1);
      }
      const ListenerStatistics statistics = world_.admin().statistics();
      EXPECT_EQ(statistics.handshakes_completed, 2U);
      EXPECT_EQ(statistics.handshakes_resumed, 1U);
      EXPECT_EQ(
          statistics
              .failures[static_cast<size_t>(HandshakeFailure::kUnknownPsk)],
          2U);
      co_return absl::OkStatus();
    }),
              absl::OkStatus());
  }
}

TEST_F(ResumptionTest, OptionsMustMakeSense) {
  for (absl::Duration lifetime : {absl::ZeroDuration(), absl::Hours(200)}) {
    pair_.server_options.session_lifetime = lifetime;
    EXPECT_TRUE(absl::IsInvalidArgument(
        Context::Server(pair_.server_options).status()));
  }
  pair_.server_options.session_lifetime = absl::Hours(1);
  pair_.server_options.max_session_ids = 0;
  EXPECT_TRUE(
      absl::IsInvalidArgument(Context::Server(pair_.server_options).status()));
}

}  // namespace
}  // namespace cordon::dtls
