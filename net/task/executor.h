// Where coroutines of one thread run: a ready queue, timers and the time.
//
// Every reactor owns one `Executor` and drives it once a turn of its loop:
//
//   executor.BeginTurn();                 // reads the clock once
//   executor.FireTimers();                // may make coroutines ready
//   executor.RunReady(kBudget);           // resumes them
//
// Coroutines are resumed here and nowhere else: whatever completes marks its
// waiter ready with `Schedule`. Awaiting a task and returning from one never
// deepens the stack: the coroutine names its successor with `TransferTo` and
// the loop in `RunReady` goes on with it. (Symmetric transfer would need tail
// calls, which g++ 12 makes only when optimising.)
#ifndef CORDON_NET_TASK_EXECUTOR_H_
#define CORDON_NET_TASK_EXECUTOR_H_

#include <coroutine>
#include <cstddef>
#include <utility>

#include "absl/time/time.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/time/clock.h"
#include "cordon/net/time/timer_wheel.h"

namespace cordon::net {

class PromiseBase;
struct ReadyListTag {};

// What can stand in a ready queue; leaves it when destroyed.
class ReadyNode : public IntrusiveListNode<ReadyListTag> {
 public:
  std::coroutine_handle<> handle;
};

// Thread-compatible: belongs to the thread that drives it.
class Executor {
 public:
  // `clock` must outlive the executor.
  explicit Executor(Clock* clock);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // The executor that runs on this thread now, or null.
  static Executor* Current();

  // Makes an executor the current one of this thread while it lives.
  class Binding {
   public:
    explicit Binding(Executor& executor);
    ~Binding();
    Binding(const Binding&) = delete;
    Binding& operator=(const Binding&) = delete;

   private:
    Executor* previous_;
  };

  // Puts a suspended coroutine at the end of the ready queue; a no-op if it is
  // there already.
  void Schedule(ReadyNode& node) {
    if (!node.linked()) ready_.push_back(node);
  }
  bool has_ready() const { return !ready_.empty(); }

  // Resumes at most `budget` coroutines and returns how many. What becomes
  // ready meanwhile waits for its place in the queue.
  size_t RunReady(size_t budget);

  // Reads the clock; `now()` is constant until the next call.
  void BeginTurn() { now_ = clock_->Now(); }
  absl::Time now() const { return now_; }
  // The time at this very moment, for what must not be counted from the
  // beginning of a turn that may have lasted long.
  absl::Time ReadClock() { return clock_->Now(); }

  // How long one kind of work, such as delivering datagrams or resuming
  // coroutines, may go on in a turn before the rest waits for the next turn, so
  // that timers and everybody else have theirs.
  static constexpr absl::Duration kTimeSlice = absl::Milliseconds(10);
  // Whether what began at `begin` has lasted for a time slice. Reads the clock:
  // ask after several pieces of work, not after each.
  bool SliceSpent(absl::Time begin) {
    return ReadClock() - begin >= kTimeSlice;
  }
  size_t FireTimers() { return timers_.Advance(now_); }
  TimerWheel& timers() { return timers_; }
  Clock& clock() { return *clock_; }

  // For awaiters: the coroutine to go on with when the present one, which is
  // about to suspend, has left the stack.
  void TransferTo(std::coroutine_handle<> next) { next_ = next; }
  // For the final suspension of a task that no task awaits.
  void ReportFinished(PromiseBase* root) { finished_ = root; }

 private:
  void Resume(std::coroutine_handle<> handle);

  Clock* const clock_;
  absl::Time now_;
  TimerWheel timers_;
  IntrusiveList<ReadyNode, ReadyListTag> ready_;
  std::coroutine_handle<> next_;
  PromiseBase* finished_ = nullptr;
};

}  // namespace cordon::net

#endif  // CORDON_NET_TASK_EXECUTOR_H_
