#include "cordon/net/reactor/usable_cpus.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace cordon::net {
namespace {

// A file system of control groups, as it is mounted here.
struct Mount {
  // The group that is seen at `point`.
  std::string root;
  std::string point;
};

bool HasWord(absl::string_view list, absl::string_view word) {
  for (absl::string_view item : absl::StrSplit(list, ',')) {
    if (item == word) return true;
  }
  return false;
}

// In mountinfo spaces and the like stand as an octal number.
std::string Unescape(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    const absl::string_view digits =
        text.size() - i > 3 ? text.substr(i + 1, 3) : "";
    if (text[i] == '\\' && digits.size() == 3 &&
        digits.find_first_not_of("01234567") == absl::string_view::npos) {
      for (char digit : digits) code = code * 8 + (digit - '0');
      plain.push_back(static_cast<char>(code));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

// proc(5): "36 35 98:0 ROOT POINT options [tags...] - TYPE source OPTIONS".
std::optional<Mount> MountOfLine(absl::string_view line, bool v2) {
  const std::vector<absl::string_view> halves =
      absl::StrSplit(line, absl::MaxSplits(" - ", 1));
  if (halves.size() != 2) return std::nullopt;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(halves[0], ' ', absl::SkipEmpty());
  const std::vector<absl::string_view> type =
      absl::StrSplit(halves[1], ' ', absl::SkipEmpty());
  if (fields.size() < 5 || type.empty()) return std::nullopt;
  if (v2 ? type[0] != "cgroup2"
         : type[0] != "cgroup" || !HasWord(type.back(), "cpu")) {
    return std::nullopt;
  }
  return Mount{Unescape(fields[3]), Unescape(fields[4])};
}

// The group's path in /proc/self/cgroup: "0::PATH" or "3:cpu,cpuacct:PATH".
std::optional<std::string> GroupOfLine(absl::string_view line, bool v2) {
  const std::vector<absl::string_view> fields =
      absl::StrSplit(line, absl::MaxSplits(':', 2));
  if (fields.size() != 3) return std::nullopt;
  if (v2 ? fields[0] != "0" || !fields[1].empty()
         : !HasWord(fields[1], "cpu")) {
    return std::nullopt;
  }
  return std::string(fields[2]);
}

// "" for the file system's root, and no slash at the end.
absl::string_view WithoutLastSlash(absl::string_view path) {
  while (absl::EndsWith(path, "/")) path.remove_suffix(1);
  return path;
}

// What of `group` lies below the mount: "" or "/...". A group that is not there
// is outside of what can be seen: then the mount's own counts.
std::string BelowMount(absl::string_view group, absl::string_view root) {
  group = WithoutLastSlash(group);
  root = WithoutLastSlash(root);
  if (absl::StartsWith(group, "/..") || !absl::ConsumePrefix(&group, root) ||
      (!group.empty() && group[0] != '/')) {
    return "";
  }
  return std::string(group);
}

std::optional<double> Number(const std::optional<std::string>& text) {
  double value = 0;
  if (!text.has_value() ||
      !absl::SimpleAtod(absl::StripAsciiWhitespace(*text), &value)) {
    return std::nullopt;
  }
  return value;
}

// Of one group; nullopt if it has none.
std::optional<double> QuotaOf(const std::string& group, bool v2,
                              FileReader read) {
  std::optional<double> quota;
  std::optional<double> period;
  if (v2) {
    // "max 100000" or "150000 100000".
    const std::string text = read(group + "/cpu.max").value_or("");
    const std::vector<std::string> words =
        absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    if (words.size() != 2) return std::nullopt;
    quota = Number(words[0]);
    period = Number(words[1]);
  } else {
    quota = Number(read(group + "/cpu.cfs_quota_us"));
    period = Number(read(group + "/cpu.cfs_period_us"));
  }
  // "max" is no number, and v1 says -1.
  if (!quota.has_value() || !period.has_value() || *quota <= 0 || *period <= 0)
    return std::nullopt;
  return *quota / *period;
}

std::optional<double> QuotaOfHierarchy(const std::string& groups,
                                       const std::string& mounts, bool v2,
                                       FileReader read) {
  std::optional<std::string> group;
  for (absl::string_view line : absl::StrSplit(groups, '\n')) {
    if (!group.has_value()) group = GroupOfLine(line, v2);
  }
  if (!group.has_value()) return std::nullopt;
  std::optional<double> least;
  for (absl::string_view line : absl::StrSplit(mounts, '\n')) {
    const std::optional<Mount> mount = MountOfLine(line, v2);
    if (!mount.has_value()) continue;
    std::string below = BelowMount(*group, mount->root);
    while (true) {
      const std::optional<double> quota = QuotaOf(
          absl::StrCat(WithoutLastSlash(mount->point), below), v2, read);
      if (quota.has_value()) least = std::min(least.value_or(*quota), *quota);
      if (below.empty()) break;
      below.resize(below.rfind('/'));
    }
  }
  return least;
}

std::optional<std::string> ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

std::optional<double> CgroupCpuQuota(FileReader read) {
  const std::optional<std::string> groups = read("/proc/self/cgroup");
  const std::optional<std::string> mounts = read("/proc/self/mountinfo");
  if (!groups.has_value() || !mounts.has_value()) return std::nullopt;
  // A machine may have both, and the controller in one of them.
  std::optional<double> least;
  for (bool v2 : {true, false}) {
    const std::optional<double> quota =
        QuotaOfHierarchy(*groups, *mounts, v2, read);
    if (quota.has_value()) least = std::min(least.value_or(*quota), *quota);
  }
  return least;
}

std::vector<int> AllowedCpus() {
  // The kernel refuses a set that is too small for the machine.
  constexpr size_t kMostCpus = size_t{1} << 20;
  for (size_t cpus = CPU_SETSIZE; cpus <= kMostCpus; cpus *= 2) {
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const auto free = [](cpu_set_t* set) { CPU_FREE(set); };
    const std::unique_ptr<cpu_set_t, decltype(free)> set(CPU_ALLOC(cpus), free);
    if (set == nullptr) break;
    if (sched_getaffinity(0, bytes, set.get()) != 0) {
      if (errno == EINVAL) continue;
      break;
    }
    std::vector<int> allowed;
    for (size_t i = 0; i < cpus; ++i) {
      if (CPU_ISSET_S(i, bytes, set.get())) {
        allowed.push_back(static_cast<int>(i));
      }
    }
    return allowed;
  }
  return {};
}

size_t UsableCpus(size_t allowed, std::optional<double> quota) {
  if (quota.has_value() && *quota < static_cast<double>(allowed)) {
    allowed = static_cast<size_t>(std::ceil(*quota));
  }
  return std::max<size_t>(1, allowed);
}

size_t UsableCpus() {
  return UsableCpus(AllowedCpus().size(), CgroupCpuQuota(ReadWholeFile));
}

}  // namespace cordon::net
