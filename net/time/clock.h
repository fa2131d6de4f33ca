// Time that never jumps.
//
// `Clock::Now()` is an `absl::Time` that advances steadily: the wall time when
// the process began plus the time since then. Setting the machine's clock does
// not move it. Do not compare it with certificates' dates: those want
// `absl::Now()`. Simulations put a clock of their own in its place.
#ifndef CORDON_NET_TIME_CLOCK_H_
#define CORDON_NET_TIME_CLOCK_H_

#include "absl/time/time.h"

namespace cordon::net {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;
};

// The machine's monotonic clock. Thread-safe.
class SteadyClock final : public Clock {
 public:
  // One for the process; never destroyed.
  static SteadyClock* Get();
  absl::Time Now() override;

 private:
  SteadyClock();
  const int64_t offset_;  // ns to add to the monotonic clock
};

}  // namespace cordon::net

#endif  // CORDON_NET_TIME_CLOCK_H_
