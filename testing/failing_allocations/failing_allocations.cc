#include "cordon/testing/failing_allocations/failing_allocations.h"

#include <malloc.h>
#include <string.h>

#include <cstddef>
#include <cstdlib>

namespace {

constinit thread_local bool counting = false;
constinit thread_local uint64_t before = 0;
constinit thread_local uint64_t to_fail = 0;
constinit thread_local bool failed = false;

}  // namespace

// BoringSSL takes these where they are defined.
extern "C" {

void* OPENSSL_memory_alloc(size_t size) {
  if (counting && before > 0) {
    --before;
  } else if (counting && to_fail > 0) {
    --to_fail;
    failed = true;
    return nullptr;
  }
  return std::malloc(size > 0 ? size : 1);
}

void OPENSSL_memory_free(void* memory) {
  explicit_bzero(memory, malloc_usable_size(memory));
  std::free(memory);
}

size_t OPENSSL_memory_get_size(void* memory) {
  return malloc_usable_size(memory);
}
}

namespace cordon::testing {

AllocationFailure::AllocationFailure(uint64_t first, uint64_t count) {
  before = first - 1;
  to_fail = count;
  failed = false;
  counting = true;
}
AllocationFailure::~AllocationFailure() { counting = false; }

void AllocationFailure::Pause() { counting = false; }
void AllocationFailure::Continue() { counting = true; }
bool AllocationFailure::happened() const { return failed; }

}  // namespace cordon::testing
