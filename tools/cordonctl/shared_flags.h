// Flags that several groups of commands have.
#ifndef CORDON_TOOLS_CORDONCTL_SHARED_FLAGS_H_
#define CORDON_TOOLS_CORDONCTL_SHARED_FLAGS_H_

#include <cstdint>
#include <string>

#include "absl/flags/declare.h"

ABSL_DECLARE_FLAG(std::string, listener);
ABSL_DECLARE_FLAG(uint32_t, limit);
ABSL_DECLARE_FLAG(bool, all);
ABSL_DECLARE_FLAG(uint64_t, count);

namespace cordon::tools::ctl {

// How many of what comes in pages are still wanted, by --limit and --all.
class Remaining {
 public:
  Remaining();

  // For the next page.
  uint32_t PageSize() const;
  void Take(uint64_t got);
  bool none() const { return left_ == 0; }

 private:
  uint64_t left_;
};

// "listener \"public\"", or "all listeners" without --listener.
std::string WhichListeners();

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_SHARED_FLAGS_H_
