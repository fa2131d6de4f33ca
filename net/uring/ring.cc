#include "cordon/net/uring/ring.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cordon/net/base/errno_status.h"

namespace cordon::net {
namespace {

[[noreturn]] void Die(const char* what, int error) {
  std::fprintf(stderr, "cordon: io_uring: %s: %s\n", what,
               strerrordesc_np(error));
  std::abort();
}

// Recent kernels (6.18 does) count rings as locked memory, of all processes of
// a user that lack CAP_IPC_LOCK together.
std::string LockedMemoryHint() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 ||
      limit.rlim_cur == RLIM_INFINITY) {
    return "";
  }
  return absl::StrCat(
      "; its rings count as locked memory, of which all processes of this user "
      "together may have ",
      limit.rlim_cur / 1024,
      " KB: raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK)");
}

absl::Status Refusal(int error, absl::string_view what) {
  absl::Status status = ErrnoStatus(error, what);
  if (error != ENOMEM) return status;
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), LockedMemoryHint()));
}

size_t RingBytes(unsigned entries) { return entries * sizeof(io_uring_buf); }

}  // namespace

Ring::~Ring() { Close(); }

void Ring::Close() {
  if (initialised_) io_uring_queue_exit(&ring_);
  initialised_ = false;
}

absl::Status Ring::Init(const Options& options) {
  unsigned submissions = options.submissions;
  unsigned completions = options.completions;
  int error = Create(submissions, completions);
  while (error == ENOMEM && submissions > kFewestSubmissions) {
    submissions /= 2;
    completions /= 2;
    error = Create(submissions, completions);
  }
  if (error != 0) return Refusal(error, "io_uring is not available");
  initialised_ = true;
  if ((ring_.features & IORING_FEAT_EXT_ARG) == 0 ||
      (ring_.features & IORING_FEAT_NODROP) == 0 ||
      (ring_.features & IORING_FEAT_CQE_SKIP) == 0) {
    return absl::UnimplementedError("this kernel's io_uring is too old");
  }
  if (const int refusal = RefusalToEnter(); refusal != 0) {
    return Refusal(refusal, "io_uring cannot be entered");
  }
  // A precaution: where it fails, children inherit memory that they must not
  // use, as they must not use the reactor.
  (void)io_uring_ring_dontfork(&ring_);
  return absl::OkStatus();
}

// A ring that is not enabled yet answers EBADFD. Every other error is that of a
// filter of system calls: one that lets rings be made, but not be used.
int Ring::RefusalToEnter() {
  const int error =
      -io_uring_enter(static_cast<unsigned>(ring_.ring_fd), 0, 0, 0, nullptr);
  return error == EBADFD ? 0 : error;
}

int Ring::Create(unsigned submissions, unsigned completions) {
  // Disabled at first: the thread that enables it is the one that may enter.
  // Kernels that know these flags (6.1) have multishot receives, too.
  io_uring_params params = {};
  params.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_R_DISABLED;
  params.cq_entries = completions;
  return -io_uring_queue_init_params(submissions, &ring_, &params);
}

int Ring::Enable() {
  if (enabled_) {
    if (!IsMine()) Die("used from a second thread", EEXIST);
    return 0;
  }
  if (const int error = -io_uring_enable_rings(&ring_); error != 0) {
    return error;
  }
  enabled_ = true;
  thread_ = std::this_thread::get_id();
  // An optimisation; where it fails the plain descriptor serves.
  (void)io_uring_register_ring_fd(&ring_);
  return 0;
}

bool Ring::IsMine() const {
  return enabled_ && thread_ == std::this_thread::get_id();
}

io_uring_sqe* Ring::Next() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe != nullptr || Enable() != 0) return sqe;
  ++system_calls_;
  // If it fails there is still no entry, and `Enter` will say why.
  (void)io_uring_submit(&ring_);
  return io_uring_get_sqe(&ring_);
}

int Ring::Enter(absl::Duration wait) {
  if (const int error = Enable(); error != 0) return error;
  ++system_calls_;
  int result = 0;
  if (wait <= absl::ZeroDuration() || HasCompletions()) {
    result = io_uring_submit_and_get_events(&ring_);
  } else {
    io_uring_cqe* unused = nullptr;
    // Rounded up, so that a wait that ends by itself ends late, not early.
    const int64_t nanos = absl::ToInt64Nanoseconds(
        std::min(wait, absl::Hours(1)) + absl::Nanoseconds(999));
    __kernel_timespec timeout = {.tv_sec = nanos / 1'000'000'000,
                                 .tv_nsec = nanos % 1'000'000'000};
    result =
        io_uring_submit_and_wait_timeout(&ring_, &unused, 1, &timeout, nullptr);
  }
  // Those of a wait that ended are all in a day's work.
  return result >= 0 || result == -ETIME || result == -EINTR ? 0 : -result;
}

absl::Status BufferRing::Init(Ring& ring, unsigned entries) {
  Release();
  entries_ = entries;
  void* headers = mmap(nullptr, RingBytes(entries), PROT_READ | PROT_WRITE,
                       MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  void* memory = mmap(nullptr, entries * kBufferBytes, PROT_READ | PROT_WRITE,
                      MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
  if (headers != MAP_FAILED) {
    ring_ = static_cast<io_uring_buf_ring*>(headers);
  }
  if (memory != MAP_FAILED) memory_ = static_cast<uint8_t*>(memory);
  if (ring_ == nullptr || memory_ == nullptr) {
    return ErrnoStatus(errno, "cannot map receive buffers");
  }
  io_uring_buf_reg registration = {};
  registration.ring_addr = reinterpret_cast<uintptr_t>(ring_);
  registration.ring_entries = entries;
  registration.bgid = kGroup;
  if (const int error =
          -io_uring_register_buf_ring(ring.get(), &registration, 0);
      error != 0) {
    return Refusal(error, error == ENOMEM
                              ? "io_uring is not available"
                              : "this kernel has no io_uring buffer rings");
  }
  owner_ = &ring;
  io_uring_buf_ring_init(ring_);
  for (unsigned i = 0; i < entries; ++i) Return(static_cast<uint16_t>(i));
  Publish();
  return absl::OkStatus();
}

BufferRing::~BufferRing() { Release(); }

void BufferRing::Release() {
  // None of these fails for what was made by the same hands; and if one did,
  // nothing would be left to do.
  if (owner_ != nullptr) io_uring_unregister_buf_ring(owner_->get(), kGroup);
  if (ring_ != nullptr) munmap(ring_, RingBytes(entries_));
  if (memory_ != nullptr) munmap(memory_, entries_ * kBufferBytes);
  owner_ = nullptr;
  ring_ = nullptr;
  memory_ = nullptr;
}

void BufferRing::Return(uint16_t id) {
  io_uring_buf_ring_add(ring_, buffer(id).data(), kBufferBytes, id,
                        io_uring_buf_ring_mask(entries_),
                        static_cast<int>(returned_++));
}

void BufferRing::Publish() {
  if (returned_ == 0) return;
  io_uring_buf_ring_advance(ring_, static_cast<int>(returned_));
  returned_ = 0;
}

}  // namespace cordon::net
