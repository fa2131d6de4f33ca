// New secrets for cookies and session tickets.
#ifndef CORDON_DTLS_CONTROL_SECRET_OPERATOR_H_
#define CORDON_DTLS_CONTROL_SECRET_OPERATOR_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/call_end.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/log.h"
#include "cordon/dtls/registry.h"

namespace cordon::dtls::control {

// Thread-safe; its methods block, but not beyond `end`. What was made with
// the secrets before stays good for its time.
class SecretOperator {
 public:
  SecretOperator(const Registry* registry, Log* log)
      : registry_(registry), log_(log) {}

  absl::Status RotateCookieSecret(
      const ::cordon::control::v1::RotateCookieSecretRequest& request,
      const Caller& caller, const CallEnd& end,
      ::cordon::control::v1::RotateCookieSecretResponse* response);
  absl::Status RotateTicketKeys(
      const ::cordon::control::v1::RotateTicketKeysRequest& request,
      const Caller& caller, const CallEnd& end,
      ::cordon::control::v1::RotateTicketKeysResponse* response);

 private:
  const Registry* const registry_;
  Log* const log_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_SECRET_OPERATOR_H_
