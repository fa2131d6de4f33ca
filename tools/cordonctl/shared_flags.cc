#include "cordon/tools/cordonctl/shared_flags.h"

#include <algorithm>
#include <limits>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "cordon/tools/cordonctl/printable.h"

ABSL_FLAG(std::string, listener, "",
          "Only the listener of this name. By default all.");
ABSL_FLAG(uint32_t, limit, 100, "How many to show at most.");
ABSL_FLAG(bool, all, false, "Show all, however many.");
ABSL_FLAG(uint64_t, count, 0,
          "End after so many messages of the service. By default never.");

namespace cordon::tools::ctl {
namespace {

constexpr uint64_t kLargestPage = 1000;

}  // namespace

Remaining::Remaining()
    : left_(absl::GetFlag(FLAGS_all) ? std::numeric_limits<uint64_t>::max()
                                     : absl::GetFlag(FLAGS_limit)) {}

uint32_t Remaining::PageSize() const {
  return static_cast<uint32_t>(std::min(left_, kLargestPage));
}

void Remaining::Take(uint64_t got) { left_ -= std::min(left_, got); }

std::string WhichListeners() {
  const std::string name = absl::GetFlag(FLAGS_listener);
  return name.empty() ? "all listeners"
                      : absl::StrCat("listener \"", Printable(name), "\"");
}

}  // namespace cordon::tools::ctl
