#include "cordon/net/base/endpoint.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace cordon::net {
namespace {

constexpr std::array<uint8_t, 12> kV4MappedPrefix = {0, 0, 0, 0, 0,    0,
                                                     0, 0, 0, 0, 0xff, 0xff};

absl::Status BadEndpoint(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not an address and port: ", why,
                   "; write 192.0.2.1:4433 or [2001:db8::1]:4433"));
}

}  // namespace

Endpoint Endpoint::V4(const std::array<uint8_t, 4>& address, uint16_t port) {
  Endpoint e;
  std::copy(address.begin(), address.end(), e.address_.begin());
  e.port_ = port;
  e.kind_ = kV4;
  return e;
}

Endpoint Endpoint::V6(const std::array<uint8_t, 16>& address, uint16_t port,
                      uint32_t scope_id) {
  if (std::equal(kV4MappedPrefix.begin(), kV4MappedPrefix.end(),
                 address.begin())) {
    return V4({address[12], address[13], address[14], address[15]}, port);
  }
  Endpoint e;
  e.address_ = address;
  e.scope_id_ = scope_id;
  e.port_ = port;
  e.kind_ = kV6;
  return e;
}

Endpoint Endpoint::LoopbackV6(uint16_t port) {
  std::array<uint8_t, 16> address = {};
  address[15] = 1;
  return V6(address, port);
}

absl::StatusOr<Endpoint> Endpoint::Parse(absl::string_view text) {
  absl::string_view host;
  absl::string_view rest;
  if (!text.empty() && text[0] == '[') {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) {
      return BadEndpoint(text, "the \"]\" is missing");
    }
    host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
  } else {
    const size_t colon = text.rfind(':');
    if (colon == absl::string_view::npos) {
      return BadEndpoint(text, "the port is missing");
    }
    host = text.substr(0, colon);
    rest = text.substr(colon);
    if (host.find(':') != absl::string_view::npos) {
      return BadEndpoint(text, "an IPv6 address needs brackets");
    }
  }
  uint32_t port = 0;
  if (rest.empty() || rest[0] != ':') {
    return BadEndpoint(text, "the port is missing");
  }
  if (!absl::SimpleAtoi(rest.substr(1), &port) || port > 65535) {
    return BadEndpoint(text, "the port is not a number from 0 to 65535");
  }
  absl::StatusOr<Endpoint> endpoint =
      ParseAddress(host, static_cast<uint16_t>(port));
  if (!endpoint.ok()) return BadEndpoint(text, endpoint.status().message());
  return endpoint;
}

absl::StatusOr<Endpoint> Endpoint::ParseAddress(absl::string_view text,
                                                uint16_t port) {
  const size_t percent = text.find('%');
  const std::string address(text.substr(0, percent));
  uint32_t scope_id = 0;
  if (percent != absl::string_view::npos) {
    const std::string zone(text.substr(percent + 1));
    if (!absl::SimpleAtoi(zone, &scope_id)) {
      scope_id = if_nametoindex(zone.c_str());
      if (scope_id == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("there is no network interface \"", zone, "\""));
      }
    }
  }
  std::array<uint8_t, 4> v4;
  if (scope_id == 0 && inet_pton(AF_INET, address.c_str(), v4.data()) == 1) {
    return V4(v4, port);
  }
  std::array<uint8_t, 16> v6;
  if (inet_pton(AF_INET6, address.c_str(), v6.data()) == 1) {
    return V6(v6, port, scope_id);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is neither an IPv4 nor an IPv6 address"));
}

bool Endpoint::FromSockaddr(const sockaddr* address, socklen_t length,
                            Endpoint* out) {
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof(in));
    std::array<uint8_t, 4> bytes;
    std::memcpy(bytes.data(), &in.sin_addr, bytes.size());
    *out = V4(bytes, ntohs(in.sin_port));
    return true;
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in;
    std::memcpy(&in, address, sizeof(in));
    std::array<uint8_t, 16> bytes;
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    *out = V6(bytes, ntohs(in.sin6_port), in.sin6_scope_id);
    return true;
  }
  return false;
}

socklen_t Endpoint::ToSockaddr(sockaddr_storage* out, int family) const {
  if (family == AF_INET) {
    if (!is_v4()) return 0;
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(port_);
    std::memcpy(&in.sin_addr, address_.data(), 4);
    std::memcpy(out, &in, sizeof(in));
    return sizeof(in);
  }
  if (family != AF_INET6 || is_none()) return 0;
  sockaddr_in6 in = {};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port_);
  in.sin6_scope_id = scope_id_;
  auto* bytes = reinterpret_cast<uint8_t*>(&in.sin6_addr);
  if (is_v6()) {
    std::memcpy(bytes, address_.data(), 16);
  } else if (!is_any()) {
    std::memcpy(bytes, kV4MappedPrefix.data(), 12);
    std::memcpy(bytes + 12, address_.data(), 4);
  }
  std::memcpy(out, &in, sizeof(in));
  return sizeof(in);
}

int Endpoint::family() const {
  return is_v4() ? AF_INET : is_v6() ? AF_INET6 : AF_UNSPEC;
}

bool Endpoint::is_any() const {
  return !is_none() && std::all_of(address_.begin(), address_.end(),
                                   [](uint8_t byte) { return byte == 0; });
}

bool Endpoint::is_loopback() const {
  return is_v4() ? address_[0] == 127 : is_v6() && *this == LoopbackV6(port_);
}

bool Endpoint::is_multicast() const {
  return is_v4() ? (address_[0] & 0xf0) == 0xe0
                 : is_v6() && address_[0] == 0xff;
}

bool Endpoint::is_broadcast() const {
  return is_v4() && std::all_of(address_.begin(), address_.begin() + 4,
                                [](uint8_t byte) { return byte == 0xff; });
}

bool Endpoint::is_answerable() const {
  // All of 0.0.0.0/8 means "this host" (RFC 1122 section 3.2.1.3).
  const bool names_no_machine =
      is_none() || is_any() || (is_v4() && address_[0] == 0);
  return !names_no_machine && !is_multicast() && !is_broadcast() && port_ != 0;
}

Endpoint Endpoint::WithPort(uint16_t port) const {
  Endpoint e = *this;
  e.port_ = port;
  return e;
}

std::string Endpoint::AddressToString() const {
  if (is_none()) return "(none)";
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family(), address_.data(), text, sizeof(text));
  return scope_id_ == 0 ? std::string(text)
                        : absl::StrCat(text, "%", scope_id_);
}

std::string Endpoint::ToString() const {
  if (is_none()) return "(none)";
  return is_v4() ? absl::StrCat(AddressToString(), ":", port_)
                 : absl::StrCat("[", AddressToString(), "]:", port_);
}

}  // namespace cordon::net
