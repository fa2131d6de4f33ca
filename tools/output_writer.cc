#include "cordon/tools/output_writer.h"

#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"

namespace cordon::tools {

OutputWriter::OutputWriter(net::Reactor& reactor)
    : reactor_(reactor),
      end_fd_(eventfd(0, EFD_CLOEXEC)),
      thread_([this] { Run(); }) {}

OutputWriter::~OutputWriter() {
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
  }
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(end_fd_.get(), &one, sizeof(one));
  thread_.join();
}

void OutputWriter::Run() {
  absl::Status status;
  const auto has_work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return ended_ || !waiting_.empty();
  };
  while (status.ok()) {
    std::string text;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&has_work));
      if (ended_) return;
      text.swap(waiting_);
    }
    status = WriteAll(text);
    reactor_.Post([progress = progress_, status, size = text.size()] {
      progress->ahead -= size;
      progress->failure = status;
      progress->changed.WakeAll();
    });
  }
}

absl::Status OutputWriter::WriteAll(const std::string& text) {
  // A pipe that is writable takes so much at once.
  constexpr size_t kPiece = PIPE_BUF;
  absl::string_view left = text;
  std::array<pollfd, 2> fds = {pollfd{STDOUT_FILENO, POLLOUT, 0},
                               pollfd{end_fd_.get(), POLLIN, 0}};
  while (!left.empty()) {
    if (poll(fds.data(), fds.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return absl::ErrnoToStatus(errno, "cannot wait for the output");
    }
    if (fds[1].revents != 0) return absl::CancelledError("nobody writes on");
    if (fds[0].revents == 0) continue;
    const ssize_t written =
        write(STDOUT_FILENO, left.data(), std::min(left.size(), kPiece));
    if (written >= 0) {
      left.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      return absl::ErrnoToStatus(errno, "cannot write the output");
    }
  }
  return absl::OkStatus();
}

net::Task<absl::Status> OutputWriter::Write(std::string text) {
  const std::shared_ptr<Progress> progress = progress_;
  if (!progress->failure.ok()) co_return progress->failure;
  progress->ahead += text.size();
  {
    absl::MutexLock lock(&mutex_);
    waiting_ += text;
  }
  while (progress->failure.ok() && progress->ahead > kMaxAhead) {
    const net::Wakeup wakeup = co_await progress->changed.Wait();
    if (!wakeup) co_return wakeup.status("writing the output");
  }
  co_return progress->failure;
}

net::Task<absl::Status> OutputWriter::Flush() {
  const std::shared_ptr<Progress> progress = progress_;
  while (progress->failure.ok() && progress->ahead > 0) {
    const net::Wakeup wakeup = co_await progress->changed.Wait();
    if (!wakeup) co_return wakeup.status("writing the output");
  }
  co_return progress->failure;
}

net::Task<absl::Status> OutputWriter::Failure() {
  const std::shared_ptr<Progress> progress = progress_;
  while (progress->failure.ok()) {
    const net::Wakeup wakeup = co_await progress->changed.Wait();
    if (!wakeup) co_return wakeup.status("writing the output");
  }
  co_return progress->failure;
}

}  // namespace cordon::tools
