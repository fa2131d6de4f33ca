// Verdicts and keys that the application gives in the middle of a handshake.
#include "cordon/dtls/session_hooks.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/session_pair/session_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::SelfSigned;
using ::cordon::testing::SessionPair;

net::Task<absl::Status> HandshakeAndAsk(Connection& connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  CO_RETURN_IF_ERROR(co_await SessionPair::Ask(connection, "hello"));
  co_return co_await connection.Close();
}

net::Task<absl::Status> HandshakeAndEcho(Connection& connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  co_return co_await SessionPair::Echo(connection);
}

class VerifyPeerTest : public ::testing::Test {
 protected:
  // A verdict that takes `delay`.
  VerifyPeer Judge(const VerificationVerdict& verdict,
                   absl::Duration delay = absl::Milliseconds(700)) {
    return [this, verdict,
            delay](const PeerIdentity& peer) -> net::Task<VerificationVerdict> {
      ++calls_;
      seen_ = peer;
      const absl::Status slept = co_await net::SleepFor(delay);
      stopped_ = !slept.ok();
      ++returns_;
      co_return verdict;
    };
  }

  SessionPair pair_;
  int calls_ = 0;
  int returns_ = 0;
  bool stopped_ = false;
  PeerIdentity seen_;
};

TEST_F(VerifyPeerTest, AClientAsksTheApplicationOnce) {
  pair_.connect_options.verify_peer = Judge(VerificationVerdict::Accept());
  const absl::Status status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(calls_, 1);
  EXPECT_TRUE(seen_.is_server);
  EXPECT_EQ(seen_.subject, "CN=server");
  EXPECT_EQ(seen_.issuer, "CN=Test CA");
  EXPECT_EQ(seen_.dns_names, std::vector<std::string>{"localhost"});
  EXPECT_EQ(seen_.expected_name, "localhost");
  EXPECT_EQ(seen_.endpoint, net::Endpoint::LoopbackV4(4433));
  EXPECT_EQ(seen_.fingerprint,
            *FingerprintOf(pair_.server_options.certificates[0].chain_pem));
  EXPECT_EQ(seen_.chain.size(), 1U);
  EXPECT_TRUE(seen_.errors.empty());
  EXPECT_FALSE(seen_.resumed);
}

// ACCEPTANCE: HB11
// However often timers and repetitions drive the handshake.
TEST_F(VerifyPeerTest, ASlowVerdictIsAskedForOnceAndStillCounts) {
  pair_.connect_options.verify_peer =
      Judge(VerificationVerdict::Accept(), absl::Seconds(5));
  const absl::Status status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(calls_, 1);
}

TEST_F(VerifyPeerTest, ItMayAcceptWhatTheLibraryWouldNot) {
  pair_.server_options.certificates = {SelfSigned({})};
  pair_.connect_options.verify_peer = Judge(VerificationVerdict::Accept());
  SessionInfo info;
  const absl::Status status = pair_.Run(
      [&info](Connection& c) -> net::Task<absl::Status> {
        absl::Status done = co_await HandshakeAndAsk(c);
        info = c.info();
        co_return done;
      },
      HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(seen_.errors.size(), 2U);
  EXPECT_TRUE(info.peer_verified);
  EXPECT_EQ(info.ignored_errors.size(), 2U);
}

TEST_F(VerifyPeerTest, ItMayLeaveItToTheLibrary) {
  pair_.connect_options.verify_peer = Judge(VerificationVerdict::AsFound());
  EXPECT_TRUE(pair_.Run(HandshakeAndAsk, HandshakeAndEcho).ok());
  pair_.server_options.certificates = {SelfSigned({})};
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        absl::Status done = co_await c.Handshake();
        EXPECT_EQ(c.state(), EngineState::kVerificationFailed);
        EXPECT_EQ(c.PeerVerificationErrors().size(), 2U);
        co_return done;
      },
      HandshakeAndEcho);
  EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
  EXPECT_EQ(calls_, 2);
}

