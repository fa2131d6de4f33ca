// Policies as messages of the control service.
#ifndef CORDON_DTLS_CONTROL_POLICY_PROTO_H_
#define CORDON_DTLS_CONTROL_POLICY_PROTO_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/policy.h"
#include "cordon/dtls/policy_store.h"

namespace cordon::dtls::control {

// kInvalidArgument: the message begins with the name of the field that is
// wrong. What cannot be told from a single field is left to `PolicyStore`.
absl::StatusOr<Policy> FromProto(const ::cordon::control::v1::Policy& proto);
::cordon::control::v1::Policy ToProto(const Policy& policy);
// Without `current`.
::cordon::control::v1::PolicyVersion ToProto(const PolicyVersion& version);

// What has changed, on one line, for a log: certificates and revocation
// lists by their number and digest only.
std::string Differences(const Policy& before, const Policy& after);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_POLICY_PROTO_H_
