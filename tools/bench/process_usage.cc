#include "cordon/tools/bench/process_usage.h"

#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace cordon::tools {
namespace {

// The fields of /proc/PID/stat after the name, which may contain anything.
constexpr int kFieldsBeforeUserTime = 11;

absl::Status ReadTimes(pid_t pid, ProcessUsage* usage) {
  const std::string path = absl::StrCat("/proc/", pid, "/stat");
  std::ifstream file(path);
  file.ignore(std::numeric_limits<std::streamsize>::max(), '(');
  std::string rest;
  std::getline(file, rest, '\0');
  const size_t end_of_name = rest.rfind(')');
  if (end_of_name == std::string::npos) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path));
  }
  std::istringstream fields(rest.substr(end_of_name + 1));
  std::string skipped;
  for (int i = 0; i < kFieldsBeforeUserTime; ++i) fields >> skipped;
  int64_t user = 0;
  int64_t system = 0;
  if (!(fields >> user >> system)) {
    return absl::InternalError(absl::StrCat(path, " has an unknown format"));
  }
  const absl::Duration tick = absl::Seconds(1) / sysconf(_SC_CLK_TCK);
  usage->user = user * tick;
  usage->system = system * tick;
  return absl::OkStatus();
}

// The exact sum of all mappings, where it may be read; the counter in
// /proc/PID/statm can be off by some pages for each core.
absl::Status ReadResidentSet(pid_t pid, ProcessUsage* usage) {
  constexpr uint64_t kKilobyte = 1024;
  std::ifstream rollup(absl::StrCat("/proc/", pid, "/smaps_rollup"));
  std::string word;
  while (rollup >> word) {
    uint64_t kilobytes = 0;
    if (word == "Rss:" && rollup >> kilobytes) {
      usage->resident_bytes = kilobytes * kKilobyte;
      return absl::OkStatus();
    }
  }
  const std::string path = absl::StrCat("/proc/", pid, "/statm");
  std::ifstream pages(path);
  uint64_t virtual_pages = 0;
  uint64_t resident_pages = 0;
  if (!(pages >> virtual_pages >> resident_pages)) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path));
  }
  usage->resident_bytes =
      resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ProcessUsage> UsageOf(pid_t pid) {
  clockid_t clock = 0;
  if (const int error = clock_getcpuclockid(pid, &clock); error != 0) {
    if (error == ESRCH) {
      return absl::NotFoundError(absl::StrCat("there is no process ", pid));
    }
    return absl::ErrnoToStatus(error, absl::StrCat("process ", pid));
  }
  timespec cpu = {};
  if (clock_gettime(clock, &cpu) != 0) {
    return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  }
  ProcessUsage usage;
  usage.cpu = absl::DurationFromTimespec(cpu);
  if (absl::Status status = ReadTimes(pid, &usage); !status.ok()) return status;
  if (absl::Status status = ReadResidentSet(pid, &usage); !status.ok()) {
    return status;
  }
  return usage;
}

}  // namespace cordon::tools
