#include "cordon/dtls/engine.h"

#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/stack.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cordon/dtls/internal/boringssl_seam.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/context_state.h"
#include "cordon/dtls/internal/peer_verifier.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls {
namespace {

// Clearing an empty queue costs as much as clearing a full one: for a datagram
// that is a tenth of all.
void ClearErrors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

Engine::Call::Call(Engine& engine, EngineOutput& output)
    : clock_(*engine.context_.state()), slot_(&engine.output_) {
  *slot_ = &output;
  ClearErrors();
}

Engine::Call::~Call() {
  *slot_ = nullptr;
  ClearErrors();
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(
    const Context& context, const EngineOptions& options,
    const SessionOverrides& overrides) {
  std::unique_ptr<Engine> engine(new Engine(context, options));
  if (!overrides.empty()) {
    engine->overrides_ = std::make_unique<SessionOverrides>(overrides);
  }
  if (absl::Status status = engine->Init(); !status.ok()) return status;
  return engine;
}

Engine::Engine(const Context& context, const EngineOptions& options)
    : context_(context), options_(options) {
  ResetIgnored();
}

Engine::~Engine() = default;

void Engine::ForgetAttempt() {
  verdict_wanted_ = false;
  wanted_psk_.reset();
  psk_looked_up_ = false;
  anonymous_accepted_ = false;
  finished_ = false;
  held_.Clear();
  early_.Clear();
  waiting_.reset();
  cookie_request_.clear();
  second_hello_record_ = 0;
  cookie_refused_ = false;
  went_back_ = false;
  ForgetAlert();
}

void Engine::ForgetSession() {
  notes_.Reset();
  ResetIgnored();
  ForgetAttempt();
  state_ = EngineState::kNotStarted;
  error_ = absl::OkStatus();
  handshake_deadline_ = absl::InfiniteFuture();
  timer_.Reset();
  allowance_.reset();
  filter_.reset();
  first_hello_ = {};
  new_beginnings_ = 0;
}

void Engine::StopHandshake() {
  handshake_deadline_ = absl::InfiniteFuture();
  timer_.Stop();
  allowance_.reset();
  verdict_wanted_ = false;
  wanted_psk_.reset();
  held_.Clear();
  early_.Clear();
  filter_.reset();
  waiting_.reset();
  ForgetAlert();
}

absl::Status Engine::Restart() {
  switch (state_) {
    case EngineState::kNotStarted:
      return absl::OkStatus();
    case EngineState::kPeerClosed:
    case EngineState::kClosed:
    case EngineState::kFailed:
      // What was shown for the last session is no proof for the next.
      options_.verified_hello.reset();
      return BeginAnew();
    case EngineState::kHandshaking:
    case EngineState::kVerificationFailed:
    case EngineState::kConnected:
      break;
  }
  return absl::FailedPreconditionError(
      "a session or a handshake is going on: end it first");
}

void Engine::ExpectVerifiedHello(uint64_t record_sequence) {
  options_.verified_hello = record_sequence;
  allowance_.reset();
  internal::ContinueAfterHelloVerifyRequest(ssl_.get(), record_sequence);
}

void Engine::UsePolicy(std::shared_ptr<const internal::CompiledPolicy> policy) {
  options_.policy = std::move(policy);
  ResetIgnored();
  if (absl::Status status = ApplyPolicy(ssl_.get()); !status.ok()) {
    Fail(std::move(status));
    return;
  }
  ApplyVerificationMode(ssl_.get());
}

void Engine::WriteDatagram(absl::Span<const uint8_t> datagram) {
  if (output_ == nullptr) return;
  if (allowance_ != nullptr && !MaySend(datagram)) return;
  SendDatagram(datagram);
}

void Engine::SendDatagram(absl::Span<const uint8_t> datagram) {
  absl::Span<uint8_t> room = output_->Reserve(datagram.size());
  if (room.size() < datagram.size()) {
    Count(&SessionStatistics::datagrams_not_sent);
    return;
  }
  std::memcpy(room.data(), datagram.data(), datagram.size());
  output_->Commit(datagram.size());
  Count(&SessionStatistics::datagrams_sent);
  Count(&SessionStatistics::bytes_sent, datagram.size());
}

void Engine::Start(absl::Time now, EngineOutput& output) {
  if (state_ != EngineState::kNotStarted) return;
  Call call(*this, output);
  state_ = EngineState::kHandshaking;
  started_ = now;
  handshake_deadline_ = now + session_options().handshake_deadline;
  BeginHandshake(now);
  if (context_.is_server() && !options_.verified_hello.has_value() &&
      options_.amplification_limit > 0) {
    allowance_ =
        std::make_unique<internal::SendAllowance>(options_.amplification_limit);
  }
  UpdateTimer(now, 0);
}

void Engine::Drive(absl::Time now) {
  const int result = SSL_do_handshake(ssl_.get());
  NoteReceived();
  if (result == 1) {
    OnFinished(now);
    return;
  }
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_CERTIFICATE_VERIFY) {
    OnVerdictPending();
  } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
    Fail(FailureStatus());
  }
}

