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

constexpr size_t kIpv4Overhead = 20 + 8;
constexpr size_t kIpv6Overhead = 40 + 8;
// BoringSSL takes no less.
constexpr size_t kMinPayload = 228;

// A Finished, its repetition, and the first messages that follow it.
constexpr size_t kMaxEarlyRecords = 8;
constexpr size_t kMaxEarlyBytes = 8192;

absl::StatusCode CodeOfReceivedAlert(int alert) {
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_UNKNOWN_PSK_IDENTITY:
    case SSL_AD_CERTIFICATE_REQUIRED:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

// Points to `output` for the length of a call, and tells BoringSSL the time.
class Call {
 public:
  Call(EngineOutput** slot, EngineOutput& output, absl::Time now)
      : time_(now), slot_(slot) {
    *slot_ = &output;
    ERR_clear_error();
  }
  ~Call() {
    *slot_ = nullptr;
    ERR_clear_error();
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  internal::ScopedTime time_;
  EngineOutput** slot_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(
    const Context& context, const EngineOptions& options) {
  if (context.state()->needs_server_name() && options.server_name.empty()) {
    return absl::InvalidArgumentError(
        "server_name is empty: say which name the server's certificate must "
        "have, or set verify_server to false");
  }
  std::unique_ptr<Engine> engine(new Engine(context, options));
  if (absl::Status status = engine->Init(); !status.ok()) return status;
  return engine;
}

Engine::Engine(const Context& context, const EngineOptions& options)
    : context_(context), options_(options) {}

Engine::~Engine() = default;

absl::Status Engine::Init() {
  ssl_.reset(SSL_new(context_.state()->ssl_context()));
  bssl::UniquePtr<BIO> bio = internal::NewDatagramBio(this);
  if (ssl_ == nullptr || bio == nullptr) {
    ERR_clear_error();
    return absl::ResourceExhaustedError("out of memory for a DTLS session");
  }
  SSL* ssl = ssl_.get();
  BIO* raw = bio.release();
  SSL_set_bio(ssl, raw, raw);
  internal::AttachNotes(ssl, &notes_);
  const SessionOptions& session = context_.session();
  const size_t headers = options_.ipv6 ? kIpv6Overhead : kIpv4Overhead;
  SSL_set_mtu(
      ssl, static_cast<unsigned>(std::max(kMinPayload, session.mtu - headers)));
  DTLSv1_set_initial_timeout_duration(
      ssl, static_cast<unsigned>(
               absl::ToInt64Milliseconds(session.retransmission_timeout)));
  if (context_.is_server()) {
    SSL_set_accept_state(ssl);
    if (options_.verified_hello.has_value()) {
      internal::ContinueAfterHelloVerifyRequest(ssl, *options_.verified_hello);
    }
    return absl::OkStatus();
  }
  SSL_set_connect_state(ssl);
  notes_.verify_name = options_.server_name;
  // An address is no name for SNI (RFC 6066 section 3).
  if (!options_.server_name.empty() &&
      !net::Endpoint::ParseAddress(options_.server_name).ok() &&
      SSL_set_tlsext_host_name(ssl, options_.server_name.c_str()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("\"", options_.server_name, "\" is not a host name"));
  }
  return absl::OkStatus();
}

void Engine::WriteDatagram(absl::Span<const uint8_t> datagram) {
  if (output_ == nullptr) return;
  absl::Span<uint8_t> room = output_->Reserve(datagram.size());
  if (room.size() < datagram.size()) {
    ++statistics_.datagrams_not_sent;
    return;
  }
  std::memcpy(room.data(), datagram.data(), datagram.size());
  output_->Commit(datagram.size());
  ++statistics_.datagrams_sent;
  statistics_.bytes_sent += datagram.size();
}

void Engine::Start(absl::Time now, EngineOutput& output) {
  if (state_ != EngineState::kNotStarted) return;
  Call call(&output_, output, now);
  state_ = EngineState::kHandshaking;
  started_ = now;
  handshake_deadline_ = now + context_.session().handshake_deadline;
  if (!context_.is_server()) Drive(now);
  UpdateTimer(now, 0);
}

void Engine::Receive(absl::Span<uint8_t> datagram, absl::Time now,
                     EngineOutput& output) {
  ++statistics_.datagrams_received;
  statistics_.bytes_received += datagram.size();
  Call call(&output_, output, now);
  const uint64_t datagrams_before =
      statistics_.datagrams_sent + statistics_.datagrams_not_sent;
  // Records stand on their own: one that is bad leaves the others alone.
  while (!datagram.empty()) {
    internal::RecordView record;
    if (!internal::ReadRecord(datagram, &record)) {
      ++statistics_.records_discarded;
      break;
    }
    ReceiveRecord(record, datagram.subspan(0, record.whole.size()), now);
    datagram.remove_prefix(record.whole.size());
  }
  if (state_ != EngineState::kConnected ||
      retransmission_ != absl::InfiniteFuture()) {
    UpdateTimer(now, datagrams_before);
  }
}

void Engine::ReceiveRecord(const internal::RecordView& view,
                           absl::Span<uint8_t> record, absl::Time now) {
  if (state_ == EngineState::kHandshaking) {
    ReceiveWhileHandshaking(view, now);
  } else if (state_ != EngineState::kConnected) {
    ++statistics_.records_discarded;
  } else if (view.type == internal::kApplicationDataType) {
    OpenInPlace(record);
  } else {
    set_incoming(record);
    Read();
  }
}

void Engine::ReceiveWhileHandshaking(const internal::RecordView& view,
                                     absl::Time now) {
  if (view.epoch != 0) KeepEarly(view.whole);
  // Early data would be thrown away.
  if (view.epoch == 0 || view.type != internal::kApplicationDataType) {
    set_incoming(view.whole);
    Drive(now);
  }
  if (view.epoch != 0) return;
  for (size_t i = 0; i < early_.size() && state_ == EngineState::kHandshaking;
       ++i) {
    if (early_[i][0] == internal::kApplicationDataType) continue;
    set_incoming(early_[i]);
    Drive(now);
  }
}

void Engine::KeepEarly(absl::Span<const uint8_t> record) {
  if (early_.size() >= kMaxEarlyRecords ||
      early_bytes_ + record.size() > kMaxEarlyBytes) {
    ++statistics_.records_discarded;
    return;
  }
  early_.emplace_back(record.begin(), record.end());
  early_bytes_ += record.size();
}

void Engine::OpenInPlace(absl::Span<uint8_t> record) {
  absl::Span<uint8_t> message;
  switch (internal::OpenApplicationRecord(ssl_.get(), record, &message)) {
    case internal::OpenResult::kOpened:
      Deliver(message);
      return;
    case internal::OpenResult::kDiscarded:
      ++statistics_.records_discarded;
      return;
    case internal::OpenResult::kFailed:
      Fail(absl::UnavailableError("the peer violated the protocol"));
      return;
  }
}

void Engine::Drive(absl::Time now) {
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    OnConnected(now);
    return;
  }
  const int error = SSL_get_error(ssl_.get(), result);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
    Fail(FailureStatus(error));
  }
}

void Engine::OnConnected(absl::Time now) {
  state_ = EngineState::kConnected;
  handshake_deadline_ = absl::InfiniteFuture();
  statistics_.handshake_duration = now - started_;
  Read();
  for (std::vector<uint8_t>& record : std::exchange(early_, {})) {
    if (state_ == EngineState::kConnected &&
        record[0] == internal::kApplicationDataType) {
      OpenInPlace(absl::MakeSpan(record));
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
    Fail(FailureStatus(error));
  }
}

void Engine::Deliver(absl::Span<const uint8_t> message) {
  if (!output_->OnMessage(message)) {
    ++statistics_.messages_dropped_queue_full;
    return;
  }
  ++statistics_.messages_received;
  statistics_.message_bytes_received += message.size();
}

void Engine::Fail(absl::Status status) {
  state_ = EngineState::kFailed;
  error_ = std::move(status);
  handshake_deadline_ = absl::InfiniteFuture();
  retransmission_ = absl::InfiniteFuture();
}

absl::Status Engine::FailureStatus(int ssl_error) {
  const uint32_t error = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(error);
  const bool timed_out = ERR_GET_LIB(error) == ERR_LIB_SSL &&
                         ERR_GET_REASON(error) == SSL_R_READ_TIMEOUT_EXPIRED;
  ERR_clear_error();

  ErrorDetail detail;
  absl::Status status;
  if (!notes_.verification_errors.empty()) {
    detail.verification_errors = notes_.verification_errors;
    status = absl::UnauthenticatedError(absl::StrCat(
        "the peer's certificate cannot be accepted: ",
        absl::StrJoin(notes_.verification_errors, "; ",
                      [](std::string* out, const VerificationError& e) {
                        absl::StrAppend(out, e.message);
                      })));
  } else if (notes_.alert_received >= 0) {
    status = absl::Status(
        CodeOfReceivedAlert(notes_.alert_received),
        absl::StrCat("the peer ended the session with the alert ",
                     AlertName(static_cast<uint8_t>(notes_.alert_received))));
  } else if (timed_out) {
    status = absl::UnavailableError("the peer does not answer");
  } else if (ERR_GET_REASON(error) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    VerificationError missing;
    missing.code = VerificationErrorCode::kNoPeerCertificate;
    missing.message = "no certificate: the peer sent none";
    status = absl::UnauthenticatedError(missing.message);
    detail.verification_errors.push_back(std::move(missing));
  } else {
    status = absl::UnavailableError(absl::StrCat(
        "the handshake failed: ", reason != nullptr
                                      ? std::string(reason)
                                      : absl::StrCat("error ", ssl_error)));
  }
  if (notes_.alert_received >= 0) {
    detail.alert = static_cast<uint8_t>(notes_.alert_received);
    detail.alert_received = true;
  } else if (notes_.alert_sent >= 0) {
    detail.alert = static_cast<uint8_t>(notes_.alert_sent);
  }
  SetErrorDetail(&status, detail);
  return status;
}

void Engine::UpdateTimer(absl::Time now, uint64_t datagrams_before) {
  timeval left = {};
  const bool waiting = (state_ == EngineState::kHandshaking ||
                        state_ == EngineState::kConnected) &&
                       DTLSv1_get_timeout(ssl_.get(), &left) == 1;
  if (!waiting) {
    retransmission_ = absl::InfiniteFuture();
  } else if (statistics_.datagrams_sent + statistics_.datagrams_not_sent >
                 datagrams_before ||
             retransmission_ == absl::InfiniteFuture()) {
    // A new flight. Datagrams that bring nothing new leave the timer alone.
    retransmission_interval_ = context_.session().retransmission_timeout;
    retransmission_ = now + retransmission_interval_;
  }
}

absl::Time Engine::NextDeadline() const {
  return std::min(handshake_deadline_, retransmission_);
}

void Engine::OnTimeout(absl::Time now, EngineOutput& output) {
  Call call(&output_, output, now);
  if (now >= handshake_deadline_) {
    absl::Status status = absl::DeadlineExceededError(absl::StrCat(
        "the handshake was not done within ",
        absl::FormatDuration(context_.session().handshake_deadline),
        statistics_.datagrams_received == 0 ? ": the peer never answered"
                                            : ""));
    SetErrorDetail(&status, {.limit = "handshake_deadline"});
    Fail(std::move(status));
    return;
  }
  if (now < retransmission_) return;
  // BoringSSL doubles its own timer without our bound: let it believe that its
  // time has come.
  timeval left = {};
  if (DTLSv1_get_timeout(ssl_.get(), &left) != 1) {
    retransmission_ = absl::InfiniteFuture();
    return;
  }
  const internal::ScopedTime expiry(now + absl::Seconds(left.tv_sec) +
                                    absl::Microseconds(left.tv_usec));
  const int result = DTLSv1_handle_timeout(ssl_.get());
  if (result < 0) {
    Fail(FailureStatus(SSL_get_error(ssl_.get(), result)));
    return;
  }
  ++statistics_.retransmissions;
  retransmission_interval_ =
      std::min(2 * retransmission_interval_,
               context_.session().max_retransmission_timeout);
  retransmission_ = now + retransmission_interval_;
}

size_t Engine::overhead() const { return internal::SealOverhead(ssl_.get()); }

absl::Status Engine::Send(absl::Span<const uint8_t> message,
                          EngineOutput& output) {
  if (state_ != EngineState::kConnected && state_ != EngineState::kPeerClosed) {
    return absl::FailedPreconditionError(
        "nothing can be sent: the session is not established");
  }
  if (message.size() > kMaxMessageBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a message of ", message.size(),
        " bytes is too large: the largest has ", kMaxMessageBytes));
  }
  absl::Span<uint8_t> room = output.Reserve(message.size() + overhead());
  if (room.empty()) {
    ++statistics_.datagrams_not_sent;
    return absl::UnavailableError("the network does not take the message now");
  }
  const size_t size =
      internal::SealApplicationRecord(ssl_.get(), message, room);
  output.Commit(size);
  if (size == 0) {
    absl::Status status = absl::ResourceExhaustedError(
        "the session has used up its sequence numbers: make a new one");
    SetErrorDetail(&status, {.limit = "sequence_numbers"});
    return status;
  }
  ++statistics_.datagrams_sent;
  ++statistics_.messages_sent;
  statistics_.bytes_sent += size;
  statistics_.message_bytes_sent += message.size();
  return absl::OkStatus();
}

