// `Task<T>`: the coroutine type of this library.
//
//   net::Task<absl::Status> Greet(Peer& peer) {
//     CO_RETURN_IF_ERROR(co_await peer.Send("hello"));
//     co_return absl::OkStatus();
//   }
//
// A task is lazy: nothing runs before it is awaited or handed to a `TaskScope`,
// to `WhenAll`, `WhenAny`, `WithTimeout`, or to a reactor's `Run`. Do so in the
// expression that makes it: a task holds references to the arguments that it
// was called with. It is move-only, and the compiler complains of one that is
// dropped.
//
// What a task inherits from the one that awaits it: the executor (it always
// resumes on the same thread) and the stop token. Destroying a suspended task
// is harmless: it and what it awaits are unwound, innermost first.
//
// Errors travel as `absl::Status`. An exception that escapes a coroutine ends
// the program with a message that names it.
// Two warnings for users of g++ 12, which miscompiles some coroutines.
//  - A `co_await` in the condition of an `if` whose body has a `co_return`: the
//    coroutine then does nothing at all. Await first, and decide then:
//      if (absl::Status status = co_await Work(); !status.ok()) co_return ...;
//  - An aggregate that is made in the expression that is awaited, as in
//    `co_await Work({.name = "x"})`: it is destroyed twice. Put it into a
//    variable first.
#ifndef CORDON_NET_TASK_TASK_H_
#define CORDON_NET_TASK_TASK_H_

#include <coroutine>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

#include "cordon/net/task/executor.h"
#include "cordon/net/task/frame_pool.h"
#include "cordon/net/task/stop.h"

namespace cordon::net {

class PromiseBase;

// Told when a task that no other task awaits has finished. The task's owner
// may destroy it from within the call.
class TaskObserver {
 public:
  virtual void OnTaskFinished(PromiseBase& task) = 0;

 protected:
  ~TaskObserver() = default;
};

[[noreturn]] void DieOfEscapedException();

// The part of every promise that does not depend on the result. For authors of
// awaiters: `await_suspend(std::coroutine_handle<P>)` finds its coroutine's
// executor and stop token here.
class PromiseBase : public ReadyNode {
 public:
  PromiseBase() = default;
  PromiseBase(const PromiseBase&) = delete;
  PromiseBase& operator=(const PromiseBase&) = delete;

  static void* operator new(size_t size) { return FramePool::Allocate(size); }
  static void operator delete(void* frame, size_t size) {
    FramePool::Free(frame, size);
  }

  Executor& executor() const { return *executor_; }
  StopToken stop_token() const { return stop_; }
  TaskObserver* observer() const { return observer_; }
  // Marks the coroutine ready to be resumed.
  void Schedule() { executor_->Schedule(*this); }

  // Binds a task that has not started to where it will run.
  void StartUnder(Executor& executor, StopToken stop, TaskObserver* observer) {
    executor_ = &executor;
    stop_ = stop;
    observer_ = observer;
  }
  // The same for a task that `parent` awaits; `owner` is the handle that
  // destroys it.
  void StartUnder(PromiseBase& parent, StopToken stop,
                  std::coroutine_handle<>* owner) {
    executor_ = parent.executor_;
    stop_ = stop;
    parent_ = &parent;
    owner_ = owner;
    parent.awaited_ = this;
  }

  // Whether the task has run at all.
  bool begun() const { return begun_; }

