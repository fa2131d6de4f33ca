#include "cordon/tools/line_reader.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace cordon::tools {

LineReader::LineReader(net::Reactor& reactor)
    : reactor_(reactor), end_fd_(eventfd(0, EFD_CLOEXEC)), thread_([this] {
        absl::Status end = Read();
        // Where the reactor has ended nobody waits for it.
        reactor_.Post([input = input_, end = std::move(end)] {
          input->end = end;
          input->lines.Close();
        });
      }) {}

LineReader::~LineReader() {
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
  }
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(end_fd_.get(), &one, sizeof(one));
  thread_.join();
}

net::Task<absl::StatusOr<std::string>> LineReader::Next() {
  absl::StatusOr<std::string> line = co_await input_->lines.Recv();
  if (absl::IsOutOfRange(line.status())) co_return input_->end;
  absl::MutexLock lock(&mutex_);
  if (line.ok()) --ahead_;
  co_return line;
}

void LineReader::Emit(std::string line) {
  {
    absl::MutexLock lock(&mutex_);
    auto has_room = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return ahead_ < kMaxAhead || ended_;
    };
    mutex_.Await(absl::Condition(&has_room));
    if (ended_) return;
    ++ahead_;
  }
  reactor_.Post([input = input_, line = std::move(line)]() mutable {
    input->lines.TrySend(std::move(line));
  });
}

absl::Status LineReader::Read() {
  std::string partial;
  std::array<char, 65536> buffer;
  std::array<pollfd, 2> fds = {pollfd{STDIN_FILENO, POLLIN, 0},
                               pollfd{end_fd_.get(), POLLIN, 0}};
  while (true) {
    if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) break;
    if (fds[1].revents != 0) return absl::CancelledError("nobody reads on");
    if (fds[0].revents == 0) continue;
    const ssize_t size = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::ErrnoToStatus(errno, "cannot read the input");
    if (size == 0) break;
    partial.append(buffer.data(), static_cast<size_t>(size));
    size_t begin = 0;
    for (size_t end; (end = partial.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      Emit(partial.substr(begin, end - begin));
    }
    partial.erase(0, begin);
    if (partial.size() > kMaxLineBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("has more than ", kMaxLineBytes, " bytes"));
    }
  }
  if (!partial.empty()) Emit(std::move(partial));
  return absl::OutOfRangeError("the input has ended");
}

}  // namespace cordon::tools
