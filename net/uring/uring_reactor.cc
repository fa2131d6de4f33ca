#include "cordon/net/uring/uring_reactor.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/net/base/errno_status.h"
#include "cordon/net/uring/uring_socket.h"

namespace cordon::net {
namespace {

constexpr uint64_t kIgnored = ~uint64_t{0};

// The memory of a ring that was closed is free some 25 ms later (measured with
// Linux 6.18).
constexpr absl::Duration kRingEnds = absl::Milliseconds(50);

// Room for a sockaddr_in6, rounded up so that the control messages that follow
// it are aligned.
constexpr size_t kNameBytes = 32;
static_assert(kNameBytes >= sizeof(sockaddr_in6));

}  // namespace

absl::StatusOr<std::unique_ptr<UringReactor>> UringReactor::Create(
    const Options& options) {
  std::unique_ptr<UringReactor> reactor(new UringReactor(options));
  if (absl::Status status = reactor->Init(); !status.ok()) return status;
  return reactor;
}

UringReactor::UringReactor(const Options& options)
    : Reactor(SteadyClock::Get()), options_(options), trains_(options.trains) {
  receive_header_.msg_namelen = kNameBytes;
  receive_header_.msg_controllen = kReceiveControlBytes;
}

absl::Status UringReactor::InitRings() {
  Ring::Options size = {.submissions = options_.submissions,
                        .completions = options_.completions};
  while (true) {
    if (absl::Status status = ring_.Init(size); !status.ok()) return status;
    absl::Status status = buffers_.Init(ring_, options_.receive_buffers);
    size = ring_.size();
    if (!absl::IsResourceExhausted(status) ||
        size.submissions <= Ring::kFewestSubmissions) {
      return status;
    }
    // It took the memory that the buffers need: a smaller one leaves them some.
    size.submissions /= 2;
    size.completions /= 2;
    ring_.Close();
    absl::SleepFor(kRingEnds);
  }
}

absl::Status UringReactor::Init() {
  if (absl::Status status = InitRings(); !status.ok()) return status;
  wake_fd_.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake_fd_.valid()) return ErrnoStatus(errno, "eventfd");
  ArmWakeUp();
  return absl::OkStatus();
}