void Engine::Close(absl::Time now, EngineOutput& output) {
  Call call(&output_, output, now);
  switch (state_) {
    case EngineState::kConnected:
    case EngineState::kPeerClosed:
      SSL_shutdown(ssl_.get());
      break;
    case EngineState::kHandshaking:
      // Not an error of the peer: RFC 5246 section 7.2.2 wants user_canceled
      // followed by close_notify.
      SSL_send_fatal_alert(ssl_.get(), SSL_AD_USER_CANCELLED);
      break;
    default:
      break;
  }
  if (state_ != EngineState::kFailed) state_ = EngineState::kClosed;
  handshake_deadline_ = absl::InfiniteFuture();
  retransmission_ = absl::InfiniteFuture();
}

SessionInfo Engine::info() const {
  SessionInfo info;
  const SSL* ssl = ssl_.get();
  if (SSL_is_init_finished(ssl) == 0) return info;
  info.version = SSL_get_version(ssl);
  if (const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl)) {
    info.cipher = SSL_CIPHER_get_name(cipher);
  }
  if (const uint16_t group = SSL_get_curve_id(ssl); group != 0) {
    if (const char* name = SSL_get_curve_name(group)) info.group = name;
  }
  if (const uint16_t algorithm = SSL_get_peer_signature_algorithm(ssl);
      algorithm != 0) {
    const char* name = SSL_get_signature_algorithm_name(algorithm, 0);
    if (name != nullptr) info.signature_algorithm = name;
  }
  const uint8_t* alpn = nullptr;
  unsigned alpn_size = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &alpn_size);
  info.alpn.assign(reinterpret_cast<const char*>(alpn), alpn_size);
  if (context_.is_server()) {
    if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) {
      info.server_name = name;
    }
  } else {
    info.server_name = options_.server_name;
  }
  if (const char* identity = SSL_get_psk_identity(ssl)) {
    info.psk_identity = identity;
  }
  info.peer_verified = notes_.verified;
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl);
  for (size_t i = 0; chain != nullptr && i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    CRYPTO_BUFFER* buffer = sk_CRYPTO_BUFFER_value(chain, i);
    info.peer_chain.emplace_back(
        reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer)),
        CRYPTO_BUFFER_len(buffer));
    if (i == 0) {
      bssl::UniquePtr<X509> leaf(X509_parse_from_buffer(buffer));
      if (leaf != nullptr) info.peer_subject = internal::SubjectOf(leaf.get());
    }
  }
  return info;
}

}  // namespace cordon::dtls
