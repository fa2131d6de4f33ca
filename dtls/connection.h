// One DTLS session, for coroutines.
//
//   net::Task<absl::Status> EchoSession(dtls::Connection connection) {
//     CO_RETURN_IF_ERROR(co_await connection.Handshake());
//     while (true) {
//       absl::StatusOr<dtls::Message> message =
//           co_await connection.RecvDecrypted();
//       if (dtls::IsClosed(message.status())) {
//         co_return co_await connection.Close();
//       }
//       if (!message.ok()) co_return message.status();
//       CO_RETURN_IF_ERROR(
//           co_await connection.SendEncrypted(message->bytes()));
//     }
//   }
//
// Connections come from `Listener::Accept` and `Connect`. The reactor serves a
// connection whether or not somebody awaits it: flights are sent again, the
// peer's repetitions answered, alerts heeded, and messages queued up to the
// limits of `SessionOptions`.
#ifndef CORDON_DTLS_CONNECTION_H_
#define CORDON_DTLS_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/message.h"
#include "cordon/dtls/session_info.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/task.h"

namespace cordon::dtls {

namespace internal {
class Session;
}  // namespace internal

// A move-only handle: the session lives as long as its handle. Destroying it
// sends close_notify, if there is somebody to tell, and frees everything; it
// never blocks. Belongs to its reactor's thread. The tasks that it returns must
// not outlive it.
class Connection {
 public:
  explicit Connection(std::unique_ptr<internal::Session> session);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // Suspends until the session is established. kUnauthenticated: the peer was
  // not accepted; kPermissionDenied: it does not accept us; kDeadlineExceeded:
  // not done within `SessionOptions::handshake_deadline`; kUnavailable: no
  // handshake is possible, or nobody is there. `GetErrorDetail` has the alert
  // and the verification errors. After success it returns OK at once.
  // Stop: kCancelled; the handshake goes on, and may be awaited again.
  net::Task<absl::Status> Handshake();

  // Suspends until a message is there. kOutOfRange (`IsClosed`) when the peer
  // has closed and all its messages were taken; kFailedPrecondition before the
  // handshake, after `Close`, or while another receive waits.
  // Stop: kCancelled; no message is lost.
  net::Task<absl::StatusOr<Message>> RecvDecrypted();

  // Suspends until at least one message is there and takes as many as are, up
  // to `messages.size()`; yields how many. Otherwise as `RecvDecrypted`.
  net::Task<absl::StatusOr<size_t>> RecvBatch(absl::Span<Message> messages);

  // Sends one message, of at most `kMaxMessageBytes` bytes, as one record.
  // Suspends only while the network takes nothing; OK means that the record is
  // on its way, as far as UDP goes. `message` may be freed when it returns.
  // kInvalidArgument: too large; kFailedPrecondition: not established, or
  // closed. Stop: kCancelled, not sent.
  net::Task<absl::Status> SendEncrypted(absl::Span<const uint8_t> message);

  // Sends several messages; those of equal size leave as one train, which is
  // many times cheaper. Stops at the first error.
  net::Task<absl::Status> SendBatch(
      absl::Span<const absl::Span<const uint8_t>> messages);

  // Sends close_notify and releases what the session holds of the network; a
  // client's port is free when it returns. Messages that were received before
  // are dropped. Cannot be stopped. OK also when the session had ended.
  net::Task<absl::Status> Close();

  EngineState state() const;
  // What was negotiated; empty before the handshake is complete.
  SessionInfo info() const;
  const SessionStatistics& statistics() const;
  const net::Endpoint& peer() const;
  // The address that the peer talks to, with its port.
  net::Endpoint local() const;

 private:
  std::unique_ptr<internal::Session> session_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_CONNECTION_H_