UringReactor::~UringReactor() {
  // The kernel must have let go of the buffers before they are unmapped. Where
  // the thread that used the ring has ended, it has done so then.
  if (ring_.IsMine()) {
    io_uring_sqe* sqe = ring_.Next();
    io_uring_prep_cancel64(sqe, 0,
                           IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(sqe, kIgnored);
    for (int i = 0; operations_.used() > 0 && i < 100; ++i) {
      ring_.Enter(absl::Milliseconds(10));
      executor().BeginTurn();
      HandleCompletions();
    }
  }
}

void UringReactor::ArmWakeUp() {
  OperationId id = 0;
  operations_.Allocate(&id).kind = Operation::kWakeUp;
  io_uring_sqe* sqe = ring_.Next();
  io_uring_prep_poll_multishot(sqe, wake_fd_.get(), POLLIN);
  io_uring_sqe_set_data64(sqe, id);
}

void UringReactor::Wake() {
  const uint64_t one = 1;
  // A full counter wakes as well.
  [[maybe_unused]] ssize_t written = write(wake_fd_.get(), &one, sizeof(one));
}

absl::StatusOr<std::unique_ptr<DatagramSocket>> UringReactor::OpenSocket(
    const DatagramSocketOptions& options) {
  absl::StatusOr<KernelSocket> socket = OpenKernelSocket(options);
  if (!socket.ok()) return socket.status();
  return std::make_unique<UringSocket>(*this, *std::move(socket), options);
}

void UringReactor::ArmReceive(UringSocket& socket) {
  Operation& operation = operations_.Allocate(&socket.receive_);
  operation.kind = Operation::kReceive;
  operation.socket = &socket;
  io_uring_sqe* sqe = ring_.Next();
  io_uring_prep_recvmsg_multishot(sqe, socket.socket_.fd.get(),
                                  &receive_header_, MSG_TRUNC);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = BufferRing::kGroup;
  io_uring_sqe_set_data64(sqe, socket.receive_);
}

void UringReactor::Cancel(OperationId id) {
  // With the thread that used the ring the kernel has ended its requests, too.
  if (!ring_.MayEnter()) return;
  io_uring_sqe* sqe = ring_.Next();
  io_uring_prep_cancel64(sqe, id, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data64(sqe, kIgnored);
}

void UringReactor::PrepareSends() {
  while (!dirty_.empty()) {
    UringSocket& socket = *dirty_.pop_front();
    socket.TakeQueued(to_send_);
    for (Train* train : to_send_) {
      if (train->segments == 0) {
        trains_.Return(train);
        continue;
      }
      if (!train->Prepare(socket.socket_.family, socket.connected())) {
        socket.Drop(*train);
        continue;
      }
      OperationId id = 0;
      Operation& operation = operations_.Allocate(&id);
      operation.kind = Operation::kSend;
      operation.socket = &socket;
      operation.train = train;
      sent_.push_back(id);
      io_uring_sqe* sqe = ring_.Next();
      io_uring_prep_sendmsg(sqe, socket.socket_.fd.get(), &train->message,
                            MSG_DONTWAIT);
      sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
      io_uring_sqe_set_data64(sqe, id);
      ++socket.statistics_.trains_sent;
      socket.statistics_.datagrams_sent += train->segments;
      socket.statistics_.bytes_sent += train->bytes;
    }
  }
}

void UringReactor::ReleaseSent() {
  // With MSG_DONTWAIT a send runs within the submission, and one that
  // succeeded has no completion.
  for (OperationId id : sent_) {
    if (Operation* operation = operations_.Find(id)) {
      trains_.Return(operation->train);
      operations_.Free(id);
    }
  }
  sent_.clear();
}

void UringReactor::Poll(absl::Time until) {
  PrepareSends();
  while (!rearm_.empty()) ArmReceive(*rearm_.pop_front());
  absl::Duration wait = absl::ZeroDuration();
  if (until > Now() && deferred_.empty()) {
    wait = until - executor().clock().Now();
  }
  ring_.Enter(wait);
  executor().BeginTurn();
  HandleCompletions();
  ReleaseSent();
  statistics_.system_calls = ring_.system_calls();
}

void UringReactor::HandleCompletions() {
  if (io_uring_cq_has_overflow(ring_.get())) {
    ++statistics_.completion_overflows;
  }
  // At least one, so that every turn brings something.
  size_t done = 0;
  while (done < deferred_.size() && (done == 0 || !MustDefer())) {
    Complete(deferred_[done++]);
  }
  deferred_.erase(deferred_.begin(),
                  deferred_.begin() + static_cast<ptrdiff_t>(done));
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(ring_.get(), head, cqe) {
    HandleCompletion(*cqe);
    ++count;
  }
  io_uring_cq_advance(ring_.get(), count);
  statistics_.completions += count;
  buffers_.Publish();
}

void UringReactor::HandleCompletion(const io_uring_cqe& cqe) {
  if (cqe.user_data == kIgnored) return;
  const Operation* operation = operations_.Find(cqe.user_data);
  if (operation == nullptr) return;
  if (operation->kind == Operation::kReceive &&
      (!deferred_.empty() || MustDefer())) {
    deferred_.push_back(cqe);
    return;
  }
  Complete(cqe);
}

bool UringReactor::MustDefer() {
  // The clock is read once for so many.
  constexpr unsigned kBetweenLooks = 8;
  return ++deliveries_ % kBetweenLooks == 0 && DeliverySliceSpent();
}

void UringReactor::Complete(const io_uring_cqe& cqe) {
  Operation* operation = operations_.Find(cqe.user_data);
  const bool last = (cqe.flags & IORING_CQE_F_MORE) == 0;
  if (operation == nullptr) return;
  switch (operation->kind) {
    case Operation::kReceive:
      HandleReceive(*operation, cqe);
      if (last && operation->socket != nullptr) {
        UringSocket& socket = *operation->socket;
        socket.receive_ = 0;
        if (socket.receiver_ != nullptr && socket.open()) {
          ++socket.statistics_.receive_rearmed;
          rearm_.push_back(socket);
        }
        socket.receive_ended_.WakeAll();
      }
      break;
    case Operation::kSend:
      if (operation->socket != nullptr) {
        UringSocket& socket = *operation->socket;
        --socket.statistics_.trains_sent;
        socket.statistics_.datagrams_sent -= operation->train->segments;
        socket.statistics_.bytes_sent -= operation->train->bytes;
        socket.OnSendFailed(*operation->train, -cqe.res);
      } else {
        trains_.Return(operation->train);
      }
      break;
    case Operation::kWritable:
      if (operation->socket != nullptr) operation->socket->OnWritable();
      break;
    case Operation::kWakeUp: {
      uint64_t count = 0;
      [[maybe_unused]] ssize_t bytes =
          read(wake_fd_.get(), &count, sizeof(count));
      if (last && cqe.res >= 0) ArmWakeUp();
      break;
    }
  }
  if (last) operations_.Free(cqe.user_data);
}

void UringReactor::HandleReceive(Operation& operation,
                                 const io_uring_cqe& cqe) {
  UringSocket* socket = operation.socket;
  if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
    const auto id = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    io_uring_recvmsg_out* out =
        cqe.res < 0 ? nullptr
                    : io_uring_recvmsg_validate(buffers_.buffer(id).data(),
                                                cqe.res, &receive_header_);
    if (out != nullptr && socket != nullptr && socket->receiver_ != nullptr) {
      msghdr message = {};
      message.msg_name = io_uring_recvmsg_name(out);
      message.msg_namelen = out->namelen;
      message.msg_control =
          static_cast<uint8_t*>(message.msg_name) + receive_header_.msg_namelen;
      message.msg_controllen = out->controllen;
      message.msg_flags = static_cast<int>(out->flags);
      const size_t length =
          io_uring_recvmsg_payload_length(out, cqe.res, &receive_header_);
      DeliverMessage(message,
                     {static_cast<uint8_t*>(
                          io_uring_recvmsg_payload(out, &receive_header_)),
                      length},
                     socket->peer_, *socket->receiver_, socket->statistics_);
    }
    buffers_.Return(id);
  } else if (socket != nullptr && cqe.res == -ENOBUFS) {
    // All buffers come back at the end of this walk; what has not been received
    // stays in the socket's queue.
    ++socket->statistics_.receive_starved;
  } else if (socket != nullptr && cqe.res < 0 && cqe.res != -ECANCELED &&
             socket->receiver_ != nullptr) {
    ReportSocketError(-cqe.res, socket->socket_, socket->peer_,
                      *socket->receiver_);
    socket->ReadNotices();
  }
}

}  // namespace cordon::net
