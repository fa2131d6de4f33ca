// How errors are told to people and to scripts.
#ifndef CORDON_TOOLS_CORDONCTL_EXIT_CODE_H_
#define CORDON_TOOLS_CORDONCTL_EXIT_CODE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpcpp/support/status.h"

namespace cordon::tools::ctl {

// Documented in `cordonctl help`.
enum ExitCode {
  kExitOk = 0,
  kExitError = 1,
  kExitUsage = 2,
  kExitUnreachable = 3,
  kExitPermissionDenied = 4,
  kExitNotFound = 5,
  kExitAborted = 6,
  kExitInvalidInput = 7,
  kExitTimeout = 8,
};

// The command line is wrong: kExitUsage.
absl::Status UsageError(absl::string_view message);
// Something on this machine is not as it should be: kExitError.
absl::Status LocalError(absl::string_view message);

// `status` of a call to `target`, fit to be shown.
absl::Status FromServer(const grpc::Status& status, absl::string_view target);

ExitCode ExitCodeOf(const absl::Status& status);

// The message in one line, with its first letter as it is.
std::string ErrorLine(const absl::Status& status);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_EXIT_CODE_H_
