#include "cordon/testing/fake_control/fake_control.h"

#include <grpcpp/generic/generic_stub.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/testing/process/process.h"

namespace cordon::testing {
namespace {

namespace v1 = ::cordon::control::v1;

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  (void)buffer.Dump(&slices);
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

std::string ErrorOf(const grpc::Status& status) {
  return absl::StrCat("error ", status.error_code(), ": ",
                      status.error_message());
}

}  // namespace

class FakeControl::Service : public v1::Control::CallbackService {
 public:
  explicit Service(std::shared_ptr<const dtls::control::AccessControl> access)
      : access_(std::move(access)) {}

  grpc::ServerUnaryReactor* GetLogLevel(
      grpc::CallbackServerContext* context,
      const v1::GetLogLevelRequest* /*request*/,
      v1::GetLogLevelResponse* response) override {
    response->set_level(v1::INFO);
    return Answer(context, Admit(context, dtls::control::Role::kReader));
  }

  grpc::ServerUnaryReactor* SetLogLevel(
      grpc::CallbackServerContext* context,
      const v1::SetLogLevelRequest* /*request*/,
      v1::GetLogLevelResponse* /*response*/) override {
    return Answer(context, Admit(context, dtls::control::Role::kAdmin));
  }

  grpc::ServerUnaryReactor* RotateCookieSecret(
      grpc::CallbackServerContext* context,
      const v1::RotateCookieSecretRequest* /*request*/,
      v1::RotateCookieSecretResponse* /*response*/) override {
    return Answer(context, grpc::Status::OK);
  }

  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context,
                                  const v1::DrainRequest* /*request*/,
                                  v1::DrainResponse* /*response*/) override {
    absl::MutexLock lock(&mutex_);
    drain_ = context->DefaultReactor();
    changed_.SignalAll();
    return drain_;
  }

  grpc::ServerWriteReactor<v1::SessionEvent>* WatchSessions(
      grpc::CallbackServerContext* /*context*/,
      const v1::WatchSessionsRequest* /*request*/) override {
    return new Events(this);
  }

  grpc::ServerWriteReactor<v1::Statistics>* WatchStatistics(
      grpc::CallbackServerContext* /*context*/,
      const v1::WatchStatisticsRequest* /*request*/) override {
    return new Flood(this);
  }

  void EndStreams() {
    absl::MutexLock lock(&mutex_);
    for (Events* events : events_) {
      events->End(grpc::Status(grpc::StatusCode::UNAVAILABLE,
                               "the fake service is being stopped"));
    }
  }

  void FinishDrain() {
    absl::MutexLock lock(&mutex_);
    std::exchange(drain_, nullptr)->Finish(grpc::Status::OK);
  }

  void WaitForStreams(size_t count) {
    absl::MutexLock lock(&mutex_);
    while (streams_ < count) changed_.Wait(&mutex_);
  }

  void WaitForDrain() {
    absl::MutexLock lock(&mutex_);
    while (drain_ == nullptr) changed_.Wait(&mutex_);
  }

  std::vector<std::string> callers() const {
    absl::MutexLock lock(&mutex_);
    return callers_;
  }

  size_t streams() const {
    absl::MutexLock lock(&mutex_);
    return streams_;
  }

 private:
  class Events : public grpc::ServerWriteReactor<v1::SessionEvent> {
   public:
    explicit Events(Service* service) : service_(service) {
      event_.set_kind(v1::SessionEvent::SYNCED);
      StartWrite(&event_);
      service_->Opened(this);
    }

    void OnCancel() override { End(grpc::Status::CANCELLED); }
    void OnDone() override {
      service_->Closed(this);
      delete this;
    }
    void End(const grpc::Status& status) {
      if (!ended_.exchange(true)) Finish(status);
    }

   private:
    Service* const service_;
    std::atomic<bool> ended_ = false;
    v1::SessionEvent event_;
  };

  class Flood : public grpc::ServerWriteReactor<v1::Statistics> {
   public:
    explicit Flood(Service* service) : service_(service) {
      statistics_.add_listeners()->set_listener(std::string(4'000'000, 'x'));
      StartWrite(&statistics_);
      service_->Opened(nullptr);
    }

    void OnWriteDone(bool ok) override {
      if (ok) {
        StartWrite(&statistics_);
      } else {
        Finish(grpc::Status::CANCELLED);
      }
    }
    void OnDone() override {
      service_->Closed(nullptr);
      delete this;
    }

