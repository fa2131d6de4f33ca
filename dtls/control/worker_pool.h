// A few threads that do what may block, so that gRPC's own never do.
#ifndef CORDON_DTLS_CONTROL_WORKER_POOL_H_
#define CORDON_DTLS_CONTROL_WORKER_POOL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace cordon::dtls::control {

// Work is done in order, but for that of callers who keep as many threads busy
// as one may. Thread-safe.
class WorkerPool {
 public:
  WorkerPool(size_t threads, size_t max_queued,
             size_t max_threads_per_caller = SIZE_MAX);
  // Runs what is queued, and waits for it.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False if too much is queued; `work` is then destroyed without having run.
  // `tag` is for `Remove`.
  bool Submit(const std::string& caller, absl::AnyInvocable<void()> work,
              const void* tag = nullptr);
  // Of nobody in particular.
  bool Submit(absl::AnyInvocable<void()> work) {
    return Submit("", std::move(work));
  }
  // Takes work that has not begun out of the queue, so that it never will.
  // False if there is none with this tag.
  bool Remove(const void* tag);

 private:
  void Run();
  struct Item {
    std::string caller;
    absl::AnyInvocable<void()> work;
    const void* tag = nullptr;
  };
  using Queue = std::deque<Item>;
  // The first whose caller may have another thread.
  Queue::iterator Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return Next() != queue_.end() || (stopping_ && queue_.empty());
  }

  const size_t max_queued_;
  const size_t max_threads_per_caller_;
  absl::Mutex mutex_;
  Queue queue_ ABSL_GUARDED_BY(mutex_);
  // The threads that work for each caller.
  absl::flat_hash_map<std::string, size_t> busy_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_WORKER_POOL_H_
