#include "cordon/tools/cordonctl/question.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "cordon/tools/cordonctl/exit_code.h"

ABSL_FLAG(bool, yes, false, "Do not ask.");

namespace cordon::tools::ctl {

absl::Status CheckCanAsk() {
  if (absl::GetFlag(FLAGS_yes)) return absl::OkStatus();
  if (isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0) {
    return absl::OkStatus();
  }
  return UsageError("there is no terminal to ask on: give --yes");
}

absl::Status Ask(absl::string_view question) {
  if (absl::GetFlag(FLAGS_yes)) return absl::OkStatus();
  std::fflush(stdout);
  std::fprintf(stderr, "%.*s [y/N] ", static_cast<int>(question.size()),
               question.data());
  std::fflush(stderr);
  std::string answer;
  for (int c = std::getchar(); c != EOF && c != '\n'; c = std::getchar()) {
    answer += static_cast<char>(c);
  }
  answer = absl::AsciiStrToLower(absl::StripAsciiWhitespace(answer));
  if (answer == "y" || answer == "yes") return absl::OkStatus();
  return absl::CancelledError("nothing was changed");
}

}  // namespace cordon::tools::ctl
