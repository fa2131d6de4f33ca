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
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/message.h"
#include "cordon/dtls/resumption.h"
#include "cordon/dtls/session_info.h"
#include "cordon/dtls/verification.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/task.h"

namespace cordon::dtls {

namespace internal {
class Session;
}  // namespace internal

// A move-only handle: the session lives as long as its handle. Destroying it
// sends close_notify, if there is somebody to tell, and frees everything; it
// never blocks. Belongs to its reactor's thread. Tasks that it returned and
// that wait when it is destroyed end with kFailedPrecondition.
class Connection {
 public:
  explicit Connection(std::unique_ptr<internal::Session> session);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // Settings of this session alone, before its handshake; later they are
  // refused with kFailedPrecondition. kInvalidArgument says what is wrong.
  // After an error everything is as it was.
  absl::Status Configure(const SessionOverrides& overrides);

  // Suspends until the session is established, or its peer could not be
  // verified. kUnauthenticated: in the state `kVerificationFailed` see
  // `PeerVerificationErrors`, and `ResumeHandshake` or `AbortHandshake`;
  // kPermissionDenied: the peer does not accept us, or the application refused
  // it; kDeadlineExceeded: not done within
  // `SessionOptions::handshake_deadline`; kUnavailable: no handshake is
  // possible, or nobody is there. `GetErrorDetail` has the alert and the
  // verification errors. While the session lives it returns OK at once. After
  // a failure, or when the session is over, it begins a new one with the same
  // peer; a server waits for its next hello.
  // Stop: kCancelled; the handshake goes on, and may be awaited again.
  net::Task<absl::Status> Handshake();

  // Everything that is wrong with the peer's certificates and not ignored, once
  // they have been seen (QDtls::peerVerificationErrors). Empty again after
  // `ResumeHandshake`; `SessionInfo::ignored_errors` keeps what was ignored.
  const std::vector<VerificationError>& PeerVerificationErrors() const;
  // Who the peer claims to be, from the moment that its certificates have been
  // seen.
  PeerIdentity peer_identity() const;
  // Replaces the list of errors that do not count, in addition to
  // `VerificationOptions::ignored`. Before the handshake it must cover all
  // errors that will be found (QDtls::ignoreVerificationErrors). See
  // `IgnoreExactly` and `IgnoreCodes`. kFailedPrecondition when the peer has
  // been accepted already.
  absl::Status IgnoreVerificationErrors(std::vector<IgnoredError> ignored);
  // In `kVerificationFailed`: completes the same handshake, and suspends until
  // it is complete, if `ignored` and the list before it cover all errors.
  // kUnauthenticated names those that are not covered, and the handshake still
  // rests; kFailedPrecondition in any other state. Otherwise as `Handshake`.
  net::Task<absl::Status> ResumeHandshake(
      std::vector<IgnoredError> ignored = {});
  // Ends a handshake that is not complete. The peer gets the alert that fits
  // the verification error, or user_canceled. `Handshake` may then begin anew.
  // kFailedPrecondition if no handshake is going on. Never suspends.
  net::Task<absl::Status> AbortHandshake();

  // Suspends until a message is there. kOutOfRange (`IsClosed`) when the peer
  // has closed and all its messages were taken; kDeadlineExceeded: it has sent
  // nothing for `SessionOptions::idle_timeout`; kResourceExhausted: the keys
  // are used up, see `Engine::Receive` and `Engine::Send`; kFailedPrecondition
  // before the handshake, after `Close`, or while another receive waits. Stop:
  // kCancelled; no message is lost.
  net::Task<absl::StatusOr<Message>> RecvDecrypted();

  // Suspends until at least one message is there and takes as many as are, up
  // to `messages.size()`; yields how many. kInvalidArgument if that is 0.
  // Otherwise as `RecvDecrypted`.
  net::Task<absl::StatusOr<size_t>> RecvBatch(absl::Span<Message> messages);

  // Sends one message, of at most `MaxMessageSize()` bytes, as one record.
  // Suspends while the network takes nothing, and until the next turn of the
  // loop when there was enough for this one; OK means that the record is on its
  // way, as far as UDP goes. `message` may be freed when it returns.
  // kInvalidArgument: too large; kFailedPrecondition: not established, or
  // closed; kResourceExhausted: the session has ended because its key may
  // encrypt no more, see `Engine::Send`. Stop: kCancelled, not sent.
  net::Task<absl::Status> SendEncrypted(absl::Span<const uint8_t> message);

  // Sends several messages; those of equal size leave as one train, which is
  // many times cheaper. Stops at the first error.
  net::Task<absl::Status> SendBatch(
      absl::Span<const absl::Span<const uint8_t>> messages);

  // The largest message that can be sent, in bytes; 0 unless established. See
  // `SessionOptions::ip_fragmentation`.
  size_t MaxMessageSize() const;
  // The largest IP packet for handshake messages from now on, in bytes, in any
  // state (QDtls::setMtuHint). kInvalidArgument unless it is from `kMinMtu` to
  // `kMaxMtu`.
  absl::Status SetMtu(size_t mtu);

  // `bytes` bytes of key material for another protocol, such as SRTP (RFC
  // 5705). An empty context is not the same as none. kFailedPrecondition unless
  // established; kInvalidArgument: no label, or more than 4096 bytes.
  absl::StatusOr<std::vector<uint8_t>> ExportKeyingMaterial(
      absl::string_view label, std::optional<absl::string_view> context,
      size_t bytes) const;
  // Client: to be resumed by a later connection (`ConnectOptions::resume`).
  // kFailedPrecondition unless established; kNotFound if the server does not
  // resume.
  absl::StatusOr<ResumableSession> Session() const;

  // Sends close_notify and ends the session, but keeps the connection: after it
  // `Handshake` begins anew (QDtls::shutdown). kFailedPrecondition unless
  // established. Never suspends.
  net::Task<absl::Status> Shutdown();

  // Sends close_notify and releases what the session holds of the network; a
  // client's port is free when it returns. Messages that were received before
  // are dropped. Cannot be stopped. OK also when the session had ended.
  net::Task<absl::Status> Close();

  EngineState state() const;
  // What was negotiated; empty before the handshake is complete.
  SessionInfo info() const;
  SessionStatistics statistics() const;
  const net::Endpoint& peer() const;
  // The address that the peer talks to, with its port.
  net::Endpoint local() const;

 private:
  std::unique_ptr<internal::Session> session_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_CONNECTION_H_
