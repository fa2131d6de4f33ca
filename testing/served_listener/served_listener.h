// A listener that serves any number of clients on a simulated network, and the
// ways by which it is looked after.
//
//   ServedListener world;
//   EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
//     CO_ASSIGN_OR_RETURN(dtls::Connection client, co_await world.Connect());
//     world.admin().CloseSession(...);
//     co_return absl::OkStatus();
//   }), absl::OkStatus());
#ifndef CORDON_TESTING_SERVED_LISTENER_SERVED_LISTENER_H_
#define CORDON_TESTING_SERVED_LISTENER_SERVED_LISTENER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/dtls/policy_store.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/task.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/sim/sim_reactor.h"

namespace cordon::testing {

class ServedListener {
 public:
  using Body = std::function<net::Task<absl::Status>()>;
  using Session = std::function<net::Task<absl::Status>(dtls::Connection&)>;

  // A server with a certificate for "localhost" and a registry, and clients
  // that trust its issuer. All may be changed before `Run`.
  explicit ServedListener(const Impairments& impairments = {});

  static const TestAuthority& Authority();
  static const net::Endpoint& At();

  // Runs `body` beside the server, whose sessions are stopped at its end.
  absl::Status Run(const Body& body);

  // What `Run` has made; for `body`.
  dtls::Listener& listener() { return *listener_; }
  dtls::ListenerAdmin& admin() { return *admin_; }
  const dtls::Context& client_context() const { return *client_context_; }

  // A client before its handshake, and one after.
  net::Task<absl::StatusOr<dtls::Connection>> Open(
      dtls::ConnectOptions options);
  net::Task<absl::StatusOr<dtls::Connection>> Open();
  net::Task<absl::StatusOr<dtls::Connection>> Connect(
      dtls::ConnectOptions options);
  net::Task<absl::StatusOr<dtls::Connection>> Connect();
  // Sends `text` and expects it back.
  static net::Task<absl::Status> Ask(dtls::Connection& connection,
                                     std::string text);
  // Lets `time` pass.
  static net::Task<void> Pass(absl::Duration time);

  // Handshakes, and echoes until the session ends.
  static net::Task<absl::Status> Echo(dtls::Connection& connection);

  SimReactor reactor;
  std::shared_ptr<dtls::Registry> registry;
  dtls::ServerOptions server_options;
  dtls::ListenerOptions listener_options;
  dtls::ClientOptions client_options;
  // What the server does with each connection, and how it ended, in the order
  // of ends.
  Session session = Echo;
  std::vector<absl::Status> ended;
  // What `Listener::Accept` has ended with.
  absl::Status accept_status;

 private:
  net::Task<absl::Status> Play(const Body& body);
  net::Task<absl::Status> Serve();
  net::Task<absl::Status> ServeOne(dtls::Connection connection);

  std::optional<dtls::Listener> listener_;
  std::optional<dtls::Context> client_context_;
  dtls::ListenerAdmin* admin_ = nullptr;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SERVED_LISTENER_SERVED_LISTENER_H_
