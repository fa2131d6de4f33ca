#include "cordon/tools/cordonctl/completion.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/flags/commandlineflag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "cordon/tools/cordonctl/arguments.h"
#include "cordon/tools/cordonctl/command.h"
#include "cordon/tools/cordonctl/connection.h"
#include "cordon/tools/cordonctl/output.h"

namespace cordon::tools::ctl {
namespace {

constexpr char kBash[] = R"(# bash completion for cordonctl:
#   source <(cordonctl completion bash)
_cordonctl() {
  local -a lines=()
  local file line
  mapfile -t lines < <("${COMP_WORDS[0]/#\~\//$HOME/}" __complete bash \
    "$COMP_LINE" "$COMP_POINT" "$COMP_WORDBREAKS" 2> /dev/null)
  COMPREPLY=()
  if [[ ${lines[0]-} == files ]]; then
    compopt -o filenames
    while IFS= read -r file; do
      COMPREPLY+=("${lines[1]}$file")
    done < <(compgen -f -- "${lines[2]}")
    return
  fi
  for line in "${lines[@]:1}"; do
    COMPREPLY+=("${line%%$'\t'*}")
  done
  # A value follows.
  if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]]; then
    compopt -o nospace
  fi
}
complete -F _cordonctl cordonctl
)";

constexpr char kZsh[] = R"(#compdef cordonctl
# zsh completion for cordonctl: a file named _cordonctl in $fpath, or
#   source <(cordonctl completion zsh)
_cordonctl() {
  local -a lines texts shown open_texts open_shown
  local line text
  lines=("${(@f)$("${(Q)words[1]/#\~\//$HOME/}" __complete zsh \
    "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2> /dev/null)}")
  if [[ ${lines[1]} == files ]]; then
    compset -P "${(b)lines[2]}"
    _files
    return
  fi
  for line in "${(@)lines[2,-1]}"; do
    text=${line%%$'\t'*}
    if [[ $text == *[=:] ]]; then
      open_texts+=("$text")
      open_shown+=("${line/$'\t'/  -- }")
    elif [[ -n $text ]]; then
      texts+=("$text")
      shown+=("${line/$'\t'/  -- }")
    fi
  done
  ((${#open_texts} == 0)) || compadd -S '' -l -d open_shown -- "${open_texts[@]}"
  ((${#texts} == 0)) || compadd -l -d shown -- "${texts[@]}"
}
if [[ ${funcstack[1]} == _cordonctl ]]; then
  _cordonctl "$@"
else
  compdef _cordonctl cordonctl
fi
)";

// Names of listeners that need no quotes; none if they are not to be had at
// once.
std::vector<std::string> Listeners(const Flags& flags) {
  for (const auto& [name, value] : flags) {
    std::string ignored;
    absl::CommandLineFlag* flag = FindFlag(name);
    const auto& common = CommonFlags();
    if (std::find(common.begin(), common.end(), name) != common.end()) {
      flag->ParseFrom(value, &ignored);
    }
  }
  std::string ignored;
  FindFlag("timeout")->ParseFrom("1s", &ignored);
  auto connection = Connection::Open();
  if (!connection.ok()) return {};
  auto response =
      connection->Call(&Stub::ListListeners, pb::ListListenersRequest());
  std::vector<std::string> names;
  if (!response.ok()) return names;
  for (const pb::Listener& listener : response->listeners()) {
    const std::string& name = listener.name();
    const bool plain =
        !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
          return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                 absl::string_view("._-").find(c) != absl::string_view::npos;
        });
    if (plain) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

// bash replaces only what stands behind the last of its separators.
size_t FrontThatStays(absl::string_view word, absl::string_view separators) {
  for (size_t i = word.size(); i > 0; --i) {
    const char c = word[i - 1];
    if ((c == '=' || c == ':') &&
        separators.find(c) != absl::string_view::npos) {
      return i;
    }
  }
  return 0;
}

void PrintCandidates(const Candidates& candidates, size_t skip) {
  if (candidates.files) {
    Print(absl::StrCat(
        "files\n",
        candidates.front.substr(std::min(skip, candidates.front.size())), "\n",
        candidates.path, "\n"));
    return;
  }
  Print("words\n");
  for (const Candidate& one : candidates.words) {
    Print(absl::StrCat(one.text.substr(std::min(skip, one.text.size())), "\t",
                       absl::StrReplaceAll(one.description, {{"\n", " "}}),
                       "\n"));
  }
}

absl::Status PrintScript(const char* script) {
  Print(script);
  return absl::OkStatus();
}

}  // namespace

void Complete(const std::vector<std::string>& arguments) {
  if (arguments.size() == 4 && arguments[0] == "bash") {
    size_t cursor = 0;
    if (!absl::SimpleAtoi(arguments[2], &cursor)) return;
    std::vector<std::string> words =
        SplitCommandLine(arguments[1].substr(0, cursor));
    words.erase(words.begin());
    if (words.empty()) return;
    PrintCandidates(CandidatesFor(words, &Listeners),
                    FrontThatStays(words.back(), arguments[3]));
  } else if (!arguments.empty() && arguments[0] == "zsh") {
    PrintCandidates(
        CandidatesFor({arguments.begin() + 1, arguments.end()}, &Listeners), 0);
  }
}

std::vector<Command> CompletionCommands() {
  return {
      {
          .path = "completion bash",
          .summary = "Prints a script with which bash completes command lines",
          .examples = {"completion bash > "
                       "/etc/bash_completion.d/cordonctl"},
          .run = [](const Arguments&) { return PrintScript(kBash); },
      },
      {
          .path = "completion zsh",
          .summary = "Prints a script with which zsh completes command lines",
          .examples = {"completion zsh > "
                       "/usr/local/share/zsh/site-functions/_cordonctl"},
          .run = [](const Arguments&) { return PrintScript(kZsh); },
      },
  };
}

}  // namespace cordon::tools::ctl
