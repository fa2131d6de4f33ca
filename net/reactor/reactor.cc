#include "cordon/net/reactor/reactor.h"

#include <algorithm>

namespace cordon::net {

void Reactor::Turn() {
  ++statistics_.turns;
  // Timers armed by what ran since the last turn may be due already.
  Poll(executor_.has_ready() ? absl::InfinitePast()
                             : executor_.timers().NextDeadline());
  executor_.FireTimers();
  RunPosted();
  for (size_t left = kResumptionsPerTurn; left > 0;) {
    const size_t budget = std::min(left, kResumptionsAtOnce);
    const size_t resumed = executor_.RunReady(budget);
    statistics_.resumptions += resumed;
    if (resumed < budget || MustSend()) return;
    left -= resumed;
  }
}

void Reactor::Fail(absl::Status why) {
  if (!failure_.ok()) return;
  failure_ = std::move(why);
  stop_.RequestStop();
}

void Reactor::Post(absl::AnyInvocable<void()> function) {
  bool first = false;
  {
    absl::MutexLock lock(&mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(function));
  }
  if (first) Wake();
}

void Reactor::RunPosted() {
  std::vector<absl::AnyInvocable<void()>> posted;
  {
    absl::MutexLock lock(&mutex_);
    posted.swap(posted_);
  }
  for (absl::AnyInvocable<void()>& function : posted) function();
}

void Reactor::RequestStop() {
  Post([this] { stop_.RequestStop(); });
}

}  // namespace cordon::net
