// Calls of the control service as tests write them.
#ifndef CORDON_TESTING_CONTROL_CALL_H_
#define CORDON_TESTING_CONTROL_CALL_H_

#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <string>

#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/dtls/control/control.pb.h"
#include "gtest/gtest.h"

namespace cordon::testing {

namespace v1 = ::cordon::control::v1;

// A message in text form.
template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message))
      << text;
  return message;
}

// Calls a method; its status goes to `*status`, or must be OK.
template <typename Request, typename Response>
Response Call(v1::Control::Stub& stub,
              grpc::Status (v1::Control::Stub::*method)(grpc::ClientContext*,
                                                        const Request&,
                                                        Response*),
              const Request& request, grpc::Status* status = nullptr) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(60));
  Response response;
  const grpc::Status result = (stub.*method)(&context, request, &response);
  if (status != nullptr) {
    *status = result;
  } else {
    EXPECT_TRUE(result.ok())
        << result.error_code() << ": " << result.error_message();
  }
  return response;
}

// The same, with a request in text form.
template <typename Request, typename Response>
Response Call(v1::Control::Stub& stub,
              grpc::Status (v1::Control::Stub::*method)(grpc::ClientContext*,
                                                        const Request&,
                                                        Response*),
              const char* request, grpc::Status* status = nullptr) {
  return Call(stub, method, Parse<Request>(request), status);
}

}  // namespace cordon::testing

#endif  // CORDON_TESTING_CONTROL_CALL_H_
