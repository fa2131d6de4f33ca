// The states of a connection, calls in the wrong order, and connections that
// begin again.
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/session_pair/session_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::SelfSigned;
using ::cordon::testing::SessionPair;
using ::cordon::testing::SimReactor;

const std::string kText = "text";
absl::Span<const uint8_t> Text() {
  return {reinterpret_cast<const uint8_t*>(kText.data()), kText.size()};
}

net::Task<absl::Status> HandshakeAndEcho(Connection& connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  co_return co_await SessionPair::Echo(connection);
}

// Everything that needs a session is refused, and changes nothing.
net::Task<void> ExpectNoSession(Connection& c) {
  const EngineState before = c.state();
  EXPECT_TRUE(absl::IsFailedPrecondition(co_await c.SendEncrypted(Text())));
  absl::StatusOr<Message> message = co_await c.RecvDecrypted();
  EXPECT_TRUE(absl::IsFailedPrecondition(message.status())) << message.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(co_await c.Shutdown()));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      c.ExportKeyingMaterial("label", std::nullopt, 16).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(c.Session().status()));
  EXPECT_EQ(c.MaxMessageSize(), 0U);
  EXPECT_EQ(c.state(), before);
}

class RestartTest : public ::testing::Test {
 protected:
  SessionPair pair_;
};

// ACCEPTANCE: QT1, QF4, QF5, QF9, QF15, QF16, QF19, QE2
TEST_F(RestartTest, ANewConnectionIsEmpty) {
  EXPECT_TRUE(pair_
                  .Run(
                      [this](Connection& c) -> net::Task<absl::Status> {
                        EXPECT_EQ(c.state(), EngineState::kNotStarted);
                        EXPECT_EQ(c.peer(), net::Endpoint::LoopbackV4(4433));
                        const SessionInfo info = c.info();
                        EXPECT_EQ(info.cipher, "");
                        EXPECT_EQ(info.version, "");
                        EXPECT_TRUE(info.peer_chain.empty());
                        EXPECT_FALSE(info.peer_verified);
                        EXPECT_TRUE(c.PeerVerificationErrors().empty());
                        EXPECT_EQ(c.statistics().mtu, kDefaultMtu);
                        EXPECT_EQ(c.statistics().datagrams_sent, 0U);
                        EXPECT_EQ(pair_.reactor.network().statistics().sent,
                                  0U);
                        co_return absl::OkStatus();
                      },
                      HandshakeAndEcho)
                  .ok());
}

// ACCEPTANCE: QT5, QT5b, QT12, QT15, QE1, QE3, QF10, QF13, QF14, QF17, QF18
TEST_F(RestartTest, CallsInTheWrongOrderAreRefusedAndChangeNothing) {
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        co_await ExpectNoSession(c);
        EXPECT_TRUE(absl::IsFailedPrecondition(co_await c.ResumeHandshake()));
        EXPECT_TRUE(absl::IsFailedPrecondition(co_await c.AbortHandshake()));
        // In progress.
        const absl::Status waited =
            co_await net::WithTimeout(absl::Milliseconds(1), c.Handshake());
        EXPECT_TRUE(absl::IsDeadlineExceeded(waited));
        EXPECT_EQ(c.state(), EngineState::kHandshaking);
        co_await ExpectNoSession(c);
        EXPECT_TRUE(absl::IsFailedPrecondition(co_await c.ResumeHandshake()));
        SessionOverrides overrides;
        overrides.alpn = std::vector<std::string>{"late"};
        EXPECT_TRUE(absl::IsFailedPrecondition(c.Configure(overrides)));
        // None of that did harm.
        CO_RETURN_IF_ERROR(co_await c.Handshake());
        EXPECT_EQ(c.state(), EngineState::kConnected);
        EXPECT_TRUE(absl::IsFailedPrecondition(co_await c.ResumeHandshake()));
        EXPECT_TRUE(absl::IsFailedPrecondition(co_await c.AbortHandshake()));
        EXPECT_TRUE(absl::IsFailedPrecondition(c.Configure(overrides)));
        EXPECT_TRUE(absl::IsFailedPrecondition(c.IgnoreVerificationErrors({})));
        // The handshake is done: to await it again costs nothing.
        EXPECT_TRUE((co_await c.Handshake()).ok());
        CO_RETURN_IF_ERROR(co_await SessionPair::Ask(c, "hello"));
        co_return co_await c.Close();
      },
      [](Connection& c) -> net::Task<absl::Status> {
        co_await ExpectNoSession(c);
        co_return co_await HandshakeAndEcho(c);
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(pair_.server_status.ok()) << pair_.server_status;
}

