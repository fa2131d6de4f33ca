#include "cordon/dtls/context.h"

#include <utility>

#include "cordon/dtls/internal/context_state.h"

namespace cordon::dtls {

absl::StatusOr<Context> Context::Server(ServerOptions options) {
  absl::StatusOr<std::shared_ptr<internal::ContextState>> state =
      internal::ContextState::Server(std::move(options));
  if (!state.ok()) return state.status();
  return Context(*std::move(state));
}

absl::StatusOr<Context> Context::Client(ClientOptions options) {
  absl::StatusOr<std::shared_ptr<internal::ContextState>> state =
      internal::ContextState::Client(std::move(options));
  if (!state.ok()) return state.status();
  return Context(*std::move(state));
}

bool Context::is_server() const { return state_->is_server(); }

const SessionOptions& Context::session() const { return state_->session(); }

}  // namespace cordon::dtls
