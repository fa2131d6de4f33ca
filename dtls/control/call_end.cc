#include "cordon/dtls/control/call_end.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace cordon::dtls::control {

CallEnd::CallEnd(absl::Time deadline)
    : state_(std::make_shared<State>()), deadline_(deadline) {}

CallEnd CallEnd::NoLaterThan(absl::Time deadline) const {
  return CallEnd(state_, std::min(deadline, deadline_));
}

void CallEnd::Cancel(const absl::Status& why) const {
  absl::MutexLock lock(&state_->mutex);
  if (state_->why.ok()) state_->why = why;
}

absl::Status CallEnd::cancelled() const {
  absl::MutexLock lock(&state_->mutex);
  return state_->why;
}

absl::Status CallEnd::Check() const {
  absl::Status why = cancelled();
  if (!why.ok() || absl::Now() < deadline_) return why;
  return absl::DeadlineExceededError("the call was not done in time");
}

bool CallEnd::Await(const bool* done, absl::Time until) const {
  absl::MutexLock lock(&state_->mutex);
  const auto ready = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_->mutex) {
    return *done || !state_->why.ok();
  };
  state_->mutex.AwaitWithDeadline(absl::Condition(&ready),
                                  std::min(until, deadline_));
  return *done;
}

}  // namespace cordon::dtls::control
