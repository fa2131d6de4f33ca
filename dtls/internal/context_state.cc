#include "cordon/dtls/internal/context_state.h"

#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/stack.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cordon/dtls/internal/chain_limits.h"
#include "cordon/dtls/internal/ssl_callbacks.h"

namespace cordon::dtls::internal {
namespace {

// SHA-1 is out; Ed25519, which BoringSSL leaves out by default, is in.
constexpr std::array<uint16_t, 9> kSignatureAlgorithms = {
    SSL_SIGN_ED25519,
    SSL_SIGN_ECDSA_SECP256R1_SHA256,
    SSL_SIGN_RSA_PSS_RSAE_SHA256,
    SSL_SIGN_RSA_PKCS1_SHA256,
    SSL_SIGN_ECDSA_SECP384R1_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA384,
    SSL_SIGN_RSA_PKCS1_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA512,
    SSL_SIGN_RSA_PKCS1_SHA512,
};

int ContextIndex() {
  static const int index =
      SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

void Wipe(Certificate& certificate) {
  for (std::string* secret :
       {&certificate.key_pem, &certificate.key_password}) {
    OPENSSL_cleanse(secret->data(), secret->size());
  }
}

}  // namespace

ContextState::~ContextState() {
  for (auto& [identity, key] : psks_) OPENSSL_cleanse(key.data(), key.size());
  OPENSSL_cleanse(client_psk_.key.data(), client_psk_.key.size());
}

absl::Time ContextState::WallNow() const {
  return wall_clock_ ? wall_clock_() : absl::Now();
}

ContextState* ContextState::Of(const SSL* ssl) {
  return static_cast<ContextState*>(
      SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ContextIndex()));
}

const std::vector<uint8_t>* ContextState::FindPsk(
    const std::string& identity) const {
  auto found = psks_.find(identity);
  return found == psks_.end() ? nullptr : &found->second;
}

absl::StatusOr<PreSharedKey> ContextState::ClientPsk(
    const std::string& hint) const {
  if (psk_for_hint_ == nullptr) return client_psk_;
  absl::StatusOr<PreSharedKey> key = psk_for_hint_(hint);
  if (!key.ok()) return key.status();
  if (absl::Status status = CheckPsk(*key); !status.ok()) return status;
  return key;
}

std::shared_ptr<const LoadedCertificate> ContextState::ChooseCertificate(
    const char* server_name) const {
  std::shared_ptr<const std::vector<LoadedCertificate>> all;
  {
    absl::ReaderMutexLock lock(&mutex_);
    all = certificates_;
  }
  if (all == nullptr) return nullptr;
  const LoadedCertificate* chosen = &all->front();
  if (server_name != nullptr && all->size() > 1) {
    for (const LoadedCertificate& c : *all) {
      if (X509_check_host(c.leaf.get(), server_name, std::strlen(server_name),
                          X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                              X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                          nullptr) == 1) {
        chosen = &c;
        break;
      }
    }
  }
  return {std::move(all), chosen};
}

absl::Status ContextState::ReplaceCertificates(
    std::vector<Certificate> certificates) {
  auto loaded = std::make_shared<std::vector<LoadedCertificate>>();
  for (size_t i = 0; i < certificates.size(); ++i) {
    absl::StatusOr<LoadedCertificate> one =
        LoadForUse(certificates[i], certificates.size() == 1
                                        ? std::string("the certificate")
                                        : absl::StrCat("certificate ", i + 1));
    Wipe(certificates[i]);
    if (!one.ok()) return one.status();
    loaded->push_back(*std::move(one));
  }
  if (loaded->empty()) {
    return absl::InvalidArgumentError("there is no certificate to use instead");
  }
  absl::MutexLock lock(&mutex_);
  certificates_ = std::move(loaded);
  return absl::OkStatus();
}

std::vector<std::string> ContextState::LeafCertificates() const {
  absl::ReaderMutexLock lock(&mutex_);
  std::vector<std::string> leaves;
  if (certificates_ == nullptr) return leaves;
  for (const LoadedCertificate& c : *certificates_) {
    const CRYPTO_BUFFER* leaf = c.chain.front().get();
    leaves.emplace_back(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(leaf)),
                        CRYPTO_BUFFER_len(leaf));
  }
  return leaves;
}

