// How much memory the sessions of a listener take, about.
#ifndef CORDON_DTLS_INTERNAL_SESSION_MEMORY_H_
#define CORDON_DTLS_INTERNAL_SESSION_MEMORY_H_

#include <algorithm>
#include <cstddef>

namespace cordon::dtls::internal {

// What a session is taken for, apart from the messages that wait in it: the
// engine with BoringSSL's state, the tables, and the coroutines that are
// waiting. As measured, rounded up: session_memory_test.cc compares it with the
// heap.
inline constexpr size_t kSessionBytes = 16'384;

// For the reactor's thread.
class SessionMemory {
 public:
  explicit SessionMemory(size_t limit) : limit_(limit) {}

  // May `bytes` more be taken?
  bool HasRoomFor(size_t bytes) const {
    return bytes <= limit_ - std::min(used_, limit_);
  }
  void Add(size_t bytes) { used_ += bytes; }
  void Remove(size_t bytes) { used_ -= bytes; }

  size_t used() const { return used_; }
  void set_limit(size_t limit) { limit_ = limit; }

 private:
  size_t limit_;
  size_t used_ = 0;
};

// A session's share of it, which ends with it. Without a `SessionMemory`
// everything has room.
class MemoryShare {
 public:
  MemoryShare() = default;
  MemoryShare(const MemoryShare&) = delete;
  MemoryShare& operator=(const MemoryShare&) = delete;
  ~MemoryShare() { Remove(bytes_); }

  // From now on in `memory`, which outlives it.
  void CountIn(SessionMemory* memory) {
    memory_ = memory;
    memory_->Add(bytes_);
  }
  bool HasRoomFor(size_t bytes) const {
    return memory_ == nullptr || memory_->HasRoomFor(bytes);
  }
  void Add(size_t bytes) {
    bytes_ += bytes;
    if (memory_ != nullptr) memory_->Add(bytes);
  }
  void Remove(size_t bytes) {
    bytes_ -= bytes;
    if (memory_ != nullptr) memory_->Remove(bytes);
  }

 private:
  SessionMemory* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SESSION_MEMORY_H_
