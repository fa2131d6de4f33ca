// Coroutines that wait for something, first come, first served: the one
// primitive that channels, accept queues and receive queues are built from.
//
//   while (items_.empty()) {
//     if (const bool woken = co_await waiters_.Wait(); !woken) co_return
//     absl::CancelledError(...);
//   }
//   ...
//   items_.push_back(item);
//   waiters_.WakeOne();
//
// Belongs to one thread. No allocation: a waiter is a part of its coroutine's
// frame, and leaves the queue when that is destroyed. If it had been woken, and
// never ran, the next one is woken in its place: no wake-up is lost. So a
// waiter may be woken for nothing, and looks again, as above.
#ifndef CORDON_NET_TASK_WAIT_QUEUE_H_
#define CORDON_NET_TASK_WAIT_QUEUE_H_

#include <coroutine>
#include <cstddef>

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

class WaitQueue {
 public:
  class Waiter : public IntrusiveListNode<WaitListTag>, private StopCallback {
   public:
    Waiter(WaitQueue& queue, bool stoppable)
        : queue_(queue), stoppable_(stoppable) {}
    ~Waiter() override {
      if (!woken_ || !IntrusiveListNode<WaitListTag>::linked()) return;
      IntrusiveListNode<WaitListTag>::Unlink();
      queue_.WakeOne();
    }

    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
      task_ = &task.promise();
      if (stoppable_ && task_->stop_token().stop_requested()) return false;
      queue_.waiters_.push_back(*this);
      if (stoppable_) StopCallback::RegisterWith(task_->stop_token());
      return true;
    }
    // True if woken, false if stopped. A waiter that was woken first stays so.
    bool await_resume() noexcept {
      IntrusiveListNode<WaitListTag>::Unlink();
      return woken_;
    }

   private:
    friend class WaitQueue;
    void OnStop() override {
      IntrusiveListNode<WaitListTag>::Unlink();
      task_->Schedule();
    }

    WaitQueue& queue_;
    const bool stoppable_;
    PromiseBase* task_ = nullptr;
    bool woken_ = false;
  };

  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  // Whoever still waits is woken.
  ~WaitQueue() { WakeAll(); }

  // Suspends until woken (true) or stopped (false).
  Waiter Wait() { return Waiter(*this, true); }
  // Suspends until woken, for clean-up that must be awaited to its end.
  Waiter WaitUnstoppably() { return Waiter(*this, false); }

  bool empty() const { return waiters_.empty(); }
  // Nobody waits, nor was woken and has not run since.
  bool unused() const { return waiters_.empty() && woken_.empty(); }

  // Makes the longest waiting coroutine ready. False if there is none.
  bool WakeOne() {
    if (waiters_.empty()) return false;
    Waiter& waiter = *waiters_.pop_front();
    waiter.StopCallback::Unregister();
    waiter.woken_ = true;
    woken_.push_back(waiter);
    waiter.task_->Schedule();
    return true;
  }
  void WakeAll() {
    while (WakeOne()) {
    }
  }

 private:
  IntrusiveList<Waiter, WaitListTag> waiters_;
  // Those that have not run since.
  IntrusiveList<Waiter, WaitListTag> woken_;
};

// A one-shot event: `co_await event.Wait()` suspends until `Set()` was called.
//
//   Event ready;
//   ...
//   CO_RETURN_IF_ERROR(co_await ready.Wait());  // kCancelled when stopped
class Event {
 public:
  bool is_set() const { return set_; }
  // Wakes all that wait, and lets all later ones through.
  void Set() {
    set_ = true;
    waiters_.WakeAll();
  }
  void Reset() { set_ = false; }
  Task<absl::Status> Wait() {
    while (!set_) {
      if (const bool woken = co_await waiters_.Wait(); !woken)
        co_return StoppedStatus("Event::Wait");
    }
    co_return absl::OkStatus();
  }

 private:
  WaitQueue waiters_;
  bool set_ = false;
};

}  // namespace cordon::net

#endif  // CORDON_NET_TASK_WAIT_QUEUE_H_
