// What was measured, for people and for machines.
#ifndef CORDON_TOOLS_BENCH_MEASUREMENT_H_
#define CORDON_TOOLS_BENCH_MEASUREMENT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "cordon/tools/bench/load.h"
#include "cordon/tools/bench/process_usage.h"

namespace cordon::tools {

// What a process used between two looks at it.
struct UsageBetween {
  ProcessUsage before;
  ProcessUsage after;

  absl::Duration cpu() const { return after.cpu - before.cpu; }
  absl::Duration user() const { return after.user - before.user; }
  absl::Duration system() const { return after.system - before.system; }
};

struct Measurement {
  std::string server;
  LoadOptions options;
  LoadResult result;
  UsageBetween generator;
  // Of the server's process, if it is known.
  std::optional<UsageBetween> server_usage;

  double PerSecond() const;
  // CPU time for each operation, in microseconds; 0 without operations.
  double CpuMicros(const UsageBetween& usage) const;
  // By how much the server's resident set grew for each session that was
  // opened, in bytes; only for idle sessions.
  double BytesPerSession() const;
  // Of one core, in percent.
  double Busy(const UsageBetween& usage) const;
};

// Several lines of words and figures.
std::string ToTable(const Measurement& measurement);
// One JSON object, on one line. Times are in microseconds unless the name says
// otherwise.
std::string ToJson(const Measurement& measurement);

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_BENCH_MEASUREMENT_H_
