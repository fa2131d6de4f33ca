#include "cordon/net/reactor/reactor.h"

#include <algorithm>

namespace cordon::net {

void Reactor::BeginRun() {
  {
    absl::MutexLock lock(&mutex_);
    ended_.store(false, std::memory_order_release);
  }
  running_ = true;
  IntrusiveList<RunObserver, RunObserverTag> told;
  while (!observers_.empty()) {
    RunObserver& observer = *observers_.pop_front();
    told.push_back(observer);
    observer.OnRunBegins();
  }
  observers_.splice(told);
}

void Reactor::EndRun() {
  bool receives = false;
  IntrusiveList<RunObserver, RunObserverTag> told;
  while (!observers_.empty()) {
    RunObserver& observer = *observers_.pop_front();
    told.push_back(observer);
    receives = observer.OnRunEnding() || receives;
  }
  // What the task sent last, too.
  uint64_t before = 0;
  int polls = 0;
  do {
    before = statistics_.completions;
    Poll(absl::InfinitePast());
  } while (receives && statistics_.completions != before &&
           ++polls < kLastPolls);
  // An observer may destroy itself or another one.
  while (!told.empty()) {
    RunObserver& observer = *told.pop_front();
    observers_.push_back(observer);
    observer.OnRunEnded();
  }
  running_ = false;
  if (runs_piecewise_) return;
  std::vector<absl::AnyInvocable<void()>> dropped;
  {
    absl::MutexLock lock(&mutex_);
    ended_.store(true, std::memory_order_release);
    dropped.swap(posted_);
  }
}

void Reactor::Turn() {
  ++statistics_.turns;
  // Timers armed by what ran since the last turn may be due already.
  Poll(executor_.has_ready() ? absl::InfinitePast()
                             : executor_.timers().NextDeadline());
  executor_.FireTimers();
  RunPosted();
  absl::Time begin;
  for (size_t left = kResumptionsPerTurn; left > 0;) {
    const size_t budget = std::min(left, kResumptionsAtOnce);
    const size_t resumed = executor_.RunReady(budget);
    statistics_.resumptions += resumed;
    if (resumed < budget || MustSend()) return;
    if (left == kResumptionsPerTurn) {
      begin = executor_.ReadClock();
    } else if (executor_.SliceSpent(begin)) {
      return;
    }
    left -= resumed;
  }
}

void Reactor::Fail(absl::Status why) {
  if (!failure_.ok()) return;
  failure_ = std::move(why);
  stop_.RequestStop();
}

bool Reactor::Post(absl::AnyInvocable<void()>&& function) {
  bool first = false;
  {
    absl::MutexLock lock(&mutex_);
    if (ended_.load(std::memory_order_relaxed)) return false;
    first = posted_.empty();
    posted_.push_back(std::move(function));
  }
  if (first) Wake();
  return true;
}

void Reactor::RunPosted() {
  std::vector<absl::AnyInvocable<void()>> posted;
  bool stop = false;
  {
    absl::MutexLock lock(&mutex_);
    posted.swap(posted_);
    stop = std::exchange(stop_requested_, false);
  }
  for (absl::AnyInvocable<void()>& function : posted) function();
  if (stop) stop_.RequestStop();
}

void Reactor::RequestStop() {
  {
    absl::MutexLock lock(&mutex_);
    stop_requested_ = true;
  }
  Wake();
}

}  // namespace cordon::net
