#include "cordon/dtls/control/control_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cordon/dtls/control/listener_names.h"
#include "cordon/dtls/control/rpc_status.h"
#include "cordon/dtls/control/session_proto.h"
#include "cordon/dtls/control/session_watch.h"
#include "cordon/dtls/control/statistics_collector.h"
#include "cordon/dtls/control/statistics_watch.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;

constexpr size_t kCallThreads = 4;
constexpr size_t kMaxCallsQueued = 256;
// Of a call whose caller has set none, or a later one.
constexpr absl::Duration kMaxDuration = absl::Seconds(60);
constexpr absl::Duration kMinInterval = absl::Milliseconds(100);
constexpr absl::Duration kMaxInterval = absl::Hours(1);

// A stream that ends before it has begun.
template <typename Message>
class Refusal final : public grpc::ServerWriteReactor<Message> {
 public:
  explicit Refusal(const absl::Status& status) { this->Finish(ToRpc(status)); }
  void OnDone() override { delete this; }
};

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  return std::min(absl::FromChrono(context.deadline()),
                  absl::Now() + kMaxDuration);
}

v1::LogLevel ToProto(LogLevel level) {
  return static_cast<v1::LogLevel>(level);
}

}  // namespace

ControlService::ControlService(ControlServiceOptions options)
    : options_(std::move(options)),
      log_(options_.log, options_.log_level),
      sessions_(options_.registry.get()),
      listeners_(options_.registry.get(), &log_),
      secrets_(options_.registry.get(), &log_),
      policies_(options_.registry.get(), &log_),
      credentials_(options_.registry.get(), &log_, options_.credentials,
                   options_.credential_interval),
      calls_(kCallThreads, kMaxCallsQueued),
      // Each stream has one task at a time, and one more while it ends.
      watches_(1, 2 * options_.max_streams) {}

ControlService::~ControlService() { Stop(); }

void ControlService::Stop() {
  std::vector<std::shared_ptr<StreamBase>> streams;
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    for (const auto& [key, weak] : streams_) {
      if (auto stream = weak.lock()) streams.push_back(std::move(stream));
    }
  }
  for (const std::shared_ptr<StreamBase>& stream : streams) {
    stream->End(grpc::Status(grpc::StatusCode::UNAVAILABLE,
                             "the service is being ended"));
  }
}

template <typename Request, typename Response, typename Function>
grpc::ServerUnaryReactor* ControlService::Serve(
    absl::string_view method, grpc::CallbackServerContext* context, Role role,
    const Request* request, Response* response, Function function) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::StatusOr<Caller> caller = options_.access->Authorize(*context, role);
  if (!caller.ok()) {
    log_.Write(LogLevel::kWarning, absl::StrCat("refused ", method, ": ",
                                                caller.status().message()));
    reactor->Finish(ToRpc(caller.status()));
    return reactor;
  }
  const bool queued = calls_.Submit([=, this, caller = *std::move(caller),
                                     deadline = DeadlineOf(*context)] {
    const absl::Time begin = absl::Now();
    const absl::Status status = function(*request, caller, deadline, response);
    if (log_.level() >= LogLevel::kDebug) {
      log_.Write(
          LogLevel::kDebug,
          absl::StrCat(caller.name, " calls ", method, ": ",
                       absl::StatusCodeToString(status.code()), " after ",
                       absl::FormatDuration(absl::Now() - begin)));
    }
    reactor->Finish(ToRpc(status));
  });
  if (!queued) {
    reactor->Finish(ToRpc(absl::ResourceExhaustedError(
        "too many calls are waiting: try again later")));
  }
  return reactor;
}

#define CORDON_SERVE(method, Request, Response, role, ...)              \
  grpc::ServerUnaryReactor* ControlService::method(                     \
      grpc::CallbackServerContext* context, const v1::Request* request, \
      v1::Response* response) {                                         \
    return Serve(#method, context, role, request, response,             \
                 [this]([[maybe_unused]] const v1::Request& q,          \
                        [[maybe_unused]] const Caller& caller,          \
                        [[maybe_unused]] absl::Time deadline,           \
                        v1::Response* r) -> absl::Status __VA_ARGS__);  \
  }

CORDON_SERVE(ListListeners, ListListenersRequest, ListListenersResponse,
             Role::kReader, { return listeners_.ListListeners(deadline, r); })
CORDON_SERVE(ListSessions, ListSessionsRequest, ListSessionsResponse,
             Role::kReader, { return sessions_.List(q, deadline, r); })
CORDON_SERVE(GetSession, GetSessionRequest, Session, Role::kReader,
             { return listeners_.GetSession(q, deadline, r); })
CORDON_SERVE(GetStatistics, GetStatisticsRequest, Statistics, Role::kReader, {
  auto statistics =
      CollectStatistics(*options_.registry, q.listener(), deadline);
  if (!statistics.ok()) return statistics.status();
  *r = *std::move(statistics);
  return absl::OkStatus();
})
CORDON_SERVE(GetPolicy, GetPolicyRequest, PolicyVersion, Role::kReader,
             { return policies_.Get(q, r); })
CORDON_SERVE(ListPolicyVersions, ListPolicyVersionsRequest,
             ListPolicyVersionsResponse, Role::kReader,
             { return policies_.List(q, r); })
CORDON_SERVE(ValidatePolicy, ValidatePolicyRequest, ValidatePolicyResponse,
             Role::kReader, { return policies_.Validate(q, r); })
CORDON_SERVE(GetLimits, GetLimitsRequest, GetLimitsResponse, Role::kReader,
             { return listeners_.GetLimits(q, deadline, r); })
