// How much of the heap is in use.
#ifndef CORDON_TESTING_HEAP_HEAP_H_
#define CORDON_TESTING_HEAP_HEAP_H_

#include <cstddef>
#include <optional>

namespace cordon::testing {

// In bytes, of all threads. Nothing where a sanitizer has replaced the
// allocator, whose own bookkeeping would be measured.
std::optional<size_t> HeapInUse();

}  // namespace cordon::testing

#endif  // CORDON_TESTING_HEAP_HEAP_H_
