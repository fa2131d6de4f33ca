// One io_uring instance and its ring of receive buffers.
#ifndef CORDON_NET_URING_RING_H_
#define CORDON_NET_URING_RING_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace cordon::net {

// Must be entered by one thread: the first that calls `Enter`. May be set up by
// another.
class Ring {
 public:
  struct Options {
    unsigned submissions = 1024;
    unsigned completions = 4096;
  };
  // `Init` goes down to this.
  static constexpr unsigned kFewestSubmissions = 64;

  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  // kUnimplemented or kPermissionDenied where the kernel or a container refuses
  // io_uring, to enter a ring, or a feature of it that is needed. Where the
  // memory that a process may lock does not suffice the rings become smaller,
  // down to a point: kResourceExhausted.
  absl::Status Init(const Options& options);
  // Undoes `Init`; for a ring that was not entered. The kernel takes some time
  // to give back its memory.
  void Close();

  // What there is of both.
  Options size() const {
    return {ring_.sq.ring_entries, ring_.cq.ring_entries};
  }

  // A free submission entry; submits what is there if there is none. Null if
  // the kernel takes nothing.
  io_uring_sqe* Next();
  // Submits. Waits for a completion for at most `wait`: not at all if zero. 0
  // or an errno; what the kernel has not taken is submitted the next time.
  int Enter(absl::Duration wait);

  // The place in line of the entry that `Next` gave last, and whether the
  // kernel has taken the one at such a place.
  unsigned place() const { return ring_.sq.sqe_tail; }
  bool Taken(unsigned place) const {
    return static_cast<int>(place - ring_.sq.sqe_tail +
                            io_uring_sq_ready(&ring_)) <= 0;
  }

  io_uring* get() { return &ring_; }
  // True on the thread that has entered the ring before.
  bool IsMine() const;
  bool HasCompletions() const { return io_uring_cq_ready(&ring_) > 0; }
  // Completions wait for room in the ring; the next `Enter` brings them.
  bool HasOverflow() const { return io_uring_cq_has_overflow(&ring_); }
  uint64_t system_calls() const { return system_calls_; }

 private:
  // What io_uring_queue_init answers, as an errno.
  int Create(unsigned submissions, unsigned completions);
  // The error with which a ring cannot be entered, or 0. Has no effect.
  int RefusalToEnter();
  // 0 or an errno.
  int Enable();

  io_uring ring_ = {};
  bool initialised_ = false;
  bool enabled_ = false;
  std::thread::id thread_;
  uint64_t system_calls_ = 0;
};

// Receive buffers that the kernel picks from. Belongs to the ring's thread.
class BufferRing {
 public:
  // Holds any UDP datagram, or a train, with address and control messages. The
  // odd stride keeps the headers of all buffers from competing for the same
  // cache sets; pages that no datagram reaches are never touched.
  static constexpr size_t kBufferBytes = 65536 + 640;
  static constexpr uint16_t kGroup = 0;

  BufferRing() = default;
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;
  // Only when no request that uses it is in flight.
  ~BufferRing();

  // `entries` is a power of two, at most 32768. May be called again after an
  // error.
  absl::Status Init(Ring& ring, unsigned entries);

  absl::Span<uint8_t> buffer(uint16_t id) {
    return {memory_ + id * kBufferBytes, kBufferBytes};
  }
  // Gives a buffer back; the kernel sees it after `Publish`.
  void Return(uint16_t id);
  void Publish();

 private:
  void Release();

  Ring* owner_ = nullptr;
  unsigned entries_ = 0;
  io_uring_buf_ring* ring_ = nullptr;
  uint8_t* memory_ = nullptr;
  unsigned returned_ = 0;
};

}  // namespace cordon::net

#endif  // CORDON_NET_URING_RING_H_
