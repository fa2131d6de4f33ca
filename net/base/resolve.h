// Names to addresses, for programs that are starting up.
#ifndef CORDON_NET_BASE_RESOLVE_H_
#define CORDON_NET_BASE_RESOLVE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::net {

// The addresses of "HOST:PORT", where HOST is a name, an IPv4 address or an
// IPv6 address in brackets, in the order of preference of the system; never
// empty. Blocks while the system's resolver works: not for reactor threads.
// kInvalidArgument for what is not HOST:PORT, kUnavailable for an unknown name.
absl::StatusOr<std::vector<Endpoint>> Resolve(absl::string_view host_port);

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_RESOLVE_H_
