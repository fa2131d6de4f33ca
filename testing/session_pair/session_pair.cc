#include "cordon/testing/session_pair/session_pair.h"

#include <utility>

#include "absl/time/time.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"

namespace cordon::testing {

SessionPair::SessionPair(const Impairments& impairments)
    : reactor(impairments) {
  static const dtls::Certificate* const certificate = new dtls::Certificate(
      Authority().Issue({.common_name = "server", .dns_names = {"localhost"}}));
  server_options.certificates = {*certificate};
  server_options.wall_clock = [this] { return reactor.Now(); };
  client_options.trust = Authority().trust();
  client_options.wall_clock = server_options.wall_clock;
  connect_options.server_name = "localhost";
}

const TestAuthority& SessionPair::Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}

absl::Status SessionPair::Run(const Role& client, const Role& server) {
  return reactor.Run(Play(client, server));
}

net::Task<absl::Status> SessionPair::ServeOne(dtls::Connection connection,
                                              const Role& server) {
  server_status = co_await server(connection);
  co_return absl::OkStatus();
}

net::Task<absl::Status> SessionPair::Serve(dtls::Listener& accepting,
                                           const Role& server) {
  net::TaskScope sessions;
  while (true) {
    absl::StatusOr<dtls::Connection> connection = co_await accepting.Accept();
    if (!connection.ok()) break;
    sessions.Spawn(ServeOne(*std::move(connection), server));
  }
  sessions.RequestStop();
  co_return co_await sessions.Join();
}

net::Task<absl::Status> SessionPair::Play(const Role& client,
                                          const Role& server) {
  CO_ASSIGN_OR_RETURN(dtls::Context server_context,
                      dtls::Context::Server(server_options));
  CO_ASSIGN_OR_RETURN(dtls::Context client_context,
                      dtls::Context::Client(client_options));
  CO_ASSIGN_OR_RETURN(
      dtls::Listener accepting,
      dtls::Listener::Bind(reactor, net::Endpoint::LoopbackV4(4433),
                           server_context, listener_options));
  net::TaskScope scope;
  scope.Spawn(Serve(accepting, server));
  absl::Status status;
  {
    CO_ASSIGN_OR_RETURN(
        dtls::Connection connection,
        co_await dtls::Connect(reactor, accepting.local_endpoint(),
                               client_context, connect_options));
    status = co_await client(connection);
  }
  // A server takes some time to believe that its client has given up.
  (void)co_await net::SleepFor(absl::Seconds(3));
  scope.RequestStop();
  (void)co_await scope.Join();
  listener = accepting.statistics();
  co_return status;
}

net::Task<absl::Status> SessionPair::Echo(dtls::Connection& connection) {
  while (true) {
    absl::StatusOr<dtls::Message> message = co_await connection.RecvDecrypted();
    if (dtls::IsClosed(message.status())) co_return absl::OkStatus();
    if (!message.ok()) co_return message.status();
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
  }
}

net::Task<absl::Status> SessionPair::Ask(dtls::Connection& connection,
                                         std::string text) {
  CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(
      {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  CO_ASSIGN_OR_RETURN(dtls::Message reply, co_await connection.RecvDecrypted());
  if (reply.text() != text) co_return absl::DataLossError("another reply");
  co_return absl::OkStatus();
}

}  // namespace cordon::testing
