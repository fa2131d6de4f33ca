#include "cordon/dtls/internal/accept_queue.h"

#include <algorithm>
#include <utility>

namespace cordon::dtls::internal {

void AcceptQueue::Push(std::unique_ptr<Session> session) {
  sessions_.push_back(std::move(session));
  takers_.WakeOne();
}

void AcceptQueue::Remove(const Session& session) {
  const auto found =
      std::find_if(sessions_.begin(), sessions_.end(),
                   [&](const auto& waits) { return waits.get() == &session; });
  if (found == sessions_.end()) return;
  // It is out of the queue before its destructor calls anybody.
  const std::unique_ptr<Session> removed = std::move(*found);
  sessions_.erase(found);
}

void AcceptQueue::Close(absl::Status why) {
  if (closed_.ok()) closed_ = std::move(why);
  takers_.WakeAll();
  // Sessions keep their listener, and so this queue, alive: when the last of
  // them goes, nothing here may be touched any more.
  const std::deque<std::unique_ptr<Session>> dropped =
      std::exchange(sessions_, {});
}

net::Task<absl::StatusOr<std::unique_ptr<Session>>> AcceptQueue::Take() {
  const net::StopToken stop = co_await net::CurrentStopToken();
  if (stop.stop_requested()) co_return net::StoppedStatus("Accept");
  while (sessions_.empty()) {
    if (!closed_.ok()) co_return closed_;
    if (const bool woken = co_await takers_.Wait(); !woken) {
      co_return net::StoppedStatus("Accept");
    }
  }
  std::unique_ptr<Session> session = std::move(sessions_.front());
  sessions_.pop_front();
  if (!sessions_.empty()) takers_.WakeOne();
  co_return session;
}

}  // namespace cordon::dtls::internal
