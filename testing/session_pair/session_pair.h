// A client and a server as coroutines on a simulated network.
//
//   SessionPair pair;
//   const absl::Status status = pair.Run(
//       [](dtls::Connection& client) -> net::Task<absl::Status> {
//         co_return co_await client.Handshake();
//       },
//       [](dtls::Connection& server) -> net::Task<absl::Status> {
//         co_return co_await server.Handshake();
//       });
#ifndef CORDON_TESTING_SESSION_PAIR_SESSION_PAIR_H_
#define CORDON_TESTING_SESSION_PAIR_SESSION_PAIR_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/net/task/task.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/sim/sim_reactor.h"

namespace cordon::testing {

class SessionPair {
 public:
  using Role = std::function<net::Task<absl::Status>(dtls::Connection&)>;

  // A server with a certificate for "localhost" and a client that trusts its
  // issuer.
  explicit SessionPair(const Impairments& impairments = {});

  static const TestAuthority& Authority();

  // Runs `client` with a connection to a listener, and `server` with each
  // connection that the listener accepts. Yields what the client yielded; a
  // second after that the server's are stopped. May be called again.
  absl::Status Run(const Role& client, const Role& server);

  // Echoes until the peer closes.
  static net::Task<absl::Status> Echo(dtls::Connection& connection);
  // Sends `text` and expects it back.
  static net::Task<absl::Status> Ask(dtls::Connection& connection,
                                     std::string text);

  dtls::ServerOptions server_options;
  dtls::ListenerOptions listener_options;
  dtls::ClientOptions client_options;
  dtls::ConnectOptions connect_options;
  SimReactor reactor;
  // Of the last run: how the last of the server's connections ended, and what
  // the listener counted.
  absl::Status server_status;
  dtls::ListenerStatistics listener;

 private:
  net::Task<absl::Status> Play(const Role& client, const Role& server);
  net::Task<absl::Status> Serve(dtls::Listener& listener, const Role& server);
  net::Task<absl::Status> ServeOne(dtls::Connection connection,
                                   const Role& server);
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SESSION_PAIR_SESSION_PAIR_H_
