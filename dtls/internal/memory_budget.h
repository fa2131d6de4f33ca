// Limits of the memory that many take together.
#ifndef CORDON_DTLS_INTERNAL_MEMORY_BUDGET_H_
#define CORDON_DTLS_INTERNAL_MEMORY_BUDGET_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cordon::dtls::internal {

// One limit for several reactors. Thread-safe.
class SharedMemory {
 public:
  explicit SharedMemory(size_t limit) : limit_(limit) {}

  // False, and nothing is taken, if there is no room for all of it.
  bool TryTake(size_t bytes) {
    size_t taken = taken_.load(std::memory_order_relaxed);
    while (true) {
      const size_t limit = limit_.load(std::memory_order_relaxed);
      if (bytes > limit - std::min(taken, limit)) return false;
      if (taken_.compare_exchange_weak(taken, taken + bytes,
                                       std::memory_order_relaxed)) {
        return true;
      }
    }
  }
  // Whether there is room or not.
  void Take(size_t bytes) {
    taken_.fetch_add(bytes, std::memory_order_relaxed);
  }
  void Return(size_t bytes) {
    taken_.fetch_sub(bytes, std::memory_order_relaxed);
  }
  void set_limit(size_t limit) {
    limit_.store(limit, std::memory_order_relaxed);
  }

  // What a reactor takes at once, so that reactors seldom meet here. It is so
  // little of the limit that what one has in reserve is not missed by others.
  size_t chunk() const {
    return std::min<size_t>(limit_.load(std::memory_order_relaxed) >> 12,
                            65'536);
  }

 private:
  std::atomic<size_t> limit_;
  std::atomic<size_t> taken_ = 0;
};

// What one reactor takes of a limit. For the reactor's thread.
class MemoryBudget {
 public:
  // A limit of its own.
  explicit MemoryBudget(size_t limit) : own_(limit), shared_(own_) {}
  // A share of that, which outlives it.
  explicit MemoryBudget(SharedMemory& shared) : own_(0), shared_(shared) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;
  ~MemoryBudget() { shared_.Return(reserved_); }

  // May `bytes` more be taken? If so, they are kept for the next `Add`.
  bool HasRoomFor(size_t bytes) {
    if (bytes <= reserved_ - std::min(used_, reserved_)) return true;
    ReturnReserve(0);
    const size_t missing = used_ + bytes - reserved_;
    if (const size_t more = missing + shared_.chunk(); shared_.TryTake(more)) {
      reserved_ += more;
      return true;
    }
    if (!shared_.TryTake(missing)) return false;
    reserved_ += missing;
    return true;
  }
  void Add(size_t bytes) {
    used_ += bytes;
    if (used_ <= reserved_) return;
    shared_.Take(used_ - reserved_);
    reserved_ = used_;
  }
  void Remove(size_t bytes) {
    used_ -= bytes;
    ReturnReserve(2 * shared_.chunk());
  }
  // Gives back what is kept in reserve beyond `most`.
  void ReturnReserve(size_t most) {
    if (reserved_ - used_ <= most) return;
    shared_.Return(reserved_ - used_);
    reserved_ = used_;
  }

  size_t used() const { return used_; }
  void set_limit(size_t limit) { shared_.set_limit(limit); }

  // How often somebody went without, for want of room here.
  uint64_t refusals() const { return refusals_; }
  void CountRefusal() { ++refusals_; }

 private:
  SharedMemory own_;
  SharedMemory& shared_;
  // Taken from there; never less than what is used.
  size_t reserved_ = 0;
  size_t used_ = 0;
  uint64_t refusals_ = 0;
};

// What one session has taken, which it gives back at its end. Without a
// `MemoryBudget` everything has room.
class MemoryShare {
 public:
  MemoryShare() = default;
  // The first `own` bytes have room in any case, and do not count.
  explicit MemoryShare(size_t own) : own_(own) {}
  MemoryShare(const MemoryShare&) = delete;
  MemoryShare& operator=(const MemoryShare&) = delete;
  ~MemoryShare() { Clear(); }

  // From now on in `budget`, which outlives it.
  void CountIn(MemoryBudget* budget) {
    budget_ = budget;
    budget_->Add(CountedOf(bytes_));
  }
  bool HasRoomFor(size_t bytes) const {
    return budget_ == nullptr ||
           budget_->HasRoomFor(CountedOf(bytes_ + bytes) - CountedOf(bytes_));
  }
  void CountRefusal() {
    if (budget_ != nullptr) budget_->CountRefusal();
  }
  void Add(size_t bytes) { Set(bytes_ + bytes); }
  void Remove(size_t bytes) { Set(bytes_ - bytes); }
  void Clear() { Set(0); }

 private:
  size_t CountedOf(size_t bytes) const { return bytes - std::min(bytes, own_); }
  void Set(size_t bytes) {
    if (budget_ != nullptr) {
      budget_->Remove(CountedOf(bytes_));
      budget_->Add(CountedOf(bytes));
    }
    bytes_ = bytes;
  }

  const size_t own_ = 0;
  MemoryBudget* budget_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_MEMORY_BUDGET_H_
