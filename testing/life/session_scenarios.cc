#include "cordon/testing/life/session_scenarios.h"

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/dtls/verification.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/sim/sim_reactor.h"

namespace cordon::testing {
namespace {

using dtls::EngineState;
using net::Task;

constexpr char kText[] = "from the peer";

absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Before: a connection, and a session.

Task<absl::Status> HaveConnection(Sessions& s) {
  return s.server_role ? s.AcceptServer() : s.OpenClient();
}
Task<absl::Status> HaveSession(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await HaveConnection(s));
  co_return co_await s.mine().Handshake();
}
Task<absl::Status> HaveDoubts(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await HaveConnection(s));
  const absl::Status status = co_await s.mine().Handshake();
  co_return absl::IsUnauthenticated(status)
      ? absl::OkStatus()
      : absl::InternalError(absl::StrCat("no doubts: ", status.ToString()));
}

void DistrustServer(Sessions& s) {
  s.client_options.trust = Sessions::Stranger().trust();
}
void DemandCertificate(Sessions& s) {
  static const dtls::Certificate* const certificate =
      new dtls::Certificate(Sessions::Issue(Sessions::Authority()));
  s.client_options.certificate = *certificate;
  s.server_options.client_trust = Sessions::Authority().trust();
  s.server_options.verification.mode = dtls::PeerVerification::kVerify;
}
void DistrustClient(Sessions& s) {
  DemandCertificate(s);
  s.server_options.client_trust = Sessions::Stranger().trust();
}
void JudgeServer(Sessions& s) {
  s.connect_options.verify_peer = s.SlowVerdict();
}
void JudgeClient(Sessions& s) {
  DemandCertificate(s);
  s.listener_options.verify_peer = s.SlowVerdict();
}
void LookUpKey(Sessions& s) {
  const std::vector<uint8_t> key(16, 7);
  s.server_options.certificates.clear();
  s.server_options.psk_lookup = true;
  s.listener_options.psk_lookup = s.SlowLookup(key);
  s.client_options.trust = {};
  s.client_options.pre_shared_key.identity = "someone";
  s.client_options.pre_shared_key.key = key;
}

// What is interrupted.

Task<absl::Status> Handshake(Sessions& s) { return s.mine().Handshake(); }

Task<absl::Status> Connect(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await s.OpenClient());
  co_return co_await net::SleepFor(Sessions::kWhile);
}
Task<absl::Status> ConnectIfNot(Sessions& s) {
  return s.client.has_value() ? s.mine().Handshake() : s.OpenClient();
}

Task<absl::Status> Accept(Sessions& s) { return s.AcceptServer(); }
Task<absl::Status> AcceptIfNot(Sessions& s) {
  if (!s.server.has_value()) CO_RETURN_IF_ERROR(co_await s.AcceptServer());
  co_return co_await s.server->Handshake();
}

Task<absl::Status> Resume(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(Sessions::kWhile));
  co_return co_await s.mine().ResumeHandshake(
      dtls::IgnoreExactly(s.mine().PeerVerificationErrors()));
}
Task<absl::Status> ResumeIfResting(Sessions& s) {
  if (s.mine().state() == EngineState::kVerificationFailed) return Resume(s);
  return s.mine().Handshake();
}

Task<absl::Status> Abort(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(Sessions::kWhile));
  CO_RETURN_IF_ERROR(co_await s.mine().AbortHandshake());
  co_return co_await net::SleepFor(Sessions::kWhile);
}
Task<absl::Status> AbortIfResting(Sessions& s) {
  if (s.mine().state() == EngineState::kVerificationFailed) {
    CO_RETURN_IF_ERROR(co_await s.mine().AbortHandshake());
  }
  co_return s.mine().state() == EngineState::kNotStarted
      ? absl::OkStatus()
      : absl::InternalError("it was not aborted");
}

