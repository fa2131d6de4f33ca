// Numbered slots at stable addresses, for operations that the kernel reports
// back by a number.
//
//   Slab<Operation> operations;
//   Operation& op = operations.Allocate(&id);
//   sqe->user_data = id;
//   ...
//   Operation* op = operations.Find(cqe->user_data);  // null if it is stale
//   operations.Free(id);
//
// An id holds the slot's index and its generation: that of a freed slot finds
// nothing, even when the slot is used again. Belongs to one thread.
#ifndef CORDON_NET_BASE_SLAB_H_
#define CORDON_NET_BASE_SLAB_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace cordon::net {

template <typename T>
class Slab {
 public:
  using Id = uint64_t;  // Generation in the upper half, index in the lower.

  // Makes a T and returns it; `*id` names it until `Free`.
  T& Allocate(Id* id) {
    uint32_t index = free_;
    if (index == kNone) {
      index = static_cast<uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      free_ = slots_[index].next_free;
    }
    Slot& slot = slots_[index];
    ++used_;
    *id = Id{slot.generation} << 32 | index;
    return slot.value.emplace();
  }

  T* Find(Id id) {
    const auto index = static_cast<uint32_t>(id);
    if (index >= slots_.size()) return nullptr;
    Slot& slot = slots_[index];
    if (slot.generation != id >> 32 || !slot.value.has_value()) return nullptr;
    return &*slot.value;
  }

  // A no-op for a stale id.
  void Free(Id id) {
    if (Find(id) == nullptr) return;
    const auto index = static_cast<uint32_t>(id);
    Slot& slot = slots_[index];
    slot.value.reset();
    ++slot.generation;
    slot.next_free = free_;
    free_ = index;
    --used_;
  }

  size_t used() const { return used_; }

  template <typename F>
  void ForEach(F f) {
    for (Slot& slot : slots_) {
      if (slot.value.has_value()) f(*slot.value);
    }
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Slot {
    std::optional<T> value;
    uint32_t generation = 0;
    uint32_t next_free = kNone;
  };

  // A deque never moves its elements.
  std::deque<Slot> slots_;
  uint32_t free_ = kNone;
  size_t used_ = 0;
};

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_SLAB_H_
