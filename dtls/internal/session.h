// One session on a reactor: an engine, the socket that it shares or owns, its
// timer, and the coroutines that wait for it.
#ifndef CORDON_DTLS_INTERNAL_SESSION_H_
#define CORDON_DTLS_INTERNAL_SESSION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/internal/memory_budget.h"
#include "cordon/dtls/internal/session_bounds.h"
#include "cordon/dtls/message.h"
#include "cordon/dtls/session_hooks.h"
#include "cordon/dtls/session_snapshot.h"
#include "cordon/dtls/verification.h"
#include "cordon/net/base/lifeline.h"
#include "cordon/net/base/ring_queue.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/time/timer_wheel.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/send_queue.h"

namespace cordon::dtls::internal {

class Session;

// The ClientHello that a server's session began with, to tell it from others of
// the same address.
struct BegunBy {
  // Whether this hello was sent after `other`, as far as that can be known. By
  // the cookies that they have shown: a hello without one is older than each
  // with one, and the order never depends on what comes when. Without cookies,
  // one that is not known yet is taken for newer.
  bool IsNewerThan(const BegunBy& other) const;

  std::array<uint8_t, 32> random = {};
  // When its cookie was made, see `CookieExchange::Result`; infinitely long ago
  // if it has shown none.
  absl::Time made = absl::InfinitePast();
  // The random of the hello whose handshake it has replaced.
  std::array<uint8_t, 32> replaced_random = {};
};

// Who has the socket of a session: a listener's core, or a client's.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  virtual net::DatagramSocket& socket() = 0;
  // May be null.
  virtual const VerifyPeer& verify_peer() const = 0;
  virtual const PskLookup& psk_lookup() const = 0;
  virtual void OnHandshakeBegun() {}
  virtual void OnHandshakeEnded(Session& session, const absl::Status& how) = 0;
  virtual void OnStateChanged(Session& session) { (void)session; }
  // `session.half_open()` is another than before. Sessions begin half-open,
  // which is not told.
  virtual void OnHalfOpenChanged(Session& session) { (void)session; }
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

  // Its memory counts in `all`, and what its handshake keeps of the peer in
  // `handshakes`; both outlive it. What finds no room there is dropped, but of
  // messages not the only one.
  void CountMemoryIn(MemoryBudget* all, MemoryBudget* handshakes) {
    memory_.CountIn(all);
    early_memory_.CountIn(handshakes);
    engine_->CountKeptIn(handshakes);
  }

  // A datagram of the peer. Before the handshake is begun a few are kept.
  void OnDatagram(absl::Span<uint8_t> datagram);
  // The peer has begun another handshake, and this session or half-open
  // handshake is over: its coroutines get kUnavailable, and nothing more is
  // sent to the address, where somebody else is now.
  void Supersede();
  // Nothing can be sent or received any more.
  void OnSocketFailed(const absl::Status& status) { EndWith(status); }
  // Ends it: its coroutines get `status`, its peer `alert`.
  void Terminate(const absl::Status& status, uint8_t alert);
  // The network says that the peer's port is closed: anybody may have made it
  // say so. Believed when it is all that is ever heard.
  void OnRefused(const absl::Status& status);

  // A restarted server's peer has come back: its hello, and the number of the
  // record that it came in if it has shown a good cookie.
  bool awaits_hello() const { return awaits_hello_; }
  void BeginWith(const BegunBy& hello, std::optional<uint64_t> verified_hello,
                 absl::Span<uint8_t> datagram);

  // Whoever waits for one of these when the session is destroyed gets
  // kFailedPrecondition.
  net::Task<absl::Status> Handshake();
  net::Task<absl::Status> ResumeHandshake(std::vector<IgnoredError> ignored);
  net::Task<absl::Status> AbortHandshake();
  net::Task<absl::Status> Shutdown();
  net::Task<absl::StatusOr<size_t>> Receive(absl::Span<Message> messages);
  net::Task<absl::Status> Send(absl::Span<const uint8_t> message);
  net::Task<absl::Status> Close();

  const BegunBy& begun_by() const { return begun_by_; }
  void set_begun_by(const BegunBy& hello) { begun_by_ = hello; }

  uint64_t id() const { return id_; }
  // Before the end of its handshake.
  bool half_open() const { return half_open_; }
  // Fills `snapshot`, which must be new.
  void Describe(SessionSnapshot& snapshot) const;

  Engine& engine() { return *engine_; }
  const Engine& engine() const { return *engine_; }
  const net::Path& path() const { return path_; }
  // The address that the peer talks to, with its port.
  net::Endpoint local() const;
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
  // Counts what the peer's certificates take. False: there is no room for it.
  bool CountPeer();
  void SetHalfOpen(bool half_open);
  // Asks the application what the engine wants to know.
  void Ask();
  absl::Status Begin();
  net::Task<absl::Status> AwaitHandshake();
  net::Task<void> Judge(uint64_t question);
  net::Task<void> LookUpPsk(uint64_t question);
  // Whether nobody waits for the answer any more.
  bool TooLate(uint64_t question) const;
  absl::Status NotEstablished() const;
  // Without a word to the peer, and for good.
  void EndWith(absl::Status status);
  void KeepEarly(absl::Span<const uint8_t> datagram);
  net::RingQueue<net::PooledBytes> TakeEarly();
  void ClearQueue();

  net::Reactor& reactor_;
  const std::shared_ptr<SessionOwner> owner_;
  const uint64_t id_;
  const absl::Time opened_;
  absl::Time last_activity_;
  bool half_open_ = true;
  net::Path path_;
  const std::unique_ptr<Engine> engine_;
  BegunBy begun_by_;
  EngineState seen_ = EngineState::kNotStarted;
  bool established_ = false;
  bool handshaking_ = false;
  bool handshook_ = false;
  bool awaits_hello_ = false;
  // Another session has its peer, or its user has closed it.
  bool over_ = false;
  // The engine's last question that the application was asked.
  uint64_t asked_ = 0;
  int refusals_ = 0;
  // Came before `Handshake` was called.
  net::RingQueue<net::PooledBytes> early_;
  size_t early_bytes_ = 0;
  MemoryShare early_memory_{kHandshakeOwnBytes};
  net::RingQueue<Message> queue_;
  size_t queued_bytes_ = 0;
  size_t peer_bytes_ = 0;
  MemoryShare memory_;
  net::WaitQueue handshakers_;
  net::WaitQueue receivers_;
  net::SendQueue senders_;
  net::Lifeline lifeline_;
  // What the application does in the middle of the handshake, and what it did
  // before, which may be what is running. Last: destroyed first.
  std::unique_ptr<net::TaskScope> old_hooks_;
  std::unique_ptr<net::TaskScope> hooks_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SESSION_H_
