#include "cordon/dtls/control/control_service.h"

#include <algorithm>
#include <optional>
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

// Of readers and of admins each; and how many of these one caller may have.
constexpr size_t kLightThreads = 4;
constexpr size_t kLightThreadsPerCaller = 3;
constexpr size_t kHeavyThreadsForReaders = 2;
constexpr size_t kHeavyThreadsPerReader = 1;
constexpr size_t kHeavyThreadsForAdmins = 3;
constexpr size_t kHeavyThreadsPerAdmin = 2;
constexpr size_t kStatisticsThreads = 2;
constexpr size_t kStatisticsThreadsPerCaller = 1;
constexpr char kStopped[] = "the service is being ended";
constexpr absl::Duration kMinInterval = absl::Milliseconds(100);
constexpr absl::Duration kMaxInterval = absl::Hours(1);

// A stream that ends before it has begun.
template <typename Message>
class Refusal final : public grpc::ServerWriteReactor<Message> {
 public:
  explicit Refusal(const absl::Status& status) { this->Finish(ToRpc(status)); }
  void OnDone() override { delete this; }
};

v1::LogLevel ToProto(LogLevel level) {
  return static_cast<v1::LogLevel>(level);
}

}  // namespace

// One call that runs or waits. Belongs to gRPC, which is done with it when
// `OnDone` is called.
class ControlService::Call final : public grpc::ServerUnaryReactor {
 public:
  Call(ControlService* service, Caller c, WorkerPool* p, absl::Time deadline,
       size_t held)
      : caller(std::move(c)),
        end(deadline),
        pool(p),
        bytes(held),
        service_(service) {}

  const Caller caller;
  const CallEnd end;
  // Where it waits for a thread, or has one.
  WorkerPool* const pool;
  // What it has of `ControlService::byte_shares_`.
  size_t bytes;

 private:
  void OnCancel() override {
    const absl::Status why = absl::CancelledError("the caller has gone");
    end.Cancel(why);
    // Otherwise, whoever serves it finishes it.
    if (pool->Remove(this)) Finish(ToRpc(why));
  }
  void OnDone() override {
    service_->Forget(this);
    delete this;
  }

  ControlService* const service_;
};

ControlService::ControlService(ControlServiceOptions options)
    : options_(std::move(options)),
      log_(options_.log, options_.log_level),
      sessions_(options_.registry.get()),
      listeners_(options_.registry.get(), &log_),
      secrets_(options_.registry.get(), &log_),
      policies_(options_.registry.get(), &log_),
      credentials_(options_.registry.get(), &log_, options_.credentials,
                   options_.credential_interval),
      call_shares_({.total = options_.max_calls,
                    .per_reader = options_.max_calls_per_reader,
                    .per_admin = options_.max_calls_per_admin,
                    .for_admins = options_.calls_for_admins}),
      byte_shares_({.total = options_.max_call_bytes,
                    .per_reader = options_.max_call_bytes_per_reader,
                    .per_admin = options_.max_call_bytes_per_admin,
                    .for_admins = options_.call_bytes_for_admins}),
      stream_shares_({.total = options_.max_streams,
                      .per_reader = options_.max_streams_per_reader,
                      .per_admin = options_.max_streams_per_admin,
                      .for_admins = options_.streams_for_admins}),
      light_for_readers_(kLightThreads, options_.max_calls,
                         kLightThreadsPerCaller),
      heavy_for_readers_(kHeavyThreadsForReaders, options_.max_calls,
                         kHeavyThreadsPerReader),
      light_for_admins_(kLightThreads, options_.max_calls,
                        kLightThreadsPerCaller),
      heavy_for_admins_(kHeavyThreadsForAdmins, options_.max_calls,
                        kHeavyThreadsPerAdmin),
      // Each stream has one task at a time, and one more while it ends.
      watches_(1, 2 * options_.max_streams),
      statistics_(kStatisticsThreads, 2 * options_.max_streams,
                  kStatisticsThreadsPerCaller) {}

ControlService::~ControlService() { Stop(); }

void ControlService::Stop() {
  service_end_.Cancel(absl::CancelledError(kStopped));
  credentials_.Stop();
  std::vector<std::shared_ptr<StreamBase>> streams;
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    for (const Call* call : calls_) {
      call->end.Cancel(absl::CancelledError(kStopped));
    }
    for (const auto& [key, weak] : streams_) {
      if (auto stream = weak.lock()) streams.push_back(std::move(stream));
    }
  }
  for (const std::shared_ptr<StreamBase>& stream : streams) {
    stream->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, kStopped));
  }
}

