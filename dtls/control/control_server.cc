#include "cordon/dtls/control/control_server.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/support/server_interceptor.h>

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "cordon/dtls/control/connection_mark.h"
#include "cordon/dtls/control/tcp_socket.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/base/resolve.h"

namespace cordon::dtls::control {
namespace {

// A health service for servers that are started while this exists.
class WithHealth {
 public:
  WithHealth()
      : lock_(&mutex_), before_(grpc::DefaultHealthCheckServiceEnabled()) {
    grpc::EnableDefaultHealthCheckService(true);
  }
  ~WithHealth() { grpc::EnableDefaultHealthCheckService(before_); }

 private:
  static absl::Mutex mutex_;
  absl::MutexLock lock_;
  const bool before_;
};
absl::Mutex WithHealth::mutex_(absl::kConstInit);

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

absl::Status CheckLimits(const ControlServerOptions& options) {
  const auto need = [](bool good, absl::string_view name) {
    return good ? absl::OkStatus()
                : absl::InvalidArgumentError(
                      absl::StrCat(name, " must be greater than 0"));
  };
  for (const absl::Status& status :
       {need(options.max_connections > 0, "max_connections"),
        need(options.max_connections_per_reader > 0,
             "max_connections_per_reader"),
        need(options.max_connections_per_admin > 0,
             "max_connections_per_admin"),
        need(options.max_unauthenticated > 0, "max_unauthenticated"),
        need(options.max_unauthenticated_per_source > 0,
             "max_unauthenticated_per_source"),
        need(options.authentication_timeout > absl::ZeroDuration(),
             "authentication_timeout"),
        need(options.max_buffered_bytes > 0, "max_buffered_bytes"),
        need(options.max_concurrent_streams > 0, "max_concurrent_streams"),
        need(options.max_request_bytes > 0, "max_request_bytes"),
        need(options.max_response_bytes > 0, "max_response_bytes"),
        need(options.handshake_timeout > absl::ZeroDuration(),
             "handshake_timeout"),
        need(options.keepalive_time > absl::ZeroDuration(), "keepalive_time"),
        need(options.keepalive_timeout > absl::ZeroDuration(),
             "keepalive_timeout"),
        need(options.min_client_ping_interval > absl::ZeroDuration(),
             "min_client_ping_interval")}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

void SetLimits(const ControlServerOptions& options,
               grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(options.max_request_bytes);
  builder.SetMaxSendMessageSize(options.max_response_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             options.max_concurrent_streams);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             Milliseconds(options.handshake_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                             Milliseconds(options.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             Milliseconds(options.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      Milliseconds(options.min_client_ping_interval));
  // Only reflection has methods that hold a thread.
  builder.SetResourceQuota(grpc::ResourceQuota("cordon_control")
                               .SetMaxThreads(16)
                               .Resize(options.max_buffered_bytes));
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
}

// gRPC's name for the peer of a call: "ipv4:1.2.3.4:5", "ipv6:%5B::1%5D:5",
// where a scope, if there is one, follows the address as "%252".
absl::StatusOr<net::Endpoint> ParsePeer(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, "ipv4:") &&
      !absl::ConsumePrefix(&name, "ipv6:")) {
    return absl::InvalidArgumentError("not an address");
  }
  std::string text = absl::StrReplaceAll(
      name, {{"%5B", "["}, {"%5D", "]"}, {"%5b", "["}, {"%5d", "]"}});
  if (const size_t scope = text.find('%'); scope != std::string::npos) {
    const size_t end = text.find(']', scope);
    if (end != std::string::npos) text.erase(scope, end - scope);
  }
  return net::Endpoint::Parse(text);
}

}  // namespace

// Sees each call that was let through, and tells the acceptor from whom it is.
class ControlServer::Authentication final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Authentication(ControlServer* server) : server_(server) {}

  // Intercepts nothing.
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* call) override {
    const grpc::ServerContextBase& context = *call->server_context();
    // On a Unix socket there is no address, and the caller is known.
    const absl::StatusOr<net::Endpoint> peer = ParsePeer(context.peer());
    if (!peer.ok()) return nullptr;
    server_->acceptor_->Authenticated(
        *peer, [&]() -> std::optional<Acceptor::Client> {
          const absl::StatusOr<Caller> caller =
              server_->options_.access->Identify(*context.auth_context());
          if (!caller.ok()) return std::nullopt;
          return Acceptor::Client{.name = caller->name,
                                  .is_admin = caller->role == Role::kAdmin};
        });
    return nullptr;
  }

