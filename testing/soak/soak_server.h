// An `echo_server` with a control service, in a process of its own.
#ifndef CORDON_TESTING_SOAK_SOAK_SERVER_H_
#define CORDON_TESTING_SOAK_SOAK_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"

namespace cordon::testing {

class SoakServer {
 public:
  using Stub = ::cordon::control::v1::Control::Stub;

  // `program` is the path of echo_server, or of restarting_server; `more` are
  // flags for it.
  static absl::StatusOr<std::unique_ptr<SoakServer>> Start(
      absl::string_view program, const std::vector<std::string>& more = {});

  const net::Endpoint& endpoint() const { return endpoint_; }
  // Whose certificates it has and trusts.
  const TestAuthority& authority() const { return authority_; }

  template <typename Request, typename Response>
  std::pair<grpc::Status, Response> Do(
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                   Response*),
      const Request& request) {
    // Its log would fill the pipe.
    process_->ReadAvailable();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(30));
    std::pair<grpc::Status, Response> answer;
    answer.first = (*stub_.*method)(&context, request, &answer.second);
    return answer;
  }
  ::cordon::control::v1::Statistics Statistics();

  // Puts another certificate into its files.
  void ReplaceCertificate();

  // Ends it and returns its exit code.
  int Stop();
  // What it has said last.
  std::string last_line() const;

 private:
  SoakServer();

  const TestAuthority authority_;
  // Paths of Unix sockets are short.
  const TemporaryFolder folder_;
  std::unique_ptr<Process> process_;
  net::Endpoint endpoint_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SOAK_SOAK_SERVER_H_
