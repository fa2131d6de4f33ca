// The functions that BoringSSL calls, and how they find the engine.
#ifndef CORDON_DTLS_INTERNAL_SSL_CALLBACKS_H_
#define CORDON_DTLS_INTERNAL_SSL_CALLBACKS_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/internal/ssl_settings.h"
#include "cordon/dtls/options.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls::internal {

class CompiledPolicy;
class ContextState;

enum class Verdict : uint8_t {
  kNone,     // no chain was judged yet
  kPending,  // somebody has to decide
  kAccepted,
  kRejected,
};

// What the callbacks leave for, and take from, the engine of an SSL.
struct HandshakeNotes {
  HandshakeNotes();
  HandshakeNotes(const HandshakeNotes&) = delete;
  HandshakeNotes& operator=(const HandshakeNotes&) = delete;
  ~HandshakeNotes();
  // For the next handshake.
  void Reset();
  void ForgetPsk();
  // The policy does not let the peer pass because of `error`.
  void Refuse(VerificationError error);

  // What is asked of the peer.
  PeerVerification mode = PeerVerification::kVerify;
  std::string verify_name = {};
  int max_chain_depth = 0;
  // Each chain waits for the application's verdict.
  bool ask_application = false;
  // A server's, if it has one: instead of the context's verifier.
  std::shared_ptr<const CompiledPolicy> policy = {};
  std::vector<IgnoredError> ignored = {};

  // What was found.
  Verdict verdict = Verdict::kNone;
  uint8_t reject_alert = 0;
  // Why the policy refuses the peer; nobody else may let it pass.
  std::string refusal = {};
  // Errors that are not ignored, and those that are.
  std::vector<VerificationError> errors = {};
  std::vector<VerificationError> tolerated = {};
  bool verified = false;
  // See `CompiledPolicy::Judgement`.
  bool names_unjudged = false;

  // Instead of the context's.
  std::unique_ptr<LoadedCertificate> certificate = {};
  std::optional<std::vector<uint8_t>> alpn_wire = {};

  // The key that was looked up for the client that has this identity.
  PreSharedKey psk = {};
  std::string psk_hint = {};
  absl::Status psk_error = {};

  int alert_sent = -1;
  int alert_received = -1;
};

// `notes` must outlive `ssl`. False if there is no memory for it.
bool AttachNotes(SSL* ssl, HandshakeNotes* notes);

// False if there is no memory for them.
[[nodiscard]] bool InstallCallbacks(SSL_CTX* ctx, const ContextState& state);
// Sessions are kept in `ContextState::session_id_cache`.
void KeepSessionsById(SSL_CTX* ctx);
// For SSL_CTX_set_tlsext_ticket_key_cb.
int TicketKey(SSL* ssl, uint8_t* name, uint8_t* iv, EVP_CIPHER_CTX* cipher,
              HMAC_CTX* hmac, int encrypt);
ssl_verify_result_t VerifyCallback(SSL* ssl, uint8_t* out_alert);

// Judges the chain of the peer of `ssl` and sets the verdict and what was
// found.
void JudgePeer(const SSL* ssl, HandshakeNotes* notes);

// To be called when somebody lets the peer pass in spite of errors: the names
// that nobody has looked at so far may be refused by the policy. False: they
// are, and the verdict is set.
bool NamesMayPass(const SSL* ssl, HandshakeNotes* notes);

// Whether the session that a server's `ssl` resumes was begun with this
// pre-shared key.
bool IsOfPsk(const SSL* ssl, const std::vector<uint8_t>& key);

// While it lives, BoringSSL sees the wall-clock time of `context` on this
// thread, or a time that is later by `ahead`: sessions carry it to other
// machines. BoringSSL's own timers see it, too, and are not relied on.
class ScopedWallClock {
 public:
  explicit ScopedWallClock(const ContextState& context,
                           absl::Duration ahead = absl::ZeroDuration());
  ~ScopedWallClock();
  ScopedWallClock(const ScopedWallClock&) = delete;
  ScopedWallClock& operator=(const ScopedWallClock&) = delete;

 private:
  const ContextState* const previous_context_;
  const absl::Duration previous_ahead_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SSL_CALLBACKS_H_
