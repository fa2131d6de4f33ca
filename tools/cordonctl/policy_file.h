// Policies as text: what files hold, and what is shown.
#ifndef CORDON_TOOLS_CORDONCTL_POLICY_FILE_H_
#define CORDON_TOOLS_CORDONCTL_POLICY_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/control/control.pb.h"

namespace cordon::tools::ctl {

// Reads a `Policy` in text form or in JSON, whichever it is; JSON may also be a
// `PolicyVersion`, as `policy get --output=json` prints it. `name` is that of
// the file, for errors, which say where and are kInvalidArgument.
absl::StatusOr<control::v1::Policy> ParsePolicy(absl::string_view text,
                                                absl::string_view name);

// In text form, one thing a line, that `ParsePolicy` reads. PEM is broken where
// its own lines end.
std::string PolicyText(const control::v1::Policy& policy);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_POLICY_FILE_H_
