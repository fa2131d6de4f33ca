#include "cordon/tools/cordonctl/arguments.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cordon/tools/command_line.h"
#include "cordon/tools/cordonctl/exit_code.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/suggestion.h"

namespace cordon::tools::ctl {
namespace {

// Between the values of a `RepeatedFlag`.
constexpr char kSeparator = '\x1f';

bool Has(const std::vector<absl::string_view>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool IsFlagOf(const Command& command, absl::string_view name) {
  return Has(command.flags, name) || Has(CommonFlags(), name);
}

std::string Suggestion(absl::string_view typed,
                       const std::vector<std::string>& known,
                       absl::string_view prefix) {
  const std::string nearest = Nearest(typed, known);
  return nearest.empty()
             ? ""
             : absl::StrCat("; did you mean ", prefix, nearest, "?");
}

// Of the command that was named, or of all.
std::vector<std::string> FlagNames(const Command* command) {
  std::set<std::string> names(CommonFlags().begin(), CommonFlags().end());
  for (const Command& one : AllCommands()) {
    if (command != nullptr && &one != command) continue;
    names.insert(one.flags.begin(), one.flags.end());
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> GroupNames() {
  std::vector<std::string> names = {"help"};
  for (const Command& command : AllCommands()) {
    const std::string group(GroupOf(command));
    if (names.back() != group) names.push_back(group);
  }
  return names;
}

std::vector<std::string> SubcommandNames(absl::string_view group) {
  std::vector<std::string> names;
  for (const Command& command : AllCommands()) {
    absl::string_view rest = command.path;
    if (absl::ConsumePrefix(&rest, absl::StrCat(group, " "))) {
      names.emplace_back(rest);
    }
  }
  return names;
}

// Finds the command that `words` begin with and puts how many words it has into
// `size`.
absl::StatusOr<const Command*> Resolve(const std::vector<std::string>& words,
                                       size_t* size) {
  const std::string& group = words[0];
  if (const Command* command = FindCommand(group)) {
    *size = 1;
    return command;
  }
  const std::vector<std::string> subcommands = SubcommandNames(group);
  if (subcommands.empty()) {
    return UsageError(absl::StrCat("there is no command \"", Printable(group),
                                   "\"", Suggestion(group, GroupNames(), "")));
  }
  if (words.size() < 2) {
    std::string list;
    for (const std::string& name : subcommands) {
      absl::StrAppend(&list, list.empty() ? "" : ", ", name);
    }
    return UsageError(absl::StrCat(group, " needs one of: ", list));
  }
  const Command* command = FindCommand(absl::StrCat(group, " ", words[1]));
  if (command == nullptr) {
    return UsageError(
        absl::StrCat("there is no command \"", group, " ", Printable(words[1]),
                     "\"", Suggestion(words[1], subcommands, group + " ")));
  }
  *size = 2;
  return command;
}

struct Tokens {
  std::vector<std::string> words;
  std::vector<std::pair<std::string, std::string>> flags;
  bool help = false;
  // A flag that does not exist; told when the command is known, if there is
  // one, since its flags are the more likely ones.
  std::string unknown_flag;
};

absl::StatusOr<Tokens> Split(const std::vector<std::string>& argv) {
  Tokens tokens;
  bool only_words = false;
  for (size_t i = 0; i < argv.size(); ++i) {
    absl::string_view argument = argv[i];
    if (only_words || argument.size() < 2 || argument[0] != '-') {
      tokens.words.emplace_back(argument);
      continue;
    }
    if (argument == "--") {
      only_words = true;
      continue;
    }
    absl::ConsumePrefix(&argument, "-");
    absl::ConsumePrefix(&argument, "-");
    if (argument == "help" || argument == "h") {
      tokens.help = true;
      continue;
    }
    const size_t equals = argument.find('=');
    const bool has_value = equals != absl::string_view::npos;
    // Dashes and underscores are the same.
    std::string name =
        absl::StrReplaceAll(argument.substr(0, equals), {{"-", "_"}});
    const absl::CommandLineFlag* flag = FindFlag(name);
    std::string value;
    if (flag == nullptr && !has_value && absl::StartsWith(name, "no")) {
      const absl::CommandLineFlag* positive = FindFlag(name.substr(2));
      if (positive != nullptr &&
          ValueIfBare(*positive) == std::string("true")) {
        tokens.flags.emplace_back(name.substr(2), "false");
        continue;
      }
    }
    if (flag == nullptr) {
      if (tokens.unknown_flag.empty()) tokens.unknown_flag = name;
      continue;
    }
    if (has_value) {
      value = std::string(argument.substr(equals + 1));
    } else if (const char* bare = ValueIfBare(*flag)) {
      value = bare;
    } else if (i + 1 < argv.size()) {
      value = argv[++i];
    } else {
      return UsageError(absl::StrCat("--", name, " needs a value"));
    }
    // The key of the certificate that was just named.
    if (name == "key" && !tokens.flags.empty() &&
        tokens.flags.back().first == "chain") {
      name = "chain_key";
    }
    tokens.flags.emplace_back(std::move(name), std::move(value));
  }
  return tokens;
}

absl::Status CheckFlags(const Command* command, const Tokens& tokens) {
  if (!tokens.unknown_flag.empty()) {
    return UsageError(absl::StrCat(
        "there is no flag --", Printable(tokens.unknown_flag),
        Suggestion(tokens.unknown_flag, FlagNames(command), "--")));
  }
  std::set<std::string> seen;
  for (const auto& [name, value] : tokens.flags) {
    if (command != nullptr && !IsFlagOf(*command, name)) {
      return UsageError(
          absl::StrCat(command->path, " has no flag --", name,
                       Suggestion(name, FlagNames(command), "--")));
    }
    if (!seen.insert(name).second && !IsRepeated(*FindFlag(name))) {
      return UsageError(absl::StrCat("--", name, " was given twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCount(const Command& command, size_t count) {
  if (count >= command.min_arguments && count <= command.max_arguments) {
    return absl::OkStatus();
  }
  return UsageError(
      command.max_arguments == 0
          ? absl::StrCat(command.path, " takes no arguments")
          : absl::StrCat(command.path, " needs ", command.synopsis));
}

}  // namespace

absl::CommandLineFlag* FindFlag(absl::string_view name) {
  bool ours = Has(CommonFlags(), name);
  for (const Command& command : AllCommands()) {
    ours = ours || Has(command.flags, name);
  }
  return ours ? absl::FindCommandLineFlag(name) : nullptr;
}

const char* ValueIfBare(const absl::CommandLineFlag& flag) {
  if (flag.IsOfType<bool>() || flag.Name() == "resumed") return "true";
  return flag.Name() == "watch" ? "1s" : nullptr;
}

bool IsRepeated(const absl::CommandLineFlag& flag) {
  return flag.IsOfType<RepeatedFlag>();
}

absl::StatusOr<Invocation> ParseArguments(
    const std::vector<std::string>& argv) {
  absl::StatusOr<Tokens> tokens = Split(argv);
  if (!tokens.ok()) return tokens.status();
  std::vector<std::string>& words = tokens->words;
  Invocation invocation;
  bool help = tokens->help;
  if (!words.empty() && words[0] == "help") {
    words.erase(words.begin());
    help = true;
  }
  if (words.empty()) {
    if (absl::Status status = CheckFlags(nullptr, *tokens); !status.ok()) {
      return status;
    }
    if (!help) return UsageError("which command?");
    return invocation;
  }
  const bool whole_group =
      help && words.size() == 1 && !SubcommandNames(words[0]).empty();
  if (whole_group) {
    invocation.help_topic = words[0];
    return invocation;
  }
  size_t size = 0;
  absl::StatusOr<const Command*> command = Resolve(words, &size);
  if (!command.ok()) return command.status();
  if (absl::Status status = CheckFlags(*command, *tokens); !status.ok()) {
    return status;
  }
  if (help) {
    invocation.help_topic = std::string((*command)->path);
    return invocation;
  }
  words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(size));
  if (absl::Status status = CheckCount(**command, words.size()); !status.ok()) {
    return status;
  }
  invocation.command = *command;
  invocation.arguments = std::move(words);
  invocation.flags = std::move(tokens->flags);
  return invocation;
}

absl::Status SetFlags(const Invocation& invocation) {
  std::map<std::string, std::string> values;
  for (const auto& [name, value] : invocation.flags) {
    const auto [at, added] = values.emplace(name, value);
    if (!added) absl::StrAppend(&at->second, std::string(1, kSeparator), value);
  }
  for (const auto& [name, value] : values) {
    if (std::string error; !FindFlag(name)->ParseFrom(value, &error)) {
      // Abseil begins with what it was given and ends with our own words.
      const size_t colon = error.rfind("; ");
      const std::string reason =
          colon == std::string::npos ? error : error.substr(colon + 2);
      return UsageError(absl::StrCat(
          "--", name, "=", Printable(value), " ",
          absl::StartsWith(reason, "Illegal value") || reason.empty()
              ? "is not possible"
              : Printable(reason)));
    }
  }
  return absl::OkStatus();
}

}  // namespace cordon::tools::ctl
