// What a `Context` is made of: an SSL_CTX and what its callbacks need.
#ifndef CORDON_DTLS_INTERNAL_CONTEXT_STATE_H_
#define CORDON_DTLS_INTERNAL_CONTEXT_STATE_H_

#include <openssl/base.h>
#include <openssl/evp.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/peer_verifier.h"
#include "cordon/dtls/options.h"

namespace cordon::dtls::internal {

// A certificate that is ready for use.
struct LoadedCertificate {
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> chain;
  bssl::UniquePtr<EVP_PKEY> key;
  bssl::UniquePtr<X509> leaf;
};

// Immutable once made.
class ContextState {
 public:
  static absl::StatusOr<std::shared_ptr<ContextState>> Server(
      ServerOptions options);
  static absl::StatusOr<std::shared_ptr<ContextState>> Client(
      ClientOptions options);
  ~ContextState();

  SSL_CTX* ssl_context() const { return context_.get(); }
  bool is_server() const { return is_server_; }
  const SessionOptions& session() const { return session_; }
  bool cookies() const { return cookies_; }
  const CookieOptions& cookie() const { return cookie_; }
  // Null if peers are not verified.
  const PeerVerifier* verifier() const {
    return verifier_.has_value() ? &*verifier_ : nullptr;
  }
  absl::Time WallNow() const;
  // True for a client that may be shown a certificate and verifies it.
  bool needs_server_name() const { return needs_server_name_; }

  // The key of `identity`, or null.
  const std::vector<uint8_t>* FindPsk(const std::string& identity) const;
  // A client's only identity, or null.
  const PreSharedKey* client_psk() const {
    return client_psk_.identity.empty() ? nullptr : &client_psk_;
  }

  // For the callbacks of an SSL_CTX.
  static ContextState* Of(const SSL* ssl);

  const std::vector<uint8_t>& alpn_wire() const { return alpn_wire_; }
  // The certificate for a client that asks for `server_name`.
  const LoadedCertificate* ChooseCertificate(const char* server_name) const;

 private:
  ContextState() = default;
  absl::Status Init(const std::string& ciphers, bool certificates, bool psk,
                    const std::vector<std::string>& alpn);

  bool is_server_ = false;
  bssl::UniquePtr<SSL_CTX> context_;
  SessionOptions session_;
  bool needs_server_name_ = false;
  bool cookies_ = true;
  CookieOptions cookie_;
  std::function<absl::Time()> wall_clock_;
  std::optional<PeerVerifier> verifier_;
  std::vector<LoadedCertificate> certificates_;
  absl::flat_hash_map<std::string, std::vector<uint8_t>> psks_;
  PreSharedKey client_psk_;
  std::vector<uint8_t> alpn_wire_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_CONTEXT_STATE_H_
