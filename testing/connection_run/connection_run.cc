#include "cordon/testing/connection_run/connection_run.h"

#include <utility>

#include "cordon/dtls/connect.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"

namespace cordon::testing {
namespace {

using dtls::Connection;
using dtls::Context;
using dtls::Listener;
using dtls::Message;

net::Task<absl::Status> EchoUntilClosed(Connection& connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  while (true) {
    absl::StatusOr<Message> message = co_await connection.RecvDecrypted();
    if (dtls::IsClosed(message.status())) co_return co_await connection.Close();
    if (!message.ok()) co_return message.status();
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
  }
}

// Sends `text` again until its echo comes: datagrams get lost.
net::Task<absl::Status> Ask(Connection& connection, std::string text) {
  for (int attempt = 0; attempt < 50; ++attempt) {
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(Bytes(text)));
    while (true) {
      absl::StatusOr<Message> reply = co_await net::WithTimeout(
          absl::Milliseconds(300), connection.RecvDecrypted());
      if (absl::IsDeadlineExceeded(reply.status())) break;
      if (!reply.ok()) co_return reply.status();
      if (reply->text() == text) co_return absl::OkStatus();
    }
  }
  co_return absl::UnavailableError("no reply");
}

net::Task<absl::Status> Client(Connection& connection,
                               std::vector<std::string> texts) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  for (std::string& text : texts) {
    CO_RETURN_IF_ERROR(co_await Ask(connection, std::move(text)));
  }
  co_return co_await connection.Close();
}

net::Task<absl::Status> Play(SimReactor& reactor, Context server,
                             Context client, std::vector<std::string> texts,
                             std::string name, Outcome& outcome) {
  CO_ASSIGN_OR_RETURN(
      Listener listener,
      Listener::Bind(reactor, net::Endpoint::LoopbackV4(4433), server));
  net::TaskScope scope;
  scope.Spawn(ServeOne(listener, outcome));
  dtls::ConnectOptions options;
  options.server_name = std::move(name);
  {
    CO_ASSIGN_OR_RETURN(
        Connection connection,
        co_await dtls::Connect(reactor, listener.local_endpoint(), client,
                               options));
    outcome.client = co_await Client(connection, std::move(texts));
    outcome.client_info = connection.info();
    outcome.client_statistics = connection.statistics();
  }
  // The server may have lost the close_notify, or never have been reached;
  // and an alert in the clear it believes only after a while.
  (void)co_await net::SleepFor(absl::Seconds(2));
  scope.RequestStop();
  (void)co_await scope.Join();
  outcome.listener = listener.statistics();
  co_return absl::OkStatus();
}

}  // namespace

net::Task<absl::Status> ServeOne(Listener& listener, Outcome& outcome) {
  CO_ASSIGN_OR_RETURN(Connection connection, co_await listener.Accept());
  outcome.server = co_await EchoUntilClosed(connection);
  outcome.server_info = connection.info();
  outcome.server_statistics = connection.statistics();
  co_return absl::OkStatus();
}

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

const TestAuthority& Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}
const dtls::Certificate& ServerCertificate() {
  static const dtls::Certificate* const certificate = new dtls::Certificate(
      Authority().Issue({.common_name = "server", .dns_names = {"localhost"}}));
  return *certificate;
}
const dtls::Certificate& ClientCertificate() {
  static const dtls::Certificate* const certificate = new dtls::Certificate(
      Authority().Issue({.common_name = "device1", .usage = "clientAuth"}));
  return *certificate;
}

absl::Time VirtualNow() { return VirtualClock::Epoch(); }

dtls::ServerOptions DefaultServer() {
  dtls::ServerOptions options;
  options.certificates = {ServerCertificate()};
  options.wall_clock = VirtualNow;
  return options;
}
dtls::ClientOptions DefaultClient() {
  dtls::ClientOptions options;
  options.trust = Authority().trust();
  options.wall_clock = VirtualNow;
  return options;
}

Context MustMake(absl::StatusOr<Context> context) {
  if (!context.ok()) ADD_FAILURE() << context.status();
  return *std::move(context);
}

Outcome ConnectionRun::Run(const dtls::ServerOptions& server,
                           const dtls::ClientOptions& client,
                           std::vector<std::string> texts,
                           const Impairments& impairments,
                           const std::string& name) {
  Outcome outcome;
  SimReactor reactor(impairments);
  if (filter_) reactor.network().set_filter(filter_);
  EXPECT_TRUE(reactor
                  .Run(Play(reactor, MustMake(Context::Server(server)),
                            MustMake(Context::Client(client)), std::move(texts),
                            name, outcome))
                  .ok());
  network_ = reactor.network().statistics();
  return outcome;
}

}  // namespace cordon::testing
