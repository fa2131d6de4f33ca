// Asks a listener something from another thread, and waits for its answer.
#ifndef CORDON_DTLS_CONTROL_LISTENER_CALL_H_
#define CORDON_DTLS_CONTROL_LISTENER_CALL_H_

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/listener_admin.h"

namespace cordon::dtls::control {

// A reactor answers within a turn of its loop. One that takes longer has been
// stopped, or is stuck.
inline constexpr absl::Duration kListenerPatience = absl::Seconds(5);

// Runs `function` on the listener's thread and returns what it returns. Blocks,
// but not beyond `deadline`, nor for longer than `patience`. kUnavailable: the
// listener has ended; kDeadlineExceeded: it does not answer (`function` may
// still run later, so it must own what it uses).
template <typename T>
absl::StatusOr<T> CallListener(ListenerHandle& listener, absl::Time deadline,
                               absl::AnyInvocable<T(ListenerAdmin&)> function,
                               absl::Duration patience = kListenerPatience) {
  deadline = std::min(deadline, absl::Now() + patience);
  struct Pending {
    absl::Mutex mutex;
    bool done ABSL_GUARDED_BY(mutex) = false;
    std::optional<T> result ABSL_GUARDED_BY(mutex);
  };
  auto pending = std::make_shared<Pending>();
  // Also when the call is dropped without having run.
  std::shared_ptr<void> ended(nullptr, [pending](void*) {
    absl::MutexLock lock(&pending->mutex);
    pending->done = true;
  });
  // Where it is refused, `ended` has been called by now.
  listener.Post([pending, ended = std::move(ended),
                 function = std::move(function)](ListenerAdmin& admin) mutable {
    T result = function(admin);
    absl::MutexLock lock(&pending->mutex);
    pending->result = std::move(result);
    pending->done = true;
  });
  absl::MutexLock lock(&pending->mutex);
  if (!pending->mutex.AwaitWithDeadline(absl::Condition(&pending->done),
                                        deadline)) {
    return absl::DeadlineExceededError(
        absl::StrCat("the listener \"", listener.name(), "\" on reactor ",
                     listener.reactor_index(), " does not answer"));
  }
  if (!pending->result.has_value()) {
    return absl::UnavailableError(
        absl::StrCat("the listener \"", listener.name(), "\" has ended"));
  }
  return *std::move(pending->result);
}

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_LISTENER_CALL_H_
