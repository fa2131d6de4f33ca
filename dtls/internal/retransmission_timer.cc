#include "cordon/dtls/internal/retransmission_timer.h"

#include <algorithm>

namespace cordon::dtls::internal {

void RetransmissionTimer::OnFlightSent(absl::Time now,
                                       const SessionOptions& options) {
  interval_ = options.retransmission_timeout;
  if (options.rtt_based_timeout && round_trip_ > absl::ZeroDuration()) {
    interval_ =
        std::clamp(1.5 * round_trip_, options.min_retransmission_timeout,
                   options.max_retransmission_timeout);
  }
  repetitions_ = 0;
  answered_ = false;
  sent_ = now;
  deadline_ = now + interval_;
}

void RetransmissionTimer::OnAnswer(absl::Time now) {
  if (answered_) return;
  answered_ = true;
  if (repetitions_ == 0) round_trip_ = now - sent_;
}

void RetransmissionTimer::OnRepeated(absl::Time now,
                                     const SessionOptions& options) {
  ++repetitions_;
  interval_ = std::min(interval_ * options.retransmission_factor,
                       options.max_retransmission_timeout);
  deadline_ = now + interval_;
}

}  // namespace cordon::dtls::internal
