// Replaces a policy: shows the difference, asks, and makes sure that nobody
// else was faster.
#ifndef CORDON_TOOLS_CORDONCTL_POLICY_CHANGE_H_
#define CORDON_TOOLS_CORDONCTL_POLICY_CHANGE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/tools/cordonctl/connection.h"

namespace cordon::tools::ctl {

struct PolicyChange {
  control::v1::Policy policy;
  // 0, or the version that is brought back, which has this policy.
  uint64_t version = 0;
};

absl::Status ChangePolicy(const PolicyChange& change, Connection* connection);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_POLICY_CHANGE_H_
