// The methods of control.proto.
#ifndef CORDON_DTLS_CONTROL_CONTROL_SERVICE_H_
#define CORDON_DTLS_CONTROL_CONTROL_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/call_end.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/dtls/control/credential_reloader.h"
#include "cordon/dtls/control/limited_log.h"
#include "cordon/dtls/control/listener_operator.h"
#include "cordon/dtls/control/log.h"
#include "cordon/dtls/control/policy_operator.h"
#include "cordon/dtls/control/secret_operator.h"
#include "cordon/dtls/control/session_lister.h"
#include "cordon/dtls/control/shares.h"
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
  // Adds what is known elsewhere of the control service; on any thread.
  std::function<void(::cordon::control::v1::ControlStatistics*)>
      add_statistics = {};

  // Limits. Calls that run or wait: in all, of one reader, of one admin, and
  // those of `max_calls` that only admins get.
  size_t max_calls = 256;
  size_t max_calls_per_reader = 32;
  size_t max_calls_per_admin = 128;
  size_t calls_for_admins = 128;
  // The bytes of their requests and answers.
  size_t max_call_bytes = size_t{64} << 20;
  size_t max_call_bytes_per_reader = size_t{16} << 20;
  size_t max_call_bytes_per_admin = size_t{32} << 20;
  size_t call_bytes_for_admins = size_t{32} << 20;
  // Of a call whose caller has set no deadline, or a later one.
  absl::Duration max_call_time = absl::Seconds(60);
  // Watches. What waits in one is limited by `SessionFeed`.
  size_t max_streams = 64;
  size_t max_streams_per_reader = 16;
  size_t max_streams_per_admin = 64;
  size_t streams_for_admins = 16;
};

// Calls are served on a few threads of its own, never on gRPC's or a reactor's:
// those of readers and of admins on different ones, and so what goes through
// all sessions and what does not. No reader has all threads. When too many
// wait, more are refused with kResourceExhausted. A call whose caller has gone,
// or whose deadline is over, ends. Must outlive the gRPC server that it is
// registered with. Thread-safe.
class ControlService final
    : public ::cordon::control::v1::Control::CallbackService {
 public:
  explicit ControlService(ControlServiceOptions options);
  ~ControlService() override;

  // Ends all calls and streams, and refuses new ones, with kUnavailable.
  void Stop();

  Log& log() { return log_; }

 private:
  class Call;
  // Whether a call goes through all sessions.
  enum class Weight { kLight, kHeavy };

  // Answers on a thread that may block.
  template <typename Request, typename Response, typename Function>
  grpc::ServerUnaryReactor* Serve(absl::string_view method,
                                  grpc::CallbackServerContext* context,
                                  Role role, Weight weight,
                                  const Request* request, Response* response,
                                  Function function);
  absl::StatusOr<Call*> Begin(const Caller& caller, WorkerPool& pool,
                              absl::Time deadline, size_t request_bytes);
  // The call holds so many bytes more, until it is forgotten.
  absl::Status Hold(Call* call, size_t answer_bytes);
  void Forget(Call* call);
  WorkerPool& PoolFor(const Caller& caller, Weight weight);
  // Counts `stream` as long as it lasts.
  template <typename Message, typename S>
  absl::Status Begin(const std::shared_ptr<S>& stream, const Caller& caller);
  absl::StatusOr<Caller> Admit(absl::string_view method,
                               const grpc::CallbackServerContext& context,
                               Role role);
  void AddStatistics(::cordon::control::v1::Statistics* statistics);

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

  LimitedLog refused_;
  // Of what belongs to no call. Cancelled by `Stop`.
  const CallEnd service_end_{absl::InfiniteFuture()};

  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<Call*> calls_ ABSL_GUARDED_BY(mutex_);
  Shares call_shares_ ABSL_GUARDED_BY(mutex_);
  Shares byte_shares_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<StreamBase*, std::weak_ptr<StreamBase>> streams_
      ABSL_GUARDED_BY(mutex_);
  Shares stream_shares_ ABSL_GUARDED_BY(mutex_);
  uint64_t refused_by_role_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t refused_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t refused_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t refused_streams_ ABSL_GUARDED_BY(mutex_) = 0;

  // Last, so that their threads end first.
  WorkerPool light_for_readers_;
  WorkerPool heavy_for_readers_;
  WorkerPool light_for_admins_;
  WorkerPool heavy_for_admins_;
  // Watches of sessions never block; those of statistics wait for listeners.
  WorkerPool watches_;
  WorkerPool statistics_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_CONTROL_SERVICE_H_
