#include "cordon/net/reactor/reactor_group.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace cordon::net {
namespace {

std::vector<int> UsableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &set)) cores.push_back(i);
    }
  }
  return cores;
}

void PinThisThread(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

}  // namespace

struct ReactorGroup::State {
  bool pin = false;
  std::vector<std::unique_ptr<Reactor>> reactors;
};

ReactorGroup::ReactorGroup(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
ReactorGroup::ReactorGroup(ReactorGroup&&) noexcept = default;
ReactorGroup& ReactorGroup::operator=(ReactorGroup&&) noexcept = default;
ReactorGroup::~ReactorGroup() = default;

absl::StatusOr<ReactorGroup> ReactorGroup::Create(const Options& options) {
  if (options.reactors > kMaxReactors) {
    return absl::InvalidArgumentError(
        absl::StrCat("reactors is ", options.reactors,
                     "; it must be from 0 to ", kMaxReactors));
  }
  auto state = std::make_unique<State>();
  state->pin = options.pin;
  const size_t count = options.reactors != 0
                           ? options.reactors
                           : std::max<size_t>(1, UsableCores().size());
  for (size_t i = 0; i < count; ++i) {
    absl::StatusOr<std::unique_ptr<Reactor>> reactor =
        MakeReactor(options.reactor);
    if (!reactor.ok()) return reactor.status();
    state->reactors.push_back(*std::move(reactor));
  }
  return ReactorGroup(std::move(state));
}

size_t ReactorGroup::size() const { return state_->reactors.size(); }

Reactor& ReactorGroup::reactor(size_t index) {
  return *state_->reactors[index];
}

absl::Status ReactorGroup::RunOnEach(
    absl::FunctionRef<Task<absl::Status>(Reactor& reactor)> make) {
  absl::Mutex mutex;
  absl::Status first_error;
  const std::vector<int> cores = UsableCores();
  auto run = [&](size_t index) {
    if (state_->pin && !cores.empty()) {
      PinThisThread(cores[index % cores.size()]);
    }
    Reactor& reactor = *state_->reactors[index];
    absl::Status status = reactor.Run(make(reactor));
    if (!status.ok()) {
      {
        absl::MutexLock lock(&mutex);
        first_error.Update(status);
      }
      RequestStop();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(size());
  for (size_t i = 0; i < size(); ++i) threads.emplace_back(run, i);
  for (std::thread& thread : threads) thread.join();
  absl::MutexLock lock(&mutex);
  return first_error;
}

void ReactorGroup::RequestStop() {
  for (const std::unique_ptr<Reactor>& reactor : state_->reactors) {
    reactor->RequestStop();
  }
}

}  // namespace cordon::net
