// Command lines of programs that use Abseil flags, with errors in one line and
// exit codes that tell wrong usage (2) from failure (1).
#ifndef CORDON_TOOLS_COMMAND_LINE_H_
#define CORDON_TOOLS_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cordon::tools {

// A flag that may be given several times: `ABSL_FLAG(RepeatedFlag, psk, {},
// ..)`.
struct RepeatedFlag {
  std::vector<std::string> values;
};
bool AbslParseFlag(absl::string_view text, RepeatedFlag* flag,
                   std::string* error);
std::string AbslUnparseFlag(const RepeatedFlag& flag);

struct Usage {
  absl::string_view program;   // "echo_server"
  absl::string_view synopsis;  // "--listen=HOST:PORT [flags]"
  absl::string_view summary;   // what it does, for --help
  // Names of the flags that are `RepeatedFlag`s.
  std::vector<absl::string_view> repeated = {};
};

// Sets the flags and returns the other arguments. To be called first: standard
// streams that are closed become /dev/null. Prints the help text and
// exits with 0 for --help; prints one line and exits with 2 for a flag that is
// unknown or has a bad value.
std::vector<std::string> ParseCommandLine(int argc, char** argv,
                                          const Usage& usage);

// Prints "PROGRAM: MESSAGE" as one line on stderr and exits with `code`.
[[noreturn]] void Die(absl::string_view program, absl::string_view message,
                      int code = 1);
// `Die` with 2 and a hint at --help.
[[noreturn]] void DieOfUsage(absl::string_view program,
                             absl::string_view message);

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_COMMAND_LINE_H_