// ACCEPTANCE: HB11
TEST_F(VerifyPeerTest, ARejectedPeerIsToldByTheAlertOfTheVerdict) {
  for (uint8_t alert : {49, 44}) {
    pair_.connect_options.verify_peer =
        Judge(VerificationVerdict::Reject("not in the list", alert));
    const absl::Status status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "not in the list"));
    const auto detail = GetErrorDetail(status);
    ASSERT_TRUE(detail.has_value());
    EXPECT_EQ(detail->verification_errors[0].code,
              VerificationErrorCode::kRejected);
    const auto told = GetErrorDetail(pair_.server_status);
    ASSERT_TRUE(told.has_value()) << pair_.server_status;
    EXPECT_EQ(told->alert, alert);
    EXPECT_TRUE(told->alert_received);
  }
}

// ACCEPTANCE: QB3
TEST_F(VerifyPeerTest, AServerAsksBeforeItsLastFlight) {
  pair_.server_options.client_trust = SessionPair::Authority().trust();
  pair_.server_options.verification.mode = PeerVerification::kVerify;
  pair_.client_options.certificate = SessionPair::Authority().Issue(
      {.common_name = "device7", .usage = "clientAuth"});
  pair_.listener_options.verify_peer = Judge(VerificationVerdict::Accept());
  EXPECT_TRUE(pair_.Run(HandshakeAndAsk, HandshakeAndEcho).ok());
  EXPECT_EQ(calls_, 1);
  EXPECT_FALSE(seen_.is_server);
  EXPECT_EQ(seen_.subject, "CN=device7");

  pair_.listener_options.verify_peer =
      Judge(VerificationVerdict::Reject("stolen"));
  bool connected = false;
  const absl::Status status = pair_.Run(
      [&connected](Connection& c) -> net::Task<absl::Status> {
        absl::Status done = co_await c.Handshake();
        connected = done.ok();
        co_return done;
      },
      HandshakeAndEcho);
  EXPECT_FALSE(connected);
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_TRUE(absl::IsPermissionDenied(pair_.server_status));
  EXPECT_EQ(calls_, 2);
}

TEST_F(VerifyPeerTest, IsStoppedWhenTheHandshakeEnds) {
  // By its deadline.
  pair_.client_options.session.handshake_deadline = absl::Seconds(2);
  pair_.connect_options.verify_peer =
      Judge(VerificationVerdict::Accept(), absl::Seconds(60));
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        absl::Status done = co_await c.Handshake();
        (void)co_await net::SleepFor(absl::Milliseconds(1));
        co_return done;
      },
      HandshakeAndEcho);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_TRUE(stopped_);
  EXPECT_EQ(returns_, 1);

  // By its user.
  const absl::Status aborted = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        const absl::Status waited =
            co_await net::WithTimeout(absl::Seconds(1), c.Handshake());
        EXPECT_TRUE(absl::IsDeadlineExceeded(waited)) << waited;
        absl::Status done = co_await c.AbortHandshake();
        (void)co_await net::SleepFor(absl::Milliseconds(1));
        co_return done;
      },
      HandshakeAndEcho);
  EXPECT_TRUE(aborted.ok()) << aborted;
  EXPECT_EQ(returns_, 2);
  EXPECT_TRUE(stopped_);
}

TEST_F(VerifyPeerTest, AVerdictOnAnAbortedHandshakeIsNoneOnTheNext) {
  pair_.connect_options.verify_peer =
      [this](const PeerIdentity&) -> net::Task<VerificationVerdict> {
    if (++calls_ > 1) co_return VerificationVerdict::Reject("second thoughts");
    // Stopped, and says yes all the same.
    (void)co_await net::SleepFor(absl::Seconds(60));
    co_return VerificationVerdict::Accept();
  };
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        const absl::Status waited =
            co_await net::WithTimeout(absl::Seconds(1), c.Handshake());
        EXPECT_TRUE(absl::IsDeadlineExceeded(waited)) << waited;
        CO_RETURN_IF_ERROR(co_await c.AbortHandshake());
        co_return co_await c.Handshake();
      },
      HandshakeAndEcho);
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "second thoughts"));
  EXPECT_EQ(calls_, 2);
}

TEST_F(VerifyPeerTest, IsDestroyedWithItsConnection) {
  pair_.connect_options.verify_peer =
      Judge(VerificationVerdict::Accept(), absl::Seconds(60));
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        co_return co_await net::WithTimeout(absl::Seconds(1), c.Handshake());
      },
      HandshakeAndEcho);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(calls_, 1);
  EXPECT_EQ(returns_, 0);
  // And the peer was told.
  EXPECT_TRUE(absl::IsPermissionDenied(pair_.server_status))
      << pair_.server_status;
}

