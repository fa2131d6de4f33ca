// A listening TCP socket.
#ifndef CORDON_DTLS_CONTROL_TCP_SOCKET_H_
#define CORDON_DTLS_CONTROL_TCP_SOCKET_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::dtls::control {

struct TcpListener {
  net::UniqueFd socket = {};
  // With the port that the system chose, where it was to.
  net::Endpoint at = {};
};

// Binds and listens, without blocking calls. "[::]:PORT" listens on IPv4, too.
// The system's error says which address.
absl::StatusOr<TcpListener> ListenOnTcp(const net::Endpoint& at);

// Small messages leave at once.
void SetNoDelay(int socket);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_TCP_SOCKET_H_
