// Callers that ask for more than there is, and wait for what does not come:
// over real connections, with listeners that a test makes up.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/control.h"
#include "cordon/dtls/registry.h"
#include "cordon/testing/control/call.h"
#include "cordon/testing/fake_listener/fake_listener.h"
#include "cordon/testing/fake_listener/reactor_thread.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using ::testing::HasSubstr;
using Stub = v1::Control::Stub;

// A call that goes on while the test does something else.
template <typename Response>
class Going {
 public:
  ~Going() {
    if (finished_) return;
    context.TryCancel();
    Status();
  }
  grpc::Status Status() {
    void* tag = nullptr;
    bool ok = false;
    if (!finished_) queue.Next(&tag, &ok);
    finished_ = true;
    return status;
  }

  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  Response response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;

 private:
  bool finished_ = false;
};

template <typename Request, typename Response>
using AsyncMethod = std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> (
    Stub::*)(grpc::ClientContext*, const Request&, grpc::CompletionQueue*);

template <typename Request, typename Response>
std::unique_ptr<Going<Response>> Begin(Stub& stub,
                                       AsyncMethod<Request, Response> method,
                                       const Request& request,
                                       absl::Duration timeout = kPatience) {
  auto going = std::make_unique<Going<Response>>();
  going->context.set_deadline(std::chrono::system_clock::now() +
                              absl::ToChronoNanoseconds(timeout));
  going->reader = (stub.*method)(&going->context, request, &going->queue);
  going->reader->Finish(&going->response, &going->status, nullptr);
  return going;
}

v1::ValidatePolicyRequest AnyPolicy() {
  return Parse<v1::ValidatePolicyRequest>(
      "policy { client_certificate: NONE }");
}

class PressureTest : public ::testing::Test {
 protected:
  PressureTest() {
    // Has more sessions than anybody can ever look at.
    thread_.Do([this] {
      listener_.emplace(thread_.reactor(), *registry_, "public");
      listener_->set_endless();
    });
    dtls::control::ControlOptions options;
    options.registry = registry_;
    options.addresses = {absl::StrCat("unix:", folder_.path(), "/control"),
                         "127.0.0.1:0"};
    options.allow_plaintext_loopback = true;
    options.log = [this](dtls::control::LogLevel, absl::string_view line) {
      absl::MutexLock lock(&mutex_);
      absl::StrAppend(&log_, line, "\n");
    };
    absl::StatusOr<std::unique_ptr<dtls::control::Control>> control =
        dtls::control::Control::Start(std::move(options));
    EXPECT_TRUE(control.ok()) << control.status();
    control_ = *std::move(control);
    admin_ = NewStub(control_->addresses()[0]);
    reader_ = NewStub(control_->addresses()[1]);
  }
  ~PressureTest() override {
    control_.reset();
    thread_.Do([this] { listener_.reset(); });
  }

  // With a connection of its own.
  static std::unique_ptr<Stub> NewStub(const std::string& target) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::Control::NewStub(grpc::CreateCustomChannel(
        target, grpc::InsecureChannelCredentials(), arguments));
  }

  v1::ControlStatistics Look() {
    return Call(*admin_, &Stub::GetStatistics, "").control();
  }
  // Waits until so many calls go on. A watch is none itself.
  void WaitForCalls(uint64_t count) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         absl::ToChronoNanoseconds(kPatience));
    const auto watch = admin_->WatchStatistics(
        &context,
        Parse<v1::WatchStatisticsRequest>("interval { nanos: 100000000 }"));
    v1::Statistics statistics;
    do {
      ASSERT_TRUE(watch->Read(&statistics))
          << "not " << count << " but " << statistics.control().calls();
    } while (statistics.control().calls() != count);
    context.TryCancel();
    watch->Finish();
  }

  std::string log() {
    absl::MutexLock lock(&mutex_);
    return log_;
  }

  const TemporaryFolder folder_{"/tmp"};
  const std::shared_ptr<dtls::Registry> registry_ =
      std::make_shared<dtls::Registry>();
  ReactorThread thread_;
  std::optional<FakeListener> listener_;
  absl::Mutex mutex_;
  std::string log_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<dtls::control::Control> control_;
  std::unique_ptr<Stub> admin_;
  std::unique_ptr<Stub> reader_;
};

