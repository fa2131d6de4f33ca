// What the kernel tells beside a datagram (cmsg(3)).
#ifndef CORDON_NET_UDP_CONTROL_MESSAGES_H_
#define CORDON_NET_UDP_CONTROL_MESSAGES_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

#include "cordon/net/base/endpoint.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::net {

// Nothing if there are too few bytes for it.
template <typename T>
std::optional<T> ReadControl(const cmsghdr& header) {
  if (header.cmsg_len < CMSG_LEN(sizeof(T))) return std::nullopt;
  T value;
  std::memcpy(&value, CMSG_DATA(&header), sizeof(T));
  return value;
}

// The address of this machine in an IP_PKTINFO or IPV6_PKTINFO; nothing if
// `header` is another. `v4` says which of the two that IPv4 has: that which the
// datagram was sent to, or that from which to answer it.
inline std::optional<LocalAddress> ReadLocalAddress(const cmsghdr& header,
                                                    in_addr in_pktinfo::* v4) {
  if (header.cmsg_level == IPPROTO_IP && header.cmsg_type == IP_PKTINFO) {
    const std::optional<in_pktinfo> info = ReadControl<in_pktinfo>(header);
    if (!info.has_value()) return std::nullopt;
    std::array<uint8_t, 4> bytes;
    std::memcpy(bytes.data(), &(*info.*v4), bytes.size());
    return LocalAddress{Endpoint::V4(bytes, 0),
                        static_cast<uint32_t>(info->ipi_ifindex)};
  }
  if (header.cmsg_level == IPPROTO_IPV6 && header.cmsg_type == IPV6_PKTINFO) {
    const std::optional<in6_pktinfo> info = ReadControl<in6_pktinfo>(header);
    if (!info.has_value()) return std::nullopt;
    std::array<uint8_t, 16> bytes;
    std::memcpy(bytes.data(), &info->ipi6_addr, bytes.size());
    return LocalAddress{Endpoint::V6(bytes, 0), info->ipi6_ifindex};
  }
  return std::nullopt;
}

}  // namespace cordon::net

#endif  // CORDON_NET_UDP_CONTROL_MESSAGES_H_
