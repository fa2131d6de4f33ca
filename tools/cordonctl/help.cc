#include "cordon/tools/cordonctl/help.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cordon/tools/cordonctl/arguments.h"
#include "cordon/tools/cordonctl/command.h"

namespace cordon::tools::ctl {
namespace {

constexpr size_t kWidth = 79;

constexpr char kIntroduction[] =
    R"(cordonctl looks at the DTLS sessions of a running service that embeds Cordon,
and decides who may have one.

  cordonctl [--target=unix:/PATH|HOST:PORT] COMMAND [ARGUMENTS] [FLAGS]

Flags may stand before or after the command. `cordonctl help COMMAND` tells
more about one of these:

)";

constexpr char kEnding[] = R"(
Environment:
  CORDON_CONTROL  the target, if --target is not given
  NO_COLOR        no colours, unless --color=always

Exit codes:
  0  done
  1  any other error
  2  the command line is wrong
  3  the service cannot be reached, or ended while it was watched
  4  permission denied
  5  not found
  6  somebody else was first: look again, and repeat
  7  invalid input, such as a bad policy; for `policy validate`: sessions fail
  8  no answer in time

Examples:
  export CORDON_CONTROL=unix:/run/echo/control.sock
  cordonctl sessions list --order=traffic --limit=10
  cordonctl stats --watch
  cordonctl policy get > policy.txtpb
  cordonctl policy set policy.txtpb --comment="only our devices"
  cordonctl --target=10.1.2.3:7443 --ca=ca.pem --cert=me.pem --key=me.key \
      sessions close --name=printer-7 --reason="stolen"
  source <(cordonctl completion bash)
)";

// `text` broken into lines that begin with `indent`.
std::string Wrapped(absl::string_view text, absl::string_view indent) {
  std::string wrapped;
  size_t column = 0;
  for (absl::string_view word :
       absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    if (column > 0 && column + 1 + word.size() > kWidth) {
      wrapped += "\n";
      column = 0;
    }
    absl::StrAppend(&wrapped, column == 0 ? indent : " ", word);
    column += word.size() + (column == 0 ? indent.size() : 1);
  }
  return wrapped + "\n";
}

// Of `--state=STATE`, the "=STATE".
std::string ValueOf(const absl::CommandLineFlag& flag) {
  if (flag.IsOfType<bool>()) return "";
  return ValueIfBare(flag) == nullptr ? "=..." : "[=...]";
}

void AppendFlags(std::vector<absl::string_view> names, std::string* text) {
  std::sort(names.begin(), names.end());
  for (const absl::string_view name : names) {
    const absl::CommandLineFlag* flag = FindFlag(name);
    if (flag == nullptr) continue;
    std::string help = flag->Help();
    if (IsRepeated(*flag)) help += " May be given several times.";
    const std::string value = flag->DefaultValue();
    if (!value.empty() && value != "false" && value != "0") {
      absl::StrAppend(&help, " [", value, "]");
    }
    absl::StrAppend(text, "  --", name, ValueOf(*flag), "\n",
                    Wrapped(help, "      "));
  }
}

std::string HelpOfCommand(const Command& command) {
  std::string text = absl::StrCat(
      "cordonctl ", command.path, command.synopsis.empty() ? "" : " ",
      command.synopsis, command.flags.empty() ? "" : " [FLAGS]", "\n\n",
      Wrapped(absl::StrCat(command.summary, "."), "  "));
  for (const absl::string_view paragraph :
       absl::StrSplit(command.description, "\n\n", absl::SkipWhitespace())) {
    // What is indented already is an example.
    absl::StrAppend(&text, "\n",
                    absl::StartsWith(paragraph, " ")
                        ? absl::StrCat(paragraph, "\n")
                        : Wrapped(paragraph, "  "));
  }
  if (!command.flags.empty()) {
    text += "\nFlags:\n";
    AppendFlags(command.flags, &text);
  }
  if (!command.examples.empty()) {
    text += "\nExamples:\n";
    for (const absl::string_view example : command.examples) {
      absl::StrAppend(&text, "  cordonctl ", example, "\n");
    }
  }
  absl::StrAppend(&text, "\n`cordonctl help` lists the flags that every ",
                  "command has, and the exit codes.\n");
  return text;
}

void AppendSummaries(absl::string_view group, std::string* text) {
  size_t width = 0;
  for (const Command& command : AllCommands()) {
    width = std::max(width, command.path.size());
  }
  for (const Command& command : AllCommands()) {
    if (!group.empty() && GroupOf(command) != group) continue;
    absl::StrAppend(text, "  ", command.path,
                    std::string(width + 2 - command.path.size(), ' '),
                    command.summary, "\n");
  }
}

}  // namespace

std::string HelpText(absl::string_view topic) {
  if (const Command* command = FindCommand(topic)) {
    return HelpOfCommand(*command);
  }
  std::string text;
  if (!topic.empty()) {
    AppendSummaries(topic, &text);
    absl::StrAppend(&text, "\n`cordonctl help ", topic,
                    " COMMAND` tells more about one of them.\n");
    return text;
  }
  text = kIntroduction;
  AppendSummaries("", &text);
  text += "\nFlags of every command:\n";
  AppendFlags(CommonFlags(), &text);
  text += kEnding;
  return text;
}

}  // namespace cordon::tools::ctl
