#include "cordon/net/task/task_scope.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

namespace cordon::net {
namespace {

Executor& RequireCurrentExecutor() {
  Executor* executor = Executor::Current();
  if (executor == nullptr) {
    std::fputs(
        "cordon: TaskScope() outside of a reactor's thread: give it an "
        "executor\n",
        stderr);
    std::abort();
  }
  return *executor;
}

Task<absl::Status> ReturnOk(Task<void> task) {
  co_await std::move(task);
  co_return absl::OkStatus();
}

}  // namespace

class TaskScope::Child final : public IntrusiveListNode<ScopeListTag>,
                               private TaskObserver {
 public:
  Child(TaskScope& scope, Task<absl::Status> task)
      : scope_(scope), task_(std::move(task)) {
    task_.promise().StartUnder(scope.executor_, scope.stop_.token(), this);
    task_.promise().Schedule();
  }

 private:
  void OnTaskFinished(PromiseBase&) override {
    scope_.Finished(*this, task_.TakeResult());
  }

  TaskScope& scope_;
  Task<absl::Status> task_;
};

TaskScope::TaskScope() : executor_(RequireCurrentExecutor()) {}

TaskScope::TaskScope(Executor& executor) : executor_(executor) {}

TaskScope::~TaskScope() {
  while (!children_.empty()) delete children_.pop_front();
}

void TaskScope::Spawn(Task<absl::Status> task) {
  children_.push_back(*new Child(*this, std::move(task)));
  ++size_;
}

void TaskScope::Spawn(Task<void> task) { Spawn(ReturnOk(std::move(task))); }

void TaskScope::Finished(Child& child, const absl::Status& status) {
  if (first_error_.ok() && !absl::IsCancelled(status)) first_error_ = status;
  children_.remove(child);
  --size_;
  std::unique_ptr<Child> owned(&child);
  if (size_ == 0) joiners_.WakeAll();
}

Task<absl::Status> TaskScope::Join() {
  const StopToken outer = co_await CurrentStopToken();
  stop_.LinkTo(outer);
  // The waiting itself must not end when stop is requested.
  while (size_ > 0) {
    Wakeup wakeup(Wakeup::kWoken);
    if (outer.stop_requested()) {
      wakeup = co_await joiners_.WaitUnstoppably();
    } else {
      wakeup = co_await joiners_.Wait();
    }
    switch (wakeup.kind()) {
      case Wakeup::kWoken:
        break;
      case Wakeup::kStopped:
        stop_.RequestStop();
        break;
      case Wakeup::kDestroyed:
        co_return wakeup.status("TaskScope::Join");
    }
  }
  stop_.UnlinkFromParent();
  co_return first_error_;
}

}  // namespace cordon::net
