// Asks a listener something from another thread, and waits for its answer.
#ifndef CORDON_DTLS_CONTROL_LISTENER_CALL_H_
#define CORDON_DTLS_CONTROL_LISTENER_CALL_H_

#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/call_end.h"
#include "cordon/dtls/listener_admin.h"

namespace cordon::dtls::control {

// A reactor answers within a turn of its loop. One that takes longer has been
// stopped, or is stuck.
inline constexpr absl::Duration kListenerPatience = absl::Seconds(5);

// Runs `function` on the listener's thread and returns what it returns. Blocks,
// but not beyond `end`, nor for longer than `patience`. kUnavailable: the
// listener has ended; kDeadlineExceeded: it does not answer; or why `end` was
// cancelled (in both cases `function` may still run later, so it must own what
// it uses).
template <typename T>
absl::StatusOr<T> CallListener(ListenerHandle& listener, const CallEnd& end,
                               absl::AnyInvocable<T(ListenerAdmin&)> function,
                               absl::Duration patience = kListenerPatience) {
  if (absl::Status why = end.cancelled(); !why.ok()) return why;
  // Both are guarded by the end's mutex.
  struct Pending {
    bool done = false;
    std::optional<T> result;
  };
  auto pending = std::make_shared<Pending>();
  // Also when the call is dropped without having run.
  std::shared_ptr<void> ended(nullptr, [end, pending](void*) {
    absl::MutexLock lock(end.mutex());
    pending->done = true;
  });
  // Where it is refused, `ended` has been called by now.
  listener.Post([end, pending, ended = std::move(ended),
                 function = std::move(function)](ListenerAdmin& admin) mutable {
    T result = function(admin);
    absl::MutexLock lock(end.mutex());
    pending->result = std::move(result);
    pending->done = true;
  });
  if (!end.Await(&pending->done, absl::Now() + patience)) {
    if (absl::Status why = end.cancelled(); !why.ok()) return why;
    return absl::DeadlineExceededError(
        absl::StrCat("the listener \"", listener.name(), "\" on reactor ",
                     listener.reactor_index(), " does not answer"));
  }
  absl::MutexLock lock(end.mutex());
  if (!pending->result.has_value()) {
    return absl::UnavailableError(
        absl::StrCat("the listener \"", listener.name(), "\" has ended"));
  }
  return *std::move(pending->result);
}

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_LISTENER_CALL_H_
