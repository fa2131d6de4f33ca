// A DTLS client's way in.
//
//   CO_ASSIGN_OR_RETURN(
//       dtls::Connection connection,
//       co_await dtls::Connect(reactor, server, context, "example.com"));
//   CO_RETURN_IF_ERROR(co_await connection.Handshake());
#ifndef CORDON_DTLS_CONNECT_H_
#define CORDON_DTLS_CONNECT_H_

#include <string>

#include "absl/status/statusor.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/resumption.h"
#include "cordon/dtls/session_hooks.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"

namespace cordon::dtls {

struct ConnectOptions {
  // The name that the server's certificate must have: a DNS name, which is sent
  // as SNI, too, or an IP address.
  std::string server_name = {};
  // Our own address and port, if they matter.
  net::Endpoint bind = {};
  // A session of before, to go on with.
  ResumableSession resume = {};
  // Settings of this session alone.
  SessionOverrides overrides = {};
  // Receive trains whole, from servers that send in bulk; see
  // `net::DatagramSocketOptions`.
  bool gro = true;
  // Judges the server's certificate, see session_hooks.h.
  VerifyPeer verify_peer = {};
};

// Opens a socket of its own for one session with `server`. Nothing is sent
// before `Handshake`. kInvalidArgument: the context is a server's, it verifies
// and `server_name` is empty, an override is bad, or `server` is no address of
// one machine (none, multicast, broadcast, port 0); kUnavailable: there is no
// way to `server` from this machine. Never suspends. (With g++ 12 put the
// options into a variable first, see net/task/task.h.)
net::Task<absl::StatusOr<Connection>> Connect(net::Reactor& reactor,
                                              net::Endpoint server,
                                              Context context,
                                              ConnectOptions options);

// The same with nothing but a `server_name`.
net::Task<absl::StatusOr<Connection>> Connect(net::Reactor& reactor,
                                              net::Endpoint server,
                                              Context context,
                                              std::string server_name);

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_CONNECT_H_
