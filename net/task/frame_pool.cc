#include "cordon/net/task/frame_pool.h"

#include <array>
#include <cstdint>
#include <new>

namespace cordon::net {
namespace {

#if defined(__SANITIZE_ADDRESS__)
#define CORDON_PLAIN_FRAMES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CORDON_PLAIN_FRAMES 1
#endif
#endif

#ifdef CORDON_PLAIN_FRAMES
constexpr bool kPooling = false;
#else
constexpr bool kPooling = true;
#endif

struct FreeFrame {
  FreeFrame* next;
};

constexpr size_t kClasses = FramePool::kMaxPooled / FramePool::kGranularity;

struct Cache {
  struct Class {
    FreeFrame* first = nullptr;
    size_t count = 0;
  };
  std::array<Class, kClasses> classes;

  ~Cache() {
    for (Class& c : classes) {
      while (c.first != nullptr) {
        FreeFrame* next = c.first->next;
        ::operator delete(c.first);
        c.first = next;
      }
      // Frames freed after this, by other thread-local destructors, must not
      // be cached again.
      c.count = FramePool::kMaxCachedPerClass;
    }
  }
};

thread_local Cache cache;

constexpr size_t ClassOf(size_t size) {
  return (size + FramePool::kGranularity - 1) / FramePool::kGranularity - 1;
}

}  // namespace

void* FramePool::Allocate(size_t size) {
  if (!kPooling || size > kMaxPooled) return ::operator new(size);
  Cache::Class& c = cache.classes[ClassOf(size)];
  if (c.first == nullptr) {
    return ::operator new((ClassOf(size) + 1) * kGranularity);
  }
  FreeFrame* frame = c.first;
  c.first = frame->next;
  --c.count;
  return frame;
}

void FramePool::Free(void* frame, size_t size) {
  if (!kPooling || size > kMaxPooled) {
    ::operator delete(frame);
    return;
  }
  Cache::Class& c = cache.classes[ClassOf(size)];
  if (c.count >= kMaxCachedPerClass) {
    ::operator delete(frame);
    return;
  }
  c.first = new (frame) FreeFrame{c.first};
  ++c.count;
}

bool FramePool::pools() { return kPooling; }

}  // namespace cordon::net
