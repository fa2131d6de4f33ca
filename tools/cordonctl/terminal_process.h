// A program on a terminal of its own, for tests.
#ifndef CORDON_TOOLS_CORDONCTL_TERMINAL_PROCESS_H_
#define CORDON_TOOLS_CORDONCTL_TERMINAL_PROCESS_H_

#include <sys/types.h>
#include <termios.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::tools::ctl {

// Killed when destroyed. Waits as long as `testing::kPatience`.
class TerminalProcess {
 public:
  TerminalProcess(std::vector<std::string> command, int columns, int rows);
  TerminalProcess(const TerminalProcess&) = delete;
  TerminalProcess& operator=(const TerminalProcess&) = delete;
  ~TerminalProcess();

  // As if typed: "\x03" is Ctrl-C.
  void Type(absl::string_view keys);
  void Resize(int columns, int rows);
  // Until `text` has been shown since the last match.
  bool WaitForOutput(absl::string_view text);
  // The exit code; minus the signal's number if a signal ended it.
  int Wait();

  // All that was written to the terminal, escapes included.
  const std::string& output() const { return output_; }
  termios settings() const;

 private:
  // Reads what there is; false if the program has ended and all was read.
  bool ReadSome(int timeout_ms);

  net::UniqueFd master_;
  // Kept open, so that the terminal outlives the program.
  net::UniqueFd slave_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int exit_code_ = -1000;
  std::string output_;
  size_t matched_ = 0;
};

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_TERMINAL_PROCESS_H_
