#include "cordon/tools/cordonctl/command.h"

#include <iterator>
#include <utility>

namespace cordon::tools::ctl {

const std::vector<Command>& AllCommands() {
  static const auto* const kCommands = [] {
    auto* all = new std::vector<Command>;
    for (auto* group : {&ListenerCommands, &SessionCommands,
                        &StatisticsCommands, &PolicyCommands, &SecretCommands,
                        &OperationCommands, &CompletionCommands}) {
      std::vector<Command> commands = group();
      all->insert(all->end(), std::make_move_iterator(commands.begin()),
                  std::make_move_iterator(commands.end()));
    }
    return all;
  }();
  return *kCommands;
}

const std::vector<absl::string_view>& CommonFlags() {
  static const auto* const kFlags = new std::vector<absl::string_view>{
      "target",    "ca",      "cert",   "key",  "server_name",
      "plaintext", "timeout", "output", "color"};
  return *kFlags;
}

const Command* FindCommand(absl::string_view path) {
  for (const Command& command : AllCommands()) {
    if (command.path == path) return &command;
  }
  return nullptr;
}

absl::string_view GroupOf(const Command& command) {
  return command.path.substr(0, command.path.find(' '));
}

}  // namespace cordon::tools::ctl
