#include "cordon/dtls/control/session_feed.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "cordon/dtls/control/session_cursor.h"

namespace cordon::dtls::control {

// A listener keeps it for as long as it is not removed.
class SessionFeed::Observer final : public SessionObserver {
 public:
  Observer(std::weak_ptr<SessionFeed> feed, size_t source)
      : feed_(std::move(feed)), source_(source) {}

  void OnSessionEvent(SessionEventKind kind,
                      const std::shared_ptr<const SessionSnapshot>& now,
                      absl::string_view reason) override {
    if (auto feed = feed_.lock()) feed->OnSession(source_, kind, now, reason);
  }

 private:
  const std::weak_ptr<SessionFeed> feed_;
  const size_t source_;
};

SessionFeed::SessionFeed(std::string listener, bool skip_present,
                         std::function<void()> ready)
    : listener_(std::move(listener)),
      skip_present_(skip_present),
      ready_(std::move(ready)) {}

void SessionFeed::Start(Registry& registry) {
  // A listener that comes in between is seen twice, and added once.
  registry.AddObserver(weak_from_this());
  for (const auto& listener : registry.listeners()) OnListenerAdded(listener);
}

void SessionFeed::OnListenerAdded(
    const std::shared_ptr<ListenerHandle>& listener) {
  if (!listener_.empty() && listener->name() != listener_) return;
  Ready ready;
  {
    absl::MutexLock lock(&mutex_);
    if (ready_ == nullptr) return;
    for (const Source& source : sources_) {
      if (source.listener == listener) return;
    }
    auto observer =
        std::make_shared<Observer>(weak_from_this(), sources_.size());
    sources_.push_back({.listener = listener,
                        .observer = observer,
                        .exhausted = skip_present_});
    // Before any chunk is asked for, and before `Stop` takes it back. One that
    // has ended has nothing to tell.
    listener->Post([observer = std::move(observer)](ListenerAdmin& admin) {
      admin.AddObserver(observer);
    });
    ready = WakeLocked();
  }
  if (ready != nullptr) ready();
}

void SessionFeed::Stop() {
  std::vector<Source> sources;
  {
    absl::MutexLock lock(&mutex_);
    ready_ = nullptr;
    request_ = 0;
    queue_.clear();
    queued_bytes_ = 0;
    sources = std::exchange(sources_, {});
  }
  for (const Source& source : sources) {
    source.listener->Post([observer = source.observer](ListenerAdmin& admin) {
      admin.RemoveObserver(observer.get());
    });
  }
}

SessionFeed::Ready SessionFeed::WakeLocked() {
  if (!std::exchange(waiting_, false)) return nullptr;
  return ready_;
}

bool SessionFeed::HasRoomFor(size_t bytes) const {
  return queue_.empty() ||
         (queue_.size() < kMaxQueued &&
          bytes <= kMaxQueuedBytes - std::min(queued_bytes_, kMaxQueuedBytes));
}

void SessionFeed::Push(Event event) {
  queued_bytes_ += event.bytes;
  queue_.push_back(std::move(event));
}

SessionFeed::Event SessionFeed::Pop() {
  Event event = std::move(queue_.front());
  queue_.pop_front();
  queued_bytes_ -= event.bytes;
  return event;
}

void SessionFeed::OnSession(
    size_t source, SessionEventKind kind,
    const std::shared_ptr<const SessionSnapshot>& session,
    absl::string_view reason) {
  const size_t bytes = sizeof(Event) + BytesOf(*session) + reason.size();
  Ready ready;
  {
    absl::MutexLock lock(&mutex_);
    if (source >= sources_.size()) return;
    if (overflown_) {
      ++missed_;
      return;
    }
    if (!HasRoomFor(bytes)) {
      ++missed_;
      for (const Event& queued : queue_) {
        missed_ +=
            queued.chunk == nullptr ? 1 : queued.chunk_end - queued.chunk_next;
      }
      overflown_ = true;
      queue_.clear();
      queued_bytes_ = 0;
      return;
    }
    Event event;
    switch (kind) {
      case SessionEventKind::kOpened:
        event.kind = Event::Kind::kOpened;
        if (sources_[source].first_opened == 0) {
          sources_[source].first_opened = session->id;
        }
        break;
      case SessionEventKind::kChanged:
        event.kind = Event::Kind::kChanged;
        break;
      case SessionEventKind::kClosed:
        event.kind = Event::Kind::kClosed;
        event.reason = std::string(reason);
        break;
    }
    event.row.listener = sources_[source].listener;
    event.row.session = session;
    event.time = absl::Now();
    event.bytes = bytes;
    Push(std::move(event));
    ready = WakeLocked();
  }
  if (ready != nullptr) ready();
}

std::optional<SessionFeed::Event> SessionFeed::Next() {
  size_t source = 0;
  uint64_t request = 0;
  uint64_t after = 0;
  std::shared_ptr<ListenerHandle> listener;
  {
    absl::MutexLock lock(&mutex_);
    if (overflown_) {
      Event event;
      event.kind = Event::Kind::kMissed;
      event.missed = std::exchange(missed_, 0);
      event.time = absl::Now();
      overflown_ = false;
      synced_ = false;
      request_ = 0;
      for (Source& s : sources_) {
        s.after = s.first_opened = 0;
        s.exhausted = skip_present_;
      }
      return event;
    }
    if (!queue_.empty()) {
      Event& front = queue_.front();
      if (front.chunk == nullptr) return Pop();
      Event event;
      event.kind = front.kind;
      event.time = front.time;
      event.row.listener = front.row.listener;
      event.row.session = {front.chunk, &(*front.chunk)[front.chunk_next]};
      if (++front.chunk_next == front.chunk_end) Pop();
      return event;
    }
    while (source < sources_.size() && sources_[source].exhausted) ++source;
    if (source == sources_.size() && !synced_) {
      synced_ = true;
      Event event;
      event.kind = Event::Kind::kSynced;
      event.time = absl::Now();
      return event;
    }
    waiting_ = true;
    if (source == sources_.size() || request_ != 0) return std::nullopt;
    request = request_ = ++last_request_;
    after = sources_[source].after;
    listener = sources_[source].listener;
  }
  RequestChunk(source, request, listener, after);
  return std::nullopt;
}

void SessionFeed::RequestChunk(size_t source, uint64_t request,
                               const std::shared_ptr<ListenerHandle>& listener,
                               uint64_t after) {
  // Also when the request is dropped because the listener ends.
  std::shared_ptr<void> dropped(
      nullptr, [feed = shared_from_this(), source, request](void*) {
        feed->OnChunk(source, request, nullptr, 0);
      });
  auto chunk =
      std::make_shared<std::vector<SessionSnapshot>>(SessionCursor::kChunk);
  listener->Post([feed = shared_from_this(), source, request, after,
                  chunk = std::move(chunk),
                  dropped = std::move(dropped)](ListenerAdmin& admin) {
    const size_t size = admin.ReadSessions(after, absl::MakeSpan(*chunk));
    feed->OnChunk(source, request, chunk, size);
  });
}

void SessionFeed::OnChunk(size_t source, uint64_t request, const Chunk& chunk,
                          size_t size) {
  Ready ready;
  {
    absl::MutexLock lock(&mutex_);
    // The second call for one request is that of `dropped`.
    if (request != request_ || overflown_ || source >= sources_.size()) return;
    request_ = 0;
    size_t bytes = sizeof(Event);
    for (size_t i = 0; i < size; ++i) bytes += BytesOf((*chunk)[i]);
    // It is asked for again once the watcher has taken what is queued.
    if (!HasRoomFor(bytes)) return;
    Source& from = sources_[source];
    from.exhausted = size < SessionCursor::kChunk;
    size_t end = 0;
    for (; end < size; ++end) {
      const uint64_t id = (*chunk)[end].id;
      if (from.first_opened != 0 && id >= from.first_opened) {
        from.exhausted = true;
        break;
      }
      from.after = id;
    }
    if (end > 0) {
      Event event;
      event.kind = Event::Kind::kPresent;
      event.row.listener = from.listener;
      event.chunk = chunk;
      event.chunk_end = end;
      event.time = absl::Now();
      event.bytes = bytes;
      Push(std::move(event));
    }
    ready = WakeLocked();
  }
  if (ready != nullptr) ready();
}

}  // namespace cordon::dtls::control
