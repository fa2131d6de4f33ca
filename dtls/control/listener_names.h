// Listeners as requests name them.
#ifndef CORDON_DTLS_CONTROL_LISTENER_NAMES_H_
#define CORDON_DTLS_CONTROL_LISTENER_NAMES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/registry.h"

namespace cordon::dtls::control {

// The listeners that a request names, all if it names none. kNotFound: `field`
// says one that there is not.
absl::StatusOr<std::vector<std::shared_ptr<ListenerHandle>>> ListenersOf(
    const Registry& registry, absl::string_view name, absl::string_view field);

// For people: "all listeners", or "listener "public"".
std::string DescribeListeners(absl::string_view name);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_LISTENER_NAMES_H_
