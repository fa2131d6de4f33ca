// Memory for coroutine frames.
//
// A server awaits several short tasks per datagram. Their frames come in few
// sizes and die young, so each thread keeps freed ones for re-use, at most
// `kMaxCachedPerClass` of each size. Under AddressSanitizer nothing is kept,
// so that use after free is found.
#ifndef CORDON_NET_TASK_FRAME_POOL_H_
#define CORDON_NET_TASK_FRAME_POOL_H_

#include <cstddef>

namespace cordon::net {

class FramePool {
 public:
  static constexpr size_t kGranularity = 64;  // bytes
  static constexpr size_t kMaxPooled = 2048;  // bytes; larger: plain heap
  static constexpr size_t kMaxCachedPerClass = 1024;

  // Aligned as `operator new` does. May be freed on another thread.
  static void* Allocate(size_t size);
  static void Free(void* frame, size_t size);
  // False with AddressSanitizer, which is to see what uses a frame after its
  // end: each comes from the heap then.
  static bool pools();
};

}  // namespace cordon::net

#endif  // CORDON_NET_TASK_FRAME_POOL_H_
