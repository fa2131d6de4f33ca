// Where a control service is.
#ifndef CORDON_TOOLS_CORDONCTL_TARGET_H_
#define CORDON_TOOLS_CORDONCTL_TARGET_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cordon::tools::ctl {

struct Target {
  // As gRPC wants it.
  std::string uri;
  bool is_unix = false;
  // Of a HOST:PORT, the host without brackets, and whether that is this machine
  // whatever a name service says.
  std::string host;
  bool is_loopback = false;
};

// "unix:/path" or "HOST:PORT", with brackets around an IPv6 address.
absl::StatusOr<Target> ParseTarget(absl::string_view text);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_TARGET_H_
