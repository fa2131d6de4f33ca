// What can be completed to what.
#include <algorithm>
#include <set>

#include "absl/flags/commandlineflag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cordon/tools/cordonctl/arguments.h"
#include "cordon/tools/cordonctl/command.h"
#include "cordon/tools/cordonctl/completion.h"
#include "cordon/tools/cordonctl/session_filter.h"

namespace cordon::tools::ctl {
namespace {

using ListenerNames = std::function<std::vector<std::string>(const Flags&)>;

struct Typed {
  std::vector<std::string> words;  // that are no flags
  Flags flags;
  // The flag of which the last word is the value; null if it is none.
  const absl::CommandLineFlag* open_flag = nullptr;
};

// All words but the last.
Typed Read(const std::vector<std::string>& words) {
  Typed typed;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    absl::string_view word = words[i];
    if (!absl::ConsumePrefix(&word, "-") || word.empty()) {
      typed.words.push_back(words[i]);
      continue;
    }
    absl::ConsumePrefix(&word, "-");
    const std::vector<std::string> parts =
        absl::StrSplit(word, absl::MaxSplits('=', 1));
    const absl::CommandLineFlag* flag =
        FindFlag(absl::StrReplaceAll(parts[0], {{"-", "_"}}));
    if (flag == nullptr) continue;
    if (parts.size() == 2) {
      typed.flags.emplace_back(flag->Name(), parts[1]);
    } else if (ValueIfBare(*flag) == nullptr) {
      if (i + 2 == words.size()) {
        typed.open_flag = flag;
      } else {
        typed.flags.emplace_back(flag->Name(), words[++i]);
      }
    }
  }
  return typed;
}

void AddWords(absl::string_view list, absl::string_view front,
              Candidates* candidates) {
  for (absl::string_view word : absl::StrSplit(list, ' ', absl::SkipEmpty())) {
    candidates->words.push_back({absl::StrCat(front, word)});
  }
}

// `front` is what stands before `value` in the word that is typed.
Candidates ValuesOf(absl::string_view flag, absl::string_view value,
                    absl::string_view front, const Typed& typed,
                    const ListenerNames& listeners) {
  static const auto* const kFiles = new std::set<absl::string_view>{
      "ca",    "cert",      "key",       "secret_file",
      "chain", "chain_key", "trust_pem", "crl_pem"};
  Candidates candidates;
  if (kFiles->contains(flag)) {
    candidates.files = true;
  } else if (flag == "target" && absl::ConsumePrefix(&value, "unix:")) {
    candidates.files = true;
    candidates.front = "unix:";
  } else if (flag == "target") {
    AddWords("unix: localhost:", front, &candidates);
  } else if (flag == "output") {
    AddWords("table json", front, &candidates);
  } else if (flag == "color") {
    AddWords("auto always never", front, &candidates);
  } else if (flag == "order") {
    AddWords("id age traffic idle peer", front, &candidates);
  } else if (flag == "resumed") {
    AddWords("true false", front, &candidates);
  } else if (flag == "state") {
    // Behind those that are there already.
    const size_t comma = value.rfind(',');
    const absl::string_view before =
        comma == absl::string_view::npos ? "" : value.substr(0, comma + 1);
    AddWords(absl::StrJoin(StateNames(), " "), absl::StrCat(front, before),
             &candidates);
  } else if (flag == "listener") {
    AddWords(absl::StrJoin(listeners(typed.flags), " "), front, &candidates);
  }
  if (candidates.files) {
    candidates.front = absl::StrCat(front, candidates.front);
    candidates.path = std::string(value);
  }
  return candidates;
}

// Without a command, only the flags that every command has.
Candidates FlagsOf(const Command* command) {
  std::set<absl::string_view> names(CommonFlags().begin(), CommonFlags().end());
  if (command != nullptr) {
    names.insert(command->flags.begin(), command->flags.end());
  }
  Candidates candidates;
  for (const absl::string_view name : names) {
    const absl::CommandLineFlag* flag = FindFlag(name);
    if (flag == nullptr) continue;
    candidates.words.push_back(
        {absl::StrCat("--", name, ValueIfBare(*flag) == nullptr ? "=" : ""),
         flag->Help()});
  }
  candidates.words.push_back({"--help", "Tells more."});
  return candidates;
}

Candidates Groups(bool help) {
  Candidates candidates;
  std::set<absl::string_view> seen;
  for (const Command& command : AllCommands()) {
    const absl::string_view group = GroupOf(command);
    if (!seen.insert(group).second) continue;
    candidates.words.push_back(
        {std::string(group),
         group == command.path ? std::string(command.summary) : ""});
  }
  if (help) candidates.words.push_back({"help", "Tells more about a command"});
  return candidates;
}

Candidates Subcommands(absl::string_view group) {
  Candidates candidates;
  for (const Command& command : AllCommands()) {
    absl::string_view rest = command.path;
    if (absl::ConsumePrefix(&rest, absl::StrCat(group, " "))) {
      candidates.words.push_back(
          {std::string(rest), std::string(command.summary)});
    }
  }
  return candidates;
}

Candidates ArgumentsOf(const Command& command, const std::string& word) {
  Candidates candidates;
  if (command.argument_values == "@file") {
    candidates.files = true;
    candidates.path = word;
  } else {
    AddWords(command.argument_values, "", &candidates);
  }
  return candidates;
}

Candidates NextWord(std::vector<std::string> words, const Command* command,
                    const std::string& word) {
  const bool help = !words.empty() && words[0] == "help";
  if (help) words.erase(words.begin());
  if (words.empty()) return Groups(/*help=*/!help);
  if (command == nullptr) {
    return words.size() == 1 ? Subcommands(words[0]) : Candidates();
  }
  return help ? Candidates() : ArgumentsOf(*command, word);
}

const Command* CommandOf(const std::vector<std::string>& words) {
  if (words.empty()) return nullptr;
  const size_t begin = words[0] == "help" ? 1 : 0;
  if (words.size() <= begin) return nullptr;
  if (const Command* command = FindCommand(words[begin])) return command;
  if (words.size() <= begin + 1) return nullptr;
  return FindCommand(absl::StrCat(words[begin], " ", words[begin + 1]));
}

}  // namespace

