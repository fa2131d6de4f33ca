// How an engine's SSL is made, and what can be asked of it.
#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/srtp.h>
#include <openssl/ssl.h>
#include <openssl/stack.h>
#include <openssl/x509.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/internal/boringssl_seam.h"
#include "cordon/dtls/internal/context_state.h"
#include "cordon/dtls/internal/peer_identity.h"
#include "cordon/dtls/internal/peer_verifier.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls {
namespace {

constexpr size_t kIpv4Overhead = 20 + 8;
constexpr size_t kIpv6Overhead = 40 + 8;
// BoringSSL takes no less.
constexpr size_t kMinPayload = 228;
constexpr size_t kMaxExportedBytes = 4096;

size_t HeaderBytes(bool ipv6) { return ipv6 ? kIpv6Overhead : kIpv4Overhead; }

absl::Status CheckMtu(size_t mtu) {
  if (mtu >= kMinMtu && mtu <= kMaxMtu) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "an MTU of ", mtu, " bytes: it must be from ", kMinMtu, " to ", kMaxMtu));
}

}  // namespace

absl::Status Engine::Init() {
  bssl::UniquePtr<SSL> made(SSL_new(context_.state()->ssl_context()));
  bssl::UniquePtr<BIO> bio = internal::NewDatagramBio(this);
  if (made == nullptr || bio == nullptr ||
      !internal::AttachNotes(made.get(), &notes_)) {
    ERR_clear_error();
    return absl::ResourceExhaustedError("out of memory for a DTLS session");
  }
  SSL* ssl = made.get();
  BIO* raw = bio.release();
  SSL_set_bio(ssl, raw, raw);
  const internal::ContextState& context = *context_.state();
  notes_.mode = context.verification_mode();
  notes_.max_chain_depth = context.max_chain_depth();
  notes_.ask_application = options_.ask_for_verdict;
  if (context_.is_server()) {
    SSL_set_accept_state(ssl);
    if (absl::Status status = ApplyPolicy(ssl); !status.ok()) return status;
    if (options_.verified_hello.has_value()) {
      internal::ContinueAfterHelloVerifyRequest(ssl, *options_.verified_hello);
    }
  } else {
    SSL_set_connect_state(ssl);
    if (absl::Status status =
            internal::CheckName("server_name", options_.server_name);
        !status.ok()) {
      return status;
    }
    notes_.verify_name = options_.server_name;
    // An address is no name for SNI (RFC 6066 section 3).
    if (!options_.server_name.empty() &&
        !net::Endpoint::ParseAddress(options_.server_name).ok() &&
        SSL_set_tlsext_host_name(ssl, options_.server_name.c_str()) != 1) {
      ERR_clear_error();
      return absl::InvalidArgumentError(
          absl::StrCat("server_name is \"", options_.server_name,
                       "\", which is not a host name"));
    }
    if (!options_.resume.empty() &&
        SSL_set_session(ssl, options_.resume.get()) != 1) {
      ERR_clear_error();
      return absl::ResourceExhaustedError("out of memory for a DTLS session");
    }
  }
  if (absl::Status status = ApplyOverrides(ssl); !status.ok()) return status;
  if (!context_.is_server() && context.certificates_expected() &&
      notes_.mode != PeerVerification::kNone && notes_.verify_name.empty() &&
      (overrides_ == nullptr || !overrides_->verify_name.has_value())) {
    return absl::InvalidArgumentError(
        "server_name is empty: say which name the server's certificate must "
        "have, or set the verification mode to kNone");
  }
  ApplyVerificationMode(ssl);
  DTLSv1_set_initial_timeout_duration(
      ssl, static_cast<unsigned>(absl::ToInt64Milliseconds(
               session_options().retransmission_timeout)));
  mtu_ = mtu_hint_ != 0 ? mtu_hint_ : session_options().mtu;
  if (options_.path_mtu != 0) {
    mtu_ = std::clamp(options_.path_mtu, kMinMtu, mtu_);
  }
  ssl_ = std::move(made);
  // Its keys are new ones.
  usage_ = internal::KeyUsage();
  received_ = internal::ReplayWindow(session_options().replay_window);
  offered_.reset();
  ApplyMtu();
  return absl::OkStatus();
}

