// What can be done with a listener from outside of its service: by a control
// service, a health check, a test.
#ifndef CORDON_DTLS_LISTENER_ADMIN_H_
#define CORDON_DTLS_LISTENER_ADMIN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/internal/compiled_policy.h"
#include "cordon/dtls/session_info.h"
#include "cordon/dtls/session_snapshot.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::dtls {

// Why handshakes fail.
enum class HandshakeFailure : uint8_t {
  kDeadline,      // not done in time
  kNoAnswer,      // the peer fell silent
  kPeerAlert,     // the peer refused us, by an alert
  kVerification,  // the peer's certificate cannot be accepted
  kPolicy,        // the policy or the application refused the peer
  kUnknownPsk,    // no pre-shared key for its identity
  kAborted,       // by the service, because it is being ended, or superseded
  kProtocol,      // nothing in common, or the peer violated the protocol
};
inline constexpr size_t kHandshakeFailures = 8;
// "deadline", "no_answer", "peer_alert", ...
absl::string_view HandshakeFailureId(HandshakeFailure failure);
HandshakeFailure FailureOf(const absl::Status& status);

// How long handshakes took: up to 1 ms, 2 ms, 4 ms, ... 32.8 s, and longer.
struct HandshakeTimes {
  static constexpr size_t kBuckets = 17;
  // The upper end of bucket `i`; the last has none.
  static absl::Duration Bound(size_t i);

  void Add(absl::Duration duration);

  std::array<uint64_t, kBuckets> counts = {};
  absl::Duration sum = absl::ZeroDuration();
};

struct ListenerStatistics {
  size_t sessions = 0;        // now
  size_t half_open = 0;       // of these, before the end of their handshake
  size_t session_memory = 0;  // bytes that these take, about
  // Bytes that count for `ListenerOptions::max_reassembly_bytes`, and datagrams
  // and parts of messages that were dropped because of it.
  size_t reassembly_bytes = 0;
  uint64_t dropped_max_reassembly_bytes = 0;
  uint64_t sessions_accepted = 0;
  uint64_t handshakes_begun = 0;
  uint64_t handshakes_completed = 0;
  uint64_t handshakes_resumed = 0;  // of the completed
  uint64_t handshakes_failed = 0;
  // By `HandshakeFailure`.
  std::array<uint64_t, kHandshakeFailures> failures = {};
  HandshakeTimes handshake_times = {};
  // Errors of peers' certificates that did not count.
  uint64_t verification_errors_ignored = 0;
  // Sessions that ended because their peer came back with a new one from the
  // same address and port (RFC 6347 section 4.2.8).
  uint64_t sessions_superseded = 0;
  // Half-open ones that ended because a newer hello, with a good cookie, came
  // from the same address and port.
  uint64_t handshakes_superseded = 0;
  // Sessions that ended because their peer had sent nothing for long; see
  // `SessionOptions::idle_timeout`.
  uint64_t sessions_idle = 0;
  // Sessions that were closed by `ListenerAdmin::CloseSession` or a drain.
  uint64_t sessions_closed_by_admin = 0;
  CookieStatistics cookies = {};
  // Hellos that were dropped at a limit, or while draining.
  uint64_t dropped_max_sessions = 0;
  uint64_t dropped_max_session_memory = 0;
  uint64_t dropped_accept_backlog = 0;
  uint64_t dropped_max_half_open = 0;
  uint64_t dropped_max_half_open_per_source = 0;
  uint64_t dropped_handshake_rate_per_source = 0;
  uint64_t dropped_draining = 0;
  // Half-open sessions that gave way to a newcomer at `max_half_open`.
  uint64_t half_open_evicted = 0;
  // Datagrams of unknown peers that began no session.
  uint64_t dropped_unknown = 0;
  // Hellos from a source that cannot be answered, as port 0 or a multicast
  // address: somebody has forged it.
  uint64_t dropped_bad_source = 0;
  // Hellos with a good cookie from an address where a newer one has begun a
  // session or a handshake: repetitions of what came before.
  uint64_t dropped_old_hellos = 0;
  // Of the listener's context, and all its listeners together.
  SessionIdStatistics session_ids = {};
  // Where several reactors serve one address: datagrams that arrived here for a
  // session on another one and were sent on to it.
  uint64_t strays_forwarded = 0;
  // Hellos that were sent on to another reactor: this one accepts no more, or
  // has no handshake that is old enough to give way.
  uint64_t hellos_handed_over = 0;
  // Of both, those that were lost: the other had too many to work off already,
  // or has ended.
  uint64_t strays_dropped = 0;
  // Of all sessions, those that have ended and those that are there.
  SessionStatistics traffic = {};
  net::DatagramSocketStatistics socket = {};
};

