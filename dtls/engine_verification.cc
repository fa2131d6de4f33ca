// The handshake rests while somebody decides whether the peer may pass.
//
// BoringSSL's verification callback answers "not yet" for as long as it takes.
// It reads nothing in the meantime, so what comes is held, within bounds: the
// peer repeats what was lost.
#include <openssl/bytestring.h>
#include <openssl/nid.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/internal/context_state.h"
#include "cordon/dtls/internal/peer_identity.h"
#include "cordon/dtls/internal/peer_verifier.h"

namespace cordon::dtls {
namespace {

constexpr uint8_t kAlertType = 21;
// A Certificate message without any.
constexpr size_t kEmptyChainBytes = 3;

// The identity in a ClientKeyExchange of a PSK suite (RFC 4279 section 2).
bool ReadPskIdentity(absl::Span<const uint8_t> body, std::string* identity) {
  CBS cbs;
  CBS_init(&cbs, body.data(), body.size());
  CBS text;
  if (!CBS_get_u16_length_prefixed(&cbs, &text) || CBS_len(&text) == 0 ||
      CBS_len(&text) > PSK_MAX_IDENTITY_LEN || CBS_contains_zero_byte(&text)) {
    return false;
  }
  identity->assign(reinterpret_cast<const char*>(CBS_data(&text)),
                   CBS_len(&text));
  return true;
}

absl::Status VerificationStatus(const std::vector<VerificationError>& errors,
                                uint8_t alert) {
  absl::Status status = absl::UnauthenticatedError(absl::StrCat(
      "the peer's certificate cannot be accepted: ", MessagesOf(errors)));
  ErrorDetail detail;
  detail.alert = alert;
  detail.verification_errors = errors;
  SetErrorDetail(&status, detail);
  return status;
}

}  // namespace

absl::Status Engine::IgnoreVerificationErrors(
    std::vector<IgnoredError> ignored) {
  if (state_ != EngineState::kNotStarted &&
      state_ != EngineState::kHandshaking &&
      state_ != EngineState::kVerificationFailed) {
    return absl::FailedPreconditionError(
        "errors are ignored before the peer is accepted, not afterwards");
  }
  ignored_ = std::move(ignored);
  ResetIgnored();
  return absl::OkStatus();
}

bool Engine::RefusesAnonymous() {
  notes_.errors = NotIgnored({internal::NoCertificateError()}, notes_.ignored);
  if (notes_.errors.empty()) {
    notes_.tolerated = {internal::NoCertificateError()};
    anonymous_accepted_ = true;
    ApplyVerificationMode(ssl_.get());
    return false;
  }
  state_ = EngineState::kVerificationFailed;
  error_ = VerificationStatus(notes_.errors, RefusalAlert());
  return true;
}

bool Engine::RestsBefore(const internal::HandshakeMessage& message) {
  if (!context_.is_server()) return false;
  if (message.type == SSL3_MT_CERTIFICATE) {
    return message.body.size() == kEmptyChainBytes &&
           notes_.mode == PeerVerification::kVerify && !anonymous_accepted_ &&
           RefusesAnonymous();
  }
  if (message.type != SSL3_MT_CLIENT_KEY_EXCHANGE || !options_.ask_for_psk ||
      psk_looked_up_) {
    return false;
  }
  const SSL_CIPHER* cipher = SSL_get_pending_cipher(ssl_.get());
  std::string identity;
  if (cipher == nullptr || SSL_CIPHER_get_auth_nid(cipher) != NID_auth_psk ||
      !ReadPskIdentity(message.body, &identity) ||
      context_.state()->FindPsk(identity) != nullptr ||
      (options_.policy != nullptr && !options_.policy->AllowsPsk(identity))) {
    return false;
  }
  wanted_psk_ = std::move(identity);
  ++question_;
  return true;
}

void Engine::ReceiveWhileResting(const internal::RecordView& view,
                                 absl::Time now) {
  // Whether it gave up is seen when the handshake goes on.
  if (view.epoch == 0 && view.type == kAlertType && !finished_) {
    ReceiveInTheClear(view, now);
    return;
  }
  if (!held_.Keep(view.whole)) Count(&SessionStatistics::records_discarded);
}

void Engine::OnVerdictPending() {
  if (notes_.ask_application) {
    verdict_wanted_ = true;
    ++question_;
    return;
  }
  state_ = EngineState::kVerificationFailed;
  error_ = VerificationStatus(notes_.errors, RefusalAlert());
}

// The verdict is there: works off what came in the meantime.
void Engine::GoOn(absl::Time now) {
  // What came before the alert does not show that it was forged.
  const int alert = alert_;
  state_ = EngineState::kHandshaking;
  error_ = absl::OkStatus();
  if (finished_) {
    OnConnected(now);
  } else {
    Drive(now);
    FeedMessages(now);
    FeedEarly(now);
  }
  while (!held_.empty() && !resting() &&
         (state_ == EngineState::kHandshaking ||
          state_ == EngineState::kConnected)) {
    std::vector<uint8_t> record = held_.TakeFirst();
    internal::RecordView view;
    if (internal::ReadRecord(record, &view)) {
      ReceiveRecord(view, absl::MakeSpan(record), now);
    }
  }
  if (alert >= 0 && state_ == EngineState::kHandshaking && !resting()) {
    alert_ = alert;
    WaitAfterAlert(now);
  }
}

absl::Status Engine::ResumeHandshake(absl::Span<const IgnoredError> ignored,
                                     absl::Time now, EngineOutput& output) {
  if (state_ != EngineState::kVerificationFailed) {
    return absl::FailedPreconditionError(
        "nothing to resume: no handshake rests because its peer could not be "
        "verified");
  }
  std::vector<VerificationError> left =
      NotIgnored(NotIgnored(notes_.errors, notes_.ignored), ignored);
  if (!left.empty()) return VerificationStatus(left, RefusalAlert());
  Call call(*this, output);
  const uint64_t datagrams_before =
      statistics_.datagrams_sent + statistics_.datagrams_not_sent;
  std::move(notes_.errors.begin(), notes_.errors.end(),
            std::back_inserter(notes_.tolerated));
  notes_.errors.clear();
  if (!internal::NamesMayPass(ssl_.get(), &notes_)) {
    Refuse(RefusalStatus());
    return error_;
  }
  if (SSL_get0_peer_certificates(ssl_.get()) == nullptr) {
    anonymous_accepted_ = true;
    ApplyVerificationMode(ssl_.get());
  } else {
    notes_.verdict = internal::Verdict::kAccepted;
  }
  GoOn(now);
  UpdateTimer(now, datagrams_before);
  return absl::OkStatus();
}

uint8_t Engine::RefusalAlert() const {
  if (!notes_.errors.empty()) return internal::AlertFor(notes_.errors.front());
  return verdict_wanted_ ? SSL_AD_CERTIFICATE_UNKNOWN : SSL_AD_USER_CANCELLED;
}

void Engine::SendRefusal() {
  if (state_ == EngineState::kHandshaking ||
      state_ == EngineState::kVerificationFailed) {
    SendFatalAlert(RefusalAlert());
  }
}

absl::Status Engine::AbortHandshake(absl::Time, EngineOutput& output) {
  if (state_ != EngineState::kHandshaking &&
      state_ != EngineState::kVerificationFailed) {
    return absl::FailedPreconditionError(
        "nothing to abort: no handshake is going on");
  }
  {
    Call call(*this, output);
    SendRefusal();
  }
  return BeginAnew();
}

// Its key may have been disabled since, or may be one that is looked up. One of
// the context has been compared by BoringSSL's callback already.
bool Engine::JudgeResumedPsk() {
  const std::string identity(*psk_identity());
  if (options_.policy != nullptr && !options_.policy->AllowsPsk(identity)) {
    notes_.Refuse(internal::CompiledPolicy::PskError(identity));
    return false;
  }
  if (context_.state()->FindPsk(identity) != nullptr) return false;
  if (!options_.ask_for_psk) {
    RefuseResumedPsk();
    return true;
  }
  wanted_psk_ = identity;
  ++question_;
  return true;
}

void Engine::RefuseResumedPsk() {
  notes_.reject_alert = SSL_AD_UNKNOWN_PSK_IDENTITY;
  Refuse(absl::UnavailableError(
      "the handshake failed: the peer resumes a session whose pre-shared key "
      "is gone, or another one now"));
}

absl::Status Engine::RefusalStatus() const {
  return absl::PermissionDeniedError(
      absl::StrCat("the policy refuses the peer (version ", policy_version(),
                   "): ", notes_.refusal));
}

void Engine::Refuse(absl::Status status) {
  SendFatalAlert(notes_.reject_alert);
  ErrorDetail detail;
  detail.alert = notes_.reject_alert;
  detail.verification_errors = notes_.errors;
  SetErrorDetail(&status, detail);
  Fail(std::move(status));
}

PeerIdentity Engine::peer_identity() const {
  PeerIdentity identity =
      internal::IdentityOf(SSL_get0_peer_certificates(ssl_.get()), nullptr,
                           context_.state()->certificate_limits());
  identity.is_server = !context_.is_server();
  identity.expected_name = notes_.verify_name;
  identity.resumed = SSL_session_reused(ssl_.get()) != 0;
  identity.errors = notes_.errors;
  return identity;
}

void Engine::GiveVerdict(const VerificationVerdict& verdict, absl::Time now,
                         EngineOutput& output) {
  if (!verdict_wanted_) return;
  Call call(*this, output);
  const uint64_t datagrams_before =
      statistics_.datagrams_sent + statistics_.datagrams_not_sent;
  verdict_wanted_ = false;
  switch (verdict.kind()) {
    case VerificationVerdict::Kind::kReject: {
      VerificationError error;
      error.code = VerificationErrorCode::kRejected;
      error.message = absl::StrCat("rejected: ", verdict.reason());
      notes_.errors.push_back(std::move(error));
      notes_.verified = false;
      notes_.reject_alert = verdict.alert();
      Refuse(absl::PermissionDeniedError(absl::StrCat(
          "the application rejects the peer: ", verdict.reason())));
      return;
    }
    case VerificationVerdict::Kind::kAccept:
      if (!internal::NamesMayPass(ssl_.get(), &notes_)) {
        Refuse(RefusalStatus());
        return;
      }
      std::move(notes_.errors.begin(), notes_.errors.end(),
                std::back_inserter(notes_.tolerated));
      notes_.errors.clear();
      notes_.verified = true;
      break;
    case VerificationVerdict::Kind::kAsFound:
      if (notes_.errors.empty() || !RefusesUnverified(notes_.mode)) break;
      state_ = EngineState::kVerificationFailed;
      error_ = VerificationStatus(notes_.errors, RefusalAlert());
      return;
  }
  notes_.verdict = internal::Verdict::kAccepted;
  GoOn(now);
  UpdateTimer(now, datagrams_before);
}

void Engine::GivePsk(std::vector<uint8_t> key, absl::Time now,
                     EngineOutput& output) {
  if (!wanted_psk_.has_value()) return;
  Call call(*this, output);
  const uint64_t datagrams_before =
      statistics_.datagrams_sent + statistics_.datagrams_not_sent;
  notes_.psk = {*std::exchange(wanted_psk_, std::nullopt), std::move(key)};
  psk_looked_up_ = true;
  if (finished_) {
    const bool same = internal::IsOfPsk(ssl_.get(), notes_.psk.key);
    notes_.ForgetPsk();
    if (!same) {
      RefuseResumedPsk();
      return;
    }
  }
  GoOn(now);
  UpdateTimer(now, datagrams_before);
}

}  // namespace cordon::dtls
