// The command line: commands of one or two words, flags before, between and
// behind them, and arguments.
#ifndef CORDON_TOOLS_CORDONCTL_ARGUMENTS_H_
#define CORDON_TOOLS_CORDONCTL_ARGUMENTS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/tools/cordonctl/command.h"

namespace cordon::tools::ctl {

struct Invocation {
  // Null: the help, of `help_topic` ("", "policy" or "policy set").
  const Command* command = nullptr;
  std::string help_topic = {};
  Arguments arguments = {};
  // Flags and their values as they were given, in order.
  std::vector<std::pair<std::string, std::string>> flags = {};
};

// Changes nothing. Every error is a `UsageError` that suggests what is nearest.
absl::StatusOr<Invocation> ParseArguments(const std::vector<std::string>& argv);

// Gives the flags their values; a `UsageError` for one that it cannot have.
absl::Status SetFlags(const Invocation& invocation);

// A flag of this program; null if there is none.
absl::CommandLineFlag* FindFlag(absl::string_view name);
// What a flag has that is given without a value; null: it must have one.
const char* ValueIfBare(const absl::CommandLineFlag& flag);
// Whether the flag may be given several times.
bool IsRepeated(const absl::CommandLineFlag& flag);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_ARGUMENTS_H_
