// The connection to a control service, as --target and the flags beside it
// describe it.
//
//   absl::StatusOr<Connection> connection = Connection::Open();
//   if (!connection.ok()) return connection.status();
//   pb::GetSessionRequest request;
//   request.set_id(7);
//   auto session = connection->Call(&Stub::GetSession, request);
//
// Errors are those that the user is told; see exit_code.h.
#ifndef CORDON_TOOLS_CORDONCTL_CONNECTION_H_
#define CORDON_TOOLS_CORDONCTL_CONNECTION_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/tools/cordonctl/exit_code.h"
#include "grpcpp/client_context.h"

namespace cordon::tools::ctl {

namespace pb = ::cordon::control::v1;
using Stub = pb::Control::Stub;

class Connection {
 public:
  // Reads the flags. The service itself is contacted by the first call.
  static absl::StatusOr<Connection> Open();

  // As the user named it.
  const std::string& target() const { return target_; }

  // Connects, within --timeout. That it fails for other reasons than silence is
  // told by the next call.
  absl::Status Reach();

  // One call, within --timeout and `extra`.
  template <class Request, class Response>
  absl::StatusOr<Response> Call(
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                   Response*),
      const Request& request, absl::Duration extra = absl::ZeroDuration()) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Deadline() + extra));
    Response response;
    const grpc::Status status =
        (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return FromServer(status, target_);
    return response;
  }

  // A stream, until `on_message` returns false (which is fine), or the server
  // ends it (which is not). `context` may be used to cancel it.
  template <class Request, class Response>
  absl::Status Watch(std::unique_ptr<grpc::ClientReader<Response>> (
                         Stub::*method)(grpc::ClientContext*, const Request&),
                     const Request& request, grpc::ClientContext* context,
                     absl::FunctionRef<bool(const Response&)> on_message) {
    // A stream has no deadline, but its beginning has.
    if (absl::Status status = Reach(); !status.ok()) return status;
    auto reader = (stub_.get()->*method)(context, request);
    Response response;
    while (reader->Read(&response)) {
      if (!on_message(response)) {
        context->TryCancel();
        // The status says that it was cancelled, by us.
        (void)reader->Finish();
        return absl::OkStatus();
      }
      response.Clear();
    }
    return EndOfStream(reader->Finish());
  }

 private:
  Connection(std::string target, std::shared_ptr<grpc::Channel> channel);

  static absl::Time Deadline();
  absl::Status EndOfStream(const grpc::Status& status) const;

  std::string target_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_CONNECTION_H_
