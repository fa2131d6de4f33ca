#include "cordon/testing/failing_calls/failing_calls.h"

#include <liburing.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <map>

namespace {

using cordon::testing::Call;

struct Failing {
  int error = 0;
  int left = 0;
  int happened = 0;
};
std::array<Failing, cordon::testing::kCalls> failing;

Failing& Of(Call call) { return failing[static_cast<size_t>(call)]; }

// The error that this call has to fail with, or 0.
int Take(Call call) {
  Failing& f = Of(call);
  if (f.left == 0) return 0;
  --f.left;
  ++f.happened;
  return f.error;
}

// For calls that return -1.
bool Fails(Call call) {
  const int error = Take(call);
  if (error != 0) errno = error;
  return error != 0;
}

struct Partial {
  unsigned entries = 0;
  int left = 0;
  int happened = 0;
};
Partial partial;

// Requests that were made to fail, and what their completions will say.
std::map<uint64_t, int> doomed;

// Of the requests that will be submitted next, those that are to fail are given
// a descriptor that does not exist.
void Doom(io_uring* ring) {
  io_uring_sq& sq = ring->sq;
  for (unsigned i = sq.sqe_head; i != sq.sqe_tail; ++i) {
    io_uring_sqe& sqe = sq.sqes[i & sq.ring_mask];
    if (sqe.opcode != IORING_OP_SENDMSG && sqe.opcode != IORING_OP_RECVMSG) {
      continue;
    }
    const int error =
        Take(sqe.opcode == IORING_OP_SENDMSG ? Call::kSend : Call::kReceive);
    if (error == 0) continue;
    sqe.fd = -1;
    doomed[sqe.user_data] = error;
  }
}

// Hides all but the first entries from the kernel, for as long as it lives.
class Hidden {
 public:
  explicit Hidden(io_uring* ring) : sq_(ring->sq), tail_(sq_.sqe_tail) {
    if (partial.left == 0) return;
    --partial.left;
    const unsigned ready = io_uring_sq_ready(ring);
    if (ready <= partial.entries) return;
    ++partial.happened;
    sq_.sqe_tail = tail_ - (ready - partial.entries);
  }
  Hidden(const Hidden&) = delete;
  Hidden& operator=(const Hidden&) = delete;
  ~Hidden() { sq_.sqe_tail = tail_; }

 private:
  io_uring_sq& sq_;
  const unsigned tail_;
};

// Their completions carry the error that was asked for.
void Sentence(io_uring* ring) {
  unsigned head = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(ring, head, cqe) {
    const auto found = doomed.find(cqe->user_data);
    if (found == doomed.end() || cqe->res != -EBADF) continue;
    cqe->res = -found->second;
    doomed.erase(found);
  }
}

}  // namespace

extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier)
int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol) {
  return Fails(Call::kSocket) ? -1 : __real_socket(family, type, protocol);
}
int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags) {
  return Fails(Call::kEventFd) ? -1 : __real_eventfd(value, flags);
}
int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags) {
  return Fails(Call::kEpollCreate) ? -1 : __real_epoll_create1(flags);
}
int __real_epoll_wait(int fd, epoll_event* events, int count, int timeout);
int __wrap_epoll_wait(int fd, epoll_event* events, int count, int timeout) {
  if (Fails(Call::kEpollWait)) return -1;
  return __real_epoll_wait(fd, events, count, timeout);
}
int __real_epoll_ctl(int fd, int operation, int of, epoll_event* event);
int __wrap_epoll_ctl(int fd, int operation, int of, epoll_event* event) {
  if (operation != EPOLL_CTL_DEL && Fails(Call::kEpollControl)) return -1;
  return __real_epoll_ctl(fd, operation, of, event);
}
void* __real_mmap(void* at, size_t size, int protection, int flags, int fd,
                  off_t offset);
