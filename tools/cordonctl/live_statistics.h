// `stats --watch` on a terminal.
#ifndef CORDON_TOOLS_CORDONCTL_LIVE_STATISTICS_H_
#define CORDON_TOOLS_CORDONCTL_LIVE_STATISTICS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "cordon/tools/cordonctl/connection.h"

namespace cordon::tools::ctl {

// Until the user has had enough, `count` looks have been shown (0: any number),
// or the service ends.
absl::Status ShowLiveStatistics(
    const control::v1::WatchStatisticsRequest& request, uint64_t count,
    Connection* connection);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_LIVE_STATISTICS_H_
