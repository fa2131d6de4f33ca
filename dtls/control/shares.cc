#include "cordon/dtls/control/shares.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace cordon::dtls::control {
namespace {

bool Exceeds(size_t taken, size_t amount, size_t limit) {
  return taken > limit || amount > limit - taken;
}

}  // namespace

size_t Shares::readers_total() const {
  return limits_.total - std::min(limits_.for_admins, limits_.total / 2);
}

size_t Shares::taken_by(const std::string& caller) const {
  const auto found = by_caller_.find(caller);
  return found == by_caller_.end() ? 0 : found->second;
}

ShareVerdict Shares::Take(const std::string& caller, bool is_admin,
                          size_t amount) {
  if (amount == 0) return ShareVerdict::kGranted;
  if (Exceeds(taken_by(caller), amount, per_caller(is_admin))) {
    return ShareVerdict::kCallerHasItsShare;
  }
  if (Exceeds(taken_, amount, limits_.total)) return ShareVerdict::kNoneLeft;
  if (!is_admin && Exceeds(taken_by_readers_, amount, readers_total())) {
    return ShareVerdict::kLeftToAdmins;
  }
  taken_ += amount;
  if (!is_admin) taken_by_readers_ += amount;
  by_caller_[caller] += amount;
  return ShareVerdict::kGranted;
}

void Shares::Return(const std::string& caller, bool is_admin, size_t amount) {
  if (amount == 0) return;
  taken_ -= amount;
  if (!is_admin) taken_by_readers_ -= amount;
  const auto found = by_caller_.find(caller);
  found->second -= amount;
  if (found->second == 0) by_caller_.erase(found);
}

absl::Status Shares::Explain(ShareVerdict verdict, absl::string_view caller,
                             bool is_admin, absl::string_view what) const {
  switch (verdict) {
    case ShareVerdict::kGranted:
      return absl::OkStatus();
    case ShareVerdict::kCallerHasItsShare:
      return absl::ResourceExhaustedError(
          absl::StrCat(caller, " has its share of ", what, ", ",
                       per_caller(is_admin), ": try again when it has fewer"));
    case ShareVerdict::kLeftToAdmins:
      return absl::ResourceExhaustedError(
          absl::StrCat("readers have their share of ", what, ", ",
                       readers_total(), ": try again later"));
    case ShareVerdict::kNoneLeft:
      return absl::ResourceExhaustedError(
          absl::StrCat("there are ", limits_.total, " ", what,
                       ", which is the limit: try again later"));
  }
  return absl::InternalError("a verdict that there is not");
}

}  // namespace cordon::dtls::control
