// What the control service does with listeners and sessions: finding, closing,
// limits, draining.
#ifndef CORDON_DTLS_CONTROL_LISTENER_OPERATOR_H_
#define CORDON_DTLS_CONTROL_LISTENER_OPERATOR_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/call_end.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/log.h"
#include "cordon/dtls/registry.h"

namespace cordon::dtls::control {

// Thread-safe; its methods block, but not beyond `end`.
class ListenerOperator {
 public:
  ListenerOperator(const Registry* registry, Log* log)
      : registry_(registry), log_(log) {}

  absl::Status ListListeners(
      const CallEnd& end,
      ::cordon::control::v1::ListListenersResponse* response) const;
  absl::Status GetSession(
      const ::cordon::control::v1::GetSessionRequest& request,
      const CallEnd& end, ::cordon::control::v1::Session* response) const;
  absl::Status CloseSessions(
      const ::cordon::control::v1::CloseSessionsRequest& request,
      const Caller& caller, const CallEnd& end,
      ::cordon::control::v1::CloseSessionsResponse* response);

  absl::Status GetLimits(
      const ::cordon::control::v1::GetLimitsRequest& request,
      const CallEnd& end,
      ::cordon::control::v1::GetLimitsResponse* response) const;
  absl::Status SetLimits(const ::cordon::control::v1::SetLimitsRequest& request,
                         const Caller& caller, const CallEnd& end,
                         ::cordon::control::v1::GetLimitsResponse* response);
  absl::Status Drain(const ::cordon::control::v1::DrainRequest& request,
                     const Caller& caller, const CallEnd& end,
                     ::cordon::control::v1::DrainResponse* response);

 private:
  const Registry* const registry_;
  Log* const log_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_LISTENER_OPERATOR_H_
