// The functions that BoringSSL calls, and how they find the engine.
#ifndef CORDON_DTLS_INTERNAL_SSL_CALLBACKS_H_
#define CORDON_DTLS_INTERNAL_SSL_CALLBACKS_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cordon/dtls/error.h"

namespace cordon::dtls::internal {

class ContextState;

// What the callbacks leave for, and take from, the engine of an SSL.
struct HandshakeNotes {
  // The name that the peer's certificate must have; empty for none.
  std::string verify_name = {};
  std::vector<VerificationError> verification_errors = {};
  bool verified = false;
  int alert_sent = -1;
  int alert_received = -1;
};

// `notes` must outlive `ssl`.
void AttachNotes(SSL* ssl, HandshakeNotes* notes);

void InstallCallbacks(SSL_CTX* ctx, const ContextState& state);
ssl_verify_result_t VerifyCallback(SSL* ssl, uint8_t* out_alert);

// The time that BoringSSL sees on this thread while the object lives.
class ScopedTime {
 public:
  explicit ScopedTime(absl::Time now);
  ~ScopedTime();
  ScopedTime(const ScopedTime&) = delete;
  ScopedTime& operator=(const ScopedTime&) = delete;

 private:
  int64_t previous_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SSL_CALLBACKS_H_