Candidates CandidatesFor(const std::vector<std::string>& words,
                         const ListenerNames& listeners) {
  if (words.empty()) return {};
  const std::string& word = words.back();
  const Typed typed = Read(words);
  const Command* command = CommandOf(typed.words);
  const size_t equals = word.find('=');
  Candidates candidates;
  if (typed.open_flag != nullptr) {
    candidates = ValuesOf(typed.open_flag->Name(), word, "", typed, listeners);
  } else if (absl::StartsWith(word, "-") && equals != std::string::npos) {
    std::string name(
        absl::StripPrefix(absl::StripPrefix(word.substr(0, equals), "-"), "-"));
    absl::StrReplaceAll({{"-", "_"}}, &name);
    candidates = ValuesOf(name, word.substr(equals + 1),
                          word.substr(0, equals + 1), typed, listeners);
  } else if (absl::StartsWith(word, "-")) {
    candidates = FlagsOf(command);
  } else {
    candidates = NextWord(typed.words, command, word);
  }
  std::erase_if(candidates.words, [&word](const Candidate& one) {
    return !absl::StartsWith(one.text, word);
  });
  return candidates;
}

std::vector<std::string> SplitCommandLine(absl::string_view line) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = '\0';
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool blank = c == ' ' || c == '\t' || c == '\n';
    if (quote == '\0' && blank) {
      in_word = false;
      continue;
    }
    if (!in_word) {
      words.emplace_back();
      in_word = true;
    }
    if (quote == c) {
      quote = '\0';
    } else if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      words.back() += line[++i];
    } else {
      words.back() += c;
    }
  }
  if (!in_word) words.emplace_back();
  return words;
}

}  // namespace cordon::tools::ctl
