// What a process has used of the machine, this one or another.
#ifndef CORDON_TOOLS_BENCH_PROCESS_USAGE_H_
#define CORDON_TOOLS_BENCH_PROCESS_USAGE_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cordon::tools {

struct ProcessUsage {
  // Of all its threads, those that have ended included; to the nanosecond.
  absl::Duration cpu = absl::ZeroDuration();
  // Two parts of it, as far as the kernel's clock ticks tell them apart.
  absl::Duration user = absl::ZeroDuration();
  absl::Duration system = absl::ZeroDuration();
  // The resident set.
  uint64_t resident_bytes = 0;
};

// kNotFound: there is no such process; kPermissionDenied: it may not be looked
// at.
absl::StatusOr<ProcessUsage> UsageOf(pid_t pid);

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_BENCH_PROCESS_USAGE_H_