Task<absl::Status> SayAWhileLater(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(Sessions::kWhile));
  co_return co_await s.other().SendEncrypted(Bytes(kText));
}
Task<absl::Status> Receive(Sessions& s) {
  CO_ASSIGN_OR_RETURN(dtls::Message message, co_await s.mine().RecvDecrypted());
  s.received.emplace_back(message.text());
  co_return absl::OkStatus();
}
Task<absl::Status> ReceiveBatch(Sessions& s) {
  std::array<dtls::Message, 4> messages;
  CO_ASSIGN_OR_RETURN(const size_t count,
                      co_await s.mine().RecvBatch(absl::MakeSpan(messages)));
  for (size_t i = 0; i < count; ++i) {
    s.received.emplace_back(messages[i].text());
  }
  co_return absl::OkStatus();
}
// No message is lost, and none comes twice.
Task<absl::Status> ReceiveIfNot(Sessions& s) {
  if (s.received.empty()) CO_RETURN_IF_ERROR(co_await Receive(s));
  co_return s.received == std::vector<std::string>{kText}
      ? absl::OkStatus()
      : absl::DataLossError(absl::StrCat(s.received.size(), " messages"));
}

void BlockSends(Sessions& s, bool blocked) {
  if (s.simulated) static_cast<SimReactor&>(s.reactor).BlockSends(blocked);
}
Task<absl::Status> HaveCongestedSession(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await HaveSession(s));
  // The other end's handshake is to end as well; then the network is closed.
  CO_RETURN_IF_ERROR(co_await net::SleepFor(20 * Sessions::kWhile));
  BlockSends(s, true);
  CO_RETURN_IF_ERROR(co_await s.mine().SendEncrypted(Bytes("stuck")));
  co_return co_await net::SleepFor(absl::Milliseconds(1));
}
Task<absl::Status> UnblockAWhileLater(Sessions& s) {
  const absl::Status slept = co_await net::SleepFor(Sessions::kWhile);
  BlockSends(s, false);
  co_return slept;
}
Task<absl::Status> Send(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
  co_return co_await s.mine().SendEncrypted(Bytes("hello"));
}
Task<absl::Status> SendTwo(Sessions& s) {
  const std::array<absl::Span<const uint8_t>, 2> messages = {Bytes("one"),
                                                             Bytes("two")};
  CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
  co_return co_await s.mine().SendBatch(messages);
}
Task<absl::Status> SendAgain(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(2 * Sessions::kWhile));
  co_return co_await Send(s);
}

Task<absl::Status> Shutdown(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(Sessions::kWhile));
  CO_RETURN_IF_ERROR(co_await s.mine().Shutdown());
  co_return co_await net::SleepFor(Sessions::kWhile);
}
Task<absl::Status> ShutdownIfNot(Sessions& s) {
  if (s.mine().state() == EngineState::kClosed) co_return absl::OkStatus();
  co_return co_await s.mine().Shutdown();
}
Task<absl::Status> Close(Sessions& s) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(Sessions::kWhile));
  co_return co_await s.mine().Close();
}
Task<absl::Status> CloseAgain(Sessions& s) { return s.mine().Close(); }

// Until the drain has ended.
Task<absl::Status> AcceptWhileDraining(Sessions& s) {
  s.admin().Drain(Sessions::kWhile);
  const absl::Status status = (co_await s.listener().Accept()).status();
  co_return absl::IsFailedPrecondition(status) ? absl::OkStatus() : status;
}
Task<absl::Status> AwaitDrained(Sessions& s) { return AcceptWhileDraining(s); }

std::vector<SessionScenario> OfBothRoles(const SessionScenario& scenario) {
  SessionScenario client = scenario;
  SessionScenario server = scenario;
  client.name = absl::StrCat("Client", scenario.name);
  server.name = absl::StrCat("Server", scenario.name);
  client.server = false;
  server.server = true;
  return {client, server};
}

}  // namespace