absl::StatusOr<Caller> ControlService::Admit(
    absl::string_view method, const grpc::CallbackServerContext& context,
    Role role) {
  absl::StatusOr<Caller> caller = options_.access->Authorize(context, role);
  if (caller.ok()) return caller;
  {
    absl::MutexLock lock(&mutex_);
    ++refused_by_role_;
  }
  if (const std::optional<std::string> line = refused_.Admit(
          absl::StrCat("refused ", method, ": ", caller.status().message()))) {
    log_.Write(LogLevel::kWarning, *line);
  }
  return caller;
}

absl::StatusOr<ControlService::Call*> ControlService::Begin(
    const Caller& caller, WorkerPool& pool, absl::Time deadline,
    size_t request_bytes) {
  const bool admin = caller.role == Role::kAdmin;
  absl::MutexLock lock(&mutex_);
  if (stopped_) return absl::UnavailableError(kStopped);
  ShareVerdict verdict = call_shares_.Take(caller.name, admin);
  if (verdict != ShareVerdict::kGranted) {
    ++refused_calls_;
    return call_shares_.Explain(verdict, caller.name, admin, "calls");
  }
  verdict = byte_shares_.Take(caller.name, admin, request_bytes);
  if (verdict != ShareVerdict::kGranted) {
    call_shares_.Return(caller.name, admin);
    ++refused_bytes_;
    return byte_shares_.Explain(verdict, caller.name, admin,
                                "bytes of requests and answers");
  }
  auto* const call = new Call(this, caller, &pool, deadline, request_bytes);
  calls_.insert(call);
  return call;
}

absl::Status ControlService::Hold(Call* call, size_t answer_bytes) {
  const bool admin = call->caller.role == Role::kAdmin;
  absl::MutexLock lock(&mutex_);
  const ShareVerdict verdict =
      byte_shares_.Take(call->caller.name, admin, answer_bytes);
  if (verdict == ShareVerdict::kGranted) {
    call->bytes += answer_bytes;
  } else {
    ++refused_bytes_;
  }
  return byte_shares_.Explain(verdict, call->caller.name, admin,
                              "bytes of requests and answers");
}

void ControlService::Forget(Call* call) {
  const bool admin = call->caller.role == Role::kAdmin;
  absl::MutexLock lock(&mutex_);
  calls_.erase(call);
  call_shares_.Return(call->caller.name, admin);
  byte_shares_.Return(call->caller.name, admin, call->bytes);
}

WorkerPool& ControlService::PoolFor(const Caller& caller, Weight weight) {
  const bool admin = caller.role == Role::kAdmin;
  switch (weight) {
    case Weight::kLight:
      return admin ? light_for_admins_ : light_for_readers_;
    case Weight::kHeavy:
      break;
  }
  return admin ? heavy_for_admins_ : heavy_for_readers_;
}

void ControlService::AddStatistics(v1::Statistics* statistics) {
  v1::ControlStatistics* const control = statistics->mutable_control();
  if (options_.add_statistics) options_.add_statistics(control);
  auto& refused = *control->mutable_refused();
  absl::MutexLock lock(&mutex_);
  control->set_calls(call_shares_.taken());
  control->set_call_bytes(byte_shares_.taken());
  control->set_watches(stream_shares_.taken());
  refused["calls_without_role"] += refused_by_role_;
  refused["max_calls"] += refused_calls_;
  refused["max_call_bytes"] += refused_bytes_;
  refused["max_streams"] += refused_streams_;
}

