#include "cordon/dtls/control/listener_names.h"

#include <set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace cordon::dtls::control {

absl::StatusOr<std::vector<std::shared_ptr<ListenerHandle>>> ListenersOf(
    const Registry& registry, absl::string_view name, absl::string_view field) {
  std::vector<std::shared_ptr<ListenerHandle>> found = registry.listeners(name);
  if (!found.empty() || name.empty()) return found;
  std::set<std::string> names;
  for (const auto& listener : registry.listeners()) {
    names.insert(listener->name());
  }
  return absl::NotFoundError(absl::StrCat(
      field, ": there is no listener \"", name, "\"; there ",
      names.empty() ? "are none"
                    : absl::StrCat("is: ", absl::StrJoin(names, ", "))));
}

std::string DescribeListeners(absl::string_view name) {
  return name.empty() ? "all listeners"
                      : absl::StrCat("listener \"", name, "\"");
}

}  // namespace cordon::dtls::control
