#include "cordon/dtls/control/limited_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cordon::dtls::control {

std::optional<std::string> LimitedLog::Admit(absl::string_view line) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_->Now();
  const absl::Time full = std::max(full_, now) + kInterval;
  if (full - now > static_cast<int64_t>(kBurst) * kInterval) {
    ++left_out_;
    return std::nullopt;
  }
  full_ = full;
  const uint64_t left_out = std::exchange(left_out_, 0);
  if (left_out == 0) return std::string(line);
  return absl::StrCat(line, " (and ", left_out, " more like it before)");
}

}  // namespace cordon::dtls::control