const std::vector<SessionScenario>& SessionScenarios() {
  static const auto* const scenarios = [] {
    auto* all = new std::vector<SessionScenario>{
        {.name = "ClientVerdict",
         .covers = {"Connection::Handshake", "VerifyPeer"},
         .configure = JudgeServer,
         .prepare = HaveConnection,
         .act = Handshake,
         .recover = Handshake},
        {.name = "ServerVerdict",
         .covers = {"Connection::Handshake", "VerifyPeer"},
         .server = true,
         .configure = JudgeClient,
         .prepare = HaveConnection,
         .act = Handshake,
         .recover = Handshake},
        {.name = "ServerPskLookup",
         .covers = {"Connection::Handshake", "PskLookup"},
         .server = true,
         .configure = LookUpKey,
         .prepare = HaveConnection,
         .act = Handshake,
         .recover = Handshake},
        {.name = "ClientResume",
         .covers = {"Connection::ResumeHandshake"},
         .configure = DistrustServer,
         .prepare = HaveDoubts,
         .act = Resume,
         .recover = ResumeIfResting},
        {.name = "ServerResume",
         .covers = {"Connection::ResumeHandshake"},
         .server = true,
         .configure = DistrustClient,
         .prepare = HaveDoubts,
         .act = Resume,
         .recover = ResumeIfResting},
        {.name = "ClientAbort",
         .covers = {"Connection::AbortHandshake"},
         .configure = DistrustServer,
         .prepare = HaveDoubts,
         .act = Abort,
         .recover = AbortIfResting,
         .lives = false},
        {.name = "ServerAbort",
         .covers = {"Connection::AbortHandshake"},
         .server = true,
         .configure = DistrustClient,
         .prepare = HaveDoubts,
         .act = Abort,
         .recover = AbortIfResting,
         .lives = false},
        {.name = "Connect",
         .covers = {"Connect"},
         .act = Connect,
         .recover = ConnectIfNot},
        {.name = "Accept",
         .covers = {"Listener::Accept"},
         .server = true,
         .act = Accept,
         .recover = AcceptIfNot},
        {.name = "Drain",
         .covers = {"Listener::Accept"},
         .server = true,
         .prepare = HaveSession,
         .act = AcceptWhileDraining,
         .recover = AwaitDrained,
         .lives = false,
         .serves = false}};
    const std::vector<SessionScenario> of_both = {
        {.name = "Handshake",
         .covers = {"Connection::Handshake"},
         .prepare = HaveConnection,
         .act = Handshake,
         .recover = Handshake},
        {.name = "Recv",
         .covers = {"Connection::RecvDecrypted"},
         .prepare = HaveSession,
         .act = Receive,
         .recover = ReceiveIfNot,
         .peer = SayAWhileLater},
        {.name = "RecvBatch",
         .covers = {"Connection::RecvBatch"},
         .prepare = HaveSession,
         .act = ReceiveBatch,
         .recover = ReceiveIfNot,
         .peer = SayAWhileLater},
        {.name = "Send",
         .covers = {"Connection::SendEncrypted"},
         .prepare = HaveCongestedSession,
         .act = Send,
         .recover = SendAgain,
         .peer = UnblockAWhileLater,
         .tells = false},
        {.name = "SendBatch",
         .covers = {"Connection::SendBatch"},
         .prepare = HaveCongestedSession,
         .act = SendTwo,
         .recover = SendAgain,
         .peer = UnblockAWhileLater,
         .tells = false},
        {.name = "Shutdown",
         .covers = {"Connection::Shutdown"},
         .prepare = HaveSession,
         .act = Shutdown,
         .recover = ShutdownIfNot,
         .lives = false},
        {.name = "Close",
         .covers = {"Connection::Close"},
         .prepare = HaveSession,
         .act = Close,
         .recover = CloseAgain,
         .lives = false}};
    for (const SessionScenario& scenario : of_both) {
      for (SessionScenario& one : OfBothRoles(scenario)) {
        all->push_back(std::move(one));
      }
    }
    return all;
  }();
  return *scenarios;
}

}  // namespace cordon::testing
