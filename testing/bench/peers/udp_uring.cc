// Echoes without encryption: io_uring with a multishot receive, and one system
// call for each turn; no segmentation offload.
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cordon/testing/bench/peers/batch_socket.h"

namespace {

using namespace cordon::bench;  // NOLINT(google-build-using-namespace)

constexpr unsigned kEntries = 512;
constexpr unsigned kBuffers = 512;
constexpr unsigned kCompletions = 4096;
constexpr int kGroup = 0;
constexpr uint64_t kReceive = 1;
constexpr uint64_t kSend = 2;

class Echo {
 public:
  explicit Echo(int fd) : fd_(fd), buffers_(kBuffers * kMaxDatagram) {
    io_uring_params params = {};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
    params.cq_entries = kCompletions;
    if (const int error = io_uring_queue_init_params(kEntries, &ring_, &params);
        error < 0) {
      errno = -error;
      Die("io_uring");
    }
    io_uring_register_ring_fd(&ring_);
    io_uring_register_files(&ring_, &fd_, 1);
    // A ring entry for each buffer, then the kernel's view of it.
    void* memory = nullptr;
    if (posix_memalign(&memory, 4096, kBuffers * sizeof(io_uring_buf)) != 0) {
      Die("memory");
    }
    free_ = static_cast<io_uring_buf_ring*>(memory);
    io_uring_buf_ring_init(free_);
    io_uring_buf_reg registration = {};
    registration.ring_addr = reinterpret_cast<uint64_t>(free_);
    registration.ring_entries = kBuffers;
    registration.bgid = kGroup;
    if (const int error = io_uring_register_buf_ring(&ring_, &registration, 0);
        error < 0) {
      errno = -error;
      Die("buffer ring");
    }
    for (unsigned i = 0; i < kBuffers; ++i) GiveBack(i);
    Publish();
    wanted_.msg_namelen = sizeof(sockaddr_in);
  }

  [[noreturn]] void Run() {
    sends_.reserve(kBuffers);
    Arm();
    while (true) {
      io_uring_submit_and_wait(&ring_, 1);
      // Every send has been made: they do not wait.
      for (const Send& send : sends_) GiveBack(send.buffer);
      sends_.clear();
      Publish();
      bool armed = true;
      unsigned head = 0;
      unsigned count = 0;
      io_uring_cqe* cqe = nullptr;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++count;
        if (cqe->user_data != kReceive) continue;
        if ((cqe->flags & IORING_CQE_F_MORE) == 0) armed = false;
        if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) Reply(*cqe);
      }
      io_uring_cq_advance(&ring_, count);
      if (!armed) Arm();
    }
  }

 private:
  struct Send {
    unsigned buffer = 0;
    sockaddr_in peer = {};
  };

  uint8_t* BufferAt(unsigned index) {
    return buffers_.data() + index * kMaxDatagram;
  }
  void GiveBack(unsigned index) {
    io_uring_buf_ring_add(free_, BufferAt(index), kMaxDatagram,
                          static_cast<uint16_t>(index),
                          io_uring_buf_ring_mask(kBuffers), given_back_++);
  }
  void Publish() {
    io_uring_buf_ring_advance(free_, given_back_);
    given_back_ = 0;
  }

  io_uring_sqe* NextEntry() {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {
      io_uring_submit(&ring_);
      entry = io_uring_get_sqe(&ring_);
    }
    return entry;
  }

  void Arm() {
    io_uring_sqe* entry = NextEntry();
    io_uring_prep_recvmsg_multishot(entry, 0, &wanted_, 0);
    entry->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    entry->buf_group = kGroup;
    entry->user_data = kReceive;
  }

  void Reply(const io_uring_cqe& cqe) {
    const unsigned index = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
    io_uring_recvmsg_out* out =
        io_uring_recvmsg_validate(BufferAt(index), cqe.res, &wanted_);
    if (out == nullptr) {
      GiveBack(index);
      return;
    }
    Send& send = sends_.emplace_back();
    send.buffer = index;
    std::memcpy(&send.peer, io_uring_recvmsg_name(out), sizeof(send.peer));
    io_uring_sqe* entry = NextEntry();
    io_uring_prep_send(entry, 0, io_uring_recvmsg_payload(out, &wanted_),
                       io_uring_recvmsg_payload_length(out, cqe.res, &wanted_),
                       MSG_DONTWAIT);
    io_uring_prep_send_set_addr(entry,
                                reinterpret_cast<const sockaddr*>(&send.peer),
                                sizeof(send.peer));
    entry->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = kSend;
  }

  int fd_;
  io_uring ring_ = {};
  std::vector<uint8_t> buffers_;
  io_uring_buf_ring* free_ = nullptr;
  int given_back_ = 0;
  msghdr wanted_ = {};
  // At most one for each buffer, so that it never moves.
  std::vector<Send> sends_;
};

}  // namespace

int main() {
  const int fd = BindLoopback(0, false);
  Echo echo(fd);
  Announce(fd);
  echo.Run();
}
