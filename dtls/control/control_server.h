// Serves the control service, and what belongs to it (health, reflection), on
// Unix sockets and on TCP.
//
//   control::ControlServerOptions options;
//   options.addresses = {"unix:/run/echo/control", "0.0.0.0:7443"};
//   options.tls = {.certificate = "server.pem",
//                  .key = "server.key",
//                  .client_authorities = "ops-ca.pem"};
//   options.access = *control::AccessControl::Create(
//       {.admin_names = {"ops.example.com"}});
//   absl::StatusOr<std::unique_ptr<control::ControlServer>> server =
//       control::ControlServer::Start(std::move(options), {&service});
//   ...
//   (*server)->Stop(absl::Seconds(5));
//
// Who may call at all is checked before any method runs, for every service that
// is served here: on a Unix socket the user id, on TCP the names in the client
// certificate. What a caller may do is for each method to ask, see
// `AccessControl`.
//
// gRPC has threads of its own; nothing here ever runs on a reactor.
#ifndef CORDON_DTLS_CONTROL_CONTROL_SERVER_H_
#define CORDON_DTLS_CONTROL_CONTROL_SERVER_H_

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/acceptor.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/limited_log.h"
#include "cordon/dtls/control/tls_credentials.h"
#include "cordon/dtls/control/unix_socket.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls::control {

struct ControlServerOptions {
  // "unix:/path" and "host:port", as many as are wanted; port 0 lets the system
  // choose. A host's first address is taken.
  std::vector<std::string> addresses = {};

  // Who may do what; by default only our own user and root, on Unix sockets.
  std::shared_ptr<const AccessControl> access = nullptr;

  // Of the Unix sockets' files. Who cannot write to the file cannot connect: to
  // let other users in, name them in `AccessRules` and give them this right.
  mode_t unix_mode = 0600;

  // For TCP, where clients must show certificates.
  TlsFiles tls = {};
  // Without `tls`: 127.0.0.1 and ::1 are served without TLS, to every user of
  // this machine. Other TCP addresses are refused without `tls`.
  bool allow_plaintext_loopback = false;

  // Limits. Connections are counted for each address: those of callers that are
  // known, by the user id or by a first call, in all, of one caller (a user, or
  // a name in a certificate), and those of `max_connections` that only admins
  // get.
  size_t max_connections = 64;
  size_t max_connections_per_reader = 32;
  size_t max_connections_per_admin = 48;
  size_t connections_for_admins = 16;
  // Those of clients that have not made a call yet that was let through, on
  // TCP: in all, and of one source, which is an IPv4 address, a /64 of IPv6, or
  // this machine. At the limit the oldest one is closed.
  size_t max_unauthenticated = 64;
  size_t max_unauthenticated_per_source = 32;
  absl::Duration authentication_timeout = absl::Seconds(10);
  int max_concurrent_streams = 64;  // for each connection
  int max_request_bytes = 4 << 20;
  int max_response_bytes = 16 << 20;
  // What gRPC may hold for all connections, in bytes.
  size_t max_buffered_bytes = size_t{256} << 20;
  // For connecting, until the first bytes of HTTP/2.
  absl::Duration handshake_timeout = absl::Seconds(10);
  // A connection that is silent for this long is asked whether it is still
  // there, and closed if it does not answer in time.
  absl::Duration keepalive_time = absl::Seconds(30);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  // Clients that ask more often are disconnected.
  absl::Duration min_client_ping_interval = absl::Seconds(10);

  // Called by `Stop` before anything else: the place to end streams, so that
  // clients are told why, and to begin no new ones.
  std::function<void()> on_stop = {};
  // Lines for the log. Called on any thread.
  std::function<void(absl::string_view)> log = {};
  // Lines about connections and callers that were refused, at a limited rate
  // (see limited_log.h). Called on any thread.
  std::function<void(absl::string_view)> log_refused = {};
};

// Thread-safe, but for `Stop` and destruction.
class ControlServer {
 public:
  struct Statistics {
    uint64_t connections = 0;  // now
    uint64_t connections_accepted = 0;
    // Closed at once: users without a role, and those beyond the limit.
    uint64_t connections_refused = 0;
    uint64_t connections_over_limit = 0;
    // Those that have not authenticated: now; closed because others came, or
    // because they took too long; ended by themselves.
    uint64_t unauthenticated = 0;
    uint64_t unauthenticated_evicted = 0;
    uint64_t unauthenticated_timed_out = 0;
    uint64_t unauthenticated_gave_up = 0;
    // Calls with a client certificate that has no role.
    uint64_t callers_refused = 0;
  };

  // `services` must live longer than the server.
  //
  // kInvalidArgument: an address or another option cannot be served, the
  // message says which and why. kAlreadyExists: a Unix socket is in use, or
  // there is another file. Otherwise the system's error.
  //
  // Not while another thread starts a gRPC server: gRPC can be told only for
  // all servers of a process together that a health service is wanted. It is
  // told so for the time of this call. (Reflection is there for all servers of
  // a process that is linked with gRPC's library for it, as this is.)
  static absl::StatusOr<std::unique_ptr<ControlServer>> Start(
      ControlServerOptions options,
      const std::vector<grpc::Service*>& services);

  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  // Stops without grace.
  ~ControlServer();

  // Refuses new calls, and waits until those that run have ended and all
  // clients know, but no longer than `grace`; then ends everything: clients get
  // UNAVAILABLE, handlers see their calls cancelled. Returns when no handler
  // runs any more; a client that neither reads nor answers does not hinder
  // that, but may use up the grace. Further calls do nothing.
  void Stop(absl::Duration grace);

  // Where it is served, in the options' order: "unix:/path" and "1.2.3.4:5",
  // with the ports that the system chose.
  const std::vector<std::string>& addresses() const { return addresses_; }
  // The port of the first TCP address, 0 if there is none.
  int port() const { return port_; }

  Statistics statistics() const;

 private:
  class Authentication;
  using External = grpc::experimental::ExternalConnectionAcceptor;

  explicit ControlServer(ControlServerOptions options)
      : options_(std::move(options)) {}

  absl::Status Listen();
  absl::Status ListenOnUnix(absl::string_view path);
  absl::Status ListenOnTcp(const std::string& address);
  absl::Status CheckTcp(const net::Endpoint& at) const;
  absl::Status Serve(const std::vector<grpc::Service*>& services);
  void AddCredentials(grpc::ServerBuilder& builder);
  Acceptor::HandOver* AddTaker(
      grpc::ServerBuilder& builder,
      const std::shared_ptr<grpc::ServerCredentials>& credentials);
  Acceptor::Admission AdmitUser(int connection) const;
  ConnectionLimits Limits() const;
  void LogRefused(absl::string_view line) const;

  ControlServerOptions options_;
  const std::unique_ptr<LimitedLog> refused_ = std::make_unique<LimitedLog>();
  std::atomic<uint64_t> callers_refused_ = 0;
  std::vector<std::string> addresses_;
  int port_ = 0;
  bool stopped_ = false;

  // In the order of their making: each uses those above it.
  std::shared_ptr<grpc::ServerCredentials> tls_;
  std::vector<UnixSocketFile> files_;
  std::vector<Acceptor::Port> ports_;
  std::vector<std::unique_ptr<External>> externals_;
  std::vector<std::unique_ptr<Acceptor::HandOver>> takers_;
  std::map<uid_t, const Acceptor::HandOver*> user_takers_;
  const Acceptor::HandOver* tcp_taker_ = nullptr;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_CONTROL_SERVER_H_