absl::Status Engine::ApplyOverrides(SSL* ssl) {
  if (overrides_ == nullptr) return absl::OkStatus();
  const SessionOverrides& o = *overrides_;
  const internal::ContextState& context = *context_.state();
  const internal::SettingsTarget target = {.ssl = ssl};
  absl::Status status;
  if (o.verify_name.has_value()) {
    status = internal::CheckName("verify_name", *o.verify_name);
    notes_.verify_name = *o.verify_name;
  }
  if (o.verification_mode.has_value() &&
      *o.verification_mode != PeerVerification::kAuto) {
    notes_.mode = *o.verification_mode;
  }
  if (o.max_chain_depth.has_value()) {
    status.Update(internal::CheckChainDepth(*o.max_chain_depth));
    notes_.max_chain_depth = *o.max_chain_depth;
  }
  if (o.session.has_value()) {
    status.Update(internal::CheckSession(*o.session));
  }
  if (o.certificate.has_value()) {
    absl::StatusOr<internal::LoadedCertificate> loaded =
        internal::LoadForUse(*o.certificate, "the session's certificate");
    status.Update(loaded.status());
    if (loaded.ok()) {
      notes_.certificate =
          std::make_unique<internal::LoadedCertificate>(*std::move(loaded));
    }
  }
  if (o.ciphers.has_value()) {
    status.Update(internal::SetCiphers(
        target, *o.ciphers,
        context.certificates_expected() || o.certificate.has_value(),
        context.has_psk()));
  }
  if (o.groups.has_value()) {
    status.Update(internal::SetGroups(target, *o.groups));
  }
  if (o.srtp_profiles.has_value()) {
    status.Update(internal::SetSrtpProfiles(target, *o.srtp_profiles));
    if (o.srtp_profiles->empty() && !internal::ClearSrtpProfiles(ssl)) {
      ERR_clear_error();
      status.Update(absl::ResourceExhaustedError("out of memory for SRTP"));
    }
  }
  if (o.alpn.has_value()) {
    absl::StatusOr<std::vector<uint8_t>> wire = internal::AlpnWire(*o.alpn);
    status.Update(wire.status());
    if (wire.ok()) {
      if (SSL_set_alpn_protos(ssl, wire->data(), wire->size()) != 0) {
        status.Update(absl::ResourceExhaustedError("out of memory for ALPN"));
      }
      notes_.alpn_wire = *std::move(wire);
    }
  }
  return status;
}

void Engine::ApplyVerificationMode(SSL* ssl) {
  int mode = SSL_VERIFY_PEER;
  if (context_.is_server()) {
    if (notes_.mode == PeerVerification::kNone) {
      mode = SSL_VERIFY_NONE;
    } else if (notes_.mode == PeerVerification::kVerify &&
               !anonymous_accepted_) {
      mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
  }
  SSL_set_custom_verify(ssl, mode, internal::VerifyCallback);
}

absl::Status Engine::ApplyPolicy(SSL* ssl) {
  notes_.policy = options_.policy;
  if (options_.policy == nullptr) return absl::OkStatus();
  const Policy& policy = options_.policy->policy();
  if (overrides_ == nullptr || !overrides_->verification_mode.has_value()) {
    notes_.mode = policy.client_certificate;
  }
  if (overrides_ == nullptr || !overrides_->max_chain_depth.has_value()) {
    notes_.max_chain_depth = policy.max_chain_depth;
  }
  if (options_.policy->ApplyTo(ssl)) return absl::OkStatus();
  ERR_clear_error();
  return absl::ResourceExhaustedError("out of memory for the policy");
}

void Engine::ResetIgnored() {
  notes_.ignored.clear();
  for (const IgnoredError& error : context_.state()->ignored()) {
    // Those for any certificate are the policy's to tolerate.
    if (options_.policy == nullptr || !error.certificate.empty()) {
      notes_.ignored.push_back(error);
    }
  }
  if (options_.policy != nullptr && options_.policy->ToleratesAnonymous()) {
    notes_.ignored.push_back({VerificationErrorCode::kNoPeerCertificate, ""});
  }
  notes_.ignored.insert(notes_.ignored.end(), ignored_.begin(), ignored_.end());
}

void Engine::ApplyMtu() {
  // It takes whatever is not below `kMinPayload`.
  SSL_set_mtu(ssl_.get(), static_cast<unsigned>(std::max(
                              kMinPayload, mtu_ - HeaderBytes(options_.ipv6))));
  statistics_.mtu = mtu_;
}

absl::Status Engine::Configure(const SessionOverrides& overrides) {
  if (state_ != EngineState::kNotStarted) {
    return absl::FailedPreconditionError(
        "a session is configured before its handshake is started");
  }
  std::unique_ptr<SessionOverrides> before =
      std::exchange(overrides_, std::make_unique<SessionOverrides>(overrides));
  ForgetSession();
  absl::Status status = Init();
  if (!status.ok()) {
    overrides_ = std::move(before);
    (void)BeginAnew();
  }
  return status;
}

absl::Status Engine::BeginAnew() {
  ForgetSession();
  absl::Status status = Init();
  // The SSL of before stays, and nobody uses it but to ask what it was.
  if (!status.ok()) Fail(status);
  return status;
}

absl::Status Engine::SetMtu(size_t mtu) {
  if (absl::Status status = CheckMtu(mtu); !status.ok()) return status;
  mtu_hint_ = mtu;
  mtu_ = mtu;
  ApplyMtu();
  return absl::OkStatus();
}

void Engine::SetPathMtu(size_t mtu) {
  options_.path_mtu = mtu == 0 ? 0 : std::max(mtu, kMinMtu);
  if (options_.path_mtu != 0 && options_.path_mtu < mtu_) {
    mtu_ = options_.path_mtu;
    ApplyMtu();
  }
}

void Engine::LowerPathMtu(size_t mtu) {
  if (mtu < PacketBytes()) SetPathMtu(mtu);
}

size_t Engine::PacketBytes() const {
  if (options_.path_mtu != 0) return options_.path_mtu;
  return mtu_hint_ != 0 ? mtu_hint_ : session_options().mtu;
}

void Engine::BackOffMtu() {
  // Common sizes of paths that carry less than they should.
  for (size_t smaller : {size_t{1280}, size_t{1024}, size_t{576}, kMinMtu}) {
    if (smaller < mtu_) {
      mtu_ = smaller;
      ApplyMtu();
      return;
    }
  }
}

size_t Engine::MaxMessageSize() const {
  if (state_ != EngineState::kConnected && state_ != EngineState::kPeerClosed) {
    return 0;
  }
  const SessionOptions& session = session_options();
  if (session.ip_fragmentation) return kMaxMessageBytes;
  const size_t packet = PacketBytes();
  const size_t around = HeaderBytes(options_.ipv6) + overhead();
  return packet <= around ? 0 : std::min(packet - around, kMaxMessageBytes);
}

absl::StatusOr<std::vector<uint8_t>> Engine::ExportKeyingMaterial(
    absl::string_view label, std::optional<absl::string_view> context,
    size_t bytes) const {
  if (state_ != EngineState::kConnected && state_ != EngineState::kPeerClosed) {
    return absl::FailedPreconditionError(
        "there is no key material: the session is not established");
  }
  if (label.empty() || bytes == 0 || bytes > kMaxExportedBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "exporting needs a label and from 1 to ", kMaxExportedBytes,
        " bytes, not \"", label, "\" and ", bytes));
  }
  std::vector<uint8_t> material(bytes);
  const absl::string_view data = context.value_or("");
  if (SSL_export_keying_material(
          ssl_.get(), material.data(), material.size(), label.data(),
          label.size(), reinterpret_cast<const uint8_t*>(data.data()),
          data.size(), context.has_value() ? 1 : 0) != 1) {
    ERR_clear_error();
    return absl::InternalError("the key material cannot be exported");
  }
  return material;
}

