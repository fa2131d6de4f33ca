// A clock that only moves when it is told to.
#ifndef CORDON_TESTING_SIM_VIRTUAL_CLOCK_H_
#define CORDON_TESTING_SIM_VIRTUAL_CLOCK_H_

#include "absl/time/time.h"
#include "cordon/net/time/clock.h"

namespace cordon::testing {

class VirtualClock final : public net::Clock {
 public:
  // Begins in the middle of the certificates of testing/certs.
  static absl::Time Epoch() { return absl::FromUnixSeconds(1'750'000'000); }

  VirtualClock() : now_(Epoch()) {}

  absl::Time Now() override { return now_; }
  void Advance(absl::Duration by) { now_ += by; }
  // Never backwards.
  void AdvanceTo(absl::Time to) {
    if (to > now_) now_ = to;
  }

 private:
  absl::Time now_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SIM_VIRTUAL_CLOCK_H_
