// An event loop of one thread: coroutines, timers and UDP sockets.
//
//   int main() {
//     absl::StatusOr<std::unique_ptr<net::Reactor>> reactor =
//         net::MakeReactor({});
//     absl::Status status = (*reactor)->Run(Serve(**reactor));
//   }
//
// `MakeReactor` (make_reactor.h) chooses io_uring where the kernel allows it
// and epoll elsewhere; testing/sim has a simulated one. A server with several
// cores uses a `ReactorGroup`.
#ifndef CORDON_NET_REACTOR_REACTOR_H_
#define CORDON_NET_REACTOR_REACTOR_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/net/base/byte_pool.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/task/executor.h"
#include "cordon/net/task/stop.h"
#include "cordon/net/task/task.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::net {

struct ReactorStatistics {
  uint64_t turns = 0;
  uint64_t system_calls = 0;  // those that wait for, or submit, I/O
  uint64_t completions = 0;   // io_uring completions, or epoll events
  uint64_t completion_overflows = 0;
  uint64_t resumptions = 0;  // of coroutines
};

struct RunObserverTag {};

// Hears when `Reactor::Run` begins and ends, on the reactor's thread. Leaves
// the reactor when destroyed.
class RunObserver : public IntrusiveListNode<RunObserverTag> {
 public:
  virtual void OnRunBegins() {}
  // The task has ended. If one returns true, the reactor receives once more
  // whatever the kernel has for its sockets.
  virtual bool OnRunEnding() { return false; }
  // Nothing more is received, and nothing that is posted runs, until `Run` is
  // called again.
  virtual void OnRunEnded() {}

 protected:
  ~RunObserver() = default;
};

// Everything but `Post`, `RequestStop` and `ended` is for the reactor's own
// thread: the one that calls `Run`.
class Reactor {
 public:
  virtual ~Reactor() = default;
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // Runs `task` to its end, and meanwhile everything else on this reactor.
  // `RequestStop` stops it. Not to be called from within a coroutine. Where the
  // kernel refuses for good what the reactor cannot do without, all its sockets
  // fail, the task is stopped, and its end is the kernel's error if it can be.
  template <typename T>
  T Run(Task<T> task);

  // Thread-safe. Asks the task that is given to `Run`, now or later, to stop.
  void RequestStop();

  // Thread-safe. Runs `function` on the reactor's thread, soon, outside of any
  // coroutine. True: it is taken, and it runs or, if the reactor ends before,
  // is destroyed without having run. False: `Run` has returned; `function` is
  // left as it is. What is posted before `Run` is called runs in it.
  bool Post(absl::AnyInvocable<void()>&& function);

  // Thread-safe. `Run` has returned, and was not called again.
  bool ended() const { return ended_.load(std::memory_order_acquire); }

  // Opens a UDP socket. kUnavailable: the address is in use, or not of this
  // machine.
  virtual absl::StatusOr<std::unique_ptr<DatagramSocket>> OpenSocket(
      const DatagramSocketOptions& options) = 0;

  // "io_uring", "epoll" or "simulated".
  virtual absl::string_view backend() const = 0;

  // Tells networks apart: sockets of reactors with the same one that are bound
  // to the same address share a port. It is compared, never used.
  virtual const void* network() const { return nullptr; }

  // Tells `observer` of each `Run` from now on, until it is unlinked.
  void AddObserver(RunObserver& observer) { observers_.push_back(observer); }
  // Within `Run`.
  bool running() const { return running_; }

  Executor& executor() { return executor_; }
  // The time at which the present turn of the loop began; never jumps.
  absl::Time Now() const { return executor_.now(); }
  // The time at this very moment: to count a duration from, since the turn may
  // have lasted long.
  absl::Time ReadClock() { return executor_.ReadClock(); }
  BytePool& byte_pool() { return byte_pool_; }
  const ReactorStatistics& statistics() const { return statistics_; }

 protected:
  explicit Reactor(Clock* clock) : executor_(clock) {}

  // The I/O of one turn: sends what is queued, waits for something to happen
  // but not beyond `until`, calls `executor().BeginTurn()`, and delivers; what
  // does not fit into the turn's time slice (`DeliverySliceSpent`) is left for
  // the next call.
  virtual void Poll(absl::Time until) = 0;
  // Makes a `Poll` that waits return. Thread-safe.
  virtual void Wake() = 0;
  // True if what is queued should be sent before coroutines send more.
  virtual bool MustSend() const = 0;

  // The kernel refuses what `Poll` needs: stops the task of `Run`. Afterwards
  // `Poll` only waits.
  void Fail(absl::Status why);
  const absl::Status& failure() const { return failure_; }

  // Whether so much has been delivered that timers and coroutines must have
  // their turn first. Reads the clock.
  bool DeliverySliceSpent() { return executor_.SliceSpent(executor_.now()); }

  // For tests that call `Run` for one piece of work after another: between two
  // calls it has not ended, and what is posted waits for the next.
  void RunPiecewise() { runs_piecewise_ = true; }

  ReactorStatistics statistics_;

 private:
  // Coroutines resumed between two looks at the network, and between two looks
  // at the clock and at what they have sent.
  static constexpr size_t kResumptionsPerTurn = 4096;
  static constexpr size_t kResumptionsAtOnce = 16;

  // At the end of `Run`, looks at the network until it has nothing left, but
  // not more often than this.
  static constexpr int kLastPolls = 64;

  void BeginRun();
  void EndRun();
  void Turn();
  void RunPosted();

  Executor executor_;
  BytePool byte_pool_;
  StopSource stop_;
  absl::Status failure_;
  IntrusiveList<RunObserver, RunObserverTag> observers_;
  bool running_ = false;
  bool runs_piecewise_ = false;
  // Written with `mutex_` held.
  std::atomic<bool> ended_ = false;

  absl::Mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> posted_ ABSL_GUARDED_BY(mutex_);
  bool stop_requested_ ABSL_GUARDED_BY(mutex_) = false;
};

template <typename T>
T Reactor::Run(Task<T> task) {
  struct Observer final : TaskObserver {
    void OnTaskFinished(PromiseBase&) override { finished = true; }
    bool finished = false;
  };
  Observer observer;
  Executor::Binding binding(executor_);
  BeginRun();
  task.promise().StartUnder(executor_, stop_.token(), &observer);
  task.promise().Schedule();
  while (!observer.finished) Turn();
  EndRun();
  if constexpr (std::is_constructible_v<T, absl::Status>) {
    if (!failure_.ok()) return T(failure_);
  }
  return task.TakeResult();
}

}  // namespace cordon::net

#endif  // CORDON_NET_REACTOR_REACTOR_H_
