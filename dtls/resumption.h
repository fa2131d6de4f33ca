// Sessions that outlive their connection (RFC 5246 section 7.3, RFC 5077).
#ifndef CORDON_DTLS_RESUMPTION_H_
#define CORDON_DTLS_RESUMPTION_H_

#include <openssl/base.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"

namespace cordon::dtls {

// What a client keeps of a session, to begin the next one with the same server
// with half of the messages and without public-key operations:
//
//   absl::StatusOr<dtls::ResumableSession> kept = connection.Session();
//   ...
//   options.resume = *kept;
//   ... co_await dtls::Connect(reactor, server, context, options);
//
// It has the session's keys: treat it, and its serialized form, as a secret.
// A server that does not know it any more makes a new session. The server's
// certificate is judged again, by the new connection's name and time.
// Immutable, cheap to copy, usable from any thread.
class ResumableSession {
 public:
  // None.
  ResumableSession() = default;
  explicit ResumableSession(bssl::UniquePtr<SSL_SESSION> session);

  bool empty() const { return session_ == nullptr; }
  // For a file of this user's own; `Context::ParseSession` reads it.
  std::string Serialize() const;
  // When it stops being useful.
  absl::Time expires() const;

  SSL_SESSION* get() const { return session_.get(); }

 private:
  std::shared_ptr<SSL_SESSION> session_;
};

// Of the sessions that a server's context keeps so that they are resumed by
// their ids.
struct SessionIdStatistics {
  // Which context's, a number of its own in the process; 0: that of none.
  uint64_t context = 0;
  size_t sessions = 0;  // now
  size_t bytes = 0;     // that these take, certificates of the peers included
  // Sessions that were forgotten before their time, or not kept, because of
  // `ServerOptions::max_session_ids` and `max_session_id_bytes`.
  uint64_t dropped_max_session_ids = 0;
  uint64_t dropped_max_session_id_bytes = 0;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_RESUMPTION_H_
