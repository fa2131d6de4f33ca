#include "cordon/dtls/control/control.h"

#include <utility>

#include "absl/status/status.h"
#include "cordon/dtls/control/control_server.h"
#include "cordon/dtls/control/control_service.h"
#include "cordon/dtls/control/policy_file.h"

namespace cordon::dtls::control {

Control::Control() = default;

Control::~Control() { Stop(absl::ZeroDuration()); }

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
  std::unique_ptr<Control> control(new Control());
  control->registry_ = options.registry;
  control->service_ = std::make_unique<ControlService>(
      ControlServiceOptions{.registry = options.registry,
                            .access = *access,
                            .credentials = std::move(options.credentials),
                            .credential_interval = options.credential_interval,
                            .log = std::move(options.log),
                            .log_level = options.log_level,
                            .on_log_level = std::move(options.on_log_level)});
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
  absl::StatusOr<std::unique_ptr<ControlServer>> started =
      ControlServer::Start(std::move(server), {service});
  if (!started.ok()) return started.status();
  control->server_ = *std::move(started);
  return control;
}

void Control::Stop(absl::Duration grace) {
  if (server_ != nullptr) server_->Stop(grace);
}

const std::vector<std::string>& Control::addresses() const {
  return server_->addresses();
}

}  // namespace cordon::dtls::control
