// How many processors this process may use.
#ifndef CORDON_NET_REACTOR_USABLE_CPUS_H_
#define CORDON_NET_REACTOR_USABLE_CPUS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"

namespace cordon::net {

// The content of a file; nullopt if it cannot be read.
using FileReader =
    absl::FunctionRef<std::optional<std::string>(const std::string& path)>;

// How many processors' time the process's control groups let it use, as in a
// container with a limit: the least of the quotas of its group and of all
// groups around that which can be seen, of cgroup v2 and v1. Fractions are
// possible; nullopt if there is no quota. `read` reads files below /proc and
// those that /proc/self/mountinfo leads to.
std::optional<double> CgroupCpuQuota(FileReader read);

// The numbers of the processors that this thread may run on; empty if the
// system does not tell.
std::vector<int> AllowedCpus();

// How many threads can use all that `allowed` processors and `quota` give them:
// a part of a processor counts as one. At least 1.
size_t UsableCpus(size_t allowed, std::optional<double> quota);

// Of this process, now.
size_t UsableCpus();

}  // namespace cordon::net

#endif  // CORDON_NET_REACTOR_USABLE_CPUS_H_
