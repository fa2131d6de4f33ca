#include "cordon/dtls/control/worker_pool.h"

#include <algorithm>
#include <utility>

namespace cordon::dtls::control {

WorkerPool::WorkerPool(size_t threads, size_t max_queued,
                       size_t max_threads_per_caller)
    : max_queued_(max_queued), max_threads_per_caller_(max_threads_per_caller) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

WorkerPool::~WorkerPool() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

bool WorkerPool::Submit(const std::string& caller,
                        absl::AnyInvocable<void()> work, const void* tag) {
  absl::MutexLock lock(&mutex_);
  if (stopping_ || queue_.size() >= max_queued_) return false;
  queue_.push_back({caller, std::move(work), tag});
  return true;
}

bool WorkerPool::Remove(const void* tag) {
  // Is destroyed when the pool is not locked any more.
  Item item;
  absl::MutexLock lock(&mutex_);
  const auto found =
      std::find_if(queue_.begin(), queue_.end(),
                   [&](const Item& queued) { return queued.tag == tag; });
  if (found == queue_.end()) return false;
  item = std::move(*found);
  queue_.erase(found);
  return true;
}

WorkerPool::Queue::iterator WorkerPool::Next() {
  for (auto at = queue_.begin(); at != queue_.end(); ++at) {
    const auto busy = busy_.find(at->caller);
    if (busy == busy_.end() || busy->second < max_threads_per_caller_) {
      return at;
    }
  }
  return queue_.end();
}

void WorkerPool::Run() {
  while (true) {
    Item item;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &WorkerPool::HasWork));
      const auto next = Next();
      if (next == queue_.end()) return;
      item = std::move(*next);
      queue_.erase(next);
      ++busy_[item.caller];
    }
    item.work();
    // What it holds goes before its caller gets another thread.
    item.work = nullptr;
    absl::MutexLock lock(&mutex_);
    const auto busy = busy_.find(item.caller);
    if (--busy->second == 0) busy_.erase(busy);
  }
}

}  // namespace cordon::dtls::control
