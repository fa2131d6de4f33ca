// What a command of cordonctl is, and the list of them.
#ifndef CORDON_TOOLS_CORDONCTL_COMMAND_H_
#define CORDON_TOOLS_CORDONCTL_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cordon::tools::ctl {

// Of the command line, what is not the command nor a flag.
using Arguments = std::vector<std::string>;

struct Command {
  // "sessions list"
  absl::string_view path;
  // "[ID...]", for the help.
  absl::string_view synopsis = {};
  // One line, without a full stop.
  absl::string_view summary;
  // Paragraphs for the help; one that is indented is shown as it is.
  absl::string_view description = {};
  // Names of Abseil flags, besides those of all commands.
  std::vector<absl::string_view> flags = {};
  std::vector<absl::string_view> examples = {};
  size_t min_arguments = 0;
  size_t max_arguments = 0;
  // What the arguments can be, for completion: words with spaces, or "@file".
  absl::string_view argument_values = {};
  absl::Status (*run)(const Arguments& arguments);
};

inline constexpr size_t kAnyNumber = 1'000'000;

// One list for each group; `AllCommands` joins them.
std::vector<Command> ListenerCommands();
std::vector<Command> SessionCommands();
std::vector<Command> StatisticsCommands();
std::vector<Command> PolicyCommands();
std::vector<Command> SecretCommands();
std::vector<Command> OperationCommands();
std::vector<Command> CompletionCommands();

// In the order of the help.
const std::vector<Command>& AllCommands();
// The flags that every command has.
const std::vector<absl::string_view>& CommonFlags();
// Null if there is none of that path.
const Command* FindCommand(absl::string_view path);
// "sessions" for "sessions list"; "stats" for itself.
absl::string_view GroupOf(const Command& command);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_COMMAND_H_
