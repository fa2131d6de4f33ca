// Statuses of ours as those of gRPC: the codes are the same.
#ifndef CORDON_DTLS_CONTROL_RPC_STATUS_H_
#define CORDON_DTLS_CONTROL_RPC_STATUS_H_

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/status/status.h"
#include "cordon/dtls/control/utf8.h"

namespace cordon::dtls::control {

inline grpc::Status ToRpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()),
                      ToUtf8(status.message()));
}

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_RPC_STATUS_H_
