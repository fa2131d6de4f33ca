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
//
// A server on several cores binds the same address with `reuse_port` on each of
// its reactors, with the same options. These are one listener:
// - Its limits hold for all of them together, and what is set on one, limits or
//   cookies, is set on all.
// - Reactors may stop and start at any time, and drain. The kernel then gives
//   datagrams of established sessions to other reactors than before: these send
//   them on to the session's own. A hello that comes to one that takes no new
//   sessions goes to one that does.
// - A peer that comes back from the address of a session supersedes that,
//   whichever reactor has it.
// This works within a process, for listeners that are bound to the same address
// and port; sockets of other processes on the same port are not known.
#ifndef CORDON_DTLS_LISTENER_H_
#define CORDON_DTLS_LISTENER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/dtls/registry.h"
#include "cordon/dtls/session_hooks.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"

namespace cordon::dtls {

struct ListenerOptions {
  // What it is called in the registry, by which it may be looked after while it
  // runs; several may have one name, usually one on each reactor. With a
  // registry its policies count instead of what the context says about clients;
  // those of one name have one policy, so that their contexts must say the
  // same.
  std::string name = "default";
  std::shared_ptr<Registry> registry = {};
  // Needed when several reactors serve one port. Those with the same `registry`
  // and `name` have one set of limits: if one that is bound later has others in
  // its options than those before it, its own count for all from then on. What
  // was set since by `ListenerAdmin::SetLimits` stays otherwise.
  bool reuse_port = false;
  // Bytes of the kernel's queues; what the system allows of it.
  int receive_buffer = 4 << 20;
  int send_buffer = 4 << 20;
  // Trains on sending and receiving, see `net::DatagramSocketOptions`.
  bool gso = true;
  bool gro = true;
  // Sessions at one time; a hello beyond it is dropped and counted.
  size_t max_sessions = 1'000'000;
  // Bytes that all sessions may take: about 16 KiB for each, and the messages
  // that wait in it. A hello that finds no room for a session is dropped and
  // counted; so is a message, if others of its session are waiting. The default
  // is what `max_sessions` take: lower it to what the machine can spare.
  size_t max_session_memory = size_t{16} << 30;
  // Bytes that all handshakes together may keep of what their peers have sent
  // and they cannot use yet: parts of messages, and datagrams and records that
  // came too early. The first 8 KiB of each handshake do not count, so that it
  // goes on whatever others do. What finds no room is dropped and counted; the
  // peer sends it again. Established sessions keep nothing of that.
  size_t max_reassembly_bytes = size_t{64} << 20;
  // Sessions that wait for `Accept`, likewise.
  size_t accept_backlog = 1024;
  // Sessions before the end of their handshake. At the limit the oldest one of
  // the reactor, or of another if there is none here, gives way to a hello with
  // a good cookie, if it has been so for longer than `half_open_grace` and
  // waits for nobody's decision or key; its coroutines get kResourceExhausted
  // with the limit "max_half_open". Otherwise the hello is dropped. Established
  // sessions never give way.
  size_t max_half_open = 16'384;
  absl::Duration half_open_grace = absl::Seconds(2);
  // Of these, those of peers whose addresses agree in their first bits; a hello
  // beyond it is dropped.
  size_t max_half_open_per_source = 2'048;
  // Handshakes that such peers may begin, per second and at once; a hello
  // beyond it is dropped. Of hellos without a cookie, where they are served at
  // all, a count of its own is kept: forged ones take nothing from their
  // victim. A busy source may be let through a whole network, which is why so
  // many are; give less where clients have addresses of their own.
  size_t handshake_rate_per_source = 5'000;
  size_t handshake_burst_per_source = 10'000;
  int source_prefix_v4 = 32;
  int source_prefix_v6 = 64;
  // With `ServerOptions::cookies`: while fewer sessions than these are
  // half-open, a hello is served without a cookie, unless there is a session
  // with its address already. 0: cookies are always demanded.
  size_t half_open_before_cookies = 0;
  // A peer that has shown no cookie gets at most so many times the bytes that
  // came from its address, until its handshake is complete: the rest of a large
  // flight waits until it repeats its hello (RFC 9147 section 5.1). 0: any
  // number, for networks where addresses cannot be forged.
  size_t amplification_limit = 3;
  // Judges the certificates of clients, and finds the keys of PSK identities
  // (only with `ServerOptions::psk_lookup`); see session_hooks.h.
  VerifyPeer verify_peer = {};
  PskLookup psk_lookup = {};
};

// A move-only handle, for the reactor's thread. Destroying it stops accepting;
// sessions that were accepted live on, and the port with them. One that shares
// its port is kept for some more milliseconds, to send on what its socket has.
class Listener {
 public:
  // Binds and listens. kUnavailable: the address is in use, or not of this
  // machine; kInvalidArgument: the context is a client's, or it wants keys to
  // be looked up and there is no `psk_lookup`, the name is empty, or a prefix
  // is not from 0 to 32 or 128 bits; kFailedPrecondition: a listener that
  // accepts has this name in the registry, and its context says something else
  // about clients.
  static absl::StatusOr<Listener> Bind(net::Reactor& reactor,
                                       const net::Endpoint& at,
                                       const Context& context,
                                       const ListenerOptions& options = {});
  Listener(Listener&&) noexcept;
  Listener& operator=(Listener&&) noexcept;
  ~Listener();

  // Suspends until a peer with a good cookie is there; await the connection's
  // `Handshake` in a task of its own. kFailedPrecondition after
  // `StopAccepting`, when the listener was drained, and when it was destroyed
  // meanwhile. Stop: kCancelled; no peer is lost.
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