TEST_F(PressureTest, ValidationsOfAReaderKeepNobodyWaiting) {
  std::vector<std::unique_ptr<Going<v1::ValidatePolicyResponse>>> going;
  for (int i = 0; i < 6; ++i) {
    going.push_back(Begin<v1::ValidatePolicyRequest>(
        *reader_, &Stub::AsyncValidatePolicy, AnyPolicy()));
  }
  WaitForCalls(6);
  // Neither the reader nor an administrator.
  Call(*reader_, &Stub::GetLogLevel, "");
  Call(*reader_, &Stub::GetLimits, "");
  Call(*admin_, &Stub::SetLogLevel, "level: INFO");
  Call(*admin_, &Stub::ListSessions, "");
  Call(*admin_, &Stub::CloseSessions, "ids: 1");
  v1::SetPolicyRequest set;
  set.mutable_policy()->set_client_certificate(v1::Policy::NONE);
  EXPECT_EQ(Call(*admin_, &Stub::SetPolicy, set).version(), 1U);
}

TEST_F(PressureTest, TheServiceEndsThoughCallsGoOn) {
  const auto validating = Begin<v1::ValidatePolicyRequest>(
      *reader_, &Stub::AsyncValidatePolicy, AnyPolicy());
  const auto waiting = Begin<v1::ValidatePolicyRequest>(
      *reader_, &Stub::AsyncValidatePolicy, AnyPolicy());
  const auto listing = Begin<v1::ListSessionsRequest>(
      *reader_, &Stub::AsyncListSessions,
      Parse<v1::ListSessionsRequest>("filter { peer_name: \"nobody\" }"));
  const auto ordering = Begin<v1::ListSessionsRequest>(
      *admin_, &Stub::AsyncListSessions,
      Parse<v1::ListSessionsRequest>(
          "filter { peer_name: \"nobody\" } order: SESSION_ORDER_AGE"));
  const auto closing = Begin<v1::CloseSessionsRequest>(
      *admin_, &Stub::AsyncCloseSessions,
      Parse<v1::CloseSessionsRequest>("filter { peer_name: \"nobody\" }"));
  WaitForCalls(5);
  control_->Stop(absl::Hours(1));
  for (const grpc::Status& status :
       {validating->Status(), waiting->Status(), listing->Status(),
        ordering->Status(), closing->Status()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE)
        << status.error_message();
  }
}

