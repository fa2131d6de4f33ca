// Divides what there is among callers, so that none of them takes all, and that
// readers leave some to administrators.
#ifndef CORDON_DTLS_CONTROL_SHARES_H_
#define CORDON_DTLS_CONTROL_SHARES_H_

#include <cstddef>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cordon::dtls::control {

struct ShareLimits {
  size_t total = 0;
  // For one reader, and for one administrator.
  size_t per_reader = 0;
  size_t per_admin = 0;
  // Of `total`, what is for administrators only; but never more than half.
  size_t for_admins = 0;
};

enum class ShareVerdict {
  kGranted,
  kCallerHasItsShare,
  kLeftToAdmins,
  kNoneLeft,
};

// Not thread-safe.
class Shares {
 public:
  explicit Shares(const ShareLimits& limits) : limits_(limits) {}

  // Nothing is taken unless it is granted.
  ShareVerdict Take(const std::string& caller, bool is_admin,
                    size_t amount = 1);
  // What was granted.
  void Return(const std::string& caller, bool is_admin, size_t amount = 1);

  size_t taken() const { return taken_; }
  size_t taken_by(const std::string& caller) const;

  // Why `caller` gets no more of `what`, such as "connections":
  // kResourceExhausted. OK if it was granted.
  absl::Status Explain(ShareVerdict verdict, absl::string_view caller,
                       bool is_admin, absl::string_view what) const;

 private:
  size_t readers_total() const;
  size_t per_caller(bool is_admin) const {
    return is_admin ? limits_.per_admin : limits_.per_reader;
  }

  const ShareLimits limits_;
  size_t taken_ = 0;
  size_t taken_by_readers_ = 0;
  // Only those who have something.
  absl::flat_hash_map<std::string, size_t> by_caller_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_SHARES_H_
