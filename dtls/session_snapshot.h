// What can be told of a session to those who look after the process, copied so
// that it can be read on any thread.
#ifndef CORDON_DTLS_SESSION_SNAPSHOT_H_
#define CORDON_DTLS_SESSION_SNAPSHOT_H_

#include <openssl/base.h>
#include <openssl/pool.h>
#include <openssl/stack.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/session_info.h"
#include "cordon/dtls/verification.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls {

// Cheap to take: certificates are shared, and read only by `IdentityOf`.
struct SessionSnapshot {
  // Unique in the life of the process, and growing.
  uint64_t id = 0;
  net::Endpoint peer = {};
  net::Endpoint local = {};
  EngineState state = EngineState::kNotStarted;
  // Without `peer_chain` and `peer_subject`.
  SessionInfo info = {};
  // The peer's certificates, its own first; null if it has none.
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> chain = {};
  // What these may be to be looked at.
  CertificateLimits limits = {};
  // What is wrong and not ignored.
  std::vector<VerificationError> errors = {};
  // By the wall clock of the session's context, as it is set now.
  absl::Time opened = absl::InfinitePast();
  absl::Time last_activity = absl::InfinitePast();
  SessionStatistics statistics = {};
  // Why it has failed, if it has.
  absl::Status error = {};

  // Before the end of its handshake.
  bool half_open() const { return IsHalfOpen(state); }
};

// Bytes of memory that the snapshot keeps, what it shares with others included.
size_t BytesOf(const SessionSnapshot& session);

// Parses the certificates. Empty without any.
PeerIdentity IdentityOf(const SessionSnapshot& session);

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_SESSION_SNAPSHOT_H_
