// Brings the counters of all listeners and reactors together.
#ifndef CORDON_DTLS_CONTROL_STATISTICS_COLLECTOR_H_
#define CORDON_DTLS_CONTROL_STATISTICS_COLLECTOR_H_

#include <string>

#include "absl/status/statusor.h"
#include "cordon/dtls/control/call_end.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/registry.h"

namespace cordon::dtls::control {

// Of the listeners of one name, or of all if it is empty. Blocks, but not
// beyond `end`.
absl::StatusOr<::cordon::control::v1::Statistics> CollectStatistics(
    const Registry& registry, const std::string& listener, const CallEnd& end);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_STATISTICS_COLLECTOR_H_
