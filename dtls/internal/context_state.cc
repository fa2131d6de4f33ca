#include "cordon/dtls/internal/context_state.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/pool.h>
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
#include "cordon/dtls/internal/cipher_list.h"
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

std::string LastSslError() {
  const uint32_t error = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(error);
  ERR_clear_error();
  return reason == nullptr ? "unknown error" : reason;
}

bssl::UniquePtr<CRYPTO_BUFFER> ToBuffer(X509* certificate) {
  uint8_t* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size < 0) return nullptr;
  bssl::UniquePtr<CRYPTO_BUFFER> buffer(
      CRYPTO_BUFFER_new(der, static_cast<size_t>(size), nullptr));
  OPENSSL_free(der);
  return buffer;
}

absl::StatusOr<LoadedCertificate> Load(const Certificate& certificate,
                                       absl::string_view what) {
  absl::StatusOr<std::vector<bssl::UniquePtr<X509>>> chain =
      ParseCertificates(certificate.chain_pem, what);
  if (!chain.ok()) return chain.status();
  LoadedCertificate loaded;
  for (const bssl::UniquePtr<X509>& c : *chain) {
    loaded.chain.push_back(ToBuffer(c.get()));
  }
  loaded.leaf = std::move(chain->front());

  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(certificate.key_pem.data(),
                      static_cast<ossl_ssize_t>(certificate.key_pem.size())));
  // Without a password: never asks on a terminal.
  auto no_password = [](char*, int, int, void*) { return 0; };
  loaded.key.reset(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (loaded.key == nullptr) {
    const bool encrypted =
        certificate.key_pem.find("ENCRYPTED") != std::string::npos;
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat(
        "the private key of ", what,
        encrypted ? " is encrypted: decrypt it first"
                  : " cannot be read: it must be a private key in PEM form"));
  }
  bssl::UniquePtr<EVP_PKEY> of_certificate(X509_get_pubkey(loaded.leaf.get()));
  if (of_certificate == nullptr ||
      EVP_PKEY_cmp(of_certificate.get(), loaded.key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("the private key does not fit ", what, " (",
                     SubjectOf(loaded.leaf.get()), ")"));
  }
  return loaded;
}

absl::StatusOr<std::vector<uint8_t>> AlpnWire(
    const std::vector<std::string>& protocols) {
  std::vector<uint8_t> wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      return absl::InvalidArgumentError(
          absl::StrCat("the ALPN protocol \"", protocol,
                       "\" must have from 1 to 255 bytes"));
    }
    wire.push_back(static_cast<uint8_t>(protocol.size()));
    wire.insert(wire.end(), protocol.begin(), protocol.end());
  }
  return wire;
}

absl::Status CheckSession(const SessionOptions& session) {
  if (session.mtu < kMinMtu || session.mtu > kMaxMtu) {
    return absl::InvalidArgumentError(
        absl::StrCat("session.mtu is ", session.mtu, "; it must be from ",
                     kMinMtu, " to ", kMaxMtu));
  }
  if (session.handshake_deadline <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        "session.handshake_deadline must be positive");
  }
  if (session.retransmission_timeout < absl::Milliseconds(10) ||
      session.retransmission_timeout > absl::Minutes(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("session.retransmission_timeout is ",
                     absl::FormatDuration(session.retransmission_timeout),
                     "; it must be from 10ms to 1min"));
  }
  if (session.max_retransmission_timeout < session.retransmission_timeout) {
    return absl::InvalidArgumentError(
        "session.max_retransmission_timeout must not be less than "
        "session.retransmission_timeout");
  }
  if (session.max_queued_messages == 0 || session.max_queued_bytes == 0) {
    return absl::InvalidArgumentError(
        "session.max_queued_messages and session.max_queued_bytes must not be "
        "0");
  }
  return absl::OkStatus();
}

absl::Status CheckPsk(const PreSharedKey& psk) {
  if (psk.identity.empty() || psk.identity.size() > PSK_MAX_IDENTITY_LEN ||
      psk.identity.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the identity of a pre-shared key must have from 1 to ",
                     PSK_MAX_IDENTITY_LEN, " characters"));
  }
  if (psk.key.empty() || psk.key.size() > PSK_MAX_PSK_LEN) {
    return absl::InvalidArgumentError(
        absl::StrCat("the pre-shared key of \"", psk.identity,
                     "\" must have from 1 to ", PSK_MAX_PSK_LEN, " bytes"));
  }
  return absl::OkStatus();
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

const LoadedCertificate* ContextState::ChooseCertificate(
    const char* server_name) const {
  if (certificates_.empty()) return nullptr;
  if (server_name != nullptr && certificates_.size() > 1) {
    for (const LoadedCertificate& c : certificates_) {
      if (X509_check_host(c.leaf.get(), server_name, std::strlen(server_name),
                          X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                              X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                          nullptr) == 1) {
        return &c;
      }
    }
  }
  return &certificates_.front();
}

