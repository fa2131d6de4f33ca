#include "cordon/net/udp/peer_notices.h"

#include <linux/errqueue.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>

#include "cordon/net/base/endpoint.h"
#include "cordon/net/udp/control_messages.h"

namespace cordon::net {
namespace {

// The kernel believes no less of an IPv4 path (net.ipv4.route.min_pmtu), and
// there is no less on IPv6 (RFC 8201 section 4).
constexpr size_t kMinMtuV4 = 552;
constexpr size_t kMinMtuV6 = 1280;

bool SetOn(int fd, int level, int option) {
  const int on = 1;
  return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

bool FromNetwork(const sock_extended_err& error) {
  return error.ee_origin == SO_EE_ORIGIN_ICMP ||
         error.ee_origin == SO_EE_ORIGIN_ICMP6;
}

}  // namespace

bool KeepPeerNotices(int fd, int family, bool v6_only) {
  if (family == AF_INET) return SetOn(fd, IPPROTO_IP, IP_RECVERR);
  if (!SetOn(fd, IPPROTO_IPV6, IPV6_RECVERR)) return false;
  // What cannot be had of the IPv4 peers is no reason to do without the rest.
  if (!v6_only) (void)SetOn(fd, IPPROTO_IP, IP_RECVERR);
  return true;
}

void ReadPeerNotices(int fd, DatagramReceiver* const& receiver,
                     DatagramSocketStatistics& statistics) {
  for (size_t i = 0; i < kNoticesAtOnce; ++i) {
    sockaddr_storage name = {};
    alignas(cmsghdr) std::array<char, 512> control;
    // The beginning of the datagram that it is about is not asked for.
    msghdr message = {};
    message.msg_name = &name;
    message.msg_namelen = sizeof(name);
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
      if (errno == EINTR) continue;
      // EAGAIN: there is none. Another error would fail the next receive, too,
      // where it is counted.
      return;
    }
    ++statistics.peer_notices;
    PeerNotice notice;
    if (receiver != nullptr && ParsePeerNotice(message, &notice)) {
      receiver->OnPeerNotice(notice);
    }
  }
}

bool MayComeFromNotice(int error) {
  switch (error) {
    // What the kernel makes of the codes of "destination unreachable", "time
    // exceeded" and "parameter problem".
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case EACCES:
    case EPROTO:
    case EMSGSIZE:
      return true;
    default:
      return false;
  }
}

bool ParsePeerNotice(const msghdr& message, PeerNotice* notice) {
  if (!Endpoint::FromSockaddr(static_cast<const sockaddr*>(message.msg_name),
                              message.msg_namelen, &notice->peer)) {
    return false;
  }
  std::optional<sock_extended_err> error;
  msghdr walk = message;
  for (cmsghdr* c = CMSG_FIRSTHDR(&walk); c != nullptr;
       c = CMSG_NXTHDR(&walk, c)) {
    if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
        (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
      error = ReadControl<sock_extended_err>(*c);
    } else if (const std::optional<LocalAddress> local =
                   ReadLocalAddress(*c, &in_pktinfo::ipi_addr);
               local.has_value()) {
      // To where the notice was sent: from where the datagram came.
      notice->local = *local;
    }
  }
  if (!error.has_value() || !FromNetwork(*error)) return false;
  notice->path_mtu = 0;
  if (error->ee_errno != EMSGSIZE) return true;
  if (notice->peer.is_v4()) {
    notice->path_mtu = std::max<size_t>(error->ee_info, kMinMtuV4);
    return true;
  }
  notice->path_mtu = error->ee_info;
  return notice->path_mtu >= kMinMtuV6;
}

}  // namespace cordon::net