  auto initial_suspend() noexcept {
    struct Awaiter {
      bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<>) noexcept {}
      void await_resume() noexcept { self->begun_ = true; }
      PromiseBase* self;
    };
    return Awaiter{this};
  }
  auto final_suspend() noexcept {
    struct Awaiter {
      bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<>) noexcept { self->Finish(); }
      void await_resume() noexcept {}
      PromiseBase* self;
    };
    return Awaiter{this};
  }
  [[noreturn]] void unhandled_exception() noexcept { DieOfEscapedException(); }

  // Destroys `root` and the chain of tasks that it awaits, innermost first,
  // without recursion.
  static void Destroy(PromiseBase& root) {
    PromiseBase* task = &root;
    while (task->awaited_ != nullptr) task = task->awaited_;
    while (task != &root) {
      PromiseBase* parent = task->parent_;
      parent->awaited_ = nullptr;
      *task->owner_ = nullptr;
      task->handle.destroy();
      task = parent;
    }
    root.handle.destroy();
  }

 private:
  void Finish() {
    if (parent_ != nullptr) {
      parent_->awaited_ = nullptr;
      executor_->TransferTo(parent_->handle);
    } else {
      executor_->ReportFinished(this);
    }
  }

  Executor* executor_ = nullptr;
  StopToken stop_;
  PromiseBase* parent_ = nullptr;
  PromiseBase* awaited_ = nullptr;
  std::coroutine_handle<>* owner_ = nullptr;
  TaskObserver* observer_ = nullptr;
  bool begun_ = false;
};

template <typename T>
class [[nodiscard]] Task {
 public:
  class promise_type;
  using Handle = std::coroutine_handle<promise_type>;
  using value_type = T;

  Task() = default;
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Reset();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() { Reset(); }

  // False for a task that was moved from, or awaited.
  bool valid() const { return handle_ != nullptr; }

  // Starts the task; suspends until it has returned, and yields its result.
  auto operator co_await() && { return Awaiter(std::move(*this)); }

  // For those who run tasks by other means than awaiting them.
  promise_type& promise() const { return handle_.promise(); }
  T TakeResult() { return handle_.promise().TakeResult(); }

  // Awaits a task under a stop token of the awaiter's choice; the base of
  // `co_await task` and of `WithTimeout`.
  class Awaiter {
   public:
    explicit Awaiter(Task&& task) : erased_(std::exchange(task.handle_, {})) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() {
      if (erased_) PromiseBase::Destroy(promise());
    }

    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    void await_suspend(std::coroutine_handle<Promise> parent) noexcept {
      Start(parent.promise(), parent.promise().stop_token());
    }
    T await_resume() { return promise().TakeResult(); }

   protected:
    void Start(PromiseBase& parent, StopToken stop) {
      promise().StartUnder(parent, stop, &erased_);
      parent.executor().TransferTo(erased_);
    }
    promise_type& promise() const {
      return Handle::from_address(erased_.address()).promise();
    }

   private:
    std::coroutine_handle<> erased_;
  };

 private:
  explicit Task(Handle handle) : handle_(handle) {}
  void Reset() {
    if (handle_) PromiseBase::Destroy(std::exchange(handle_, {}).promise());
  }

  Handle handle_;
};

template <typename T>
class Task<T>::promise_type : public PromiseBase {
 public:
  promise_type() = default;
  Task get_return_object() {
    Handle self = Handle::from_promise(*this);
    handle = self;
    return Task(self);
  }
  template <typename U>
    requires std::is_convertible_v<U&&, T>
  void return_value(U&& value) {
    result_.emplace(std::forward<U>(value));
  }
  T TakeResult() { return *std::move(result_); }

 private:
  std::optional<T> result_;
};

template <>
class Task<void>::promise_type : public PromiseBase {
 public:
  promise_type() = default;
  Task get_return_object() {
    Handle self = Handle::from_promise(*this);
    handle = self;
    return Task(self);
  }
  void return_void() {}
  void TakeResult() {}
};

namespace internal {

struct StopTokenAwaiter {
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
    token = task.promise().stop_token();
    return false;
  }
  StopToken await_resume() const noexcept { return token; }
  StopToken token = {};
};

struct YieldAwaiter {
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  void await_suspend(std::coroutine_handle<Promise> task) noexcept {
    task.promise().Schedule();
  }
  void await_resume() const noexcept {}
};

}  // namespace internal

// `co_await CurrentStopToken()`: the awaiting task's token. Never suspends.
inline internal::StopTokenAwaiter CurrentStopToken() { return {}; }

// `co_await Yield()`: lets everything that is ready run first.
inline internal::YieldAwaiter Yield() { return {}; }

}  // namespace cordon::net

#endif  // CORDON_NET_TASK_TASK_H_
