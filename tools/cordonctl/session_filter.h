// The flags that choose sessions.
#ifndef CORDON_TOOLS_CORDONCTL_SESSION_FILTER_H_
#define CORDON_TOOLS_CORDONCTL_SESSION_FILTER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/control/control.pb.h"

namespace cordon::tools::ctl {

// Their names.
std::vector<absl::string_view> FilterFlags();

// What they say; empty if none was given.
absl::StatusOr<control::v1::SessionFilter> FilterFromFlags();
bool IsEmpty(const control::v1::SessionFilter& filter);
// No session can be other than it says, although it is not empty: it has all
// states, or a fingerprint of no digits. An address prefix is taken for what it
// says, even one of length zero.
bool ExcludesNothing(const control::v1::SessionFilter& filter);

// "connected"
std::string StateName(control::v1::SessionState state);
std::vector<std::string> StateNames();

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_SESSION_FILTER_H_