// A server has not been asked about the peer of a resumed session: its
// certificate may have expired since, or it has none and was let in by a word
// for that session alone.
void Engine::OnFinished(absl::Time now) {
  finished_ = true;
  // Nobody else can have answered.
  OnAddressProven();
  notes_.ForgetPsk();
  if (context_.is_server() && SSL_session_reused(ssl_.get()) != 0) {
    if (SSL_get0_peer_certificates(ssl_.get()) != nullptr) {
      internal::JudgePeer(ssl_.get(), &notes_);
    } else if (SSL_get_psk_identity(ssl_.get()) != nullptr) {
      if (JudgeResumedPsk()) return;
    } else if (notes_.mode == PeerVerification::kVerify && RefusesAnonymous()) {
      return;
    }
    switch (notes_.verdict) {
      case internal::Verdict::kRejected:
        Refuse(RefusalStatus());
        return;
      case internal::Verdict::kPending:
        OnVerdictPending();
        return;
      case internal::Verdict::kNone:  // There was nobody to judge.
      case internal::Verdict::kAccepted:
        break;
    }
  }
  OnConnected(now);
}

void Engine::OnConnected(absl::Time now) {
  state_ = EngineState::kConnected;
  handshake_deadline_ = absl::InfiniteFuture();
  last_message_ = now;
  idle_check_ = now + idle_timeout();
  filter_.reset();
  first_hello_ = {};
  cookie_request_ = {};
  ForgetAlert();
  // What the handshake was configured with. That there is no renegotiation is
  // said once more, because it is then that BoringSSL lets go of it.
  SSL_set_shed_handshake_config(ssl_.get(), 1);
  SSL_set_renegotiate_mode(ssl_.get(), ssl_renegotiate_never);
  statistics_.handshake_duration = now - started_;
  if (totals_ != nullptr) totals_->handshake_duration += now - started_;
  usage_.LimitSealing(
      internal::SealingLimitOf(*SSL_get_current_cipher(ssl_.get())));
  Read();
  for (std::vector<uint8_t>& record : early_.TakeAll()) {
    internal::RecordView view;
    if (state_ == EngineState::kConnected &&
        record[0] == internal::kApplicationDataType &&
        internal::ReadRecord(record, &view)) {
      OpenInPlace(view, absl::MakeSpan(record));
    }
  }
}

