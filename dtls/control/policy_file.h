// Keeps the present policies in a file, so that a process begins with those
// that it ended with.
#ifndef CORDON_DTLS_CONTROL_POLICY_FILE_H_
#define CORDON_DTLS_CONTROL_POLICY_FILE_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/policy_store.h"

namespace cordon::dtls::control {

// Puts what `path` has in force, and from then on writes each change to it
// before anybody can see it: a change that cannot be kept is refused. The file
// is replaced as a whole, so it is never half written. Without a file, nothing
// is read.
//
// The file is a `StoredPolicies` in text form, or one `Policy`, in text form or
// as JSON, which is for all listeners. kInvalidArgument names the file and what
// is wrong: a service must not begin with another policy than it was given.
// To be called before there are listeners.
absl::Status KeepPoliciesInFile(const std::string& path, PolicyStore& store);

// Reads a policy in text form or as JSON. kInvalidArgument says where it is
// wrong.
absl::StatusOr<::cordon::control::v1::Policy> ParsePolicy(
    const std::string& text);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_POLICY_FILE_H_
