#include "cordon/net/task/executor.h"

#include "cordon/net/task/task.h"

namespace cordon::net {
namespace {

constinit thread_local Executor* current_executor = nullptr;

}  // namespace

Executor::Executor(Clock* clock)
    : clock_(clock), now_(clock->Now()), timers_(now_) {}

Executor::~Executor() = default;

Executor* Executor::Current() { return current_executor; }

Executor::Binding::Binding(Executor& executor)
    : previous_(std::exchange(current_executor, &executor)) {}

Executor::Binding::~Binding() { current_executor = previous_; }

size_t Executor::RunReady(size_t budget) {
  Binding binding(*this);
  size_t resumed = 0;
  while (resumed < budget && !ready_.empty()) {
    Resume(ready_.pop_front()->handle);
    ++resumed;
  }
  return resumed;
}

void Executor::Resume(std::coroutine_handle<> handle) {
  while (handle) {
    next_ = nullptr;
    handle.resume();
    handle = next_;
  }
  // A finished root may be destroyed only here, with its frame off the stack.
  if (PromiseBase* root = std::exchange(finished_, nullptr)) {
    root->observer()->OnTaskFinished(*root);
  }
}

}  // namespace cordon::net
