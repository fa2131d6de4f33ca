#include "cordon/net/base/byte_pool.h"

#include <array>
#include <cstring>
#include <new>

#include "cordon/net/base/intrusive_list.h"

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

namespace {

struct SizeListTag {};
struct AgeListTag {};

}  // namespace

// In both lists while it is kept for re-use.
struct PooledBytes::Block : public IntrusiveListNode<SizeListTag>,
                            public IntrusiveListNode<AgeListTag> {
  BytePool::Core* core = nullptr;
  size_t size = 0;
  size_t capacity = 0;
  size_t size_class = 0;

  void LeaveLists() {
    IntrusiveListNode<SizeListTag>::Unlink();
    IntrusiveListNode<AgeListTag>::Unlink();
  }
  uint8_t* payload() { return reinterpret_cast<uint8_t*>(this + 1); }
};

// Lives until the pool and all its buffers are gone.
struct BytePool::Core {
  size_t max_cached_bytes;
  bool pool_alive = true;
  Statistics statistics = {};
  // The one that was returned last is first.
  std::array<IntrusiveList<PooledBytes::Block, SizeListTag>, kClassBytes.size()>
      free = {};
  IntrusiveList<PooledBytes::Block, AgeListTag> by_age = {};

  // Makes room for a block that is being returned.
  void EvictFor(size_t bytes) {
    while (!by_age.empty() &&
           statistics.bytes_cached + bytes > max_cached_bytes) {
      PooledBytes::Block& oldest = by_age.back();
      statistics.bytes_cached -= oldest.capacity;
      ++statistics.evictions;
      Delete(oldest);
    }
  }
  static void Delete(PooledBytes::Block& block) {
    block.~Block();
    ::operator delete(&block);
  }

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
      block->capacity <= core.max_cached_bytes) {
    core.EvictFor(block->capacity);
    core.statistics.bytes_cached += block->capacity;
    core.free[block->size_class].push_front(*block);
    core.by_age.push_front(*block);
    return;
  }
  BytePool::Core::Delete(*block);
  core.Unref();
}

BytePool::BytePool(size_t max_cached_bytes)
    : core_(new Core{.max_cached_bytes = max_cached_bytes}) {}

BytePool::~BytePool() {
  while (!core_->by_age.empty()) Core::Delete(core_->by_age.front());
  core_->pool_alive = false;
  core_->Unref();
}

PooledBytes BytePool::Take(size_t capacity) {
  const size_t size_class = ClassFor(capacity);
  PooledBytes::Block* block = nullptr;
  if (size_class != kUnpooled && !core_->free[size_class].empty()) {
    block = &core_->free[size_class].front();
    block->LeaveLists();
    core_->statistics.bytes_cached -= block->capacity;
  } else {
    const size_t bytes =
        size_class == kUnpooled ? capacity : kClassBytes[size_class];
    void* memory = ::operator new(sizeof(PooledBytes::Block) + bytes);
    block = new (memory) PooledBytes::Block();
    block->core = core_;
    block->capacity = bytes;
    block->size_class = size_class;
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
