#include "cordon/tools/cordonctl/screen.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace cordon::tools::ctl {
namespace {

constexpr std::array<int, 4> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};

// Written by the signal handler, one byte for each signal.
std::array<int, 2> signal_pipe = {-1, -1};
std::array<struct sigaction, kSignals.size()> actions_before;

void OnSignal(int signal) {
  const int error = errno;
  const char byte = static_cast<char>(signal);
  (void)!write(signal_pipe[1], &byte, 1);
  errno = error;
}

void Put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

Screen::Screen() {
  if (pipe2(signal_pipe.data(), O_CLOEXEC | O_NONBLOCK) == 0) {
    for (size_t i = 0; i < kSignals.size(); ++i) {
      struct sigaction action = {};
      action.sa_handler = &OnSignal;
      action.sa_flags = SA_RESTART;
      sigaction(kSignals[i], &action, &actions_before[i]);
    }
  }
  has_keys_ = tcgetattr(STDIN_FILENO, &before_) == 0;
  if (has_keys_) {
    termios keys = before_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    // A stopped program would leave the shell with our screen.
    keys.c_cc[VSUSP] = _POSIX_VDISABLE;
    tcsetattr(STDIN_FILENO, TCSANOW, &keys);
  }
  // The other screen, without a cursor and without line breaks.
  Put("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J");
}

Screen::~Screen() {
  Put("\x1b[?7h\x1b[?25h\x1b[?1049l");
  if (has_keys_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  if (signal_pipe[0] < 0) return;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], &actions_before[i], nullptr);
  }
  for (int& fd : signal_pipe) {
    close(fd);
    fd = -1;
  }
}

FrameSize Screen::size() const {
  winsize window = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 ||
      window.ws_row == 0) {
    return {};
  }
  return {window.ws_col, window.ws_row};
}

void Screen::Draw(const std::vector<std::string>& lines) {
  std::string text = "\x1b[H";
  for (size_t i = 0; i < lines.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : "\r\n", lines[i], "\x1b[K");
  }
  Put(text + "\x1b[J");
}

Screen::Event Screen::Wait(int wake_fd) {
  while (true) {
    std::array<pollfd, 3> fds = {{{wake_fd, POLLIN, 0},
                                  {signal_pipe[0], POLLIN, 0},
                                  {has_keys_ ? STDIN_FILENO : -1, POLLIN, 0}}};
    if (poll(fds.data(), fds.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return Event::kQuit;
    }
    char byte = 0;
    if (fds[1].revents != 0 && read(signal_pipe[0], &byte, 1) == 1) {
      return byte == SIGWINCH ? Event::kResized : Event::kQuit;
    }
    if (fds[2].revents != 0) {
      constexpr char kCtrlC = 3;
      constexpr char kCtrlD = 4;
      if (read(STDIN_FILENO, &byte, 1) != 1 || byte == 'q' || byte == 'Q' ||
          byte == kCtrlC || byte == kCtrlD) {
        return Event::kQuit;
      }
    }
    if (fds[0].revents != 0) return Event::kWoken;
  }
}

}  // namespace cordon::tools::ctl
