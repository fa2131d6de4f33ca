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
#include <utility>

#include "absl/status/statusor.h"
#include "cordon/dtls/options.h"

namespace cordon::dtls {

namespace internal {
class ContextState;
}  // namespace internal

// Immutable; cheap to copy; shared by any number of threads.
class Context {
 public:
  // Checks everything: kInvalidArgument says what is wrong in which option.
  static absl::StatusOr<Context> Server(ServerOptions options);
  static absl::StatusOr<Context> Client(ClientOptions options);

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
