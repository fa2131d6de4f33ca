// The control service of a process: operators see its DTLS sessions, read and
// change who may have one, replace secrets and certificates, and drain it, all
// while it runs. `cordonctl` is their tool; control.proto is the interface.
//
//   auto registry = std::make_shared<dtls::Registry>();
//   dtls::control::ControlOptions options;
//   options.registry = registry;
//   options.addresses = {"unix:/run/echo/control"};
//   options.policy_file = "/var/lib/echo/policies";
//   absl::StatusOr<std::unique_ptr<dtls::control::Control>> control =
//       dtls::control::Control::Start(std::move(options));
//
// and then each listener, with the same registry:
//
//   auto listener = dtls::Listener::Bind(
//       reactor, at, context, {.name = "public", .registry = registry});
//
// It costs the data path nothing: reactors are asked for at most 64 sessions
// in one turn of their loop, and everything else happens on other threads.
#ifndef CORDON_DTLS_CONTROL_CONTROL_H_
#define CORDON_DTLS_CONTROL_CONTROL_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/credential_reloader.h"
#include "cordon/dtls/control/log.h"
#include "cordon/dtls/control/tls_credentials.h"
#include "cordon/dtls/registry.h"

namespace cordon::dtls::control {

class ControlServer;
class ControlService;

struct ControlOptions {
  // The listeners that are looked after.
  std::shared_ptr<Registry> registry = {};

  // Where it is served: "unix:/path" and "host:port".
  std::vector<std::string> addresses = {};
  // Of the Unix sockets' files.
  mode_t unix_mode = 0600;
  // For "host:port": TLS, where clients must show certificates.
  TlsFiles tls = {};
  // Serves "host:port" on loopback without TLS, to every user of this machine.
  bool allow_plaintext_loopback = false;
  // Who may look, and who may change; by default our own user and root, on Unix
  // sockets.
  AccessRules access = {};

  // Where the policies are kept, see policy_file.h; empty: nowhere, and they
  // end with the process.
  std::string policy_file = {};
  // From where certificates are read again, when an operator asks for it and
  // when their files change.
  std::vector<CredentialSource> credentials = {};
  absl::Duration credential_interval = absl::Seconds(2);

  // Who changed what, and what failed; by default the standard error output.
  Log::Sink log = {};
  LogLevel log_level = LogLevel::kInfo;
  // Called, on any thread, when an operator sets the log level.
  std::function<void(LogLevel)> on_log_level = {};
};

// Thread-safe, but for `Stop` and destruction. May live longer than the
// listeners, or shorter.
class Control {
 public:
  // Reads the policy file, and serves. To be called before there are listeners,
  // so that their first handshake has the policy that was kept.
  // kInvalidArgument says which option is wrong, and how; kAlreadyExists: a
  // Unix socket is in use; otherwise the system's error.
  static absl::StatusOr<std::unique_ptr<Control>> Start(ControlOptions options);
  // Stops without grace.
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // Ends all streams with UNAVAILABLE, and waits for calls that run, but no
  // longer than `grace`.
  void Stop(absl::Duration grace);

  // Where it is served, with the ports that the system chose.
  const std::vector<std::string>& addresses() const;

 private:
  Control();

  std::shared_ptr<Registry> registry_;
  std::unique_ptr<ControlService> service_;
  std::unique_ptr<ControlServer> server_;
  // From when on the service may not ask the server.
  std::function<void()> unlink_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_CONTROL_H_