absl::StatusOr<ResumableSession> Engine::Session() const {
  if (context_.is_server()) {
    return absl::FailedPreconditionError(
        "only a client keeps its session to resume it");
  }
  if (state_ != EngineState::kConnected && state_ != EngineState::kPeerClosed) {
    return absl::FailedPreconditionError(
        "there is nothing to resume: the session is not established");
  }
  bssl::UniquePtr<SSL_SESSION> session(SSL_get1_session(ssl_.get()));
  if (session == nullptr || SSL_SESSION_is_resumable(session.get()) != 1) {
    return absl::NotFoundError("the server does not resume sessions");
  }
  return ResumableSession(std::move(session));
}

SessionStatistics Engine::statistics() const {
  SessionStatistics statistics = statistics_;
  statistics.round_trip = timer_.round_trip();
  statistics.retransmission_timeout = timer_.interval();
  return statistics;
}

bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> Engine::peer_chain() const {
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl_.get());
  if (chain == nullptr) return nullptr;
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> shared(sk_CRYPTO_BUFFER_new_null());
  if (shared == nullptr) return nullptr;
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    // A part of a chain would be taken for another one.
    if (!bssl::PushToStack(shared.get(),
                           bssl::UpRef(sk_CRYPTO_BUFFER_value(chain, i)))) {
      return nullptr;
    }
  }
  return shared;
}

SessionInfo Engine::info() const {
  SessionInfo info = negotiated();
  const SSL* ssl = ssl_.get();
  // In `kVerificationFailed` the chain is known already.
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl);
  for (size_t i = 0; chain != nullptr && i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    CRYPTO_BUFFER* buffer = sk_CRYPTO_BUFFER_value(chain, i);
    info.peer_chain.emplace_back(
        reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer)),
        CRYPTO_BUFFER_len(buffer));
    if (i == 0) {
      info.peer_subject =
          internal::SubjectOf(buffer, context_.state()->certificate_limits());
    }
  }
  return info;
}

std::optional<absl::string_view> Engine::psk_identity() const {
  const char* identity = SSL_get_psk_identity(ssl_.get());
  if (identity == nullptr) return std::nullopt;
  return identity;
}

SessionInfo Engine::negotiated() const {
  SessionInfo info;
  const SSL* ssl = ssl_.get();
  info.policy_version = policy_version();
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
  if (const auto identity = psk_identity()) {
    info.psk = true;
    info.psk_identity = std::string(*identity);
  }
  info.psk_identity_hint = notes_.psk_hint;
  if (const SRTP_PROTECTION_PROFILE* profile =
          SSL_get_selected_srtp_profile(const_cast<SSL*>(ssl))) {
    info.srtp_profile = profile->name;
  }
  info.resumed = SSL_session_reused(ssl) != 0;
  info.peer_verified = notes_.verified;
  info.ignored_errors = notes_.tolerated;
  return info;
}

}  // namespace cordon::dtls
