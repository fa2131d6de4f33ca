#include "cordon/dtls/context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <utility>

#include "absl/strings/str_cat.h"
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

absl::StatusOr<ResumableSession> Context::ParseSession(
    absl::string_view bytes) const {
  bssl::UniquePtr<SSL_SESSION> session(
      SSL_SESSION_from_bytes(reinterpret_cast<const uint8_t*>(bytes.data()),
                             bytes.size(), state_->ssl_context()));
  ERR_clear_error();
  if (session == nullptr || SSL_SESSION_is_resumable(session.get()) != 1) {
    return absl::InvalidArgumentError(
        "this is no kept session, or one that cannot be resumed");
  }
  return ResumableSession(std::move(session));
}

absl::Status Context::ReplaceCertificates(
    std::vector<Certificate> certificates) const {
  if (!is_server() || state_->LeafCertificates().empty()) {
    return absl::FailedPreconditionError(
        "there are no certificates to replace: this is not a server that was "
        "made with one");
  }
  return state_->ReplaceCertificates(std::move(certificates));
}

std::vector<std::string> Context::OwnCertificates() const {
  return state_->LeafCertificates();
}

absl::Status Context::RotateTicketKeys(absl::string_view secret) const {
  internal::TicketKeys* keys = state_->ticket_keys();
  if (keys == nullptr) {
    return absl::FailedPreconditionError(
        "session tickets are not used here: there is no key to replace");
  }
  if (!secret.empty() &&
      secret.size() < internal::TicketKeys::kMinSecretBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the secret has ", secret.size(), " bytes; it needs at least ",
        internal::TicketKeys::kMinSecretBytes));
  }
  return keys->Rotate(secret, state_->WallNow());
}

SessionIdStatistics Context::session_ids() const {
  const internal::SessionIdCache* cache = state_->session_id_cache();
  return cache == nullptr ? SessionIdStatistics() : cache->statistics();
}

bool Context::is_server() const { return state_->is_server(); }

const SessionOptions& Context::session() const { return state_->session(); }

}  // namespace cordon::dtls
