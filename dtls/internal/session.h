// One session on a reactor: an engine, the socket that it shares or owns, its
// timer, and the coroutines that wait for it.
#ifndef CORDON_DTLS_INTERNAL_SESSION_H_
#define CORDON_DTLS_INTERNAL_SESSION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/message.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/time/timer_wheel.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::dtls::internal {

class Session;

// Who has the socket of a session: a listener's core, or a client's.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  virtual net::DatagramSocket& socket() = 0;
  virtual void OnHandshakeEnded(const Session& session, bool ok) = 0;
  // The session is being destroyed: deliver nothing to it any more.
  virtual void OnSessionGone(Session& session) = 0;
  // The session was closed by its user.
  virtual net::Task<absl::Status> CloseSocket() = 0;
};

class Session final : private EngineOutput, private net::Timer {
 public:
  Session(net::Reactor& reactor, std::shared_ptr<SessionOwner> owner,
          const net::Path& path, std::unique_ptr<Engine> engine);
  ~Session() override;

  // A datagram of the peer. Before the handshake is begun a few are kept.
  void OnDatagram(absl::Span<uint8_t> datagram);
  // The peer has proved to have begun another session: this one is over.
  void Supersede();
  // The network says that the peer's port is closed: anybody may have made it
  // say so. Believed when it is all that is ever heard.
  void OnRefused(const absl::Status& status);

  net::Task<absl::Status> Handshake();
  net::Task<absl::StatusOr<size_t>> Receive(absl::Span<Message> messages);
  net::Task<absl::Status> Send(absl::Span<const uint8_t> message);
  net::Task<absl::Status> Close();

  // The random of the ClientHello that began it, to tell hellos apart.
  const std::array<uint8_t, 32>& hello_random() const { return hello_random_; }
  void set_hello_random(absl::Span<const uint8_t> random);

  const Engine& engine() const { return *engine_; }
  const net::Path& path() const { return path_; }
  net::DatagramSocket& socket() { return owner_->socket(); }

 private:
  // EngineOutput:
  absl::Span<uint8_t> Reserve(size_t max_bytes) override;
  void Commit(size_t bytes) override;
  bool OnMessage(absl::Span<const uint8_t> message) override;
  // Timer:
  void OnTimer() override;

  // After each call of the engine: the timer, and who waits.
  void Update();
  absl::Status NotEstablished() const;

  net::Reactor& reactor_;
  const std::shared_ptr<SessionOwner> owner_;
  net::Path path_;
  const std::unique_ptr<Engine> engine_;
  std::array<uint8_t, 32> hello_random_ = {};
  EngineState seen_ = EngineState::kNotStarted;
  bool established_ = false;
  bool receiving_ = false;
  int refusals_ = 0;
  // Came before `Handshake` was called.
  std::deque<net::PooledBytes> early_;
  size_t early_bytes_ = 0;
  std::deque<Message> queue_;
  size_t queued_bytes_ = 0;
  net::WaitQueue handshakers_;
  net::WaitQueue receivers_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SESSION_H_
