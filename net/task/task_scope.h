// A set of tasks that run concurrently and belong to one place in the program.
//
//   net::TaskScope sessions;
//   while (...) sessions.Spawn(Session(...));
//   sessions.RequestStop();
//   absl::Status status = co_await sessions.Join();
//
// Structured: a task that was spawned never outlives its scope.
#ifndef CORDON_NET_TASK_TASK_SCOPE_H_
#define CORDON_NET_TASK_TASK_SCOPE_H_

#include <cstddef>

#include "absl/status/status.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/task/executor.h"
#include "cordon/net/task/stop.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/wait_queue.h"

namespace cordon::net {

struct ScopeListTag {};

// Belongs to the thread of its executor. Neither copied nor moved.
class TaskScope {
 public:
  // For tasks on the executor that runs now: make the scope inside a task.
  TaskScope();
  // For tasks on `executor`, which must outlive the scope.
  explicit TaskScope(Executor& executor);
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  // `Join` first. Tasks that still run when the scope dies (as happens when a
  // suspended coroutine that holds a scope is destroyed) are destroyed with it.
  ~TaskScope();

  // Starts `task` at the executor's next opportunity. Its frame is freed as
  // soon as it finishes. After `RequestStop` tasks are still accepted, and find
  // stop requested.
  void Spawn(Task<absl::Status> task);
  void Spawn(Task<void> task);

  // Asks all tasks of the scope, present and future, to stop.
  void RequestStop() { stop_.RequestStop(); }
  bool stop_requested() const { return stop_.stop_requested(); }

  // Suspends until no task is left. Stop: passed on to the tasks, which are
  // awaited all the same. Yields the first status that was neither OK nor
  // kCancelled, or OK; kFailedPrecondition if the scope is destroyed meanwhile.
  Task<absl::Status> Join();

  // Tasks that have not finished.
  size_t size() const { return size_; }

 private:
  class Child;

  void Finished(Child& child, const absl::Status& status);

  Executor& executor_;
  StopSource stop_;
  IntrusiveList<Child, ScopeListTag> children_;
  size_t size_ = 0;
  absl::Status first_error_;
  WaitQueue joiners_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_TASK_TASK_SCOPE_H_