// ACCEPTANCE: QF14, QT15, QE3, QF2
TEST_F(RestartTest, AfterAShutdownTheSameConnectionBeginsAgain) {
  int handshakes = 0;
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        for (int i = 0; i < 3; ++i) {
          CO_RETURN_IF_ERROR(co_await c.Handshake());
          CO_RETURN_IF_ERROR(co_await SessionPair::Ask(c, "hello"));
          CO_RETURN_IF_ERROR(co_await c.Shutdown());
          EXPECT_EQ(c.state(), EngineState::kClosed);
          co_await ExpectNoSession(c);
        }
        co_return co_await c.Close();
      },
      [&handshakes](Connection& c) -> net::Task<absl::Status> {
        ++handshakes;
        CO_RETURN_IF_ERROR(co_await HandshakeAndEcho(c));
        co_return co_await c.Close();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(handshakes, 3);
  EXPECT_EQ(pair_.listener.handshakes_completed, 3U);
}

// ACCEPTANCE: QF14, QB12, QB13, QE3
TEST_F(RestartTest, AServersConnectionWaitsForItsPeersNextHello) {
  int rounds = 0;
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        for (int i = 0; i < 3; ++i) {
          CO_RETURN_IF_ERROR(co_await c.Handshake());
          CO_RETURN_IF_ERROR(co_await SessionPair::Ask(c, "hello"));
          CO_RETURN_IF_ERROR(co_await c.Shutdown());
        }
        co_return co_await c.Close();
      },
      [&rounds](Connection& c) -> net::Task<absl::Status> {
        while (rounds < 3) {
          CO_RETURN_IF_ERROR(co_await HandshakeAndEcho(c));
          ++rounds;
          EXPECT_EQ(c.state(), EngineState::kPeerClosed);
        }
        co_return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(rounds, 3);
  EXPECT_EQ(pair_.listener.sessions_accepted, 1U);
  EXPECT_EQ(pair_.listener.handshakes_completed, 3U);
  EXPECT_EQ(pair_.listener.cookies.accepted, 3U);
}

// ACCEPTANCE: QB13, QE3, QE4
TEST_F(RestartTest, AfterAFailureTheSameConnectionBeginsAgain) {
  pair_.client_options.session.handshake_deadline = absl::Seconds(2);
  bool lost = true;
  pair_.reactor.network().set_filter(
      [&lost](testing::SimDatagram&) { return !lost; });
  const absl::Status status = pair_.Run(
      [&lost](Connection& c) -> net::Task<absl::Status> {
        for (int i = 0; i < 2; ++i) {
          const absl::Status failed = co_await c.Handshake();
          EXPECT_TRUE(absl::IsDeadlineExceeded(failed)) << failed;
          EXPECT_EQ(c.state(), EngineState::kFailed);
        }
        lost = false;
        CO_RETURN_IF_ERROR(co_await c.Handshake());
        CO_RETURN_IF_ERROR(co_await SessionPair::Ask(c, "hello"));
        co_return co_await c.Close();
      },
      HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;
}

// ACCEPTANCE: QT10, QF12, QF13, QE3, QE4
TEST_F(RestartTest, AVerificationThatFailedIsResumedOrAbortedAndBegunAgain) {
  pair_.server_options.certificates = {SelfSigned({})};
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        absl::Status failed = co_await c.Handshake();
        EXPECT_TRUE(absl::IsUnauthenticated(failed)) << failed;
        EXPECT_EQ(c.state(), EngineState::kVerificationFailed);
        EXPECT_EQ(c.PeerVerificationErrors().size(), 2U);
        EXPECT_EQ(c.peer_identity().subject, "CN=test");
        co_await ExpectNoSession(c);
        failed = co_await c.Handshake();
        EXPECT_TRUE(absl::IsFailedPrecondition(failed)) << failed;
        failed = co_await c.ResumeHandshake();
        EXPECT_TRUE(absl::IsUnauthenticated(failed)) << failed;
        EXPECT_EQ(c.state(), EngineState::kVerificationFailed);

        CO_RETURN_IF_ERROR(co_await c.AbortHandshake());
        EXPECT_EQ(c.state(), EngineState::kNotStarted);
        EXPECT_TRUE(c.PeerVerificationErrors().empty());
        co_await ExpectNoSession(c);

        failed = co_await c.Handshake();
        EXPECT_EQ(c.state(), EngineState::kVerificationFailed);
        std::vector<IgnoredError> ignored =
            IgnoreExactly(c.PeerVerificationErrors());
        CO_RETURN_IF_ERROR(co_await c.ResumeHandshake(std::move(ignored)));
        EXPECT_EQ(c.state(), EngineState::kConnected);
        CO_RETURN_IF_ERROR(co_await SessionPair::Ask(c, "hello"));
        co_return co_await c.Close();
      },
      HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(pair_.server_status.ok()) << pair_.server_status;
  EXPECT_EQ(pair_.listener.handshakes_failed, 1U);
  EXPECT_EQ(pair_.listener.handshakes_completed, 1U);
}

