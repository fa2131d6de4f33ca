// Asks before something is done that cannot be undone.
#ifndef CORDON_TOOLS_CORDONCTL_QUESTION_H_
#define CORDON_TOOLS_CORDONCTL_QUESTION_H_

#include "absl/flags/declare.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

ABSL_DECLARE_FLAG(bool, yes);

namespace cordon::tools::ctl {

// Fails with a `UsageError` where there is nobody to be asked: unless --yes was
// given, standard input and standard error must be a terminal.
absl::Status CheckCanAsk();

// OK if the user says yes, or --yes was given; kCancelled if not.
absl::Status Ask(absl::string_view question);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_QUESTION_H_
