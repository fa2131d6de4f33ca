#include "cordon/testing/life/interrupter.h"

#include <optional>

#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/wait_queue.h"

namespace cordon::testing {

absl::string_view NameOf(Interruption::Kind kind) {
  switch (kind) {
    case Interruption::kNone:
      return "not interrupted";
    case Interruption::kStop:
      return "stopped";
    case Interruption::kTimeout:
      return "timed out";
    case Interruption::kDestroy:
      return "destroyed";
    case Interruption::kDestroyOwner:
      return "destroyed with its owner";
  }
  return "";
}

bool Fits(Interruption::Kind kind, const Outcome& outcome) {
  if (outcome.done()) return true;
  switch (kind) {
    case Interruption::kNone:
      return false;
    case Interruption::kStop:
      return outcome.returned && absl::IsCancelled(outcome.status);
    case Interruption::kTimeout:
      return outcome.returned && absl::IsDeadlineExceeded(outcome.status);
    case Interruption::kDestroy:
    case Interruption::kDestroyOwner:
      return !outcome.returned;
  }
  return false;
}

struct Interrupter::Running {
  bool active = true;
  Interruption interruption;
  std::function<void()> destroy_owner;
  absl::Time begun;
  uint64_t progress = 0;
  Outcome outcome;
  std::optional<net::TaskScope> scope;
  net::Event done;
};

net::Task<absl::Status> Interrupter::Observe(Running& running,
                                             net::Task<absl::Status> task) {
  if (running.interruption.kind == Interruption::kTimeout) {
    running.outcome.status =
        co_await net::WithTimeout(running.interruption.after, std::move(task));
  } else {
    running.outcome.status = co_await std::move(task);
  }
  running.outcome.returned = true;
  running.done.Set();
  co_return absl::OkStatus();
}

void Interrupter::AwaitNextTurn(std::shared_ptr<Running> running) {
  reactor_.Post([this, running = std::move(running)]() mutable {
    if (!running->active) return;
    OnTurn(*running);
    if (running->active) AwaitNextTurn(std::move(running));
  });
}

void Interrupter::OnTurn(Running& running) {
  if (progress_ != nullptr) {
    const uint64_t now = progress_();
    if (now == running.progress && !running.outcome.steps.empty()) return;
    running.progress = now;
  }
  const size_t step = running.outcome.steps.size();
  running.outcome.steps.push_back(reactor_.Now() - running.begun);
  if (step != running.interruption.step) return;
  switch (running.interruption.kind) {
    case Interruption::kNone:
    case Interruption::kTimeout:
      return;
    case Interruption::kStop:
      running.scope->RequestStop();
      return;
    case Interruption::kDestroy:
    case Interruption::kDestroyOwner:
      if (running.outcome.returned) return;
      running.active = false;
      running.scope.reset();
      if (running.interruption.kind == Interruption::kDestroyOwner) {
        running.destroy_owner();
      }
      running.done.Set();
      return;
  }
}

net::Task<Outcome> Interrupter::Run(net::Task<absl::Status> task,
                                    Interruption interruption,
                                    std::function<void()> destroy_owner) {
  auto running = std::make_shared<Running>();
  running->interruption = interruption;
  running->destroy_owner = std::move(destroy_owner);
  running->begun = reactor_.Now();
  running->scope.emplace();
  running->scope->Spawn(Observe(*running, std::move(task)));
  AwaitNextTurn(running);
  const absl::Status waited =
      co_await net::WithTimeout(kPatience, running->done.Wait());
  running->active = false;
  running->scope.reset();
  if (!waited.ok()) {
    running->outcome.returned = true;
    running->outcome.status = absl::InternalError("it never ended");
  }
  co_return running->outcome;
}

}  // namespace cordon::testing
