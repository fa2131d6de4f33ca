#include "cordon/tools/cordonctl/terminal_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/testing/process/process.h"

namespace cordon::tools::ctl {
namespace {

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::abort();
}

}  // namespace

TerminalProcess::TerminalProcess(std::vector<std::string> command, int columns,
                                 int rows) {
  master_.Reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  std::array<char, 128> name;
  Require(master_.valid() && grantpt(master_.get()) == 0 &&
              unlockpt(master_.get()) == 0 &&
              ptsname_r(master_.get(), name.data(), name.size()) == 0,
          "terminal");
  slave_.Reset(open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  Require(slave_.valid(), name.data());
  Resize(columns, rows);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // The first terminal that a new session opens is the one whose keys make
  // signals.
  posix_spawn_file_actions_addopen(&actions, 0, name.data(), O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, 0, 1);
  posix_spawn_file_actions_adddup2(&actions, 0, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (std::string& argument : command) argv.push_back(argument.data());
  argv.push_back(nullptr);
  Require(posix_spawnp(&pid_, argv[0], &actions, &attributes, argv.data(),
                       environ) == 0,
          argv[0]);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
}

TerminalProcess::~TerminalProcess() {
  if (ended_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void TerminalProcess::Type(absl::string_view keys) {
  Require(write(master_.get(), keys.data(), keys.size()) ==
              static_cast<ssize_t>(keys.size()),
          "type");
}

void TerminalProcess::Resize(int columns, int rows) {
  winsize window = {};
  window.ws_col = static_cast<unsigned short>(columns);  // NOLINT(runtime/int)
  window.ws_row = static_cast<unsigned short>(rows);     // NOLINT(runtime/int)
  Require(ioctl(master_.get(), TIOCSWINSZ, &window) == 0, "resize");
}

bool TerminalProcess::WaitForOutput(absl::string_view text) {
  const absl::Time deadline = absl::Now() + testing::kPatience;
  while (true) {
    const size_t found = output_.find(std::string(text), matched_);
    if (found != std::string::npos) {
      matched_ = found + text.size();
      return true;
    }
    if (absl::Now() > deadline || !ReadSome(20)) return false;
  }
}

int TerminalProcess::Wait() {
  const absl::Time deadline = absl::Now() + testing::kPatience;
  while (ReadSome(20)) {
    if (absl::Now() > deadline) break;
  }
  return exit_code_;
}

termios TerminalProcess::settings() const {
  termios settings = {};
  Require(tcgetattr(slave_.get(), &settings) == 0, "settings");
  return settings;
}

bool TerminalProcess::ReadSome(int timeout_ms) {
  // Before reading, so that what it wrote last is still read.
  int status = 0;
  if (!ended_ && waitpid(pid_, &status, WNOHANG) == pid_) {
    ended_ = true;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  pollfd fd = {master_.get(), POLLIN, 0};
  if (poll(&fd, 1, ended_ ? 0 : timeout_ms) <= 0) return !ended_;
  std::array<char, 65536> buffer;
  const ssize_t size = read(master_.get(), buffer.data(), buffer.size());
  if (size <= 0) return !ended_;
  output_.append(buffer.data(), static_cast<size_t>(size));
  return true;
}

}  // namespace cordon::tools::ctl
