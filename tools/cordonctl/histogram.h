// What can be read out of a histogram of the control service.
#ifndef CORDON_TOOLS_CORDONCTL_HISTOGRAM_H_
#define CORDON_TOOLS_CORDONCTL_HISTOGRAM_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "cordon/dtls/control/control.pb.h"

namespace cordon::tools::ctl {

uint64_t CountOf(const control::v1::Histogram& histogram);

// The value below which the share `quantile` (from 0 to 1) of what was counted
// lies, interpolated within its bucket; of those above all bounds it is only
// known that they are at least the last bound, which is returned. Nothing if
// nothing was counted.
std::optional<absl::Duration> Quantile(const control::v1::Histogram& histogram,
                                       double quantile);

// What was counted between two looks at one histogram. If it began anew, all of
// `after`.
control::v1::Histogram Between(const control::v1::Histogram& before,
                               const control::v1::Histogram& after);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_HISTOGRAM_H_