// Everything but application data: alerts, and the peer's last flight again,
// which BoringSSL answers with ours.
void Engine::Read() {
  std::array<uint8_t, kMaxMessageBytes> buffer;
  while (state_ == EngineState::kConnected) {
    ERR_clear_error();
    const int result =
        SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
    NoteReceived();
    if (result > 0) {
      Deliver({buffer.data(), static_cast<size_t>(result)});
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
    if (error == SSL_ERROR_ZERO_RETURN) {
      state_ = EngineState::kPeerClosed;
      error_ = absl::OutOfRangeError("the peer closed the session");
      return;
    }
    Fail(FailureStatus());
  }
}

void Engine::Deliver(absl::Span<const uint8_t> message) {
  if (!output_->OnMessage(message)) {
    Count(&SessionStatistics::messages_dropped_queue_full);
    return;
  }
  Count(&SessionStatistics::messages_received);
  Count(&SessionStatistics::message_bytes_received, message.size());
}

void Engine::Fail(absl::Status status) {
  state_ = EngineState::kFailed;
  error_ = std::move(status);
  StopHandshake();
}

void Engine::UpdateTimer(absl::Time now, uint64_t datagrams_before) {
  timeval left = {};
  const bool waiting = (state_ == EngineState::kHandshaking ||
                        state_ == EngineState::kVerificationFailed ||
                        state_ == EngineState::kConnected) &&
                       DTLSv1_get_timeout(ssl_.get(), &left) == 1;
  if (!waiting || held_back()) {
    timer_.Stop();
  } else if (statistics_.datagrams_sent + statistics_.datagrams_not_sent >
                 datagrams_before ||
             !timer_.running()) {
    // A new flight. Datagrams that bring nothing new leave the timer alone.
    timer_.OnFlightSent(now, session_options());
  }
}

void Engine::BeginHandshake(absl::Time now) {
  filter_ = std::make_unique<internal::PlaintextFilter>(
      context_.is_server() && notes_.mode == PeerVerification::kNone
          ? 0
          : SSL_get_max_cert_list(ssl_.get()),
      kept_);
  if (context_.is_server()) return;
  Drive(now);
  first_hello_ = internal::LastHello(ssl_.get());
}

absl::Time Engine::NextDeadline() const {
  return std::min({handshake_deadline_, timer_.deadline(), alert_deadline_,
                   state_ == EngineState::kConnected ? idle_check_
                                                     : absl::InfiniteFuture()});
}

void Engine::OnTimeout(absl::Time now, EngineOutput& output) {
  Call call(*this, output);
  // What else ends the handshake is explained by the alert.
  if (alert_ >= 0 && !resting() &&
      (now >= std::min(alert_deadline_, handshake_deadline_) ||
       (now >= timer_.deadline() && timer_.exhausted(session_options())))) {
    // A server that wants no cookie may end it over the hello with a forged
    // one.
    if (went_back_ && now < handshake_deadline_ && BeginAgain(now)) return;
    notes_.alert_received = alert_;
    Fail(FailureStatus());
    return;
  }
  if (now >= handshake_deadline_) {
    absl::Status status = absl::DeadlineExceededError(absl::StrCat(
        "the handshake was not done within ",
        absl::FormatDuration(session_options().handshake_deadline),
        statistics_.datagrams_received == 0 ? ": the peer never answered"
        : resting() ? ": nobody has decided about the peer"
                    : ""));
    ErrorDetail detail;
    detail.limit = "handshake_deadline";
    detail.verification_errors = notes_.errors;
    SetErrorDetail(&status, detail);
    if (resting()) SendRefusal();
    Fail(std::move(status));
    return;
  }
  if (state_ == EngineState::kConnected && now >= idle_check_) CheckIdle(now);
  if (now < timer_.deadline()) return;
  timeval left = {};
  if (DTLSv1_get_timeout(ssl_.get(), &left) != 1) {
    timer_.Stop();
    return;
  }
  if (cookie_refused_ && internal::AwaitedBy(ssl_.get()).first_answer_too &&
      BeginAgain(now)) {
    return;
  }
  if (timer_.exhausted(session_options())) {
    if (resting()) {
      // It did answer: we are the ones who keep it waiting.
      timer_.Stop();
      return;
    }
    absl::Status status = absl::UnavailableError(
        absl::StrCat("the peer does not answer: a flight was sent ",
                     timer_.repetitions() + 1, " times"));
    SetErrorDetail(&status, {.limit = "max_retransmissions"});
    Fail(std::move(status));
    return;
  }
  // Perhaps its packets are too large for the path.
  if (!resting() && timer_.repetitions() % 2 == 1) BackOffMtu();
  // BoringSSL doubles its own timer without our bound: let it believe that its
  // time has come.
  const internal::ScopedWallClock expiry(*context_.state(),
                                         absl::DurationFromTimeval(left));
  const int result = DTLSv1_handle_timeout(ssl_.get());
  if (result < 0) {
    Fail(FailureStatus());
    return;
  }
  Count(&SessionStatistics::retransmissions);
  timer_.OnRepeated(now, session_options());
  // It is the peer's turn.
  if (held_back()) timer_.Stop();
}

size_t Engine::overhead() const { return internal::SealOverhead(ssl_.get()); }

absl::Status Engine::Send(absl::Span<const uint8_t> message,
                          EngineOutput& output) {
  if (state_ != EngineState::kConnected && state_ != EngineState::kPeerClosed) {
    return absl::FailedPreconditionError(
        "nothing can be sent: the session is not established");
  }
  if (message.size() > MaxMessageSize()) {
    absl::Status status = absl::InvalidArgumentError(absl::StrCat(
        "a message of ", message.size(),
        " bytes is too large: the largest has ", MaxMessageSize()));
    SetErrorDetail(&status, {.limit = "max_message_size"});
    return status;
  }
  absl::Span<uint8_t> room = output.Reserve(message.size() + overhead());
  if (room.empty()) {
    Count(&SessionStatistics::datagrams_not_sent);
    return absl::UnavailableError("the network does not take the message now");
  }
  const internal::KeyUse use = usage_.CountSealed(message.size());
  const size_t size =
      use == internal::KeyUse::kUsedUp
          ? 0
          : internal::SealApplicationRecord(ssl_.get(), message, room);
  output.Commit(size);
  if (size == 0) return EndOfSending(use, output);
  if (use == internal::KeyUse::kNearlyUsedUp) {
    Count(&SessionStatistics::keys_nearly_used_up);
  }
  Count(&SessionStatistics::datagrams_sent);
  Count(&SessionStatistics::messages_sent);
  Count(&SessionStatistics::bytes_sent, size);
  Count(&SessionStatistics::message_bytes_sent, message.size());
  return absl::OkStatus();
}

void Engine::Close(absl::Time, EngineOutput& output) {
  Call call(*this, output);
  switch (state_) {
    case EngineState::kConnected:
    case EngineState::kPeerClosed:
      SendCloseNotify();
      break;
    case EngineState::kHandshaking:
    case EngineState::kVerificationFailed:
      SendRefusal();
      break;
    case EngineState::kNotStarted:
    case EngineState::kClosed:
    case EngineState::kFailed:
      break;
  }
  if (state_ != EngineState::kFailed) state_ = EngineState::kClosed;
  StopHandshake();
}

void Engine::Terminate(absl::Status status, uint8_t alert, absl::Time,
                       EngineOutput& output) {
  if (state_ == EngineState::kFailed || state_ == EngineState::kClosed ||
      state_ == EngineState::kNotStarted) {
    return;
  }
  Call call(*this, output);
  End(std::move(status), alert);
}

void Engine::End(absl::Status status, uint8_t alert) {
  if (alert == SSL_AD_CLOSE_NOTIFY && (state_ == EngineState::kConnected ||
                                       state_ == EngineState::kPeerClosed)) {
    SendCloseNotify();
  } else {
    const uint8_t fatal =
        alert == SSL_AD_CLOSE_NOTIFY ? SSL_AD_USER_CANCELLED : alert;
    SendFatalAlert(fatal);
    ErrorDetail detail = GetErrorDetail(status).value_or(ErrorDetail());
    detail.alert = fatal;
    SetErrorDetail(&status, detail);
  }
  Fail(std::move(status));
}

}  // namespace cordon::dtls
