// The policy methods of the control service.
#ifndef CORDON_DTLS_CONTROL_POLICY_OPERATOR_H_
#define CORDON_DTLS_CONTROL_POLICY_OPERATOR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/call_end.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/log.h"
#include "cordon/dtls/registry.h"

namespace cordon::dtls::control {

// How long sessions may be judged and closed once a policy is in force.
inline constexpr absl::Duration kMaxApply = absl::Minutes(10);

// Thread-safe; its methods block, for as long as it takes to judge all sessions
// where that is asked for, but not beyond `end`. A policy that is in force is
// applied to the sessions although the caller has gone or its deadline is over:
// that ends with `service`, or after `kMaxApply`.
class PolicyOperator {
 public:
  PolicyOperator(Registry* registry, Log* log)
      : registry_(registry), log_(log) {}

  absl::Status Get(const ::cordon::control::v1::GetPolicyRequest& request,
                   ::cordon::control::v1::PolicyVersion* response) const;
  absl::Status List(
      const ::cordon::control::v1::ListPolicyVersionsRequest& request,
      ::cordon::control::v1::ListPolicyVersionsResponse* response) const;
  absl::Status Validate(
      const ::cordon::control::v1::ValidatePolicyRequest& request,
      const CallEnd& end,
      ::cordon::control::v1::ValidatePolicyResponse* response) const;
  absl::Status Set(const ::cordon::control::v1::SetPolicyRequest& request,
                   const Caller& caller, const CallEnd& service,
                   ::cordon::control::v1::SetPolicyResponse* response);
  absl::Status RollBack(
      const ::cordon::control::v1::RollBackPolicyRequest& request,
      const Caller& caller, const CallEnd& service,
      ::cordon::control::v1::SetPolicyResponse* response);

 private:
  // Those whose names fulfil a predicate.
  template <typename Predicate>
  std::vector<std::shared_ptr<ListenerHandle>> ListenersWhose(
      const Predicate& name_fulfils) const;
  absl::Status CheckListener(const std::string& name) const;
  // Logs a change, and judges the sessions that there are if it is asked for.
  absl::Status Finish(const std::string& listener, const PolicyVersion& before,
                      const Caller& caller, const CallEnd& service,
                      ::cordon::control::v1::SetPolicyResponse* response);

  Registry* const registry_;
  Log* const log_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_POLICY_OPERATOR_H_
