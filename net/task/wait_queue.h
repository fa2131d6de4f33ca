// Coroutines that wait for something, first come, first served: the one
// primitive that channels, accept queues and receive queues are built from.
//
//   while (items_.empty()) {
//     const Wakeup wakeup = co_await waiters_.Wait();
//     if (!wakeup) co_return wakeup.status("Items::Take");
//   }
//   ...
//   items_.push_back(item);
//   waiters_.WakeOne();
//
// Belongs to one thread. No allocation: a waiter is a part of its coroutine's
// frame, and leaves the queue when that is destroyed. No wake-up is lost: if a
// waiter that was woken is destroyed, or asked to stop, before it runs, the
// next one is woken in its place. So a waiter may be woken for nothing, and
// looks again, as above.
//
// A queue may be destroyed while coroutines wait in it: they go on with a
// `Wakeup` that is not true, and must not touch the queue or what it was a part
// of.
#ifndef CORDON_NET_TASK_WAIT_QUEUE_H_
#define CORDON_NET_TASK_WAIT_QUEUE_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/task/stop.h"
#include "cordon/net/task/task.h"

namespace cordon::net {

struct WaitListTag {};

// The status of an operation that ended because stop was requested.
inline absl::Status StoppedStatus(absl::string_view operation) {
  return absl::CancelledError(
      absl::StrCat(operation, " ended: stop was requested"));
}

// How a wait ended; true if the waiter was woken.
class Wakeup {
 public:
  enum Kind : uint8_t {
    kWoken,
    kStopped,    // stop was requested before the waiter ran
    kDestroyed,  // the queue is gone, and so may be whatever held it
  };

  explicit Wakeup(Kind kind) : kind_(kind) {}

  Kind kind() const { return kind_; }
  // Implicit, so that `const bool woken = co_await queue.Wait()` may be said.
  operator bool() const {  // NOLINT(google-explicit-constructor)
    return kind_ == kWoken;
  }
  // For the caller of `operation`: kCancelled if it was stopped,
  // kFailedPrecondition if what it waited for is gone, OK if it was woken.
  absl::Status status(absl::string_view operation) const {
    switch (kind_) {
      case kWoken:
        return absl::OkStatus();
      case kStopped:
        return StoppedStatus(operation);
      case kDestroyed:
        break;
    }
    return absl::FailedPreconditionError(absl::StrCat(
        operation, " ended: what it waited for was destroyed meanwhile"));
  }

 private:
  Kind kind_;
};

class WaitQueue {
 public:
  class Waiter : public IntrusiveListNode<WaitListTag>, private StopCallback {
   public:
    Waiter(WaitQueue& queue, bool stoppable)
        : queue_(queue), stoppable_(stoppable) {}
    ~Waiter() override {
      if (!IntrusiveListNode<WaitListTag>::linked()) return;
      IntrusiveListNode<WaitListTag>::Unlink();
      if (outcome_ == Wakeup::kWoken) queue_.WakeOne();
    }

    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
      task_ = &task.promise();
      if (MustStop()) return false;
      queue_.waiting_.push_back(*this);
      if (stoppable_) StopCallback::RegisterWith(task_->stop_token());
      return true;
    }
    // Stopped, too, if stop was requested after the wake-up: what it was woken
    // for is the next waiter's.
    Wakeup await_resume() noexcept {
      IntrusiveListNode<WaitListTag>::Unlink();
      if (outcome_ == Wakeup::kWoken && MustStop()) {
        outcome_ = Wakeup::kStopped;
        queue_.WakeOne();
      }
      return Wakeup(outcome_);
    }

   private:
    friend class WaitQueue;
    void OnStop() override { GoOn(Wakeup::kStopped); }
    bool MustStop() const {
      return stoppable_ && task_->stop_token().stop_requested();
    }
    void GoOn(Wakeup::Kind outcome) {
      StopCallback::Unregister();
      IntrusiveListNode<WaitListTag>::Unlink();
      outcome_ = outcome;
      queue_.resuming_.push_back(*this);
      task_->Schedule();
    }

    WaitQueue& queue_;
    const bool stoppable_;
    PromiseBase* task_ = nullptr;
    // Not a wake-up before there was one.
    Wakeup::Kind outcome_ = Wakeup::kStopped;
  };

  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  // Whoever still waits here, or has not run since the wait ended, is told
  // `Wakeup::kDestroyed`.
  ~WaitQueue() {
    while (!waiting_.empty()) waiting_.front().GoOn(Wakeup::kDestroyed);
    while (!resuming_.empty()) {
      resuming_.pop_front()->outcome_ = Wakeup::kDestroyed;
    }
  }

  // Suspends until woken, stopped, or the queue is destroyed.
  Waiter Wait() { return Waiter(*this, true); }
  // The same without being stopped, for clean-up that must be awaited to its
  // end.
  Waiter WaitUnstoppably() { return Waiter(*this, false); }

  bool empty() const { return waiting_.empty(); }
  // Nobody waits, nor was woken and has not run since.
  bool unused() const {
    if (!waiting_.empty()) return false;
    const Waiter* waiter = resuming_.empty() ? nullptr : &resuming_.front();
    while (waiter != nullptr && waiter->outcome_ != Wakeup::kWoken) {
      waiter = resuming_.next(*waiter);
    }
    return waiter == nullptr;
  }

  // Makes the longest waiting coroutine ready. False if there is none.
  bool WakeOne() {
    if (waiting_.empty()) return false;
    waiting_.front().GoOn(Wakeup::kWoken);
    return true;
  }
  void WakeAll() {
    while (WakeOne()) {
    }
  }

 private:
  IntrusiveList<Waiter, WaitListTag> waiting_;
  // Those whose wait has ended and that have not run since.
  IntrusiveList<Waiter, WaitListTag> resuming_;
};

// A one-shot event: `co_await event.Wait()` suspends until `Set()` was called.
//
//   Event ready;
//   ...
//   CO_RETURN_IF_ERROR(co_await ready.Wait());
class Event {
 public:
  bool is_set() const { return set_; }
  // Wakes all that wait, and lets all later ones through.
  void Set() {
    set_ = true;
    waiters_.WakeAll();
  }
  void Reset() { set_ = false; }
  // OK at once if the event is set. Stop: kCancelled. kFailedPrecondition if
  // the event is destroyed meanwhile.
  Task<absl::Status> Wait() {
    while (!set_) {
      const Wakeup wakeup = co_await waiters_.Wait();
      if (!wakeup) co_return wakeup.status("Event::Wait");
    }
    co_return absl::OkStatus();
  }

 private:
  WaitQueue waiters_;
  bool set_ = false;
};

}  // namespace cordon::net

#endif  // CORDON_NET_TASK_WAIT_QUEUE_H_
