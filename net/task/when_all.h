// Several tasks at once.
//
//   auto [a, b] = co_await net::WhenAll(ReadA(), ReadB());
//   std::vector<absl::Status> all = co_await net::WhenAll(std::move(tasks));
//
//   auto first = co_await net::WhenAny(connection.RecvDecrypted(), Quit());
//   if (first.index == 0) Use(std::get<0>(first.results));
//
// Both return only when every task has finished: nothing is left running. They
// inherit the stop token. `WhenAny` requests the others to stop as soon as one
// has finished, whatever its result, and does not begin those that have not
// begun by then.
//
// `WhenAny` may be a loop's choice between sources, as above: an operation that
// is stopped takes nothing, so of several that receive exactly one takes a
// value, and the others leave theirs where they are. Of those that are ready
// the first argument comes first: put what must not wait there. A task that
// goes on after it has received something may have more than one result to look
// at: then look at all of `results`, or let it end with what it has received.
#ifndef CORDON_NET_TASK_WHEN_ALL_H_
#define CORDON_NET_TASK_WHEN_ALL_H_

#include <coroutine>
#include <cstddef>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "cordon/net/task/stop.h"
#include "cordon/net/task/task.h"

namespace cordon::net {

// What `WhenAny` yields: which task finished first, and all results; those of
// tasks that honoured the request to stop, and of those that had not begun, are
// kCancelled. (A task whose result cannot be an error always begins.)
template <typename... Results>
struct AnyResult {
  size_t index = 0;
  std::tuple<Results...> results;
};

namespace internal {

// `void` cannot stand in a tuple.
template <typename T>
using ResultOf = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

// The result of a task that was not begun because another had finished first.
inline absl::Status NotBegunStatus() {
  return absl::CancelledError("not begun: another task had finished first");
}

template <typename T>
ResultOf<T> TakeResultOf(Task<T>& task) {
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    if constexpr (std::is_constructible_v<T, absl::Status>) {
      if (!task.promise().begun()) return T(NotBegunStatus());
    }
    return task.TakeResult();
  }
}

// Suspends the awaiting task until all children have finished.
class Gather : private TaskObserver {
 public:
  Gather(const Gather&) = delete;
  Gather& operator=(const Gather&) = delete;

 protected:
  explicit Gather(bool stop_after_first)
      : stop_after_first_(stop_after_first) {}
  ~Gather() = default;

  void Begin(PromiseBase& parent, size_t tasks) {
    parent_ = &parent;
    running_ = tasks;
    stop_.LinkTo(parent.stop_token());
  }
  template <typename T>
  void Start(Task<T>& task) {
    PromiseBase& promise = task.promise();
    promise.StartUnder(parent_->executor(), stop_.token(), this);
    promise.Schedule();
  }
  template <typename T>
  bool IsFirst(const Task<T>& task) const {
    return first_ == &task.promise();
  }
  // Takes a task that has not begun out of the race, if there is a result that
  // says so.
  template <typename T>
  void DoNotBegin(Task<T>& task) {
    if constexpr (std::is_constructible_v<T, absl::Status>) {
      PromiseBase& promise = task.promise();
      if (promise.begun()) return;
      promise.Unlink();
      --running_;
    }
  }

 private:
  // The first task of several that stop each other has finished.
  virtual void BeginNoMore() {}

  void OnTaskFinished(PromiseBase& task) override {
    if (first_ == nullptr) {
      first_ = &task;
      if (stop_after_first_) {
        BeginNoMore();
        stop_.RequestStop();
      }
    }
    if (--running_ == 0) parent_->Schedule();
  }

  const bool stop_after_first_;
  size_t running_ = 0;
  PromiseBase* parent_ = nullptr;
  PromiseBase* first_ = nullptr;
  StopSource stop_;
};

template <bool kAny, typename... Ts>
class [[nodiscard]] GatherTuple : private Gather {
 public:
  explicit GatherTuple(Task<Ts>&&... tasks)
      : Gather(kAny), tasks_(std::move(tasks)...) {}

  bool await_ready() const noexcept { return sizeof...(Ts) == 0; }
  template <typename Promise>
  void await_suspend(std::coroutine_handle<Promise> parent) {
    Begin(parent.promise(), sizeof...(Ts));
    std::apply([this](auto&... task) { (this->Start(task), ...); }, tasks_);
  }
  auto await_resume() {
    using Results = std::tuple<ResultOf<Ts>...>;
    size_t index = 0;
    size_t first = 0;
    std::apply(
        [&](auto&... task) {
          ((first = this->IsFirst(task) ? index : first, ++index), ...);
        },
        tasks_);
    Results results = std::apply(
        [](auto&... task) { return Results(TakeResultOf(task)...); }, tasks_);
    if constexpr (kAny) {
      return AnyResult<ResultOf<Ts>...>{first, std::move(results)};
    } else {
      return results;
    }
  }

 private:
  void BeginNoMore() override {
    std::apply([this](auto&... task) { (this->DoNotBegin(task), ...); },
               tasks_);
  }

  std::tuple<Task<Ts>...> tasks_;
};

template <typename T>
class [[nodiscard]] GatherVector : private Gather {
 public:
  explicit GatherVector(std::vector<Task<T>>&& tasks)
      : Gather(false), tasks_(std::move(tasks)) {}

  bool await_ready() const noexcept { return tasks_.empty(); }
  template <typename Promise>
  void await_suspend(std::coroutine_handle<Promise> parent) {
    Begin(parent.promise(), tasks_.size());
    for (Task<T>& task : tasks_) this->Start(task);
  }
  std::vector<ResultOf<T>> await_resume() {
    std::vector<ResultOf<T>> results;
    results.reserve(tasks_.size());
    for (Task<T>& task : tasks_) results.push_back(TakeResultOf(task));
    return results;
  }

 private:
  std::vector<Task<T>> tasks_;
};

}  // namespace internal

// Runs the tasks concurrently; yields a tuple of their results, in the order
// of the arguments (`std::monostate` for a `Task<void>`).
template <typename... Ts>
internal::GatherTuple<false, Ts...> WhenAll(Task<Ts>... tasks) {
  return internal::GatherTuple<false, Ts...>(std::move(tasks)...);
}

// The same for any number of tasks of one type.
template <typename T>
internal::GatherVector<T> WhenAll(std::vector<Task<T>> tasks) {
  return internal::GatherVector<T>(std::move(tasks));
}

// Runs the tasks concurrently until one has finished, stops the others, awaits
// them, and yields an `AnyResult`.
template <typename... Ts>
  requires(sizeof...(Ts) > 0)
internal::GatherTuple<true, Ts...> WhenAny(Task<Ts>... tasks) {
  return internal::GatherTuple<true, Ts...>(std::move(tasks)...);
}

}  // namespace cordon::net

#endif  // CORDON_NET_TASK_WHEN_ALL_H_
