// Limits of the memory that many take together.
#ifndef CORDON_DTLS_INTERNAL_MEMORY_BUDGET_H_
#define CORDON_DTLS_INTERNAL_MEMORY_BUDGET_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace cordon::dtls::internal {

// For the reactor's thread.
class MemoryBudget {
 public:
  explicit MemoryBudget(size_t limit) : limit_(limit) {}

  // May `bytes` more be taken?
  bool HasRoomFor(size_t bytes) const {
    return bytes <= limit_ - std::min(used_, limit_);
  }
  void Add(size_t bytes) { used_ += bytes; }
  void Remove(size_t bytes) { used_ -= bytes; }

  size_t used() const { return used_; }
  void set_limit(size_t limit) { limit_ = limit; }

  // How often somebody went without, for want of room here.
  uint64_t refusals() const { return refusals_; }
  void CountRefusal() { ++refusals_; }

 private:
  size_t limit_;
  size_t used_ = 0;
  uint64_t refusals_ = 0;
};

// What one of them has taken, which it gives back at its end. Without a
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