class PskLookupTest : public ::testing::Test {
 protected:
  PskLookupTest() {
    pair_.server_options = {};
    pair_.server_options.psk_lookup = true;
    pair_.server_options.psk_identity_hint = "fleet 7";
    pair_.listener_options.psk_lookup = [this](const std::string& identity)
        -> net::Task<absl::StatusOr<std::vector<uint8_t>>> {
      ++lookups_;
      (void)co_await net::SleepFor(delay_);
      if (identity == "sensor1") co_return std::vector<uint8_t>{1, 2, 3, 4};
      co_return absl::NotFoundError("no such device");
    };
    pair_.client_options = {};
    pair_.client_options.pre_shared_key = {"sensor1", {1, 2, 3, 4}};
  }

  SessionPair pair_;
  int lookups_ = 0;
  absl::Duration delay_ = absl::Milliseconds(300);
};

// ACCEPTANCE: QF23, QC7
TEST_F(PskLookupTest, WaitsForTheKey) {
  for (absl::Duration delay : {absl::ZeroDuration(), absl::Seconds(5)}) {
    delay_ = delay;
    SessionInfo info;
    const absl::Status status = pair_.Run(
        [&info](Connection& c) -> net::Task<absl::Status> {
          absl::Status done = co_await HandshakeAndAsk(c);
          info = c.info();
          co_return done;
        },
        HandshakeAndEcho);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(info.psk_identity_hint, "fleet 7");
  }
  EXPECT_EQ(lookups_, 2);
}

// ACCEPTANCE: QF23
TEST_F(PskLookupTest, WithoutAKeyThereIsNoSession) {
  pair_.client_options.pre_shared_key = {"sensor2", {1, 2, 3, 4}};
  absl::Status status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_EQ(GetErrorDetail(status)->alert, 115);  // unknown_psk_identity
  EXPECT_EQ(lookups_, 1);
  // Nor with another key.
  pair_.client_options.pre_shared_key = {"sensor1", {1, 2, 3, 5}};
  status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_FALSE(status.ok());
}

TEST_F(PskLookupTest, KnownIdentitiesAreNotLookedUp) {
  pair_.server_options.pre_shared_keys = {{"sensor1", {1, 2, 3, 4}}};
  EXPECT_TRUE(pair_.Run(HandshakeAndAsk, HandshakeAndEcho).ok());
  EXPECT_EQ(lookups_, 0);
}

TEST_F(PskLookupTest, ContextAndListenerMustAgree) {
  pair_.listener_options.psk_lookup = nullptr;
  const absl::Status status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "psk_lookup"));
}

// ACCEPTANCE: QF23
TEST_F(PskLookupTest, AClientMayChooseItsKeyByTheHint) {
  std::optional<std::string> hint;
  pair_.client_options.pre_shared_key = {};
  pair_.client_options.psk_for_hint =
      [&hint](const std::string& given) -> absl::StatusOr<PreSharedKey> {
    hint = given;
    if (given != "fleet 7") return absl::NotFoundError("not my fleet");
    return PreSharedKey{"sensor1", {1, 2, 3, 4}};
  };
  EXPECT_TRUE(pair_.Run(HandshakeAndAsk, HandshakeAndEcho).ok());
  EXPECT_EQ(hint, "fleet 7");
  pair_.server_options.psk_identity_hint = "";
  const absl::Status status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "not my fleet"));
}

// Qt cuts them off silently.
// ACCEPTANCE: QF23
TEST_F(PskLookupTest, TooLongIdentitiesAndKeysAreRefusedAtOnce) {
  for (const PreSharedKey& key :
       {PreSharedKey{std::string(129, 'i'), {1}},
        PreSharedKey{"i", std::vector<uint8_t>(257, 1)},
        PreSharedKey{"i", {}}}) {
    ClientOptions client;
    client.pre_shared_key = key;
    EXPECT_TRUE(absl::IsInvalidArgument(Context::Client(client).status()));
    ServerOptions server;
    server.pre_shared_keys = {key};
    EXPECT_TRUE(absl::IsInvalidArgument(Context::Server(server).status()));
  }
}

}  // namespace
}  // namespace cordon::dtls
