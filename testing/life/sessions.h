// A listener, one client and one session between them, one end of which is
// interrupted in whatever it does, while the other behaves as it should.
#ifndef CORDON_TESTING_LIFE_SESSIONS_H_
#define CORDON_TESTING_LIFE_SESSIONS_H_

#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/life/interrupter.h"

namespace cordon::testing {

class Sessions;

struct SessionScenario {
  using Step = net::Task<absl::Status> (*)(Sessions&);

  std::string name;
  // What of the public headers is awaited in `act`.
  std::vector<std::string> covers;
  // Whose end is interrupted.
  bool server = false;
  void (*configure)(Sessions&) = nullptr;
  // Before; and what is interrupted.
  Step prepare = nullptr;
  Step act = nullptr;
  // After `act` was interrupted, and had not ended well: leads to where it
  // would have led. Usually `act` itself.
  Step recover = nullptr;
  // What the other end does from the moment on at which `act` begins; then it
  // echoes.
  Step peer = nullptr;
  // Whether the session is established in the end.
  bool lives = true;
  // Whether the end can still say goodbye when it is destroyed.
  bool tells = true;
  // Whether the listener serves others afterwards.
  bool serves = true;

  friend void PrintTo(const SessionScenario& scenario, std::ostream* out) {
    *out << scenario.name;
  }
};

class Sessions {
 public:
  // What simulated and real reactors have in common must be done before this
  // has passed.
  static constexpr absl::Duration kWhile = absl::Milliseconds(5);

  Sessions(net::Reactor& reactor, bool simulated);

  static const TestAuthority& Authority();
  // Whom nobody trusts.
  static const TestAuthority& Stranger();
  static dtls::Certificate Issue(const TestAuthority& authority);

  // One life of a session. Says what was wrong.
  net::Task<absl::Status> Live(const SessionScenario& scenario,
                               Interruption interruption, Outcome* outcome);

  // For scenarios.
  net::Task<absl::Status> OpenClient();
  net::Task<absl::Status> AcceptServer();
  dtls::Connection& mine() { return *(server_role ? server : client); }
  dtls::Connection& other() { return *(server_role ? client : server); }
  dtls::Listener& listener() { return *listener_; }
  dtls::ListenerAdmin& admin() { return *admin_; }
  // A verdict, and a key, that take a while.
  dtls::VerifyPeer SlowVerdict();
  dtls::PskLookup SlowLookup(std::vector<uint8_t> key);

  net::Reactor& reactor;
  const bool simulated;
  dtls::ServerOptions server_options;
  dtls::ListenerOptions listener_options;
  dtls::ClientOptions client_options;
  dtls::ConnectOptions connect_options;
  bool server_role = false;
  std::optional<dtls::Connection> client;
  std::optional<dtls::Connection> server;
  // Set when the interrupted task begins.
  net::Event begun;
  // What the interrupted end has received.
  std::vector<std::string> received;

 private:
  net::Task<absl::Status> Start(const SessionScenario& scenario);
  net::Task<absl::Status> BePeer(const SessionScenario& scenario);
  net::Task<absl::Status> PlayPeer(const SessionScenario& scenario);
  net::Task<absl::Status> Act(const SessionScenario& scenario);
  net::Task<absl::Status> Recover(const SessionScenario& scenario);
  net::Task<absl::Status> Ask(dtls::Connection& connection, std::string text);
  net::Task<absl::Status> ServeAll();
  net::Task<absl::Status> ServeFreshClient();
  uint64_t Progress() const;
  void DestroyMine();

  std::optional<dtls::Context> client_context_;
  std::optional<dtls::Listener> listener_;
  dtls::ListenerAdmin* admin_ = nullptr;
  absl::Status peer_status_;
  net::Event peer_ended_;
  // When my end was destroyed both had been established.
  bool both_connected_ = false;
  // Coroutines of the application that are in the middle of a handshake.
  int hooks_alive_ = 0;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_LIFE_SESSIONS_H_
