#include "cordon/net/udp/kernel_socket.h"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cordon/net/base/errno_status.h"
#include "cordon/net/udp/control_messages.h"
#include "cordon/net/udp/peer_notices.h"

namespace cordon::net {
namespace {

// Each may fail with the error of a notice that has come since the one before.
constexpr int kAttempts = 4;

absl::Status SetInt(int fd, int level, int option, int value,
                    absl::string_view what) {
  if (setsockopt(fd, level, option, &value, sizeof(value)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot set ", what));
  }
  return absl::OkStatus();
}

// Sends the message that `train` has prepared, of so many datagrams. 0, or the
// error.
int SendAgain(const Train& train, size_t datagrams, const KernelSocket& socket,
              DatagramSocketStatistics& statistics) {
  for (int i = 1;; ++i) {
    if (sendmsg(socket.fd.get(), &train.message, MSG_DONTWAIT) >= 0) {
      ++statistics.trains_sent;
      statistics.datagrams_sent += datagrams;
      statistics.bytes_sent += train.vector.iov_len;
      return 0;
    }
    if (!socket.peer_notices || !MayComeFromNotice(errno) || i == kAttempts) {
      return errno;
    }
  }
}

// False if the socket is full; `train` has then what is left.
bool SendSingly(Train& train, const KernelSocket& socket,
                DatagramSocketStatistics& statistics) {
  while (train.bytes_left() > 0) {
    train.PrepareSegment(train.sent);
    const int error = SendAgain(train, 1, socket, statistics);
    if (error == EAGAIN) return false;
    if (error != 0) ++statistics.send_errors;
    train.sent += std::min(train.segment_bytes, train.bytes_left());
    --train.segments;
  }
  return true;
}

}  // namespace

absl::StatusOr<KernelSocket> OpenKernelSocket(
    const DatagramSocketOptions& options) {
  KernelSocket socket;
  Endpoint bind = options.bind;
  if (bind.is_none()) {
    if (options.connect.is_none()) {
      return absl::InvalidArgumentError(
          "a socket needs an address to bind or to connect to");
    }
    bind = options.connect.is_v4() ? Endpoint::AnyV4(0) : Endpoint::AnyV6(0);
  }
  socket.family = bind.family();
  socket.fd.Reset(
      ::socket(socket.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int fd = socket.fd.get();
  if (fd < 0) return ErrnoStatus(errno, "cannot open a UDP socket");

  absl::Status status;
  if (socket.family == AF_INET6) {
    status.Update(SetInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0,
                         "IPV6_V6ONLY"));
    status.Update(
        SetInt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"));
  } else {
    status.Update(SetInt(fd, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO"));
  }
  if (options.reuse_port) {
    status.Update(SetInt(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"));
  }
  if (options.receive_buffer > 0) {
    status.Update(
        SetInt(fd, SOL_SOCKET, SO_RCVBUF, options.receive_buffer, "SO_RCVBUF"));
  }
  if (options.send_buffer > 0) {
    status.Update(
        SetInt(fd, SOL_SOCKET, SO_SNDBUF, options.send_buffer, "SO_SNDBUF"));
  }
  if (options.gro) {
    status.Update(SetInt(fd, SOL_UDP, UDP_GRO, 1, "UDP_GRO"));
  }
  if (!status.ok()) return status;

  sockaddr_storage address = {};
  socklen_t length = bind.ToSockaddr(&address, socket.family);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot bind ", bind.ToString()));
  }
  if (!options.connect.is_none()) {
    length = options.connect.ToSockaddr(&address, socket.family);
    if (length == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("a socket bound to ", bind.ToString(), " cannot reach ",
                       options.connect.ToString()));
    }
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot connect to ",
                                             options.connect.ToString()));
    }
  }
  length = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return ErrnoStatus(errno, "getsockname");
  }
  if (!Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address), length,
                              &socket.local)) {
    return absl::InternalError("the socket's own address is of no known kind");
  }
  socket.peer_notices = options.peer_notices && options.connect.is_none() &&
                        KeepPeerNotices(fd, socket.family, options.v6_only);
  return socket;
}

absl::Status RetireKernelSocket(const KernelSocket& socket) {
  // A connected socket receives from its peer only, and so the kernel leaves it
  // out when it chooses among those that share the port. Nobody but ourselves
  // sends from this address.
  sockaddr_storage address = {};
  const socklen_t length = socket.local.ToSockaddr(&address, socket.family);
  if (::connect(socket.fd.get(), reinterpret_cast<sockaddr*>(&address),
                length) != 0) {
    return ErrnoStatus(errno,
                       absl::StrCat("cannot retire ", socket.local.ToString()));
  }
  return absl::OkStatus();
}