 private:
  ControlServer* const server_;
};

ConnectionLimits ControlServer::Limits() const {
  return {
      .known = {.total = options_.max_connections,
                .per_reader = options_.max_connections_per_reader,
                .per_admin = options_.max_connections_per_admin,
                .for_admins = options_.connections_for_admins},
      .max_unauthenticated = options_.max_unauthenticated,
      .max_unauthenticated_per_source = options_.max_unauthenticated_per_source,
      .authentication_timeout = options_.authentication_timeout};
}

void ControlServer::LogRefused(absl::string_view line) const {
  if (options_.log_refused == nullptr) return;
  if (const std::optional<std::string> admitted = refused_->Admit(line)) {
    options_.log_refused(*admitted);
  }
}

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(
    ControlServerOptions options, const std::vector<grpc::Service*>& services) {
  if (options.addresses.empty()) {
    return absl::InvalidArgumentError(
        "the control service has no address: give \"unix:/path\" or "
        "\"host:port\"");
  }
  if (absl::Status status = CheckLimits(options); !status.ok()) return status;
  if (options.access == nullptr) {
    absl::StatusOr<std::shared_ptr<const AccessControl>> access =
        AccessControl::Create({});
    if (!access.ok()) return access.status();
    options.access = *std::move(access);
  }
  std::unique_ptr<ControlServer> server(new ControlServer(std::move(options)));
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  if (absl::Status status = server->Serve(services); !status.ok()) {
    return status;
  }
  return server;
}

ControlServer::~ControlServer() { Stop(absl::ZeroDuration()); }

absl::Status ControlServer::Listen() {
  for (const std::string& address : options_.addresses) {
    absl::string_view path = address;
    const absl::Status status =
        absl::ConsumePrefix(&path, "unix:")
            ? ListenOnUnix(absl::StartsWith(path, "///") ? path.substr(2)
                                                         : path)
            : ListenOnTcp(address);
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("control address \"", address,
                                       "\": ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status ControlServer::ListenOnUnix(absl::string_view path) {
  if (options_.access->users().empty()) {
    return absl::InvalidArgumentError(
        "no user may connect: name some in AccessRules");
  }
  absl::StatusOr<UnixListener> listener =
      ListenOnUnixSocket(path, options_.unix_mode);
  if (!listener.ok()) return listener.status();
  addresses_.push_back(absl::StrCat("unix:", listener->file.path()));
  files_.push_back(std::move(listener->file));
  ports_.push_back(
      {.socket = std::move(listener->socket),
       .admit = [this](int connection) { return AdmitUser(connection); },
       .limits = Limits()});
  return absl::OkStatus();
}

absl::Status ControlServer::CheckTcp(const net::Endpoint& at) const {
  if (options_.tls.empty()) {
    const bool loopback = at.is_loopback();
    if (loopback && options_.allow_plaintext_loopback) {
      // gRPC's check that a connection is local knows no others.
      if (at == net::Endpoint::LoopbackV4(at.port()) ||
          at == net::Endpoint::LoopbackV6(at.port())) {
        return absl::OkStatus();
      }
      return absl::InvalidArgumentError(
          "without TLS, the only loopback addresses are 127.0.0.1 and ::1");
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "TCP needs a certificate, its key, and the authorities of the clients' "
        "certificates",
        loopback ? "; without TLS only if allow_plaintext_loopback is set"
        : options_.allow_plaintext_loopback
            ? "; only loopback may be served without TLS, and this is not"
            : ""));
  }
  for (const auto& [file, what] :
       {std::pair(&options_.tls.certificate, "a certificate"),
        std::pair(&options_.tls.key, "the certificate's key"),
        std::pair(&options_.tls.client_authorities,
                  "the authorities of the clients' certificates")}) {
    if (file->empty()) {
      return absl::InvalidArgumentError(absl::StrCat("TLS lacks ", what));
    }
  }
  if (!options_.access->knows_certificates()) {
    return absl::InvalidArgumentError(
        "no client may connect: name some certificates in AccessRules");
  }
  return absl::OkStatus();
}

absl::Status ControlServer::ListenOnTcp(const std::string& address) {
  if (absl::StartsWith(address, "unix-abstract:") ||
      absl::StartsWith(address, "/")) {
    return absl::InvalidArgumentError(
        "it is neither \"unix:/path\" nor \"host:port\"");
  }
  absl::StatusOr<std::vector<net::Endpoint>> endpoints = net::Resolve(address);
  if (!endpoints.ok()) return endpoints.status();
  const net::Endpoint& at = endpoints->front();
  if (absl::Status status = CheckTcp(at); !status.ok()) {
    return status;
  }
  if (!options_.tls.empty() && tls_ == nullptr) {
    absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> tls =
        MakeTlsCredentials(options_.tls, options_.access, options_.log,
                           [this](absl::string_view why) {
                             ++callers_refused_;
                             LogRefused(absl::StrCat("refused a call: ", why));
                           });
    if (!tls.ok()) return tls.status();
    tls_ = *std::move(tls);
  }
  absl::StatusOr<TcpListener> listener = control::ListenOnTcp(at);
  if (!listener.ok()) return listener.status();
  addresses_.push_back(listener->at.ToString());
  if (port_ == 0) port_ = listener->at.port();
  ports_.push_back({.socket = std::move(listener->socket),
                    .admit =
                        [this](int connection) {
                          SetNoDelay(connection);
                          return Acceptor::Admission{.taker = tcp_taker_};
                        },
                    .limits = Limits()});
  return absl::OkStatus();
}

Acceptor::HandOver* ControlServer::AddTaker(
    grpc::ServerBuilder& builder,
    const std::shared_ptr<grpc::ServerCredentials>& credentials) {
  externals_.push_back(builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      credentials));
  takers_.push_back(std::make_unique<Acceptor::HandOver>(
      [external = externals_.back().get()](net::UniqueFd connection) {
        External::NewConnectionParameters parameters;
        parameters.fd = connection.Release();
        external->HandleNewConnection(&parameters);
      }));
  return takers_.back().get();
}

// Each user has credentials of its own, which mark its connections.
void ControlServer::AddCredentials(grpc::ServerBuilder& builder) {
  if (!files_.empty()) {
    for (const uid_t user : options_.access->users()) {
      const std::shared_ptr<grpc::ServerCredentials> credentials =
          grpc::experimental::LocalServerCredentials(UDS);
      credentials->SetAuthMetadataProcessor(
          MarkConnections(absl::StrCat(kUserMark, user)));
      user_takers_[user] = AddTaker(builder, credentials);
    }
  }
  if (port_ == 0) return;
  std::shared_ptr<grpc::ServerCredentials> credentials = tls_;
  if (credentials == nullptr) {
    // gRPC checks, too, that these connections are local.
    credentials = grpc::experimental::LocalServerCredentials(LOCAL_TCP);
    credentials->SetAuthMetadataProcessor(MarkConnections(kLoopbackMark));
  }
  tcp_taker_ = AddTaker(builder, credentials);
}

Acceptor::Admission ControlServer::AdmitUser(int connection) const {
  const absl::StatusOr<uid_t> user = PeerUser(connection);
  if (!user.ok()) return {.refusal = std::string(user.status().message())};
  const std::string name = absl::StrCat(kUserMark, *user);
  const auto taker = user_takers_.find(*user);
  if (taker == user_takers_.end()) {
    return {.refusal = absl::StrCat(
                name,
                " may not use the control service: it is neither among its "
                "readers nor among its admins")};
  }
  return {.taker = taker->second,
          .client = Acceptor::Client{
              .name = name,
              .is_admin = options_.access->RoleOfUser(*user) == Role::kAdmin}};
}

absl::Status ControlServer::Serve(const std::vector<grpc::Service*>& services) {
  absl::StatusOr<std::unique_ptr<Acceptor>> acceptor = Acceptor::Create(
      std::move(ports_), [this](absl::string_view line) { LogRefused(line); });
  if (!acceptor.ok()) return acceptor.status();
  grpc::ServerBuilder builder;
  SetLimits(options_, builder);
  AddCredentials(builder);
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(std::make_unique<Authentication>(this));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  for (grpc::Service* service : services) builder.RegisterService(service);
  {
    const WithHealth health;
    server_ = builder.BuildAndStart();
  }
  if (server_ == nullptr) {
    return absl::InternalError(
        "gRPC could not start the control service, its own log says why");
  }
  acceptor_ = *std::move(acceptor);
  acceptor_->Start();
  return absl::OkStatus();
}

void ControlServer::Stop(absl::Duration grace) {
  if (stopped_ || server_ == nullptr) return;
  stopped_ = true;
  const auto deadline =
      std::chrono::system_clock::now() + absl::ToChronoNanoseconds(grace);
  server_->GetHealthCheckService()->Shutdown();
  if (options_.on_stop) options_.on_stop();
  // Whoever looks for the socket finds none, or a successor's.
  acceptor_->Stop();
  files_.clear();
  server_->Shutdown(deadline);
  acceptor_->CloseConnections();
}

ControlServer::Statistics ControlServer::statistics() const {
  const Acceptor::Statistics connections = acceptor_->statistics();
  return {.connections = connections.open,
          .connections_accepted = connections.accepted,
          .connections_refused = connections.refused,
          .connections_over_limit = connections.over_limit,
          .unauthenticated = connections.unauthenticated,
          .unauthenticated_evicted = connections.evicted,
          .unauthenticated_timed_out = connections.timed_out,
          .unauthenticated_gave_up = connections.gave_up,
          .callers_refused = callers_refused_};
}

}  // namespace cordon::dtls::control
