#include "cordon/testing/process/process.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace cordon::testing {
namespace {

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::abort();
}

// Of the environment.
std::optional<std::string> Variable(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets variables here.
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

}  // namespace

Process::Process(std::vector<std::string> command) {
  // A peer that ends while we write to it is its test's business.
  signal(SIGPIPE, SIG_IGN);
  std::array<int, 2> in;
  std::array<int, 2> out;
  Require(pipe2(in.data(), O_CLOEXEC) == 0, "pipe2");
  Require(pipe2(out.data(), O_CLOEXEC) == 0, "pipe2");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO);
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (std::string& argument : command) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int error =
      posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  input_.Reset(in[1]);
  output_fd_.Reset(out[0]);
  if (error != 0) {
    output_ = absl::StrCat("cannot start ", command[0], ": error ", error);
    reaped_ = true;
  }
}

Process::~Process() {
  if (reaped_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Process::Write(absl::string_view text) {
  while (!text.empty() && input_.valid()) {
    const ssize_t written = write(input_.get(), text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return;
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
}

void Process::Signal(int signal) {
  if (!reaped_) kill(pid_, signal);
}

bool Process::ReadSome(absl::Time deadline) {
  if (!output_fd_.valid()) return false;
  pollfd fd = {output_fd_.get(), POLLIN, 0};
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
  if (left <= 0 || poll(&fd, 1, static_cast<int>(left)) <= 0) return false;
  std::array<char, 65536> buffer;
  const ssize_t size = read(output_fd_.get(), buffer.data(), buffer.size());
  if (size <= 0) {
    output_fd_.Reset();
    return false;
  }
  output_.append(buffer.data(), static_cast<size_t>(size));
  DropReactorLine();
  return true;
}

void Process::DropReactorLine() {
  constexpr absl::string_view kLine = "cordon: using epoll: ";
  const size_t begin = output_.find(kLine.data(), 0, kLine.size());
  if (begin == std::string::npos) return;
  const size_t end = output_.find('\n', begin);
  if (end == std::string::npos) return;
  output_.erase(begin, end + 1 - begin);
  if (matched_ > begin)
    matched_ = std::max(begin, matched_ - (end + 1 - begin));
}

bool Process::WaitForOutput(absl::string_view text) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (true) {
    const size_t found = output_.find(std::string(text), matched_);
    if (found != std::string::npos) {
      matched_ = found + text.size();
      return true;
    }
    if (!ReadSome(deadline)) return false;
  }
}

void Process::ReadAvailable() {
  // Not now: what is over is not read in.
  while (ReadSome(absl::Now() + absl::Milliseconds(2))) {
  }
}

int Process::Wait() {
  const absl::Time deadline = absl::Now() + kPatience;
  while (ReadSome(deadline)) {
  }
  int status = 0;
  while (!reaped_) {
    const pid_t pid = waitpid(pid_, &status, WNOHANG);
    if (pid == pid_) {
      reaped_ = true;
      return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    if (absl::Now() > deadline) break;
    poll(nullptr, 0, 1);
  }
  return -1000;
}

TemporaryFolder::TemporaryFolder()
    : TemporaryFolder(Variable("TEST_TMPDIR").value_or("/tmp")) {}

TemporaryFolder::TemporaryFolder(const std::string& base)
    : path_(absl::StrCat(base, "/cordon.XXXXXX")) {
  Require(mkdtemp(path_.data()) != nullptr, "mkdtemp");
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::Write(const std::string& name,
                                   const std::string& content) const {
  std::string path = absl::StrCat(path_, "/", name);
  std::ofstream file(path, std::ios::binary);
  file << content;
  Require(file.good(), path.c_str());
  return path;
}

std::string Runfile(const std::string& path) {
  const std::optional<std::string> root = Variable("TEST_SRCDIR");
  const std::optional<std::string> workspace = Variable("TEST_WORKSPACE");
  if (root.has_value() && workspace.has_value()) {
    return absl::StrCat(*root, "/", *workspace, "/", path);
  }
  // A program that was started by hand has them beside itself.
  std::error_code error;
  const std::filesystem::path self =
      std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string beside =
      absl::StrCat(self.string(), ".runfiles/cordon/", path);
  return std::filesystem::exists(beside, error) ? beside : path;
}

int FreeUdpPort() {
  net::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  Require(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0,
          "bind");
  Require(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address),
                      &length) == 0,
          "getsockname");
  return ntohs(address.sin_port);
}

}  // namespace cordon::testing