// What may be changed while a listener runs; see `ListenerOptions`. They hold
// for all reactors of a listener together. Lower limits end no session that is
// there.
struct ListenerLimits {
  size_t max_sessions = 1'000'000;
  size_t max_session_memory = size_t{16} << 30;
  size_t max_reassembly_bytes = size_t{64} << 20;
  size_t accept_backlog = 1024;
  size_t max_half_open = 16'384;
  size_t max_half_open_per_source = 2'048;
  size_t handshake_rate_per_source = 5'000;
  size_t handshake_burst_per_source = 10'000;
  size_t half_open_before_cookies = 0;
  // Of sessions that begin from now on, instead of what their context says in
  // `SessionOptions::idle_timeout`; 0: as it says.
  size_t idle_timeout_seconds = 0;

  friend bool operator==(const ListenerLimits&,
                         const ListenerLimits&) = default;
};

enum class SessionEventKind : uint8_t { kOpened, kChanged, kClosed };

// Hears of sessions. Called on reactors' threads: must be quick, and must not
// call back.
class SessionObserver {
 public:
  virtual ~SessionObserver() = default;
  // `reason` says why a session was closed.
  virtual void OnSessionEvent(SessionEventKind kind,
                              const std::shared_ptr<const SessionSnapshot>& now,
                              absl::string_view reason) = 0;
};

// For the reactor's thread.
class ListenerAdmin {
 public:
  virtual ~ListenerAdmin() = default;

  // Fills `page`, which must be new, with sessions that have larger ids than
  // `after`, in the order of their ids, and returns how many these are. The
  // memory of the page is the caller's, so that the reactor allocates little.
  virtual size_t ReadSessions(uint64_t after,
                              absl::Span<SessionSnapshot> page) = 0;
  // False if there is none.
  virtual bool ReadSession(uint64_t id, SessionSnapshot& into) = 0;
  // The same, for callers on the reactor's thread. Null if there is none.
  std::vector<std::shared_ptr<const SessionSnapshot>> Sessions(uint64_t after,
                                                               size_t max);
  std::shared_ptr<const SessionSnapshot> FindSession(uint64_t id);

  // Ends a session: its coroutines get `status`, with the limit
  // "closed_by_admin" in its `ErrorDetail`, and its peer `alert`, which is
  // SSL_AD_CLOSE_NOTIFY or a fatal one. A handshake is ended by a fatal one in
  // any case. False if there is none.
  virtual bool CloseSession(uint64_t id, const absl::Status& status,
                            uint8_t alert) = 0;
  virtual ListenerStatistics statistics() const = 0;
  virtual ListenerLimits limits() const = 0;
  // On all reactors of the listener, as `SetCookieParameters`.
  virtual void SetLimits(const ListenerLimits& limits) = 0;
  virtual absl::Status SetCookieParameters(const CookieParameters& p) = 0;
  virtual CookieHash cookie_hash() const = 0;
  virtual const Context& context() const = 0;
  // From now on hellos are dropped. Sessions that are left after `deadline` are
  // closed. Once there are none, `Listener::Accept` returns
  // kFailedPrecondition.
  virtual void Drain(absl::Duration deadline) = 0;
  virtual bool draining() const = 0;
  virtual void AddObserver(std::shared_ptr<SessionObserver> observer) = 0;
  virtual void RemoveObserver(const SessionObserver* observer) = 0;
  virtual net::Reactor& reactor() = 0;
};

// A listener as other threads may hold it. Thread-safe.
class ListenerHandle {
 public:
  ListenerHandle(std::string name, uint32_t reactor_index,
                 const net::Endpoint& local, absl::string_view backend)
      : name_(std::move(name)),
        reactor_index_(reactor_index),
        local_(local),
        backend_(backend) {}

  const std::string& name() const { return name_; }
  uint32_t reactor_index() const { return reactor_index_; }
  const net::Endpoint& local_endpoint() const { return local_; }
  const std::string& backend() const { return backend_; }

  // Runs `function` on the reactor's thread, soon. It is destroyed without
  // having run if the listener or its reactor ends before; false: one of them
  // has ended already.
  bool Post(absl::AnyInvocable<void(ListenerAdmin&)> function);
  // Neither the listener nor its reactor has ended.
  bool alive() const;

  // For the listener.
  void Attach(net::Reactor* reactor, ListenerAdmin* admin);
  void Detach();

 private:
  const std::string name_;
  const uint32_t reactor_index_;
  const net::Endpoint local_;
  const std::string backend_;
  std::weak_ptr<ListenerHandle> self_;

  mutable absl::Mutex mutex_;
  net::Reactor* reactor_ ABSL_GUARDED_BY(mutex_) = nullptr;
  // Read and written on the reactor's thread only.
  ListenerAdmin* admin_ = nullptr;

  friend class Registry;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_LISTENER_ADMIN_H_
