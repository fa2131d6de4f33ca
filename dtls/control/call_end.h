// When a call of the control service has to end.
//
//   const CallEnd end(absl::Now() + absl::Seconds(10));
//   while (more) {
//     if (absl::Status status = end.Check(); !status.ok()) return status;
//     ...
//   }
//
// and, on another thread, when the caller has gone or the service is stopped:
//
//   end.Cancel(absl::CancelledError("the caller has gone"));
#ifndef CORDON_DTLS_CONTROL_CALL_END_H_
#define CORDON_DTLS_CONTROL_CALL_END_H_

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace cordon::dtls::control {

// Copies are the same end. Thread-safe.
class CallEnd {
 public:
  // At `deadline`, unless it is cancelled before.
  CallEnd(absl::Time deadline);  // NOLINT(google-explicit-constructor)

  // Is cancelled with this one, and not later than `deadline`.
  CallEnd NoLaterThan(absl::Time deadline) const;

  absl::Time deadline() const { return deadline_; }

  // Ends the call now. `why` is not OK; of several, the first counts.
  void Cancel(const absl::Status& why) const;
  // OK, or why it was cancelled.
  absl::Status cancelled() const;
  // OK while the call may go on: `cancelled`, or kDeadlineExceeded.
  absl::Status Check() const;

  // Waits for what another thread brings: `*done`, which `mutex` guards. Not
  // beyond the end, nor beyond `until`. Whether it is done.
  bool Await(const bool* done, absl::Time until) const;
  absl::Mutex* mutex() const { return &state_->mutex; }

 private:
  struct State {
    absl::Mutex mutex;
    absl::Status why ABSL_GUARDED_BY(mutex);
  };
  CallEnd(std::shared_ptr<State> state, absl::Time deadline)
      : state_(std::move(state)), deadline_(deadline) {}

  std::shared_ptr<State> state_;
  absl::Time deadline_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_CALL_END_H_
