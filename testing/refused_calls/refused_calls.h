// System calls that the kernel refuses, as in a container whose filter does not
// know them.
//
//   WithoutCalls({{SYS_recvmmsg, ENOSYS}}, [] { ... });
#ifndef CORDON_TESTING_REFUSED_CALLS_REFUSED_CALLS_H_
#define CORDON_TESTING_REFUSED_CALLS_REFUSED_CALLS_H_

#include <functional>
#include <vector>

namespace cordon::testing {

struct RefusedCall {
  long number = 0;  // NOLINT(google-runtime-int): as syscall() takes it
  int error = 0;
};

// Runs `function` on a thread of its own, for which, and for the threads that
// it starts, each of the calls fails with its error. False, without a call of
// `function`, if the kernel has no such filters.
bool WithoutCalls(const std::vector<RefusedCall>& calls,
                  const std::function<void()>& function);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_REFUSED_CALLS_REFUSED_CALLS_H_
