#include "cordon/testing/heap/heap.h"

#include <malloc.h>

#include "absl/base/config.h"

namespace cordon::testing {

std::optional<size_t> HeapInUse() {
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || \
    defined(ABSL_HAVE_THREAD_SANITIZER) || defined(ABSL_HAVE_MEMORY_SANITIZER)
  return std::nullopt;
#else
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

}  // namespace cordon::testing