// Qt says that it informs the peer, and does not.
// ACCEPTANCE: QB4
TEST_F(RestartTest, DroppingAConnectionThatRestsTellsThePeer) {
  pair_.server_options.certificates = {SelfSigned({})};
  const absl::Status status =
      pair_.Run([](Connection& c) { return c.Handshake(); }, HandshakeAndEcho);
  EXPECT_TRUE(absl::IsUnauthenticated(status));
  EXPECT_TRUE(absl::IsPermissionDenied(pair_.server_status))
      << pair_.server_status;
  EXPECT_EQ(GetErrorDetail(pair_.server_status)->alert, 48);
}

TEST_F(RestartTest, AnAbortedHandshakeEndsWhoAwaitsIt) {
  pair_.reactor.network().set_filter(
      [](testing::SimDatagram&) { return false; });
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        net::TaskScope scope;
        absl::Status awaited;
        auto wait = [&]() -> net::Task<void> {
          awaited = co_await c.Handshake();
        };
        scope.Spawn(wait());
        CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(10)));
        CO_RETURN_IF_ERROR(co_await c.AbortHandshake());
        CO_RETURN_IF_ERROR(co_await scope.Join());
        EXPECT_TRUE(absl::IsCancelled(awaited)) << awaited;
        co_return co_await c.Close();
      },
      HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;
}

// ACCEPTANCE: HC11
TEST_F(RestartTest, ABatchWithoutRoomIsRefusedAndTakesNothing) {
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        CO_RETURN_IF_ERROR(co_await c.Handshake());
        CO_RETURN_IF_ERROR(co_await c.SendEncrypted(Text()));
        std::vector<Message> none;
        const absl::Status refused =
            (co_await c.RecvBatch(absl::MakeSpan(none))).status();
        EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
        CO_ASSIGN_OR_RETURN(Message message, co_await c.RecvDecrypted());
        EXPECT_EQ(message.text(), kText);
        co_return co_await c.Close();
      },
      HandshakeAndEcho);
  EXPECT_EQ(status, absl::OkStatus());
}

TEST_F(RestartTest, AClosedConnectionStaysClosed) {
  const absl::Status status = pair_.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        CO_RETURN_IF_ERROR(co_await c.Handshake());
        CO_RETURN_IF_ERROR(co_await c.Close());
        const absl::Status again = co_await c.Handshake();
        EXPECT_TRUE(absl::IsFailedPrecondition(again)) << again;
        co_await ExpectNoSession(c);
        co_return co_await c.Close();
      },
      HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;
}

// ACCEPTANCE: QT4, QF2, QE1
TEST(ConnectTest, ThePeerMustBeOneMachine) {
  SimReactor reactor;
  const Context context = *Context::Client({});
  for (const net::Endpoint& peer :
       {net::Endpoint(), net::Endpoint::AnyV4(4433),
        net::Endpoint::V4({255, 255, 255, 255}, 4433),
        net::Endpoint::V4({224, 0, 0, 0}, 4433),
        *net::Endpoint::Parse("[ff02::1]:4433"),
        net::Endpoint::LoopbackV4(0)}) {
    const absl::Status status =
        reactor.Run(Connect(reactor, peer, context, std::string("a.test")))
            .status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << peer << status;
  }
}

}  // namespace
}  // namespace cordon::dtls
