// A control service for tests, which answers as a test says and keeps what it
// was asked.
//
//   FakeControl service;
//   service.get_session.answer = [](const auto& request, auto* session) {
//     session->set_id(request.id());
//     return grpc::Status::OK;
//   };
#ifndef CORDON_TOOLS_CORDONCTL_FAKE_CONTROL_H_
#define CORDON_TOOLS_CORDONCTL_FAKE_CONTROL_H_

#include <functional>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "grpcpp/server_context.h"

namespace cordon::tools::ctl {

namespace pb = ::cordon::control::v1;

// Set up before a call, read after it.
template <class Request, class Response>
struct FakeMethod {
  std::function<grpc::Status(const Request&, Response*)> answer;
  std::vector<Request> requests;
};

template <class Request, class Response>
struct FakeStream {
  std::vector<Response> messages;
  // The end of the stream; otherwise it stays open until the client goes.
  bool ends = false;
  grpc::Status status;
  std::vector<Request> requests;
};

class FakeControl : public pb::Control::Service {
 public:
// Twenty methods are the same. NOLINTBEGIN(bugprone-macro-parentheses)
#define CORDON_FAKE_METHOD(Name, Request, Response, member)           \
  FakeMethod<pb::Request, pb::Response> member;                       \
  grpc::Status Name(grpc::ServerContext*, const pb::Request* request, \
                    pb::Response* response) override {                \
    return Answer(*request, response, &(member));                     \
  }
  // NOLINTEND(bugprone-macro-parentheses)

  CORDON_FAKE_METHOD(ListListeners, ListListenersRequest, ListListenersResponse,
                     list_listeners)
  CORDON_FAKE_METHOD(ListSessions, ListSessionsRequest, ListSessionsResponse,
                     list_sessions)
  CORDON_FAKE_METHOD(GetSession, GetSessionRequest, Session, get_session)
  CORDON_FAKE_METHOD(GetStatistics, GetStatisticsRequest, Statistics,
                     get_statistics)
  CORDON_FAKE_METHOD(GetPolicy, GetPolicyRequest, PolicyVersion, get_policy)
  CORDON_FAKE_METHOD(ListPolicyVersions, ListPolicyVersionsRequest,
                     ListPolicyVersionsResponse, list_policy_versions)
  CORDON_FAKE_METHOD(ValidatePolicy, ValidatePolicyRequest,
                     ValidatePolicyResponse, validate_policy)
  CORDON_FAKE_METHOD(GetLimits, GetLimitsRequest, GetLimitsResponse, get_limits)
  CORDON_FAKE_METHOD(GetLogLevel, GetLogLevelRequest, GetLogLevelResponse,
                     get_log_level)
  CORDON_FAKE_METHOD(CloseSessions, CloseSessionsRequest, CloseSessionsResponse,
                     close_sessions)
  CORDON_FAKE_METHOD(SetPolicy, SetPolicyRequest, SetPolicyResponse, set_policy)
  CORDON_FAKE_METHOD(RollBackPolicy, RollBackPolicyRequest, SetPolicyResponse,
                     roll_back_policy)
  CORDON_FAKE_METHOD(RotateCookieSecret, RotateCookieSecretRequest,
                     RotateCookieSecretResponse, rotate_cookie_secret)
  CORDON_FAKE_METHOD(RotateTicketKeys, RotateTicketKeysRequest,
                     RotateTicketKeysResponse, rotate_ticket_keys)
  CORDON_FAKE_METHOD(ReloadCredentials, ReloadCredentialsRequest,
                     ReloadCredentialsResponse, reload_credentials)
  CORDON_FAKE_METHOD(SetLimits, SetLimitsRequest, GetLimitsResponse, set_limits)
  CORDON_FAKE_METHOD(Drain, DrainRequest, DrainResponse, drain)
  CORDON_FAKE_METHOD(SetLogLevel, SetLogLevelRequest, GetLogLevelResponse,
                     set_log_level)
#undef CORDON_FAKE_METHOD

  FakeStream<pb::WatchSessionsRequest, pb::SessionEvent> watch_sessions;
  grpc::Status WatchSessions(
      grpc::ServerContext* context, const pb::WatchSessionsRequest* request,
      grpc::ServerWriter<pb::SessionEvent>* writer) override {
    return Stream(context, *request, writer, &watch_sessions);
  }
  FakeStream<pb::WatchStatisticsRequest, pb::Statistics> watch_statistics;
  grpc::Status WatchStatistics(
      grpc::ServerContext* context, const pb::WatchStatisticsRequest* request,
      grpc::ServerWriter<pb::Statistics>* writer) override {
    return Stream(context, *request, writer, &watch_statistics);
  }

 private:
  template <class Request, class Response>
  grpc::Status Answer(const Request& request, Response* response,
                      FakeMethod<Request, Response>* method) {
    absl::MutexLock lock(&mutex_);
    method->requests.push_back(request);
    if (!method->answer) {
      return {grpc::StatusCode::UNIMPLEMENTED, "not in this test"};
    }
    return method->answer(request, response);
  }

  template <class Request, class Response>
  grpc::Status Stream(grpc::ServerContext* context, const Request& request,
                      grpc::ServerWriter<Response>* writer,
                      FakeStream<Request, Response>* stream) {
    std::vector<Response> messages;
    {
      absl::MutexLock lock(&mutex_);
      stream->requests.push_back(request);
      messages = stream->messages;
    }
    for (const Response& message : messages) writer->Write(message);
    if (stream->ends) return stream->status;
    while (!context->IsCancelled()) {
      absl::MutexLock lock(&mutex_);
      // Nobody signals it; the time is how often the client is looked for.
      never_.WaitWithTimeout(&mutex_, absl::Milliseconds(5));
    }
    return grpc::Status::CANCELLED;
  }

  absl::Mutex mutex_;
  absl::CondVar never_;
};

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_FAKE_CONTROL_H_
