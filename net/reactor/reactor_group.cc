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
#include "cordon/net/base/errno_status.h"
#include "cordon/net/reactor/usable_cpus.h"

namespace cordon::net {
namespace {

absl::Status PinThisThread(int cpu) {
  const size_t bytes = CPU_ALLOC_SIZE(cpu + 1);
  const auto free = [](cpu_set_t* set) { CPU_FREE(set); };
  const std::unique_ptr<cpu_set_t, decltype(free)> set(CPU_ALLOC(cpu + 1),
                                                       free);
  if (set == nullptr) return absl::ResourceExhaustedError("out of memory");
  CPU_ZERO_S(bytes, set.get());
  CPU_SET_S(cpu, bytes, set.get());
  const int error = pthread_setaffinity_np(pthread_self(), bytes, set.get());
  if (error == 0) return absl::OkStatus();
  return ErrnoStatus(error,
                     absl::StrCat("cannot bind a thread to processor ", cpu));
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
                           : std::min(UsableCpus(), kMaxReactors);
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
  const std::vector<int> cpus = AllowedCpus();
  auto run = [&](size_t index) {
    absl::Status status;
    if (state_->pin && !cpus.empty()) {
      status = PinThisThread(cpus[index % cpus.size()]);
    }
    Reactor& reactor = *state_->reactors[index];
    if (status.ok()) status = reactor.Run(make(reactor));
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