void* __wrap_mmap(void* at, size_t size, int protection, int flags, int fd,
                  off_t offset) {
  if (Fails(Call::kMap)) return MAP_FAILED;
  return __real_mmap(at, size, protection, flags, fd, offset);
}
ssize_t __real_sendmsg(int fd, const msghdr* message, int flags);
ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags) {
  return Fails(Call::kSend) ? -1 : __real_sendmsg(fd, message, flags);
}
int __real_sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  return Fails(Call::kSend) ? -1 : __real_sendmmsg(fd, messages, count, flags);
}
ssize_t __real_recvmsg(int fd, msghdr* message, int flags);
ssize_t __wrap_recvmsg(int fd, msghdr* message, int flags) {
  if ((flags & MSG_ERRQUEUE) == 0 && Fails(Call::kReceive)) return -1;
  return __real_recvmsg(fd, message, flags);
}
int __real_recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags,
                    timespec* timeout);
int __wrap_recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags,
                    timespec* timeout) {
  if (Fails(Call::kReceive)) return -1;
  return __real_recvmmsg(fd, messages, count, flags, timeout);
}

int __real_io_uring_queue_init_params(unsigned entries, io_uring* ring,
                                      io_uring_params* params);
int __wrap_io_uring_queue_init_params(unsigned entries, io_uring* ring,
                                      io_uring_params* params) {
  const int error = Take(Call::kRingSetup);
  if (error != 0) return -error;
  return __real_io_uring_queue_init_params(entries, ring, params);
}
int __real_io_uring_register_buf_ring(io_uring* ring, io_uring_buf_reg* buffers,
                                      unsigned flags);
int __wrap_io_uring_register_buf_ring(io_uring* ring, io_uring_buf_reg* buffers,
                                      unsigned flags) {
  const int error = Take(Call::kBufferRingSetup);
  if (error != 0) return -error;
  return __real_io_uring_register_buf_ring(ring, buffers, flags);
}
int __real_io_uring_submit(io_uring* ring);
int __wrap_io_uring_submit(io_uring* ring) {
  if (const int error = Take(Call::kRingEnter); error != 0) return -error;
  const Hidden hidden(ring);
  Doom(ring);
  const int result = __real_io_uring_submit(ring);
  Sentence(ring);
  return result;
}
int __real_io_uring_submit_and_get_events(io_uring* ring);
int __wrap_io_uring_submit_and_get_events(io_uring* ring) {
  if (const int error = Take(Call::kRingEnter); error != 0) return -error;
  const Hidden hidden(ring);
  Doom(ring);
  const int result = __real_io_uring_submit_and_get_events(ring);
  Sentence(ring);
  return result;
}
int __real_io_uring_submit_and_wait_timeout(io_uring* ring, io_uring_cqe** cqe,
                                            unsigned count,
                                            __kernel_timespec* timeout,
                                            sigset_t* mask);
int __wrap_io_uring_submit_and_wait_timeout(io_uring* ring, io_uring_cqe** cqe,
                                            unsigned count,
                                            __kernel_timespec* timeout,
                                            sigset_t* mask) {
  if (const int error = Take(Call::kRingEnter); error != 0) return -error;
  const Hidden hidden(ring);
  Doom(ring);
  const int result =
      __real_io_uring_submit_and_wait_timeout(ring, cqe, count, timeout, mask);
  Sentence(ring);
  return result;
}
// NOLINTEND(bugprone-reserved-identifier)
}

namespace cordon::testing {

CallFailure::CallFailure(Call call, int error, int count) : call_(call) {
  Of(call) = {.error = error, .left = count, .happened = 0};
}
CallFailure::~CallFailure() { Of(call_) = {}; }

int CallFailure::happened() const { return Of(call_).happened; }

PartialSubmission::PartialSubmission(unsigned entries, int count) {
  partial = {.entries = entries, .left = count, .happened = 0};
}
PartialSubmission::~PartialSubmission() { partial = {}; }

int PartialSubmission::happened() const { return partial.happened; }

}  // namespace cordon::testing
