// Sessions that outlive their connection (RFC 5246 section 7.3, RFC 5077).
#ifndef CORDON_DTLS_RESUMPTION_H_
#define CORDON_DTLS_RESUMPTION_H_

#include <openssl/base.h>

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

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_RESUMPTION_H_
