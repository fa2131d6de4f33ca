// The methods of control.proto.
#ifndef CORDON_DTLS_CONTROL_CONTROL_SERVICE_H_
#define CORDON_DTLS_CONTROL_CONTROL_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/dtls/control/credential_reloader.h"
#include "cordon/dtls/control/listener_operator.h"
#include "cordon/dtls/control/log.h"
#include "cordon/dtls/control/policy_operator.h"
#include "cordon/dtls/control/secret_operator.h"
#include "cordon/dtls/control/session_lister.h"
#include "cordon/dtls/control/stream.h"
#include "cordon/dtls/control/worker_pool.h"
#include "cordon/dtls/registry.h"

namespace cordon::dtls::control {

struct ControlServiceOptions {
  std::shared_ptr<Registry> registry = {};
  std::shared_ptr<const AccessControl> access = {};
  // See credential_reloader.h.
  std::vector<CredentialSource> credentials = {};
  absl::Duration credential_interval = absl::Seconds(2);
  // Who changed what, and failures; by default on the standard error output.
  Log::Sink log = {};
  LogLevel log_level = LogLevel::kInfo;
  // Told when an operator sets the log level, for the service to follow it; on
  // any thread.
  std::function<void(LogLevel)> on_log_level = {};
  // Watches of all callers.
  size_t max_streams = 64;
};

// Calls are served on a few threads of its own, never on gRPC's or a reactor's;
// when too many wait, more are refused with kResourceExhausted. Must outlive
// the gRPC server that it is registered with. Thread-safe.
class ControlService final
    : public ::cordon::control::v1::Control::CallbackService {
 public:
  explicit ControlService(ControlServiceOptions options);
  ~ControlService() override;

  // Ends all streams, and refuses new ones, with kUnavailable.
  void Stop();

  Log& log() { return log_; }

 private:
  // Answers on a thread that may block.
  template <typename Request, typename Response, typename Function>
  grpc::ServerUnaryReactor* Serve(absl::string_view method,
                                  grpc::CallbackServerContext* context,
                                  Role role, const Request* request,
                                  Response* response, Function function);
  // Counts `stream` as long as it lasts.
  template <typename Message, typename S>
  absl::Status Begin(const std::shared_ptr<S>& stream);

#define CORDON_UNARY(method, request, response)                           \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext*,          \
                                   const ::cordon::control::v1::request*, \
                                   ::cordon::control::v1::response*) override
  CORDON_UNARY(ListListeners, ListListenersRequest, ListListenersResponse);
  CORDON_UNARY(ListSessions, ListSessionsRequest, ListSessionsResponse);
  CORDON_UNARY(GetSession, GetSessionRequest, Session);
  CORDON_UNARY(GetStatistics, GetStatisticsRequest, Statistics);
  CORDON_UNARY(GetPolicy, GetPolicyRequest, PolicyVersion);
  CORDON_UNARY(ListPolicyVersions, ListPolicyVersionsRequest,
               ListPolicyVersionsResponse);
  CORDON_UNARY(ValidatePolicy, ValidatePolicyRequest, ValidatePolicyResponse);
  CORDON_UNARY(GetLimits, GetLimitsRequest, GetLimitsResponse);
  CORDON_UNARY(GetLogLevel, GetLogLevelRequest, GetLogLevelResponse);
  CORDON_UNARY(CloseSessions, CloseSessionsRequest, CloseSessionsResponse);
  CORDON_UNARY(SetPolicy, SetPolicyRequest, SetPolicyResponse);
  CORDON_UNARY(RollBackPolicy, RollBackPolicyRequest, SetPolicyResponse);
  CORDON_UNARY(RotateCookieSecret, RotateCookieSecretRequest,
               RotateCookieSecretResponse);
  CORDON_UNARY(RotateTicketKeys, RotateTicketKeysRequest,
               RotateTicketKeysResponse);
  CORDON_UNARY(ReloadCredentials, ReloadCredentialsRequest,
               ReloadCredentialsResponse);
  CORDON_UNARY(SetLimits, SetLimitsRequest, GetLimitsResponse);
  CORDON_UNARY(Drain, DrainRequest, DrainResponse);
  CORDON_UNARY(SetLogLevel, SetLogLevelRequest, GetLogLevelResponse);
#undef CORDON_UNARY

  grpc::ServerWriteReactor<::cordon::control::v1::SessionEvent>* WatchSessions(
      grpc::CallbackServerContext* context,
      const ::cordon::control::v1::WatchSessionsRequest* request) override;
  grpc::ServerWriteReactor<::cordon::control::v1::Statistics>* WatchStatistics(
      grpc::CallbackServerContext* context,
      const ::cordon::control::v1::WatchStatisticsRequest* request) override;

  const ControlServiceOptions options_;
  Log log_;
  SessionLister sessions_;
  ListenerOperator listeners_;
  SecretOperator secrets_;
  PolicyOperator policies_;
  CredentialReloader credentials_;

  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<StreamBase*, std::weak_ptr<StreamBase>> streams_
      ABSL_GUARDED_BY(mutex_);

  // Last, so that their threads end first.
  WorkerPool calls_;
  WorkerPool watches_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_CONTROL_SERVICE_H_
