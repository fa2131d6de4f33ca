#include "cordon/testing/served_listener/served_listener.h"

#include <utility>

#include "absl/time/time.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"

namespace cordon::testing {

ServedListener::ServedListener(const Impairments& impairments)
    : reactor(impairments), registry(std::make_shared<dtls::Registry>()) {
  static const dtls::Certificate* const certificate = new dtls::Certificate(
      Authority().Issue({.common_name = "server", .dns_names = {"localhost"}}));
  server_options.certificates = {*certificate};
  server_options.wall_clock = [this] { return reactor.Now(); };
  client_options.trust = Authority().trust();
  client_options.wall_clock = server_options.wall_clock;
  listener_options.registry = registry;
}

const TestAuthority& ServedListener::Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}

const net::Endpoint& ServedListener::At() {
  static const net::Endpoint at = net::Endpoint::LoopbackV4(4433);
  return at;
}

absl::Status ServedListener::Run(const Body& body) {
  return reactor.Run(Play(body));
}

net::Task<absl::Status> ServedListener::ServeOne(dtls::Connection connection) {
  ended.push_back(co_await session(connection));
  co_return absl::OkStatus();
}

net::Task<absl::Status> ServedListener::Serve() {
  net::TaskScope sessions;
  while (true) {
    absl::StatusOr<dtls::Connection> connection = co_await listener_->Accept();
    if (!connection.ok()) {
      accept_status = connection.status();
      break;
    }
    sessions.Spawn(ServeOne(*std::move(connection)));
  }
  if (absl::IsCancelled(accept_status)) sessions.RequestStop();
  co_return co_await sessions.Join();
}

net::Task<absl::Status> ServedListener::Play(const Body& body) {
  CO_ASSIGN_OR_RETURN(dtls::Context server_context,
                      dtls::Context::Server(server_options));
  CO_ASSIGN_OR_RETURN(dtls::Context client_context,
                      dtls::Context::Client(client_options));
  client_context_ = std::move(client_context);
  CO_ASSIGN_OR_RETURN(
      dtls::Listener bound,
      dtls::Listener::Bind(reactor, At(), server_context, listener_options));
  listener_ = std::move(bound);
  registry->listeners().back()->Post(
      [this](dtls::ListenerAdmin& admin) { admin_ = &admin; });
  net::TaskScope scope;
  scope.Spawn(Serve());
  while (admin_ == nullptr) co_await Pass(absl::Milliseconds(1));
  absl::Status status = co_await body();
  scope.RequestStop();
  status.Update(co_await scope.Join());
  admin_ = nullptr;
  listener_.reset();
  co_return status;
}

net::Task<absl::StatusOr<dtls::Connection>> ServedListener::Open(
    dtls::ConnectOptions options) {
  if (options.server_name.empty()) options.server_name = "localhost";
  return dtls::Connect(reactor, At(), *client_context_, std::move(options));
}

net::Task<absl::StatusOr<dtls::Connection>> ServedListener::Connect(
    dtls::ConnectOptions options) {
  CO_ASSIGN_OR_RETURN(dtls::Connection connection,
                      co_await Open(std::move(options)));
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  co_return connection;
}

net::Task<absl::StatusOr<dtls::Connection>> ServedListener::Open() {
  return Open(dtls::ConnectOptions());
}

net::Task<absl::StatusOr<dtls::Connection>> ServedListener::Connect() {
  return Connect(dtls::ConnectOptions());
}

net::Task<absl::Status> ServedListener::Ask(dtls::Connection& connection,
                                            std::string text) {
  CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(
      {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  CO_ASSIGN_OR_RETURN(dtls::Message reply, co_await connection.RecvDecrypted());
  if (reply.text() != text) co_return absl::DataLossError("another reply");
  co_return absl::OkStatus();
}

net::Task<void> ServedListener::Pass(absl::Duration time) {
  (void)co_await net::SleepFor(time);
}

net::Task<absl::Status> ServedListener::Echo(dtls::Connection& connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  while (true) {
    absl::StatusOr<dtls::Message> message = co_await connection.RecvDecrypted();
    if (!message.ok()) co_return message.status();
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
  }
}

}  // namespace cordon::testing
