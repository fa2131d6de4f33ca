// Statistics as people read them.
#ifndef CORDON_TOOLS_CORDONCTL_STATISTICS_VIEW_H_
#define CORDON_TOOLS_CORDONCTL_STATISTICS_VIEW_H_

#include <string>
#include <utility>
#include <vector>

#include "cordon/dtls/control/control.pb.h"
#include "cordon/tools/cordonctl/rates.h"
#include "cordon/tools/cordonctl/style.h"

namespace cordon::tools::ctl {

// All of one look.
std::string StatisticsText(const control::v1::Statistics& statistics,
                           const Style& style);

// For what is no terminal: one line for each look, below a heading.
std::string StatisticsHeading(const Style& style);
std::string StatisticsLine(const History& history);

// "12ms", or "-" if nothing was counted.
std::string QuantileText(const control::v1::Histogram& histogram,
                         double quantile);
// Names and counts that are not 0, the largest first; printable.
std::vector<std::pair<std::string, uint64_t>> Largest(
    const google::protobuf::Map<std::string, uint64_t>& counts);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_STATISTICS_VIEW_H_
