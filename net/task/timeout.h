// Time for coroutines: `SleepFor`, `SleepUntil` and `WithTimeout`.
//
//   CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Seconds(1)));
//   absl::StatusOr<dtls::Message> message = co_await net::WithTimeout(
//       absl::Seconds(10), connection.RecvDecrypted());
//
// The clock is that of the executor, so simulated in simulations. A duration is
// counted from the moment of the call, however long the turn has lasted by
// then.
#ifndef CORDON_NET_TASK_TIMEOUT_H_
#define CORDON_NET_TASK_TIMEOUT_H_

#include <coroutine>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/net/task/stop.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/time/timer_wheel.h"

namespace cordon::net {

// Awaiter of `SleepFor` and `SleepUntil`.
class [[nodiscard]] Sleep : private Timer, private StopCallback {
 public:
  explicit Sleep(absl::Duration duration) : duration_(duration) {}
  explicit Sleep(absl::Time until) : until_(until) {}

  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
    task_ = &task.promise();
    stopped_ = task_->stop_token().stop_requested();
    if (stopped_) return false;
    Executor& executor = task_->executor();
    executor.timers().Arm(*this, until_ == absl::InfinitePast()
                                     ? executor.ReadClock() + duration_
                                     : until_);
    StopCallback::RegisterWith(task_->stop_token());
    return true;
  }
  // OK when the time has come, kCancelled when stopped before.
  absl::Status await_resume() const {
    return stopped_ ? StoppedStatus("sleep") : absl::OkStatus();
  }

 private:
  void OnTimer() override {
    StopCallback::Unregister();
    task_->Schedule();
  }
  void OnStop() override {
    stopped_ = true;
    task_->executor().timers().Cancel(*this);
    task_->Schedule();
  }

  const absl::Duration duration_ = absl::ZeroDuration();
  const absl::Time until_ = absl::InfinitePast();
  PromiseBase* task_ = nullptr;
  bool stopped_ = false;
};

namespace internal {

// Objects, not functions: inside this namespace a call would otherwise be
// ambiguous with `absl::SleepFor`, which is found through its argument.
struct SleepForFunction {
  Sleep operator()(absl::Duration duration) const { return Sleep(duration); }
};
struct SleepUntilFunction {
  Sleep operator()(absl::Time time) const { return Sleep(time); }
};

}  // namespace internal

// `SleepFor(duration)` suspends for so long; a zero or negative duration lets
// others run first. `SleepUntil(time)` suspends until then.
inline constexpr internal::SleepForFunction SleepFor;
inline constexpr internal::SleepUntilFunction SleepUntil;

namespace internal {

inline absl::Status StatusOf(const absl::Status& status) { return status; }
template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

template <typename T>
class [[nodiscard]] TimeoutAwaiter : public Task<T>::Awaiter, private Timer {
 public:
  TimeoutAwaiter(absl::Duration duration, Task<T>&& task)
      : Task<T>::Awaiter(std::move(task)), duration_(duration) {}

  template <typename Promise>
  void await_suspend(std::coroutine_handle<Promise> parent) noexcept {
    PromiseBase& promise = parent.promise();
    outer_ = promise.stop_token();
    stop_.LinkTo(outer_);
    if (duration_ < absl::InfiniteDuration()) {
      Executor& executor = promise.executor();
      executor.timers().Arm(*this, executor.ReadClock() + duration_);
    }
    this->Start(promise, stop_.token());
  }
  T await_resume() {
    T result = Task<T>::Awaiter::await_resume();
    if (expired_ && !outer_.stop_requested() &&
        absl::IsCancelled(StatusOf(result))) {
      return absl::DeadlineExceededError(
          absl::StrCat("not done within ", absl::FormatDuration(duration_),
                       ": ", StatusOf(result).message()));
    }
    return result;
  }

 private:
  void OnTimer() override {
    expired_ = true;
    stop_.RequestStop();
  }

  const absl::Duration duration_;
  StopToken outer_;
  StopSource stop_;
  bool expired_ = false;
};

}  // namespace internal

// Awaits `task`, a `Task<absl::Status>` or `Task<absl::StatusOr<T>>`. When
// `duration` has passed it requests the task to stop, still awaits it, and
// turns its kCancelled into kDeadlineExceeded; a task that finished all the
// same keeps its result. A stop from outside stays kCancelled.
template <typename T>
internal::TimeoutAwaiter<T> WithTimeout(absl::Duration duration, Task<T> task) {
  return internal::TimeoutAwaiter<T>(duration, std::move(task));
}

}  // namespace cordon::net

#endif  // CORDON_NET_TASK_TIMEOUT_H_
