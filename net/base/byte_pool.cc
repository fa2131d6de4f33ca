#include "cordon/net/base/byte_pool.h"

#include <array>
#include <cstring>
#include <new>

namespace cordon::net {
namespace {

constexpr std::array<size_t, 5> kClassBytes = {128, 512, 1536, 4096, 18432};
constexpr size_t kUnpooled = kClassBytes.size();

size_t ClassFor(size_t capacity) {
  size_t i = 0;
  while (i < kClassBytes.size() && kClassBytes[i] < capacity) ++i;
  return i;
}

}  // namespace

struct PooledBytes::Block {
  BytePool::Core* core;
  Block* next;
  size_t size;
  size_t capacity;
  size_t size_class;

  uint8_t* payload() { return reinterpret_cast<uint8_t*>(this + 1); }
};

// Lives until the pool and all its buffers are gone.
struct BytePool::Core {
  size_t max_cached_bytes;
  bool pool_alive = true;
  Statistics statistics = {};
  std::array<PooledBytes::Block*, kClassBytes.size()> free = {};

  void Unref() {
    if (!pool_alive && statistics.blocks_out == 0) delete this;
  }
};

uint8_t* PooledBytes::data() {
  return block_ == nullptr ? nullptr : block_->payload();
}
const uint8_t* PooledBytes::data() const {
  return block_ == nullptr ? nullptr : block_->payload();
}
size_t PooledBytes::size() const {
  return block_ == nullptr ? 0 : block_->size;
}
size_t PooledBytes::capacity() const {
  return block_ == nullptr ? 0 : block_->capacity;
}
void PooledBytes::set_size(size_t size) { block_->size = size; }

void PooledBytes::Release() {
  Block* block = std::exchange(block_, nullptr);
  if (block == nullptr) return;
  BytePool::Core& core = *block->core;
  --core.statistics.blocks_out;
  if (block->size_class != kUnpooled && core.pool_alive &&
      core.statistics.bytes_cached + block->capacity <= core.max_cached_bytes) {
    core.statistics.bytes_cached += block->capacity;
    block->next = core.free[block->size_class];
    core.free[block->size_class] = block;
    return;
  }
  ::operator delete(block);
  core.Unref();
}

BytePool::BytePool(size_t max_cached_bytes)
    : core_(new Core{.max_cached_bytes = max_cached_bytes}) {}

BytePool::~BytePool() {
  for (PooledBytes::Block* block : core_->free) {
    while (block != nullptr) {
      ::operator delete(std::exchange(block, block->next));
    }
  }
  core_->pool_alive = false;
  core_->Unref();
}

PooledBytes BytePool::Take(size_t capacity) {
  const size_t size_class = ClassFor(capacity);
  PooledBytes::Block* block = nullptr;
  if (size_class != kUnpooled && core_->free[size_class] != nullptr) {
    block = core_->free[size_class];
    core_->free[size_class] = block->next;
    core_->statistics.bytes_cached -= block->capacity;
  } else {
    const size_t bytes =
        size_class == kUnpooled ? capacity : kClassBytes[size_class];
    void* memory = ::operator new(sizeof(PooledBytes::Block) + bytes);
    block =
        new (memory) PooledBytes::Block{core_, nullptr, 0, bytes, size_class};
    ++core_->statistics.allocations;
  }
  ++core_->statistics.blocks_out;
  block->size = capacity;
  return PooledBytes(block);
}

PooledBytes BytePool::Copy(absl::Span<const uint8_t> bytes) {
  PooledBytes copy = Take(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

BytePool::Statistics BytePool::statistics() const { return core_->statistics; }

}  // namespace cordon::net
