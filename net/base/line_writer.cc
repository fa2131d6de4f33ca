#include "cordon/net/base/line_writer.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cordon::net {
namespace {

// False if it cannot be written, or not wholly.
bool WriteAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return false;
    // Somebody else has made it non-blocking.
    pollfd writable = {fd, POLLOUT, 0};
    if (poll(&writable, 1, -1) < 0 && errno != EINTR) return false;
  }
  return true;
}

std::string LossNotice(uint64_t lines) {
  if (lines == 0) return "";
  return absl::StrCat("cordon: ", lines, lines == 1 ? " line" : " lines",
                      " could not be written here\n");
}

}  // namespace

LineWriter::LineWriter(int fd, size_t max_queued_bytes)
    : fd_(fd), max_queued_bytes_(max_queued_bytes) {}

LineWriter::~LineWriter() {
  pthread_t thread = {};
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    if (!has_thread_) return;
    thread = thread_;
  }
  pthread_join(thread, nullptr);  // It is joinable, and another thread.
}

// Never destroyed: others may write to the very end. Where `atexit` fails,
// nobody waits for the last lines.
LineWriter& LineWriter::StandardOutput() {
  static auto* const writer = new LineWriter(STDOUT_FILENO);
  [[maybe_unused]] static const int at_exit =
      std::atexit([] { writer->Flush(kPatienceAtExit); });
  return *writer;
}

LineWriter& LineWriter::StandardError() {
  static auto* const writer = new LineWriter(STDERR_FILENO);
  [[maybe_unused]] static const int at_exit =
      std::atexit([] { writer->Flush(kPatienceAtExit); });
  return *writer;
}

bool LineWriter::EnsureThread() {
  if (has_thread_) return true;
  // Signals are for the threads that know of them, SIGPIPE for none.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
  has_thread_ = pthread_create(&thread_, nullptr, RunThread, this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);  // As it was: cannot fail.
  return has_thread_;
}

void* LineWriter::RunThread(void* self) {
  static_cast<LineWriter*>(self)->Run();
  return nullptr;
}

bool LineWriter::HasWork() const {
  return !queue_.empty() || (untold_ > 0 && works_ && has_thread_);
}

void LineWriter::Write(absl::string_view line) {
  absl::MutexLock lock(&mutex_);
  const size_t bytes = line.size() + 1;
  if (queued_bytes_ + bytes > max_queued_bytes_ || !EnsureThread()) {
    ++statistics_.lost;
    ++untold_;
    return;
  }
  queued_bytes_ += bytes;
  queue_.push_back({.text = absl::StrCat(line, "\n"),
                    .lost_before = std::exchange(untold_, 0)});
}

void LineWriter::Run() {
  uint64_t lost = 0;
  absl::MutexLock lock(&mutex_);
  while (true) {
    mutex_.Await(absl::Condition(this, &LineWriter::MayRun));
    if (ended_) return;
    Line line;
    const bool is_line = !queue_.empty();
    if (is_line) {
      line = std::move(queue_.front());
      queue_.pop_front();
      lost += line.lost_before;
    } else {
      lost += std::exchange(untold_, 0);
    }
    writing_ = true;
    mutex_.Unlock();
    const bool written = WriteAll(fd_, LossNotice(lost) + line.text);
    mutex_.Lock();
    writing_ = false;
    works_ = written;
    queued_bytes_ -= line.text.size();
    if (written) {
      statistics_.written += is_line ? 1 : 0;
      lost = 0;
    } else if (is_line) {
      ++statistics_.lost;
      ++lost;
    }
  }
}

bool LineWriter::Flush(absl::Duration patience) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(this, &LineWriter::Idle),
                                 patience);
}

LineWriter::Statistics LineWriter::statistics() const {
  absl::MutexLock lock(&mutex_);
  return statistics_;
}

}  // namespace cordon::net
