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
  for (absl::Span<const uint8_t> message : messages) {
    absl::Status status = co_await session_->Send(message);
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> Connection::Close() { return session_->Close(); }

EngineState Connection::state() const { return session_->engine().state(); }

SessionInfo Connection::info() const { return session_->engine().info(); }

const SessionStatistics& Connection::statistics() const {
  return session_->engine().statistics();
}

const net::Endpoint& Connection::peer() const { return session_->path().peer; }

net::Endpoint Connection::local() const {
  const net::Endpoint& bound = session_->socket().local_endpoint();
  const net::Endpoint& address = session_->path().local.address;
  return address.is_none() ? bound : address.WithPort(bound.port());
}

}  // namespace cordon::dtls
