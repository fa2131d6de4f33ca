#include "cordon/dtls/control/control.h"

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/control_server.h"
#include "cordon/dtls/control/control_service.h"
#include "cordon/dtls/control/policy_file.h"

namespace cordon::dtls::control {
namespace {

// The server, for the service to ask, while it is there.
class ServerLink {
 public:
  void Set(const ControlServer* server) {
    absl::MutexLock lock(&mutex_);
    server_ = server;
  }
  void Describe(::cordon::control::v1::ControlStatistics* to) {
    absl::MutexLock lock(&mutex_);
    if (server_ == nullptr) return;
    const ControlServer::Statistics s = server_->statistics();
    to->set_connections(s.connections);
    to->set_connections_unauthenticated(s.unauthenticated);
    to->set_connections_accepted(s.connections_accepted);
    auto& refused = *to->mutable_refused();
    refused["connections_without_role"] = s.connections_refused;
    refused["calls_without_role"] = s.callers_refused;
    refused["max_connections"] = s.connections_over_limit;
    refused["max_unauthenticated"] = s.unauthenticated_evicted;
    refused["authentication_timeout"] = s.unauthenticated_timed_out;
    refused["not_authenticated"] = s.unauthenticated_gave_up;
  }

 private:
  absl::Mutex mutex_;
  const ControlServer* server_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace

Control::Control() = default;

Control::~Control() {
  Stop(absl::ZeroDuration());
  if (unlink_) unlink_();
}

absl::StatusOr<std::unique_ptr<Control>> Control::Start(
    ControlOptions options) {
  if (options.registry == nullptr) {
    return absl::InvalidArgumentError("registry: there is none");
  }
  absl::StatusOr<std::shared_ptr<const AccessControl>> access =
      AccessControl::Create(options.access);
  if (!access.ok()) return access.status();
  if (!options.policy_file.empty()) {
    if (absl::Status status = KeepPoliciesInFile(options.policy_file,
                                                 options.registry->policies());
        !status.ok()) {
      return status;
    }
  }
  const auto link = std::make_shared<ServerLink>();
  std::unique_ptr<Control> control(new Control());
  control->registry_ = options.registry;
  control->service_ = std::make_unique<ControlService>(
      ControlServiceOptions{.registry = options.registry,
                            .access = *access,
                            .credentials = std::move(options.credentials),
                            .credential_interval = options.credential_interval,
                            .log = std::move(options.log),
                            .log_level = options.log_level,
                            .on_log_level = std::move(options.on_log_level),
                            .add_statistics = [link](auto* statistics) {
                              link->Describe(statistics);
                            }});
  ControlService* const service = control->service_.get();
  ControlServerOptions server;
  server.addresses = std::move(options.addresses);
  server.access = *std::move(access);
  server.unix_mode = options.unix_mode;
  server.tls = std::move(options.tls);
  server.allow_plaintext_loopback = options.allow_plaintext_loopback;
  server.on_stop = [service] { service->Stop(); };
  server.log = [service](absl::string_view line) {
    service->log().Write(LogLevel::kWarning, line);
  };
  server.log_refused = server.log;
  absl::StatusOr<std::unique_ptr<ControlServer>> started =
      ControlServer::Start(std::move(server), {service});
  if (!started.ok()) return started.status();
  control->server_ = *std::move(started);
  link->Set(control->server_.get());
  control->unlink_ = [link] { link->Set(nullptr); };
  return control;
}

void Control::Stop(absl::Duration grace) {
  if (server_ != nullptr) server_->Stop(grace);
}

const std::vector<std::string>& Control::addresses() const {
  return server_->addresses();
}

}  // namespace cordon::dtls::control