CORDON_SERVE(GetLogLevel, GetLogLevelRequest, GetLogLevelResponse,
             Role::kReader, {
               r->set_level(ToProto(log_.level()));
               return absl::OkStatus();
             })
CORDON_SERVE(CloseSessions, CloseSessionsRequest, CloseSessionsResponse,
             Role::kAdmin,
             { return listeners_.CloseSessions(q, caller, deadline, r); })
CORDON_SERVE(SetPolicy, SetPolicyRequest, SetPolicyResponse, Role::kAdmin,
             { return policies_.Set(q, caller, r); })
CORDON_SERVE(RollBackPolicy, RollBackPolicyRequest, SetPolicyResponse,
             Role::kAdmin, { return policies_.RollBack(q, caller, r); })
CORDON_SERVE(RotateCookieSecret, RotateCookieSecretRequest,
             RotateCookieSecretResponse, Role::kAdmin,
             { return secrets_.RotateCookieSecret(q, caller, deadline, r); })
CORDON_SERVE(RotateTicketKeys, RotateTicketKeysRequest,
             RotateTicketKeysResponse, Role::kAdmin,
             { return secrets_.RotateTicketKeys(q, caller, deadline, r); })
CORDON_SERVE(ReloadCredentials, ReloadCredentialsRequest,
             ReloadCredentialsResponse, Role::kAdmin,
             { return credentials_.Reload(q, caller, deadline, r); })
CORDON_SERVE(SetLimits, SetLimitsRequest, GetLimitsResponse, Role::kAdmin,
             { return listeners_.SetLimits(q, caller, deadline, r); })
CORDON_SERVE(Drain, DrainRequest, DrainResponse, Role::kAdmin,
             { return listeners_.Drain(q, caller, deadline, r); })
CORDON_SERVE(SetLogLevel, SetLogLevelRequest, GetLogLevelResponse, Role::kAdmin,
             {
               if (q.level() == v1::LOG_LEVEL_UNSPECIFIED ||
                   !v1::LogLevel_IsValid(q.level())) {
                 return absl::InvalidArgumentError(
                     absl::StrCat("level: ", static_cast<int>(q.level()),
                                  ": say ERROR, WARNING, INFO or DEBUG"));
               }
               const auto level = static_cast<LogLevel>(q.level());
               log_.Write(LogLevel::kInfo,
                          absl::StrCat(caller.name, " sets the log level: ",
                                       v1::LogLevel_Name(ToProto(log_.level())),
                                       " -> ", v1::LogLevel_Name(q.level())));
               log_.set_level(level);
               if (options_.on_log_level) options_.on_log_level(level);
               r->set_level(q.level());
               return absl::OkStatus();
             })
#undef CORDON_SERVE

template <typename Message, typename S>
absl::Status ControlService::Begin(const std::shared_ptr<S>& stream) {
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return absl::UnavailableError("the service is being ended");
    if (streams_.size() >= options_.max_streams) {
      return absl::ResourceExhaustedError(
          absl::StrCat("there are ", options_.max_streams,
                       " watches already, which is the limit"));
    }
    streams_[stream.get()] = stream;
  }
  stream->Hold(stream, [this, key = static_cast<StreamBase*>(stream.get())] {
    absl::MutexLock lock(&mutex_);
    streams_.erase(key);
  });
  return absl::OkStatus();
}

grpc::ServerWriteReactor<v1::SessionEvent>* ControlService::WatchSessions(
    grpc::CallbackServerContext* context,
    const v1::WatchSessionsRequest* request) {
  using Refused = Refusal<v1::SessionEvent>;
  absl::StatusOr<Caller> caller =
      options_.access->Authorize(*context, Role::kReader);
  if (!caller.ok()) return new Refused(caller.status());
  absl::StatusOr<SessionQuery> query = SessionQuery::Compile(request->filter());
  if (!query.ok()) return new Refused(query.status());
  auto listeners =
      ListenersOf(*options_.registry, query->listener(), "filter.listener");
  if (!listeners.ok()) return new Refused(listeners.status());
  auto watch = std::make_shared<SessionWatch>(
      *std::move(query), request->skip_present(), &watches_);
  if (absl::Status status = Begin<v1::SessionEvent>(watch); !status.ok()) {
    return new Refused(status);
  }
  watch->Start(*options_.registry);
  return watch.get();
}

grpc::ServerWriteReactor<v1::Statistics>* ControlService::WatchStatistics(
    grpc::CallbackServerContext* context,
    const v1::WatchStatisticsRequest* request) {
  using Refused = Refusal<v1::Statistics>;
  absl::StatusOr<Caller> caller =
      options_.access->Authorize(*context, Role::kReader);
  if (!caller.ok()) return new Refused(caller.status());
  absl::Duration interval = absl::Seconds(1);
  if (request->has_interval()) {
    absl::StatusOr<absl::Duration> given =
        FromProto(request->interval(), "interval");
    if (!given.ok()) return new Refused(given.status());
    interval = *given;
    if (interval < kMinInterval || interval > kMaxInterval) {
      return new Refused(absl::InvalidArgumentError(
          absl::StrCat("interval: ", absl::FormatDuration(interval),
                       ": it must be from ", absl::FormatDuration(kMinInterval),
                       " to ", absl::FormatDuration(kMaxInterval))));
    }
  }
  auto listeners =
      ListenersOf(*options_.registry, request->listener(), "listener");
  if (!listeners.ok()) return new Refused(listeners.status());
  auto watch = std::make_shared<StatisticsWatch>(
      options_.registry, request->listener(), interval, &watches_);
  if (absl::Status status = Begin<v1::Statistics>(watch); !status.ok()) {
    return new Refused(status);
  }
  watch->Start();
  return watch.get();
}

}  // namespace cordon::dtls::control
