#include "cordon/dtls/connection.h"

#include <utility>

#include "cordon/dtls/internal/session.h"

namespace cordon::dtls {

Connection::Connection(std::unique_ptr<internal::Session> session)
    : session_(std::move(session)) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

net::Task<absl::Status> Connection::Handshake() {
  return session_->Handshake();
}

absl::Status Connection::Configure(const SessionOverrides& overrides) {
  return session_->engine().Configure(overrides);
}

const std::vector<VerificationError>& Connection::PeerVerificationErrors()
    const {
  return session_->engine().verification_errors();
}

PeerIdentity Connection::peer_identity() const {
  PeerIdentity identity = session_->engine().peer_identity();
  identity.endpoint = peer();
  return identity;
}

absl::Status Connection::IgnoreVerificationErrors(
    std::vector<IgnoredError> ignored) {
  return session_->engine().IgnoreVerificationErrors(std::move(ignored));
}

net::Task<absl::Status> Connection::ResumeHandshake(
    std::vector<IgnoredError> ignored) {
  return session_->ResumeHandshake(std::move(ignored));
}

net::Task<absl::Status> Connection::AbortHandshake() {
  return session_->AbortHandshake();
}

net::Task<absl::Status> Connection::Shutdown() { return session_->Shutdown(); }

size_t Connection::MaxMessageSize() const {
  return session_->engine().MaxMessageSize();
}

absl::Status Connection::SetMtu(size_t mtu) {
  return session_->engine().SetMtu(mtu);
}

absl::StatusOr<std::vector<uint8_t>> Connection::ExportKeyingMaterial(
    absl::string_view label, std::optional<absl::string_view> context,
    size_t bytes) const {
  return session_->engine().ExportKeyingMaterial(label, context, bytes);
}

absl::StatusOr<ResumableSession> Connection::Session() const {
  return session_->engine().Session();
}

net::Task<absl::StatusOr<Message>> Connection::RecvDecrypted() {
  Message message;
  absl::StatusOr<size_t> count =
      co_await session_->Receive(absl::MakeSpan(&message, 1));
  if (!count.ok()) co_return count.status();
  co_return message;
}

net::Task<absl::StatusOr<size_t>> Connection::RecvBatch(
    absl::Span<Message> messages) {
  return session_->Receive(messages);
}

net::Task<absl::Status> Connection::SendEncrypted(
    absl::Span<const uint8_t> message) {
  return session_->Send(message);
}

net::Task<absl::Status> Connection::SendBatch(
    absl::Span<const absl::Span<const uint8_t>> messages) {
  // Also while the connection is moved, or destroyed, which `Send` reports.
  internal::Session& session = *session_;
  for (absl::Span<const uint8_t> message : messages) {
    absl::Status status = co_await session.Send(message);
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> Connection::Close() { return session_->Close(); }

EngineState Connection::state() const { return session_->engine().state(); }

SessionInfo Connection::info() const { return session_->engine().info(); }

SessionStatistics Connection::statistics() const {
  return session_->engine().statistics();
}

const net::Endpoint& Connection::peer() const { return session_->path().peer; }

net::Endpoint Connection::local() const { return session_->local(); }

}  // namespace cordon::dtls
