#include "cordon/net/base/wake_fd.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "absl/time/clock.h"
#include "cordon/net/base/errno_status.h"

namespace cordon::net {

absl::Status WakeFd::Open() {
  fd_.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  return fd_.valid() ? absl::OkStatus() : ErrnoStatus(errno, "eventfd");
}

void WakeFd::Wake() {
  const uint64_t one = 1;
  // The only error is that of a full counter, and a full one wakes as well.
  [[maybe_unused]] const ssize_t written = write(fd_.get(), &one, sizeof(one));
}

void WakeFd::Clear() {
  uint64_t count = 0;
  // The only error is that of a counter that is zero already.
  [[maybe_unused]] const ssize_t bytes = read(fd_.get(), &count, sizeof(count));
}

void WakeFd::Wait(absl::Duration duration) {
  duration = std::clamp(duration, absl::ZeroDuration(), absl::Hours(1));
  const auto milliseconds = static_cast<int>(
      absl::ToInt64Milliseconds(duration + absl::Microseconds(999)));
  pollfd polled = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
  if (poll(&polled, 1, milliseconds) >= 0 || errno == EINTR) return;
  // Who may not even do this must not make a busy loop of it.
  absl::SleepFor(std::min(duration, absl::Milliseconds(10)));
}

}  // namespace cordon::net
