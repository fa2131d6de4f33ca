// The events of sessions, brought from reactors to a watcher.
#ifndef CORDON_DTLS_CONTROL_SESSION_FEED_H_
#define CORDON_DTLS_CONTROL_SESSION_FEED_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/session_proto.h"
#include "cordon/dtls/registry.h"

namespace cordon::dtls::control {

// First what is present, some sessions at a time and only as fast as the
// watcher takes them; then, and meanwhile, what happens. A watcher that is too
// slow loses events, is told so, and gets what is present anew: the queue never
// grows beyond `kMaxQueued` events and `kMaxQueuedBytes`. Each session's events
// come in their order, because all are queued on its reactor's thread.
// Thread-safe.
class SessionFeed final : public RegistryObserver,
                          public std::enable_shared_from_this<SessionFeed> {
 public:
  static constexpr size_t kMaxQueued = 4096;
  // Of memory that the sessions in the queue keep, their certificates included.
  // One event is queued in any case.
  static constexpr size_t kMaxQueuedBytes = size_t{8} << 20;

  // Made by the watcher's thread, filled by the reactor's.
  using Chunk = std::shared_ptr<std::vector<SessionSnapshot>>;

  struct Event {
    enum class Kind { kPresent, kOpened, kChanged, kClosed, kSynced, kMissed };
    Kind kind = Kind::kSynced;
    // Not for `kSynced` and `kMissed`.
    SessionRow row = {};
    // Of `kPresent` while it is queued: one entry for a whole chunk.
    Chunk chunk = nullptr;
    size_t chunk_next = 0;
    size_t chunk_end = 0;
    std::string reason = {};
    absl::Time time = absl::InfinitePast();
    uint64_t missed = 0;
    // While it is queued.
    size_t bytes = 0;
  };

  // Of the listeners of one name, or of all. `ready` is called, on any thread,
  // once after each `Next` that returned nothing.
  SessionFeed(std::string listener, bool skip_present,
              std::function<void()> ready);

  void Start(Registry& registry);
  // `ready` is not called any more once it has returned.
  void Stop();

  std::optional<Event> Next();

  void OnListenerAdded(
      const std::shared_ptr<ListenerHandle>& listener) override;

 private:
  class Observer;
  struct Source {
    std::shared_ptr<ListenerHandle> listener;
    std::shared_ptr<Observer> observer;
    // Sessions up to this id have been told as present.
    uint64_t after = 0;
    // Those from this one on are told as opened; 0: not known yet.
    uint64_t first_opened = 0;
    bool exhausted = false;
  };
  using Ready = std::function<void()>;

  void OnSession(size_t source, SessionEventKind kind,
                 const std::shared_ptr<const SessionSnapshot>& session,
                 absl::string_view reason);
  // The first `size` of `chunk`.
  void OnChunk(size_t source, uint64_t request, const Chunk& chunk,
               size_t size);
  void RequestChunk(size_t source, uint64_t request,
                    const std::shared_ptr<ListenerHandle>& listener,
                    uint64_t after);
  // False: there is no room for so much more.
  bool HasRoomFor(size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Push(Event event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Event Pop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What to call after unlocking.
  Ready WakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string listener_;
  const bool skip_present_;

  absl::Mutex mutex_;
  Ready ready_ ABSL_GUARDED_BY(mutex_);
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Event> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Source> sources_ ABSL_GUARDED_BY(mutex_);
  // The request for a chunk that is going on, or 0.
  uint64_t request_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_request_ ABSL_GUARDED_BY(mutex_) = 0;
  bool synced_ ABSL_GUARDED_BY(mutex_) = false;
  bool overflown_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t missed_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_SESSION_FEED_H_
