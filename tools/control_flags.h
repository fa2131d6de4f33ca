// The flags of a server that can be looked after while it runs.
#ifndef CORDON_TOOLS_CONTROL_FLAGS_H_
#define CORDON_TOOLS_CONTROL_FLAGS_H_

#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "cordon/dtls/control/control.h"
#include "cordon/dtls/registry.h"

namespace cordon::tools {

// Serves what --control says, and reads --policy_file; null without --control.
// Bad values end the program, see `DieOfUsage`.
std::unique_ptr<dtls::control::Control> StartControlOrDie(
    absl::string_view program, const std::shared_ptr<dtls::Registry>& registry,
    std::vector<dtls::control::CredentialSource> credentials);

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_CONTROL_FLAGS_H_