absl::Status ContextState::Init(const ProtocolOptions& options,
                                bool certificates, bool psk) {
  if (absl::Status status = CheckSession(session_); !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckVersions(options); !status.ok()) {
    return status;
  }
  wall_clock_ = options.wall_clock;
  key_log_ = options.key_log;
  // Without X.509: certificates stay as they came, and are decoded only by our
  // verifier, which looks at their sizes first.
  context_.reset(SSL_CTX_new(DTLS_with_buffers_method()));
  SSL_CTX* ctx = context_.get();
  if (ctx == nullptr || ContextIndex() < 0 ||
      SSL_CTX_set_ex_data(ctx, ContextIndex(), this) != 1) {
    ERR_clear_error();
    return absl::ResourceExhaustedError("out of memory");
  }
  if (SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(ctx, DTLS1_2_VERSION) != 1) {
    ERR_clear_error();
    return absl::InternalError("BoringSSL does not speak DTLS 1.2");
  }
  SSL_CTX_set_options(ctx, SSL_OP_NO_QUERY_MTU);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);

  const SettingsTarget target = {.ctx = ctx};
  absl::Status status = SetCiphers(target, options.ciphers, certificates, psk);
  status.Update(SetGroups(target, options.groups));
  status.Update(SetSrtpProfiles(target, options.srtp_profiles));
  if (!status.ok()) return status;
  if (SSL_CTX_set_verify_algorithm_prefs(ctx, kSignatureAlgorithms.data(),
                                         kSignatureAlgorithms.size()) != 1 ||
      SSL_CTX_set_signing_algorithm_prefs(ctx, kSignatureAlgorithms.data(),
                                          kSignatureAlgorithms.size()) != 1) {
    ERR_clear_error();
    return absl::ResourceExhaustedError("out of memory");
  }

  absl::StatusOr<std::vector<uint8_t>> wire = AlpnWire(options.alpn);
  if (!wire.ok()) return wire.status();
  alpn_wire_ = *std::move(wire);
  if (!InstallCallbacks(ctx, *this)) {
    ERR_clear_error();
    return absl::ResourceExhaustedError("out of memory");
  }
  return absl::OkStatus();
}

absl::Status ContextState::InitVerification(const VerificationOptions& options,
                                            const TrustAnchors& trust,
                                            PeerVerifier::Peer peer) {
  if (absl::Status status = CheckChainDepth(options.max_chain_depth);
      !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckLimits(options.limits); !status.ok()) {
    return status;
  }
  certificate_limits_ = options.limits;
  verification_mode_ = options.mode;
  if (options.mode == PeerVerification::kAuto) {
    verification_mode_ = peer == PeerVerifier::Peer::kServer
                             ? PeerVerification::kVerify
                         : trust.empty() ? PeerVerification::kNone
                                         : PeerVerification::kQuery;
  }
  max_chain_depth_ = options.max_chain_depth;
  ignored_ = options.ignored;
  absl::StatusOr<PeerVerifier> verifier =
      PeerVerifier::Create(trust, options, peer);
  if (!verifier.ok()) return verifier.status();
  verifier_ = *std::move(verifier);
  return absl::OkStatus();
}