template <typename Request, typename Response, typename Function>
grpc::ServerUnaryReactor* ControlService::Serve(
    absl::string_view method, grpc::CallbackServerContext* context, Role role,
    Weight weight, const Request* request, Response* response,
    Function function) {
  const auto refuse = [&](const absl::Status& status) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(ToRpc(status));
    return reactor;
  };
  const absl::StatusOr<Caller> caller = Admit(method, *context, role);
  if (!caller.ok()) return refuse(caller.status());
  const absl::StatusOr<Call*> begun =
      Begin(*caller, PoolFor(*caller, weight),
            std::min(absl::FromChrono(context->deadline()),
                     absl::Now() + options_.max_call_time),
            request->ByteSizeLong());
  if (!begun.ok()) return refuse(begun.status());
  Call* const call = *begun;
  const auto serve = [=, this] {
    const absl::Time begin = absl::Now();
    absl::Status status = call->end.Check();
    if (status.ok()) status = function(*request, *call, response);
    if (status.ok()) status = Hold(call, response->ByteSizeLong());
    if (absl::IsCancelled(status) && !service_end_.cancelled().ok()) {
      status = absl::UnavailableError(status.message());
    }
    if (log_.level() >= LogLevel::kDebug) {
      log_.Write(
          LogLevel::kDebug,
          absl::StrCat(call->caller.name, " calls ", method, ": ",
                       absl::StatusCodeToString(status.code()), " after ",
                       absl::FormatDuration(absl::Now() - begin)));
    }
    call->Finish(ToRpc(status));
  };
  // There is room for as many as may have begun.
  if (!call->pool->Submit(caller->name, serve, call)) {
    call->Finish(ToRpc(absl::UnavailableError(kStopped)));
  }
  return call;
}

#define CORDON_SERVE(method, Request, Response, role, weight, ...)      \
  grpc::ServerUnaryReactor* ControlService::method(                     \
      grpc::CallbackServerContext* context, const v1::Request* request, \
      v1::Response* response) {                                         \
    return Serve(#method, context, role, weight, request, response,     \
                 [this]([[maybe_unused]] const v1::Request& q,          \
                        [[maybe_unused]] const Call& call,              \
                        v1::Response* r) -> absl::Status __VA_ARGS__);  \
  }

CORDON_SERVE(ListListeners, ListListenersRequest, ListListenersResponse,
             Role::kReader, Weight::kLight,
             { return listeners_.ListListeners(call.end, r); })
CORDON_SERVE(ListSessions, ListSessionsRequest, ListSessionsResponse,
             Role::kReader, Weight::kHeavy,
             { return sessions_.List(q, call.end, r); })
CORDON_SERVE(GetSession, GetSessionRequest, Session, Role::kReader,
             Weight::kLight, { return listeners_.GetSession(q, call.end, r); })
CORDON_SERVE(GetStatistics, GetStatisticsRequest, Statistics, Role::kReader,
             Weight::kLight, {
               auto statistics = CollectStatistics(*options_.registry,
                                                   q.listener(), call.end);
               if (!statistics.ok()) return statistics.status();
               *r = *std::move(statistics);
               AddStatistics(r);
               return absl::OkStatus();
             })
CORDON_SERVE(GetPolicy, GetPolicyRequest, PolicyVersion, Role::kReader,
             Weight::kLight, { return policies_.Get(q, r); })
CORDON_SERVE(ListPolicyVersions, ListPolicyVersionsRequest,
             ListPolicyVersionsResponse, Role::kReader, Weight::kLight,
             { return policies_.List(q, r); })
CORDON_SERVE(ValidatePolicy, ValidatePolicyRequest, ValidatePolicyResponse,
             Role::kReader, Weight::kHeavy,
             { return policies_.Validate(q, call.end, r); })
CORDON_SERVE(GetLimits, GetLimitsRequest, GetLimitsResponse, Role::kReader,
             Weight::kLight, { return listeners_.GetLimits(q, call.end, r); })
CORDON_SERVE(GetLogLevel, GetLogLevelRequest, GetLogLevelResponse,
             Role::kReader, Weight::kLight, {
               r->set_level(ToProto(log_.level()));
               return absl::OkStatus();
             })
CORDON_SERVE(CloseSessions, CloseSessionsRequest, CloseSessionsResponse,
             Role::kAdmin, Weight::kHeavy,
             { return listeners_.CloseSessions(q, call.caller, call.end, r); })
CORDON_SERVE(SetPolicy, SetPolicyRequest, SetPolicyResponse, Role::kAdmin,
             Weight::kHeavy,
             { return policies_.Set(q, call.caller, service_end_, r); })
CORDON_SERVE(RollBackPolicy, RollBackPolicyRequest, SetPolicyResponse,
             Role::kAdmin, Weight::kHeavy,
             { return policies_.RollBack(q, call.caller, service_end_, r); })
CORDON_SERVE(RotateCookieSecret, RotateCookieSecretRequest,
             RotateCookieSecretResponse, Role::kAdmin, Weight::kLight, {
               return secrets_.RotateCookieSecret(q, call.caller, call.end, r);
             })
