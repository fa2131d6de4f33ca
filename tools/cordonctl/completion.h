// Completion of command lines in shells. Their scripts, which `completion bash`
// and `completion zsh` print, call this program back for each key press.
#ifndef CORDON_TOOLS_CORDONCTL_COMPLETION_H_
#define CORDON_TOOLS_CORDONCTL_COMPLETION_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace cordon::tools::ctl {

struct Candidate {
  std::string text;  // the whole word
  std::string description = {};
};

struct Candidates {
  std::vector<Candidate> words = {};
  // Instead of `words`: the names of files that begin with `path`. `front` is
  // what stands before it in the word.
  bool files = false;
  std::string front = {};
  std::string path = {};
};

// What the last of `words` may become; the program is not one of them.
// `listeners` is called if the names of listeners are wanted, with the flags
// that were given.
using Flags = std::vector<std::pair<std::string, std::string>>;
Candidates CandidatesFor(
    const std::vector<std::string>& words,
    const std::function<std::vector<std::string>(const Flags&)>& listeners);

// The words of a command line up to the cursor, as a shell splits them. The
// last one is the one that is being typed, possibly empty.
std::vector<std::string> SplitCommandLine(absl::string_view line);

// What the scripts call this program with first.
inline constexpr char kCompletionCommand[] = "__complete";
// Prints candidates for a script. `arguments` are "bash", the line, the cursor
// and $COMP_WORDBREAKS; or "zsh" and the words.
void Complete(const std::vector<std::string>& arguments);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_COMPLETION_H_
