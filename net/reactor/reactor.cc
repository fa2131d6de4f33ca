#include "cordon/net/reactor/reactor.h"

namespace cordon::net {

void Reactor::Turn() {
  ++statistics_.turns;
  // Timers armed by what ran since the last turn may be due already.
  Poll(executor_.has_ready() ? absl::InfinitePast()
                             : executor_.timers().NextDeadline());
  executor_.FireTimers();
  RunPosted();
  statistics_.resumptions += executor_.RunReady(kResumptionsPerTurn);
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