CORDON_SERVE(RotateTicketKeys, RotateTicketKeysRequest,
             RotateTicketKeysResponse, Role::kAdmin, Weight::kLight,
             { return secrets_.RotateTicketKeys(q, call.caller, call.end, r); })
CORDON_SERVE(ReloadCredentials, ReloadCredentialsRequest,
             ReloadCredentialsResponse, Role::kAdmin, Weight::kHeavy,
             { return credentials_.Reload(q, call.caller, call.end, r); })
CORDON_SERVE(SetLimits, SetLimitsRequest, GetLimitsResponse, Role::kAdmin,
             Weight::kLight,
             { return listeners_.SetLimits(q, call.caller, call.end, r); })
CORDON_SERVE(Drain, DrainRequest, DrainResponse, Role::kAdmin, Weight::kLight,
             { return listeners_.Drain(q, call.caller, call.end, r); })
CORDON_SERVE(SetLogLevel, SetLogLevelRequest, GetLogLevelResponse, Role::kAdmin,
             Weight::kLight, {
               if (q.level() == v1::LOG_LEVEL_UNSPECIFIED ||
                   !v1::LogLevel_IsValid(q.level())) {
                 return absl::InvalidArgumentError(
                     absl::StrCat("level: ", static_cast<int>(q.level()),
                                  ": say ERROR, WARNING, INFO or DEBUG"));
               }
               const auto level = static_cast<LogLevel>(q.level());
               log_.Write(
                   LogLevel::kInfo,
                   absl::StrCat(call.caller.name, " sets the log level: ",
                                v1::LogLevel_Name(ToProto(log_.level())),
                                " -> ", v1::LogLevel_Name(q.level())));
               log_.set_level(level);
               if (options_.on_log_level) options_.on_log_level(level);
               r->set_level(q.level());
               return absl::OkStatus();
             })
#undef CORDON_SERVE

template <typename Message, typename S>
absl::Status ControlService::Begin(const std::shared_ptr<S>& stream,
                                   const Caller& caller) {
  const bool admin = caller.role == Role::kAdmin;
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return absl::UnavailableError(kStopped);
    const ShareVerdict verdict = stream_shares_.Take(caller.name, admin);
    if (verdict != ShareVerdict::kGranted) {
      ++refused_streams_;
      return stream_shares_.Explain(verdict, caller.name, admin, "watches");
    }
    streams_[stream.get()] = stream;
  }
  stream->Hold(stream, [this, key = static_cast<StreamBase*>(stream.get()),
                        name = caller.name, admin] {
    absl::MutexLock lock(&mutex_);
    streams_.erase(key);
    stream_shares_.Return(name, admin);
  });
  return absl::OkStatus();
}

grpc::ServerWriteReactor<v1::SessionEvent>* ControlService::WatchSessions(
    grpc::CallbackServerContext* context,
    const v1::WatchSessionsRequest* request) {
  using Refused = Refusal<v1::SessionEvent>;
  const absl::StatusOr<Caller> caller =
      Admit("WatchSessions", *context, Role::kReader);
  if (!caller.ok()) return new Refused(caller.status());
  absl::StatusOr<SessionQuery> query = SessionQuery::Compile(request->filter());
  if (!query.ok()) return new Refused(query.status());
  auto listeners =
      ListenersOf(*options_.registry, query->listener(), "filter.listener");
  if (!listeners.ok()) return new Refused(listeners.status());
  auto watch = std::make_shared<SessionWatch>(
      *std::move(query), request->skip_present(), &watches_, caller->name);
  if (absl::Status status = Begin<v1::SessionEvent>(watch, *caller);
      !status.ok()) {
    return new Refused(status);
  }
  watch->Start(*options_.registry);
  return watch.get();
}

grpc::ServerWriteReactor<v1::Statistics>* ControlService::WatchStatistics(
    grpc::CallbackServerContext* context,
    const v1::WatchStatisticsRequest* request) {
  using Refused = Refusal<v1::Statistics>;
  const absl::StatusOr<Caller> caller =
      Admit("WatchStatistics", *context, Role::kReader);
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
      options_.registry, request->listener(), interval, &statistics_,
      caller->name,
      [this](v1::Statistics* statistics) { AddStatistics(statistics); });
  if (absl::Status status = Begin<v1::Statistics>(watch, *caller);
      !status.ok()) {
    return new Refused(status);
  }
  watch->Start();
  return watch.get();
}

}  // namespace cordon::dtls::control
