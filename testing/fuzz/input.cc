#include "cordon/testing/fuzz/input.h"

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CORDON_SANITIZER_ALLOCATES 1
#include <sanitizer/allocator_interface.h>
#endif
#endif

namespace cordon::testing {

uint8_t Input::Byte() {
  if (left_.empty()) return 0;
  const uint8_t byte = left_.front();
  left_.remove_prefix(1);
  return byte;
}

uint16_t Input::Word() {
  const uint8_t high = Byte();
  return static_cast<uint16_t>(high << 8 | Byte());
}

size_t Input::Below(size_t limit) {
  const size_t number = limit <= 256 ? Byte() : Word();
  return limit == 0 ? 0 : number % limit;
}

absl::Span<const uint8_t> Input::Take(size_t size) {
  const absl::Span<const uint8_t> taken =
      left_.subspan(0, std::min(size, left_.size()));
  left_.remove_prefix(taken.size());
  return taken;
}

std::string Input::Text(size_t size) {
  const absl::Span<const uint8_t> bytes = Take(size);
  return {bytes.begin(), bytes.end()};
}

void Require(bool holds, absl::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(what.size()),
               what.data());
  std::abort();
}

size_t HeldBytes() {
#ifdef CORDON_SANITIZER_ALLOCATES
  return __sanitizer_get_current_allocated_bytes();
#else
  const struct mallinfo2 heap = mallinfo2();
  // Large pieces have mappings of their own.
  return heap.uordblks + heap.hblkhd;
#endif
}

}  // namespace cordon::testing
