// A DTLS server's port.
//
//   CO_ASSIGN_OR_RETURN(dtls::Listener listener,
//                       dtls::Listener::Bind(reactor, at, context));
//   net::TaskScope sessions;
//   while (true) {
//     absl::StatusOr<dtls::Connection> connection = co_await listener.Accept();
//     if (!connection.ok()) break;
//     sessions.Spawn(EchoSession(*std::move(connection)));
//   }
//
// Any number of peers share the port and the thread. With cookies, which are on
// by default, nothing is kept of a peer before it has shown that it receives at
// its address. A connection is accepted before its handshake, so a slow one
// delays nobody.
#ifndef CORDON_DTLS_LISTENER_H_
#define CORDON_DTLS_LISTENER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/cookie.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::dtls {

struct ListenerOptions {
  // Needed when several reactors serve one port.
  bool reuse_port = false;
  // Bytes of the kernel's queues; what the system allows of it.
  int receive_buffer = 4 << 20;
  int send_buffer = 4 << 20;
  // Trains on sending and receiving, see `net::DatagramSocketOptions`.
  bool gso = true;
  bool gro = false;
  // Sessions at one time; a hello beyond it is dropped and counted.
  size_t max_sessions = 1'000'000;
  // Sessions that wait for `Accept`, likewise.
  size_t accept_backlog = 1024;
};

struct ListenerStatistics {
  size_t sessions = 0;  // now
  uint64_t sessions_accepted = 0;
  uint64_t handshakes_completed = 0;
  uint64_t handshakes_failed = 0;
  // Sessions that ended because their peer came back with a new one from the
  // same address and port (RFC 6347 section 4.2.8).
  uint64_t sessions_superseded = 0;
  CookieStatistics cookies = {};
  // Hellos that were dropped at a limit.
  uint64_t dropped_max_sessions = 0;
  uint64_t dropped_accept_backlog = 0;
  // Datagrams of unknown peers that began no session.
  uint64_t dropped_unknown = 0;
  // Of the sessions that have ended, added up.
  SessionStatistics ended = {};
  net::DatagramSocketStatistics socket = {};
};

// A move-only handle, for the reactor's thread. Destroying it stops accepting;
// sessions that were accepted live on, and the port with them.
class Listener {
 public:
  // Binds and listens. kUnavailable: the address is in use, or not of this
  // machine; kInvalidArgument: the context is a client's.
  static absl::StatusOr<Listener> Bind(net::Reactor& reactor,
                                       const net::Endpoint& at,
                                       const Context& context,
                                       const ListenerOptions& options = {});
  Listener(Listener&&) noexcept;
  Listener& operator=(Listener&&) noexcept;
  ~Listener();

  // Suspends until a peer with a good cookie is there; await the connection's
  // `Handshake` in a task of its own. kFailedPrecondition after
  // `StopAccepting`. Stop: kCancelled; no peer is lost.
  net::Task<absl::StatusOr<Connection>> Accept();

  // From now on hellos are dropped; sessions go on.
  void StopAccepting();

  // With the real port, if it was bound to port 0.
  const net::Endpoint& local_endpoint() const;
  ListenerStatistics statistics() const;

 private:
  class Core;
  explicit Listener(std::shared_ptr<Core> core);
  std::shared_ptr<Core> core_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_LISTENER_H_