// The reactor is stuck, and nothing that is asked of it is answered.
TEST_F(PressureTest, TheServiceEndsThoughAListenerDoesNotAnswer) {
  absl::Notification stuck;
  absl::Notification go_on;
  thread_.reactor().Post([&] {
    stuck.Notify();
    go_on.WaitForNotification();
  });
  stuck.WaitForNotification();
  const auto statistics = Begin<v1::GetStatisticsRequest>(
      *reader_, &Stub::AsyncGetStatistics, v1::GetStatisticsRequest());
  const auto limits = Begin<v1::GetLimitsRequest>(
      *admin_, &Stub::AsyncGetLimits, v1::GetLimitsRequest());
  grpc::ClientContext context;
  const auto watch =
      admin_->WatchStatistics(&context, v1::WatchStatisticsRequest());
  // On the same connections, so that those before have come, too.
  Call(*reader_, &Stub::GetLogLevel, "");
  Call(*admin_, &Stub::GetLogLevel, "");
  control_->Stop(absl::Hours(1));
  EXPECT_EQ(statistics->Status().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(limits->Status().error_code(), grpc::StatusCode::UNAVAILABLE);
  v1::Statistics never;
  EXPECT_FALSE(watch->Read(&never));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  control_.reset();
  go_on.Notify();
}

TEST_F(PressureTest, CallsEndWhenTheirCallerHasGone) {
  {
    std::vector<std::unique_ptr<Going<v1::ValidatePolicyResponse>>> going;
    for (int i = 0; i < 4; ++i) {
      going.push_back(Begin<v1::ValidatePolicyRequest>(
          *reader_, &Stub::AsyncValidatePolicy, AnyPolicy()));
    }
    WaitForCalls(4);
  }
  WaitForCalls(0);
}

TEST_F(PressureTest, CallsEndAtTheirDeadline) {
  const auto call =
      Begin<v1::ValidatePolicyRequest>(*reader_, &Stub::AsyncValidatePolicy,
                                       AnyPolicy(), absl::Milliseconds(100));
  EXPECT_EQ(call->Status().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  WaitForCalls(0);
}

// An operator who does not wait has still changed who may have a session.
TEST_F(PressureTest, APolicyIsAppliedThoughItsCallerHasGone) {
  v1::SetPolicyRequest request;
  request.mutable_policy()->set_client_certificate(v1::Policy::NONE);
  request.set_apply_to_sessions(true);
  {
    const auto call =
        Begin<v1::SetPolicyRequest>(*admin_, &Stub::AsyncSetPolicy, request);
    WaitForCalls(1);
    while (Call(*admin_, &Stub::ListPolicyVersions, "").versions_size() == 0) {
    }
  }
  // Goes on until the service ends.
  const auto turns = [&] {
    size_t count = 0;
    thread_.Do([&] { count = listener_->turns(); });
    return count;
  };
  const size_t before = turns();
  const absl::Time deadline = absl::Now() + kPatience;
  while (turns() < before + 1000) ASSERT_LT(absl::Now(), deadline);
  WaitForCalls(1);
  control_->Stop(absl::Hours(1));
}

TEST_F(PressureTest, OneReaderHasItsShareOfCalls) {
  std::vector<std::unique_ptr<Going<v1::ValidatePolicyResponse>>> going;
  constexpr size_t kShare = 32;
  for (size_t i = 0; i < kShare; ++i) {
    going.push_back(Begin<v1::ValidatePolicyRequest>(
        *reader_, &Stub::AsyncValidatePolicy, AnyPolicy()));
  }
  WaitForCalls(kShare);
  grpc::Status status;
  Call(*NewStub(control_->addresses()[1]), &Stub::GetLogLevel, "", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(),
              HasSubstr("loopback has its share of calls, 32"));
  EXPECT_EQ(Look().refused().at("max_calls"), 1U);
  going.pop_back();
  WaitForCalls(kShare - 1);
  Call(*reader_, &Stub::GetLogLevel, "");
}

TEST_F(PressureTest, OneReaderHasItsShareOfBytes) {
  v1::ValidatePolicyRequest large = AnyPolicy();
  large.mutable_policy()->mutable_trust()->set_pem(
      std::string((4 << 20) - 1000, 'x'));
  // Is refused only when somebody reads it, which nobody does meanwhile.
  const auto plug = Begin<v1::ValidatePolicyRequest>(
      *reader_, &Stub::AsyncValidatePolicy, AnyPolicy());
  WaitForCalls(1);
  std::vector<std::unique_ptr<Going<v1::ValidatePolicyResponse>>> going;
  for (int i = 0; i < 4; ++i) {
    going.push_back(Begin<v1::ValidatePolicyRequest>(
        *reader_, &Stub::AsyncValidatePolicy, large));
  }
  WaitForCalls(5);
  EXPECT_GT(Look().call_bytes(), 15U << 20);
  grpc::Status status;
  Call(*reader_, &Stub::ValidatePolicy, large, &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(),
              HasSubstr("its share of bytes of requests and answers"));
  EXPECT_EQ(Look().refused().at("max_call_bytes"), 1U);
}

TEST_F(PressureTest, ReadersLeaveWatchesToAdmins) {
  constexpr size_t kShare = 16;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::SessionEvent>>> watches;
  const auto watch = [&](Stub& stub) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    watches.push_back(stub.WatchSessions(
        contexts.back().get(),
        Parse<v1::WatchSessionsRequest>("skip_present: true")));
    v1::SessionEvent event;
    if (watches.back()->Read(&event)) return grpc::StatusCode::OK;
    const grpc::StatusCode code = watches.back()->Finish().error_code();
    watches.pop_back();
    return code;
  };
  for (size_t i = 0; i < kShare; ++i) {
    EXPECT_EQ(watch(*reader_), grpc::StatusCode::OK);
  }
  EXPECT_EQ(watch(*reader_), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(watch(*admin_), grpc::StatusCode::OK);
  EXPECT_EQ(Look().watches(), kShare + 1);
  EXPECT_EQ(Look().refused().at("max_streams"), 1U);
  for (const auto& context : contexts) context->TryCancel();
  for (const auto& one : watches) one->Finish();
}

// What a reader repeats does not fill the log.
TEST_F(PressureTest, RefusedCallsAreLoggedAtALimitedRate) {
  grpc::Status status;
  for (int i = 0; i < 100; ++i) {
    Call(*reader_, &Stub::Drain, "", &status);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }
  size_t lines = 0;
  const std::string text = log();
  for (size_t at = text.find("refused Drain: loopback has the role reader");
       at != std::string::npos; at = text.find("refused Drain", at + 1)) {
    ++lines;
  }
  EXPECT_GE(lines, 1U);
  EXPECT_LE(lines, 60U);
  EXPECT_EQ(Look().refused().at("calls_without_role"), 100U);
}

TEST_F(PressureTest, FiltersThatExcludeNothingCloseNobody) {
  for (const char* filter :
       {"", "filter { min_age { } }", "filter { fingerprint: \"::\" }",
        "filter { max_age { seconds: 1000000 } min_idle { } }",
        "filter { policy_version_below: 18446744073709551615 }"}) {
    grpc::Status status;
    Call(*admin_, &Stub::CloseSessions, filter, &status);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << filter;
    EXPECT_THAT(status.error_message(), ::testing::StartsWith("filter: "));
    EXPECT_THAT(status.error_message(), HasSubstr("0.0.0.0/0 or ::/0 is all"));
  }
  EXPECT_EQ(log().find("closes"), std::string::npos);
}

}  // namespace
}  // namespace cordon::testing