absl::Status ContextState::Init(const std::string& ciphers, bool certificates,
                                bool psk,
                                const std::vector<std::string>& alpn) {
  if (absl::Status status = CheckSession(session_); !status.ok()) {
    return status;
  }
  context_.reset(SSL_CTX_new(DTLS_method()));
  SSL_CTX* ctx = context_.get();
  if (ctx == nullptr) return absl::ResourceExhaustedError("out of memory");
  SSL_CTX_set_ex_data(ctx, ContextIndex(), this);
  SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(ctx, DTLS1_2_VERSION);
  SSL_CTX_set_options(ctx, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET |
                               SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);

  absl::StatusOr<std::string> list = CipherList(ciphers, certificates, psk);
  if (!list.ok()) return list.status();
  if (SSL_CTX_set_strict_cipher_list(ctx, list->c_str()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the cipher suites \"", ciphers,
                     "\" cannot be used: ", LastSslError()));
  }
  SSL_CTX_set_verify_algorithm_prefs(ctx, kSignatureAlgorithms.data(),
                                     kSignatureAlgorithms.size());
  SSL_CTX_set_signing_algorithm_prefs(ctx, kSignatureAlgorithms.data(),
                                      kSignatureAlgorithms.size());

  absl::StatusOr<std::vector<uint8_t>> wire = AlpnWire(alpn);
  if (!wire.ok()) return wire.status();
  alpn_wire_ = *std::move(wire);
  InstallCallbacks(ctx, *this);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<ContextState>> ContextState::Server(
    ServerOptions options) {
  std::shared_ptr<ContextState> state(new ContextState());
  state->is_server_ = true;
  state->session_ = options.session;
  state->cookies_ = options.cookies;
  state->cookie_ = options.cookie;
  state->wall_clock_ = std::move(options.wall_clock);
  if (absl::Status status = CookieExchange::Create(options.cookie).status();
      !status.ok()) {
    return status;
  }
  if (options.certificates.empty() && options.pre_shared_keys.empty()) {
    return absl::InvalidArgumentError(
        "a server needs a certificate or a pre-shared key");
  }
  for (size_t i = 0; i < options.certificates.size(); ++i) {
    absl::StatusOr<LoadedCertificate> loaded = Load(
        options.certificates[i], options.certificates.size() == 1
                                     ? std::string("the certificate")
                                     : absl::StrCat("certificate ", i + 1));
    if (!loaded.ok()) return loaded.status();
    state->certificates_.push_back(*std::move(loaded));
    std::string& pem = options.certificates[i].key_pem;
    OPENSSL_cleanse(pem.data(), pem.size());
  }
  for (PreSharedKey& psk : options.pre_shared_keys) {
    if (absl::Status status = CheckPsk(psk); !status.ok()) return status;
    if (!state->psks_.emplace(psk.identity, psk.key).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "there are two pre-shared keys for \"", psk.identity, "\""));
    }
    OPENSSL_cleanse(psk.key.data(), psk.key.size());
  }
  if (absl::Status status =
          state->Init(options.ciphers, !state->certificates_.empty(),
                      !state->psks_.empty(), options.alpn);
      !status.ok()) {
    return status;
  }
  SSL_CTX* ctx = state->context_.get();
  if (!options.psk_identity_hint.empty() &&
      SSL_CTX_use_psk_identity_hint(ctx, options.psk_identity_hint.c_str()) !=
          1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("psk_identity_hint is too long");
  }
  if (options.client_authentication != ClientAuthentication::kNone) {
    if (options.client_trust.empty()) {
      return absl::InvalidArgumentError(
          "client certificates are asked for, but client_trust says of nobody "
          "that he may issue them");
    }
    absl::StatusOr<PeerVerifier> verifier =
        PeerVerifier::Create(options.client_trust, PeerVerifier::Peer::kClient);
    if (!verifier.ok()) return verifier.status();
    state->verifier_ = *std::move(verifier);
    bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> names(sk_CRYPTO_BUFFER_new_null());
    for (const std::string& name : state->verifier_->anchor_names()) {
      bssl::PushToStack(names.get(),
                        bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(
                            reinterpret_cast<const uint8_t*>(name.data()),
                            name.size(), nullptr)));
    }
    SSL_CTX_set0_client_CAs(ctx, names.release());
    SSL_CTX_set_custom_verify(
        ctx,
        SSL_VERIFY_PEER |
            (options.client_authentication == ClientAuthentication::kRequire
                 ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                 : 0),
        VerifyCallback);
  }
  return state;
}

absl::StatusOr<std::shared_ptr<ContextState>> ContextState::Client(
    ClientOptions options) {
  std::shared_ptr<ContextState> state(new ContextState());
  state->session_ = options.session;
  state->wall_clock_ = std::move(options.wall_clock);
  const bool psk = !options.pre_shared_key.identity.empty() ||
                   !options.pre_shared_key.key.empty();
  if (psk) {
    if (absl::Status status = CheckPsk(options.pre_shared_key); !status.ok()) {
      return status;
    }
    state->client_psk_ = options.pre_shared_key;
    OPENSSL_cleanse(options.pre_shared_key.key.data(),
                    options.pre_shared_key.key.size());
  }
  const bool certificates = !psk || !options.trust.empty();
  if (absl::Status status =
          state->Init(options.ciphers, certificates, psk, options.alpn);
      !status.ok()) {
    return status;
  }
  SSL_CTX* ctx = state->context_.get();
  if (!options.certificate.chain_pem.empty() ||
      !options.certificate.key_pem.empty()) {
    absl::StatusOr<LoadedCertificate> loaded =
        Load(options.certificate, "the client's certificate");
    if (!loaded.ok()) return loaded.status();
    state->certificates_.push_back(*std::move(loaded));
    std::string& pem = options.certificate.key_pem;
    OPENSSL_cleanse(pem.data(), pem.size());
  }
  if (options.verify_server) {
    if (certificates && options.trust.empty()) options.trust.system = true;
    state->needs_server_name_ = certificates;
    absl::StatusOr<PeerVerifier> verifier =
        PeerVerifier::Create(options.trust, PeerVerifier::Peer::kServer);
    if (!verifier.ok()) return verifier.status();
    state->verifier_ = *std::move(verifier);
  }
  SSL_CTX_set_custom_verify(
      ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, VerifyCallback);
  return state;
}

}  // namespace cordon::dtls::internal
