// Memory that runs out, for BoringSSL: what it allocates may be refused. (The
// rest of the program ends if it gets none.)
//
//   AllocationFailure failure(17, 1);   // of those that follow, the 17th
//   engine.Receive(...);
//   if (failure.happened()) ...
#ifndef CORDON_TESTING_FAILING_ALLOCATIONS_FAILING_ALLOCATIONS_H_
#define CORDON_TESTING_FAILING_ALLOCATIONS_FAILING_ALLOCATIONS_H_

#include <cstdint>

namespace cordon::testing {

// As long as it lives, `count` allocations of this thread fail, after `first` -
// 1 that do not. One at a time.
class AllocationFailure {
 public:
  AllocationFailure(uint64_t first, uint64_t count);
  AllocationFailure(const AllocationFailure&) = delete;
  AllocationFailure& operator=(const AllocationFailure&) = delete;
  ~AllocationFailure();

  // None is counted, and none fails, while it is paused.
  void Pause();
  void Continue();
  // At least one has failed.
  bool happened() const;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FAILING_ALLOCATIONS_FAILING_ALLOCATIONS_H_
