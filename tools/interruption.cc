#include "cordon/tools/interruption.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "cordon/net/base/line_writer.h"

namespace cordon::tools {

Interruption::Interruption(std::function<void()> wish)
    : end_fd_(eventfd(0, EFD_CLOEXEC)) {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = std::thread([this, wish = std::move(wish)] { Await(wish); });
}

Interruption::~Interruption() { Join(); }

void Interruption::Await(const std::function<void()>& wish) {
  const net::UniqueFd asked(signalfd(-1, &signals_, SFD_CLOEXEC));
  std::array<pollfd, 2> fds = {pollfd{asked.get(), POLLIN, 0},
                               pollfd{end_fd_.get(), POLLIN, 0}};
  while (fds[1].revents == 0) {
    signalfd_siginfo info = {};
    if (poll(fds.data(), fds.size(), -1) < 0 || fds[0].revents == 0 ||
        read(asked.get(), &info, sizeof(info)) != sizeof(info)) {
      continue;
    }
    asked_by_ = static_cast<int>(info.ssi_signo);
    // Those that come from now on are for this thread.
    fds[0].fd = -1;
    pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
    wish();
  }
}

void Interruption::Join() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(end_fd_.get(), &one, sizeof(one));
  thread_.join();
}

void Interruption::EndAsAsked() {
  Join();
  if (asked_by_ == 0) return;
  std::fflush(nullptr);
  net::LineWriter::StandardError().Flush(net::LineWriter::kPatienceAtExit);
  pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
  raise(asked_by_);
}

}  // namespace cordon::tools