bool KernelHasGso(int fd) {
  int value = 0;
  socklen_t length = sizeof(value);
  return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &value, &length) == 0;
}

size_t KernelPathMtu(const KernelSocket& socket) {
  int mtu = 0;
  socklen_t size = sizeof(mtu);
  const bool v6 = socket.family == AF_INET6;
  const int result = getsockopt(socket.fd.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                                v6 ? IPV6_MTU : IP_MTU, &mtu, &size);
  return result == 0 && mtu > 0 ? static_cast<size_t>(mtu) : 0;
}

void ReportSocketError(int error, const KernelSocket& socket,
                       const Endpoint& peer, DatagramReceiver& receiver) {
  if (peer.is_none() || !MayComeFromNotice(error)) return;
  if (error == EMSGSIZE) {
    receiver.OnPathMtuChanged(KernelPathMtu(socket));
  } else {
    receiver.OnSocketError(ErrnoStatus(error, peer.ToString()));
  }
}

bool RecoverFromSendError(Train& train, int error, const KernelSocket& socket,
                          const Endpoint& peer, DatagramReceiver* receiver,
                          bool* gso, DatagramSocketStatistics& statistics) {
  const auto too_large = [&train](int e) {
    return train.segments > 1 && (e == EIO || e == EINVAL || e == EMSGSIZE);
  };
  if (socket.peer_notices && MayComeFromNotice(error) && !too_large(error)) {
    error = SendAgain(train, train.segments, socket, statistics);
    if (error == 0) return true;
  }
  if (error == EAGAIN) return false;
  // The error of an earlier datagram, a path that is too narrow for segments of
  // this size, or a device on it that cannot do trains at all: one more try,
  // singly.
  const bool soft =
      !peer.is_none() && (error == ECONNREFUSED || error == EMSGSIZE);
  const bool no_train = too_large(error);
  if (no_train) ++statistics.trains_split;
  if (error == EIO && no_train) *gso = false;
  if (soft && receiver != nullptr) {
    ReportSocketError(error, socket, peer, *receiver);
  }
  if (!soft && !no_train) {
    statistics.send_errors += train.segments;
    return true;
  }
  return SendSingly(train, socket, statistics);
}

void SendAtOnce(Train& train, const KernelSocket& socket, const Endpoint& peer,
                DatagramSocketStatistics& statistics) {
  if (train.segments == 0) return;
  bool unused = false;
  if (!train.Prepare(socket.family, !peer.is_none())) {
    statistics.send_errors += train.segments;
    return;
  }
  const int error = SendAgain(train, train.segments, socket, statistics);
  if (error != 0 && !RecoverFromSendError(train, error, socket, peer, nullptr,
                                          &unused, statistics)) {
    statistics.send_errors += train.segments;
  }
}

void DeliverMessage(const msghdr& message, absl::Span<uint8_t> payload,
                    const Endpoint& connected_peer,
                    DatagramReceiver* const& receiver,
                    DatagramSocketStatistics& statistics) {
  Datagram datagram;
  datagram.peer = connected_peer;
  if (datagram.peer.is_none() &&
      !Endpoint::FromSockaddr(static_cast<const sockaddr*>(message.msg_name),
                              message.msg_namelen, &datagram.peer)) {
    return;
  }
  size_t segment = payload.size();
  msghdr walk = message;
  for (cmsghdr* c = CMSG_FIRSTHDR(&walk); c != nullptr;
       c = CMSG_NXTHDR(&walk, c)) {
    if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
      const int size = ReadControl<int>(*c).value_or(0);
      if (size > 0) segment = static_cast<size_t>(size);
    } else if (const std::optional<LocalAddress> local =
                   ReadLocalAddress(*c, &in_pktinfo::ipi_spec_dst);
               local.has_value()) {
      datagram.local = *local;
    }
  }
  if (payload.empty()) {
    ++statistics.empty_datagrams;
    return;
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    ++statistics.truncated_datagrams;
    return;
  }
  while (!payload.empty() && receiver != nullptr) {
    datagram.bytes = payload.subspan(0, std::min(segment, payload.size()));
    payload.remove_prefix(datagram.bytes.size());
    ++statistics.datagrams_received;
    statistics.bytes_received += datagram.bytes.size();
    receiver->OnDatagram(datagram);
  }
}

}  // namespace cordon::net
