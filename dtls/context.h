// The configuration of a server or a client, checked and ready.
//
//   dtls::ServerOptions options;
//   options.certificates.push_back(*dtls::LoadCertificate("c.pem", "k.pem"));
//   absl::StatusOr<dtls::Context> context =
//       dtls::Context::Server(std::move(options));
//   // One context for all listeners and all reactors:
//   auto listener = dtls::Listener::Bind(reactor, at, *context);
#ifndef CORDON_DTLS_CONTEXT_H_
#define CORDON_DTLS_CONTEXT_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/options.h"
#include "cordon/dtls/resumption.h"

namespace cordon::dtls {

namespace internal {
class ContextState;
}  // namespace internal

// Cheap to copy, and all copies are one; shared by any number of threads.
// Nothing can be changed but the secrets, which have a life of their own.
class Context {
 public:
  // Checks everything: kInvalidArgument says what is wrong in which option.
  static absl::StatusOr<Context> Server(ServerOptions options);
  static absl::StatusOr<Context> Client(ClientOptions options);

  // Reads what `ResumableSession::Serialize` wrote. kInvalidArgument if it is
  // anything else.
  absl::StatusOr<ResumableSession> ParseSession(absl::string_view bytes) const;

  // A server's: certificates to use from now on. Handshakes that are going on
  // use either those before or these. kInvalidArgument: one of them cannot be
  // used, and nothing has changed; kFailedPrecondition: not a server's, or one
  // that was made without any.
  absl::Status ReplaceCertificates(std::vector<Certificate> certificates) const;
  // A server's own certificates as they are used now, in DER, without chains.
  std::vector<std::string> OwnCertificates() const;
  // A server's: encrypts session tickets with a new key, random or made of
  // `secret` (see `ServerOptions::session_ticket_secret`). Tickets of the key
  // before are taken for another day. kFailedPrecondition: there are no
  // tickets.
  absl::Status RotateTicketKeys(absl::string_view secret = "") const;

  // A server's: what is kept to resume sessions by their ids, for all listeners
  // of this context together.
  SessionIdStatistics session_ids() const;

  bool is_server() const;
  const SessionOptions& session() const;

  const std::shared_ptr<internal::ContextState>& state() const {
    return state_;
  }

 private:
  explicit Context(std::shared_ptr<internal::ContextState> state)
      : state_(std::move(state)) {}

  std::shared_ptr<internal::ContextState> state_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_CONTEXT_H_
