// Counts what a test takes from the heap.
//
//   const uint64_t before = AllocationsSoFar();
//   ...
//   EXPECT_EQ(AllocationsSoFar() - before, 0U);
//
// A program that is linked with this has another malloc() and operator new than
// the usual ones: what is linked statically, BoringSSL included, is counted.
#ifndef CORDON_TESTING_ALLOCATIONS_ALLOCATIONS_H_
#define CORDON_TESTING_ALLOCATIONS_ALLOCATIONS_H_

#include <cstdint>

namespace cordon::testing {

// Of this thread.
uint64_t AllocationsSoFar();

}  // namespace cordon::testing

#endif  // CORDON_TESTING_ALLOCATIONS_ALLOCATIONS_H_
