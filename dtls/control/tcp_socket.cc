#include "cordon/dtls/control/tcp_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "cordon/net/base/errno_status.h"

namespace cordon::dtls::control {

absl::StatusOr<TcpListener> ListenOnTcp(const net::Endpoint& at) {
  TcpListener listener;
  listener.socket.Reset(
      socket(at.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int fd = listener.socket.get();
  const int on = 1;
  const int off = 0;
  sockaddr_storage address = {};
  socklen_t length = at.ToSockaddr(&address, at.family());
  if (!listener.socket.valid() ||
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      (at.is_v6() && at.is_any() &&
       setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) ||
      bind(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      listen(fd, SOMAXCONN) != 0) {
    return net::ErrnoStatus(errno,
                            absl::StrCat("cannot listen on ", at.ToString()));
  }
  length = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      !net::Endpoint::FromSockaddr(reinterpret_cast<const sockaddr*>(&address),
                                   length, &listener.at)) {
    return net::ErrnoStatus(errno, "cannot read the address of a socket");
  }
  return listener;
}

void SetNoDelay(int socket) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace cordon::dtls::control