   private:
    Service* const service_;
    v1::Statistics statistics_;
  };

  static grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                          const grpc::Status& status) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  grpc::Status Admit(grpc::CallbackServerContext* context,
                     dtls::control::Role needed) {
    const absl::StatusOr<dtls::control::Caller> caller =
        access_->Authorize(*context, needed);
    if (!caller.ok()) {
      return grpc::Status(
          static_cast<grpc::StatusCode>(caller.status().raw_code()),
          std::string(caller.status().message()));
    }
    absl::MutexLock lock(&mutex_);
    callers_.push_back(
        absl::StrCat(caller->name, " ", dtls::control::RoleName(caller->role)));
    return grpc::Status::OK;
  }

  void Opened(Events* events) {
    absl::MutexLock lock(&mutex_);
    if (events != nullptr) events_.insert(events);
    ++streams_;
    changed_.SignalAll();
  }

  void Closed(Events* events) {
    absl::MutexLock lock(&mutex_);
    events_.erase(events);
    --streams_;
    changed_.SignalAll();
  }

  const std::shared_ptr<const dtls::control::AccessControl> access_;
  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  std::vector<std::string> callers_ ABSL_GUARDED_BY(mutex_);
  std::set<Events*> events_ ABSL_GUARDED_BY(mutex_);
  size_t streams_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::ServerUnaryReactor* drain_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

FakeControl::FakeControl(
    std::shared_ptr<const dtls::control::AccessControl> access)
    : service_(std::make_unique<Service>(std::move(access))) {}
FakeControl::~FakeControl() = default;

grpc::Service* FakeControl::service() { return service_.get(); }
void FakeControl::EndStreams() { service_->EndStreams(); }
void FakeControl::FinishDrain() { service_->FinishDrain(); }
void FakeControl::WaitForStreams(size_t count) {
  service_->WaitForStreams(count);
}
void FakeControl::WaitForDrain() { service_->WaitForDrain(); }
std::vector<std::string> FakeControl::callers() const {
  return service_->callers();
}
size_t FakeControl::streams() const { return service_->streams(); }

std::shared_ptr<grpc::Channel> ConnectTo(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

std::unique_ptr<grpc::ClientContext> Patient() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() +
                        absl::ToChronoSeconds(kPatience));
  return context;
}

grpc::Status Read(const std::shared_ptr<grpc::Channel>& channel) {
  v1::GetLogLevelResponse response;
  return v1::Control::NewStub(channel)->GetLogLevel(Patient().get(), {},
                                                    &response);
}

grpc::Status Change(const std::shared_ptr<grpc::Channel>& channel) {
  v1::GetLogLevelResponse response;
  return v1::Control::NewStub(channel)->SetLogLevel(Patient().get(), {},
                                                    &response);
}

std::string Health(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  const std::unique_ptr<grpc::ClientContext> context = Patient();
  const auto call = stub.PrepareUnaryCall(
      context.get(), "/grpc.health.v1.Health/Check", BufferOf(""), &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) return ErrorOf(status);
  // HealthCheckResponse has the status in its field 1.
  const std::string bytes = BytesOf(response);
  if (bytes == "\x08\x01") return "SERVING";
  if (bytes == "\x08\x02") return "NOT_SERVING";
  return absl::StrCat("not understood: ", bytes);
}

std::string Reflect(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const std::unique_ptr<grpc::ClientContext> context = Patient();
  const auto call = stub.PrepareCall(
      context.get(),
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  std::string answer;
  if (ok) {
    // ServerReflectionRequest: list_services is field 7, a string.
    call->WriteLast(BufferOf(std::string("\x3a\x01*", 3)), {}, nullptr);
    queue.Next(&tag, &ok);
    grpc::ByteBuffer response;
    call->Read(&response, nullptr);
    queue.Next(&tag, &ok);
    if (ok) answer = BytesOf(response);
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  return status.ok() ? answer : ErrorOf(status);
}

net::UniqueFd ConnectAs(uid_t user, const std::string& path, int* error) {
  net::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // The kernel keeps a user id for each thread; only the C library's functions
  // change it for all.
  std::thread([&] {
    if (user != geteuid() && syscall(SYS_setresuid, user, user, user) != 0) {
      *error = errno;
      fd.Reset();
      return;
    }
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) != 0) {
      *error = errno;
      fd.Reset();
    }
  }).join();
  return fd;
}

}  // namespace cordon::testing
