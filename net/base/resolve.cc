#include "cordon/net/base/resolve.h"

#include <netdb.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace cordon::net {

absl::StatusOr<std::vector<Endpoint>> Resolve(absl::string_view host_port) {
  const size_t colon = host_port.rfind(':');
  const absl::string_view name = host_port.substr(0, colon);
  uint32_t port = 0;
  if (colon == absl::string_view::npos || name.empty() ||
      absl::StartsWith(host_port, "[") ||
      name.find(':') != absl::string_view::npos ||
      !absl::SimpleAtoi(host_port.substr(colon + 1), &port) || port > 65535) {
    absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(host_port);
    if (!endpoint.ok()) return endpoint.status();
    return std::vector<Endpoint>{*endpoint};
  }
  addrinfo hints = {};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* raw = nullptr;
  const int error =
      getaddrinfo(std::string(name).c_str(), nullptr, &hints, &raw);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot resolve \"", name, "\": ", gai_strerror(error)));
  }
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(raw, &freeaddrinfo);
  std::vector<Endpoint> endpoints;
  for (const addrinfo* a = list.get(); a != nullptr; a = a->ai_next) {
    Endpoint endpoint;
    if (Endpoint::FromSockaddr(a->ai_addr, a->ai_addrlen, &endpoint)) {
      endpoints.push_back(endpoint.WithPort(static_cast<uint16_t>(port)));
    }
  }
  if (endpoints.empty()) {
    return absl::UnavailableError(
        absl::StrCat("\"", name, "\" has no IP address"));
  }
  return endpoints;
}

}  // namespace cordon::net
