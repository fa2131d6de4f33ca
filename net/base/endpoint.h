// An IP address and a UDP port.
//
//   absl::StatusOr<Endpoint> at = Endpoint::Parse("[::1]:4433");
//   Endpoint any = Endpoint::AnyV4(0);
//
// A plain value: 24 bytes, trivially copyable, hashable. An IPv4 address is
// always IPv4 here: one that the kernel reports as IPv4-mapped IPv6, on a
// dual-stack socket, is converted on the way in and back on the way out.
#ifndef CORDON_NET_BASE_ENDPOINT_H_
#define CORDON_NET_BASE_ENDPOINT_H_

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cordon::net {

class Endpoint {
 public:
  // No address at all (`is_none`).
  Endpoint() = default;

  static Endpoint V4(const std::array<uint8_t, 4>& address, uint16_t port);
  static Endpoint V6(const std::array<uint8_t, 16>& address, uint16_t port,
                     uint32_t scope_id = 0);
  static Endpoint AnyV4(uint16_t port) { return V4({0, 0, 0, 0}, port); }
  static Endpoint AnyV6(uint16_t port) { return V6({}, port); }
  static Endpoint LoopbackV4(uint16_t port) { return V4({127, 0, 0, 1}, port); }
  static Endpoint LoopbackV6(uint16_t port);

  // Reads "1.2.3.4:5", "[::1]:5" and "[fe80::1%eth0]:5"; no names (resolve.h
  // has those). kInvalidArgument says what is wrong.
  static absl::StatusOr<Endpoint> Parse(absl::string_view text);
  // Reads an address without port.
  static absl::StatusOr<Endpoint> ParseAddress(absl::string_view text,
                                               uint16_t port = 0);

  // False, and `*out` untouched, unless it is an IPv4 or IPv6 address.
  static bool FromSockaddr(const sockaddr* address, socklen_t length,
                           Endpoint* out);
  // Writes the address for a socket of `family`, and returns its length. For
  // AF_INET6 an IPv4 address is written as IPv4-mapped. 0 if a socket of that
  // family cannot reach it.
  socklen_t ToSockaddr(sockaddr_storage* out, int family) const;
  // AF_INET, AF_INET6, or AF_UNSPEC for none.
  int family() const;

  bool is_none() const { return kind_ == kNone; }
  bool is_v4() const { return kind_ == kV4; }
  bool is_v6() const { return kind_ == kV6; }
  // 0.0.0.0 or ::.
  bool is_any() const;
  bool is_loopback() const;
  bool is_multicast() const;
  // 255.255.255.255.
  bool is_broadcast() const;
  // The address of one machine, and a port of it: a datagram can be sent there.
  // Linux delivers datagrams from port 0 and from other sources that cannot be
  // answered, which somebody has forged.
  bool is_answerable() const;

  uint16_t port() const { return port_; }
  Endpoint WithPort(uint16_t port) const;
  // 4 or 16 bytes in network order; valid as long as this object.
  absl::Span<const uint8_t> address_bytes() const {
    return absl::MakeConstSpan(address_).subspan(0, is_v4() ? 4 : 16);
  }
  // The interface of a link-local IPv6 address, else 0.
  uint32_t scope_id() const { return scope_id_; }

  // "1.2.3.4:5" or "[::1]:5".
  std::string ToString() const;
  // "1.2.3.4" or "::1".
  std::string AddressToString() const;

  friend bool operator==(const Endpoint& a, const Endpoint& b) {
    return std::memcmp(&a, &b, sizeof(Endpoint)) == 0;
  }
  friend bool operator<(const Endpoint& a, const Endpoint& b) {
    return std::memcmp(&a, &b, sizeof(Endpoint)) < 0;
  }
  template <typename H>
  friend H AbslHashValue(H h, const Endpoint& e) {
    return H::combine_contiguous(
        std::move(h), reinterpret_cast<const unsigned char*>(&e), sizeof(e));
  }
  friend std::ostream& operator<<(std::ostream& os, const Endpoint& e) {
    return os << e.ToString();
  }

 private:
  enum Kind : uint8_t { kNone, kV4, kV6 };

  // No padding: the object is compared and hashed as bytes.
  std::array<uint8_t, 16> address_ = {};
  uint32_t scope_id_ = 0;
  uint16_t port_ = 0;
  Kind kind_ = kNone;
  uint8_t zero_ = 0;
};
static_assert(sizeof(Endpoint) == 24);

// Where a datagram arrived, so that the reply can leave from there: on a
// socket bound to the wildcard address the kernel would otherwise choose.
struct LocalAddress {
  Endpoint address;  // Port 0; none if not known.
  uint32_t interface_index = 0;

  friend bool operator==(const LocalAddress&, const LocalAddress&) = default;
};

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_ENDPOINT_H_
