// Buffers for messages, re-used instead of freed.
//
//   BytePool pool;
//   PooledBytes bytes = pool.Take(1200);
//   std::memcpy(bytes.data(), ...);
//
// Buffers come in a few sizes. What is returned is kept for re-use, up to a
// bound for all sizes together, so that in the steady state taking and
// returning one allocates nothing. Beyond the bound those that have lain unused
// for the longest time are freed, of whatever size: a burst of one size does
// not keep the others out. Belongs to one thread, as do the buffers taken from
// it; they may outlive the pool.
#ifndef CORDON_NET_BASE_BYTE_POOL_H_
#define CORDON_NET_BASE_BYTE_POOL_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/types/span.h"

namespace cordon::net {

class BytePool;

// A buffer of `capacity()` bytes, of which `size()` are in use. Move-only;
// returns to its pool when destroyed.
class PooledBytes {
 public:
  PooledBytes() = default;
  PooledBytes(PooledBytes&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)) {}
  PooledBytes& operator=(PooledBytes&& other) noexcept {
    if (this != &other) {
      Release();
      block_ = std::exchange(other.block_, nullptr);
    }
    return *this;
  }
  ~PooledBytes() { Release(); }

  uint8_t* data();
  const uint8_t* data() const;
  size_t size() const;
  size_t capacity() const;
  bool empty() const { return size() == 0; }
  // `size` must not exceed `capacity()`.
  void set_size(size_t size);

  absl::Span<uint8_t> bytes() { return {data(), size()}; }
  absl::Span<const uint8_t> bytes() const { return {data(), size()}; }

 private:
  friend class BytePool;
  struct Block;
  explicit PooledBytes(Block* block) : block_(block) {}
  void Release();

  Block* block_ = nullptr;
};

class BytePool {
 public:
  struct Statistics {
    size_t blocks_out = 0;     // taken and not returned
    size_t bytes_cached = 0;   // kept for re-use
    uint64_t allocations = 0;  // from the heap, ever
    uint64_t evictions = 0;    // freed to keep others within the bound, ever
  };

  // Keeps at most `max_cached_bytes` of returned buffers.
  explicit BytePool(size_t max_cached_bytes = size_t{8} << 20);
  BytePool(const BytePool&) = delete;
  BytePool& operator=(const BytePool&) = delete;
  ~BytePool();

  // A buffer with room for at least `capacity` bytes and size `capacity`; its
  // content is unspecified.
  PooledBytes Take(size_t capacity);
  // A buffer with a copy of `bytes`.
  PooledBytes Copy(absl::Span<const uint8_t> bytes);

  Statistics statistics() const;

 private:
  friend class PooledBytes;
  struct Core;
  Core* core_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_BYTE_POOL_H_
