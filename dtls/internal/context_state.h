// What a `Context` is made of: an SSL_CTX and what its callbacks need.
#ifndef CORDON_DTLS_INTERNAL_CONTEXT_STATE_H_
#define CORDON_DTLS_INTERNAL_CONTEXT_STATE_H_

#include <openssl/base.h>
#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/peer_verifier.h"
#include "cordon/dtls/internal/session_id_cache.h"
#include "cordon/dtls/internal/ssl_settings.h"
#include "cordon/dtls/internal/ticket_keys.h"
#include "cordon/dtls/moment.h"
#include "cordon/dtls/options.h"
#include "cordon/dtls/policy.h"

namespace cordon::dtls::internal {

// Immutable once made, but for what its functions say that they replace.
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
  const PeerVerifier& verifier() const { return *verifier_; }
  // Resolved: never `kAuto`.
  PeerVerification verification_mode() const { return verification_mode_; }
  int max_chain_depth() const { return max_chain_depth_; }
  const CertificateLimits& certificate_limits() const {
    return certificate_limits_;
  }
  const std::vector<IgnoredError>& ignored() const { return ignored_; }
  // What a server's options say about its clients.
  const Policy& policy() const { return policy_; }
  // What the time is to other machines, see `ServerOptions::wall_clock`.
  absl::Time WallNow() const;
  // The moment that a reactor's clock calls `steady`, its present.
  Moment MomentOf(absl::Time steady) const {
    return {.steady = steady, .wall = WallNow()};
  }
  // False where there are only ever pre-shared keys.
  bool certificates_expected() const { return certificates_expected_; }
  bool has_psk() const {
    return is_server_ ? psk_lookup_ || !psks_.empty() : has_client_psk();
  }
  const std::function<void(absl::string_view)>& key_log() const {
    return key_log_;
  }

  // The key of `identity`, or null.
  const std::vector<uint8_t>* FindPsk(const std::string& identity) const;
  // Keys are looked up by the application, too.
  bool psk_lookup() const { return psk_lookup_; }
  bool has_client_psk() const {
    return psk_for_hint_ != nullptr || !client_psk_.key.empty();
  }
  // A client's key for a server that gave `hint`.
  absl::StatusOr<PreSharedKey> ClientPsk(const std::string& hint) const;

  // For the callbacks of an SSL_CTX.
  static ContextState* Of(const SSL* ssl);

  const std::vector<uint8_t>& alpn_wire() const { return alpn_wire_; }
  // The certificate for a client that asks for `server_name`, or null.
  std::shared_ptr<const LoadedCertificate> ChooseCertificate(
      const char* server_name) const;
  // Thread-safe, also while handshakes are going on: each uses either those
  // before or those that are given here.
  absl::Status ReplaceCertificates(std::vector<Certificate> certificates);
  // Our own certificates in DER, one of each chain.
  std::vector<std::string> LeafCertificates() const;
  // Null: a client, or no tickets.
  TicketKeys* ticket_keys() const { return ticket_keys_.get(); }
  // Null: a client, or no session ids.
  SessionIdCache* session_id_cache() const { return session_id_cache_.get(); }

 private:
  ContextState() = default;
  absl::Status Init(const ProtocolOptions& options, bool certificates,
                    bool psk);
  absl::Status InitVerification(const VerificationOptions& options,
                                const TrustAnchors& trust,
                                PeerVerifier::Peer peer);
  absl::Status InitResumption(const ServerOptions& options);

  bool is_server_ = false;
  bssl::UniquePtr<SSL_CTX> context_;
  SessionOptions session_;
  bool certificates_expected_ = true;
  PeerVerification verification_mode_ = PeerVerification::kVerify;
  int max_chain_depth_ = 0;
  CertificateLimits certificate_limits_;
  std::vector<IgnoredError> ignored_;
  Policy policy_;
  bool psk_lookup_ = false;
  std::function<absl::StatusOr<PreSharedKey>(const std::string&)> psk_for_hint_;
  std::function<void(absl::string_view)> key_log_;
  bool cookies_ = true;
  CookieOptions cookie_;
  std::function<absl::Time()> wall_clock_;
  std::optional<PeerVerifier> verifier_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const std::vector<LoadedCertificate>> certificates_
      ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<TicketKeys> ticket_keys_;
  std::unique_ptr<SessionIdCache> session_id_cache_;
  absl::flat_hash_map<std::string, std::vector<uint8_t>> psks_;
  PreSharedKey client_psk_;
  std::vector<uint8_t> alpn_wire_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_CONTEXT_STATE_H_
