// DTLS without I/O: datagrams and the time go in; datagrams, messages and the
// next deadline come out. No sockets, no coroutines, no clock, no thread: the
// same inputs give the same states.
//
//   absl::StatusOr<std::unique_ptr<Engine>> engine =
//       Engine::Create(context, {});
//   (*engine)->Start(now, output);
//   ... for each datagram of the peer:
//   (*engine)->Receive(datagram, now, output);
//   ... and when (*engine)->NextDeadline() has come:
//   (*engine)->OnTimeout(now, output);
//
// `Connection` is what most programs want: it does all this on a reactor.
#ifndef CORDON_DTLS_ENGINE_H_
#define CORDON_DTLS_ENGINE_H_

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/datagram_bio.h"
#include "cordon/dtls/internal/ssl_callbacks.h"
#include "cordon/dtls/session_info.h"

namespace cordon::dtls {

enum class EngineState {
  kNotStarted,
  kHandshaking,
  kConnected,
  kPeerClosed,  // close_notify received; sending is still possible
  kClosed,      // close_notify sent
  kFailed,      // see `Engine::error`
};

// Where an engine's results go. Called from within the engine's functions.
class EngineOutput {
 public:
  // Room for a datagram of at most `max_bytes`, to be completed by `Commit`.
  // Empty if the network takes nothing: the datagram is lost.
  virtual absl::Span<uint8_t> Reserve(size_t max_bytes) = 0;
  virtual void Commit(size_t bytes) = 0;
  // A message of the peer; valid during the call. False if there is no room
  // for it: it is dropped and counted.
  virtual bool OnMessage(absl::Span<const uint8_t> message) = 0;

 protected:
  ~EngineOutput() = default;
};

struct EngineOptions {
  // Client: the name that the server's certificate must have, a DNS name (also
  // sent as SNI) or an IP address. Needed if the context verifies servers.
  std::string server_name = {};
  // Server: the hello to come has shown a good cookie; its record's number.
  std::optional<uint64_t> verified_hello = std::nullopt;
  // IPv6 leaves less room in a packet.
  bool ipv6 = false;
};

// Thread-compatible: for one thread at a time.
class Engine final : private internal::DatagramTransport {
 public:
  // A server's or a client's, by the context. kInvalidArgument: a client that
  // verifies servers needs a `server_name`.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(
      const Context& context, const EngineOptions& options);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  // A client sends its ClientHello; a server waits for one from now on.
  void Start(absl::Time now, EngineOutput& output);

  // Takes a datagram of the peer, which is decrypted in place. Garbage is
  // counted and otherwise without effect.
  void Receive(absl::Span<uint8_t> datagram, absl::Time now,
               EngineOutput& output);

  // When `OnTimeout` wants to be called: `InfiniteFuture` if never.
  absl::Time NextDeadline() const;
  // Sends the flight again, or gives up. Calling it early is harmless.
  void OnTimeout(absl::Time now, EngineOutput& output);

  // Sends one message as one record. kFailedPrecondition unless connected;
  // kInvalidArgument if it is larger than `kMaxMessageBytes`; kUnavailable if
  // the network does not take it now.
  absl::Status Send(absl::Span<const uint8_t> message, EngineOutput& output);

  // Sends close_notify, once. Nothing is sent after it. During a handshake it
  // sends the alert user_canceled and ends it.
  void Close(absl::Time now, EngineOutput& output);

  // Ends the session without a word to the peer: `error()` is `status`.
  void Abort(absl::Status status) { Fail(std::move(status)); }

  EngineState state() const { return state_; }
  // Why the state is `kFailed`; kOutOfRange (`IsClosed`) when the peer closed.
  const absl::Status& error() const { return error_; }

  // Bytes that sealing adds to a message.
  size_t overhead() const;
  SessionInfo info() const;
  const SessionStatistics& statistics() const { return statistics_; }
  const Context& context() const { return context_; }

 private:
  Engine(const Context& context, const EngineOptions& options);
  absl::Status Init();

  void WriteDatagram(absl::Span<const uint8_t> datagram) override;

  // Lets BoringSSL work on the incoming record, if there is one.
  void Drive(absl::Time now);
  void ReceiveRecord(const internal::RecordView& view,
                     absl::Span<uint8_t> record, absl::Time now);
  void ReceiveWhileHandshaking(const internal::RecordView& view,
                               absl::Time now);
  void OpenInPlace(absl::Span<uint8_t> record);
  void KeepEarly(absl::Span<const uint8_t> record);
  void Read();
  void OnConnected(absl::Time now);
  void Deliver(absl::Span<const uint8_t> message);
  void Fail(absl::Status status);
  // Translates BoringSSL's error, and what the callbacks noted.
  absl::Status FailureStatus(int ssl_error);
  // Starts, keeps or ends the retransmission timer after BoringSSL has worked;
  // `datagrams_before` were sent before that.
  void UpdateTimer(absl::Time now, uint64_t datagrams_before);

  const Context context_;
  const EngineOptions options_;
  internal::HandshakeNotes notes_;
  bssl::UniquePtr<SSL> ssl_;
  EngineState state_ = EngineState::kNotStarted;
  absl::Status error_;
  absl::Time started_ = absl::InfinitePast();
  absl::Time handshake_deadline_ = absl::InfiniteFuture();
  absl::Time retransmission_ = absl::InfiniteFuture();
  absl::Duration retransmission_interval_ = absl::ZeroDuration();
  // Encrypted records that came while the handshake was going on, perhaps
  // before the ChangeCipherSpec that they need: tried again after each record
  // in the clear. They cannot be told from forged ones, so there are few.
  std::vector<std::vector<uint8_t>> early_;
  size_t early_bytes_ = 0;
  // Of the call that is running.
  EngineOutput* output_ = nullptr;
  SessionStatistics statistics_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_ENGINE_H_