absl::Status ContextState::InitResumption(const ServerOptions& options) {
  SSL_CTX* ctx = context_.get();
  if (!options.session_tickets) SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
  if (options.session_lifetime < absl::Seconds(1) ||
      options.session_lifetime > absl::Hours(24 * 7)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "session_lifetime is ", absl::FormatDuration(options.session_lifetime),
        "; it must be from 1s to 168h"));
  }
  SSL_CTX_set_timeout(ctx, static_cast<uint32_t>(
                               absl::ToInt64Seconds(options.session_lifetime)));
  if (options.session_ids) {
    if (options.max_session_ids == 0) {
      return absl::InvalidArgumentError(
          "max_session_ids is 0: set session_ids to false to keep none");
    }
    if (options.max_session_id_bytes == 0) {
      return absl::InvalidArgumentError(
          "max_session_id_bytes is 0: set session_ids to false to keep none");
    }
    session_id_cache_ = std::make_unique<SessionIdCache>(
        options.max_session_ids, options.max_session_id_bytes);
    KeepSessionsById(ctx);
  }
  const std::string& secret = options.session_ticket_secret;
  if (!secret.empty() && secret.size() < TicketKeys::kMinSecretBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "session_ticket_secret has ", secret.size(),
        " bytes; it needs at least ", TicketKeys::kMinSecretBytes));
  }
  if (options.session_tickets) {
    ticket_keys_ = std::make_unique<TicketKeys>();
    if (!secret.empty()) {
      if (absl::Status status = ticket_keys_->Rotate(secret, WallNow());
          !status.ok()) {
        return status;
      }
    }
    if (SSL_CTX_set_tlsext_ticket_key_cb(ctx, TicketKey) != 1) {
      return absl::ResourceExhaustedError("out of memory");
    }
  }
  // A session that was begun under other rules is not resumed.
  const std::string rules =
      absl::StrCat(PeerVerificationName(verification_mode_), "\n",
                   options.client_trust.system ? "system\n" : "\n",
                   options.client_trust.pem);
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const uint8_t*>(rules.data()), rules.size(),
         digest.data());
  if (SSL_CTX_set_session_id_context(ctx, digest.data(), digest.size()) != 1) {
    ERR_clear_error();
    return absl::ResourceExhaustedError("out of memory");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<ContextState>> ContextState::Server(
    ServerOptions options) {
  std::shared_ptr<ContextState> state(new ContextState());
  state->is_server_ = true;
  state->session_ = options.session;
  state->cookies_ = options.cookies;
  state->cookie_ = options.cookie;
  state->psk_lookup_ = options.psk_lookup;
  if (absl::Status status = CookieExchange::Create(options.cookie).status();
      !status.ok()) {
    return status;
  }
  if (options.certificates.empty() && options.pre_shared_keys.empty() &&
      !options.psk_lookup) {
    return absl::InvalidArgumentError(
        "a server needs a certificate or a pre-shared key");
  }
  const bool certificates = !options.certificates.empty();
  state->certificates_expected_ = certificates;
  if (certificates) {
    if (absl::Status status =
            state->ReplaceCertificates(std::move(options.certificates));
        !status.ok()) {
      return status;
    }
  }
  for (PreSharedKey& psk : options.pre_shared_keys) {
    if (absl::Status status = CheckPsk(psk); !status.ok()) return status;
    if (!state->psks_.emplace(psk.identity, psk.key).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "there are two pre-shared keys for \"", psk.identity, "\""));
    }
    OPENSSL_cleanse(psk.key.data(), psk.key.size());
  }
  const bool psk = state->has_psk();
  absl::Status status =
      state->Init(ProtocolOptions(options), certificates, psk);
  if (status.ok()) {
    status = state->InitVerification(options.verification, options.client_trust,
                                     PeerVerifier::Peer::kClient);
  }
  if (status.ok()) status = state->InitResumption(options);
  if (!status.ok()) return status;
  SSL_CTX* ctx = state->context_.get();
  if (!options.prefer_client_ciphers) {
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
  }
  if (status = CheckPskHint(options.psk_identity_hint); !status.ok()) {
    return status;
  }
  if (!options.psk_identity_hint.empty() &&
      SSL_CTX_use_psk_identity_hint(ctx, options.psk_identity_hint.c_str()) !=
          1) {
    ERR_clear_error();
    return absl::ResourceExhaustedError("out of memory");
  }
  if (RefusesUnverified(state->verification_mode_) &&
      options.client_trust.empty()) {
    return absl::InvalidArgumentError(
        "client certificates are verified, but client_trust says of nobody "
        "that he may issue them");
  }
  state->policy_.client_certificate = state->verification_mode_;
  state->policy_.trust = options.client_trust;
  state->policy_.max_chain_depth = state->max_chain_depth_;
  state->policy_.blocked = options.verification.blocked;
  for (const IgnoredError& error : options.verification.ignored) {
    if (error.certificate.empty()) {
      state->policy_.tolerated.push_back({.error = error.code});
    }
  }
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> names =
      NameStack(state->verifier_->anchor_names());
  if (names == nullptr) return absl::ResourceExhaustedError("out of memory");
  SSL_CTX_set0_client_CAs(ctx, names.release());
  return state;
}

absl::StatusOr<std::shared_ptr<ContextState>> ContextState::Client(
    ClientOptions options) {
  std::shared_ptr<ContextState> state(new ContextState());
  state->session_ = options.session;
  bool psk = options.psk_for_hint != nullptr;
  if (!options.pre_shared_key.identity.empty() ||
      !options.pre_shared_key.key.empty()) {
    if (psk) {
      return absl::InvalidArgumentError(
          "pre_shared_key and psk_for_hint: give one of them");
    }
    if (absl::Status status = CheckPsk(options.pre_shared_key); !status.ok()) {
      return status;
    }
    psk = true;
    state->client_psk_ = options.pre_shared_key;
    OPENSSL_cleanse(options.pre_shared_key.key.data(),
                    options.pre_shared_key.key.size());
  }
  state->psk_for_hint_ = std::move(options.psk_for_hint);
  const bool certificates = !psk || !options.trust.empty();
  state->certificates_expected_ = certificates;
  if (absl::Status status =
          state->Init(ProtocolOptions(options), certificates, psk);
      !status.ok()) {
    return status;
  }
  if (!options.certificate.empty()) {
    absl::StatusOr<LoadedCertificate> loaded =
        LoadForUse(options.certificate, "the client's certificate");
    if (!loaded.ok()) return loaded.status();
    auto all = std::make_shared<std::vector<LoadedCertificate>>();
    all->push_back(*std::move(loaded));
    Wipe(options.certificate);
    absl::MutexLock lock(&state->mutex_);
    state->certificates_ = std::move(all);
  }
  if (certificates && options.trust.empty() &&
      options.verification.mode != PeerVerification::kNone) {
    options.trust.system = true;
  }
  if (absl::Status status = state->InitVerification(
          options.verification, options.trust, PeerVerifier::Peer::kServer);
      !status.ok()) {
    return status;
  }
  return state;
}

}  // namespace cordon::dtls::internal
