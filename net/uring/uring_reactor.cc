#include "cordon/net/uring/uring_reactor.h"

#include <netinet/in.h>
#include <poll.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/net/base/errno_status.h"
#include "cordon/net/udp/peer_notices.h"
#include "cordon/net/uring/uring_socket.h"

namespace cordon::net {
namespace {

constexpr uint64_t kIgnored = ~uint64_t{0};

// The memory of a ring that was closed is free some 25 ms later (measured with
// Linux 6.18).
constexpr absl::Duration kRingEnds = absl::Milliseconds(50);

// The rest after a call that failed and may succeed a little later.
constexpr absl::Duration kRest = absl::Milliseconds(1);

// Room for a sockaddr_in6, rounded up so that the control messages that follow
// it are aligned.
constexpr size_t kNameBytes = 32;
static_assert(kNameBytes >= sizeof(sockaddr_in6));

// Memory is short, or the ring of completions is full.
bool MayPass(int error) {
  return error == EAGAIN || error == ENOMEM || error == EBUSY;
}

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
  return wake_.Open();
}

UringReactor::~UringReactor() {
  // The kernel must have let go of the buffers before they are unmapped. Where
  // the thread that used the ring has ended, it has done so then; and where it
  // lets nobody enter, it fills none.
  if (!ring_.IsMine() || !failure().ok()) return;
  if (io_uring_sqe* sqe = ring_.Next(); sqe != nullptr) {
    io_uring_prep_cancel64(sqe, 0,
                           IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(sqe, kIgnored);
  }
  for (int i = 0; operations_.used() > 0 && i < 100; ++i) {
    if (const int error = ring_.Enter(absl::Milliseconds(10));
        error != 0 && !MayPass(error)) {
      return;
    }
    HandleCompletions();
    if (!ring_.HasOverflow()) ReleaseSent();
  }
}

absl::StatusOr<std::unique_ptr<DatagramSocket>> UringReactor::OpenSocket(
    const DatagramSocketOptions& options) {
  if (!failure().ok()) return failure();
  absl::StatusOr<KernelSocket> socket = OpenKernelSocket(options);
  if (!socket.ok()) return socket.status();
  return std::make_unique<UringSocket>(*this, *std::move(socket), options);
}

bool UringReactor::Prepare() {
  if (!wake_armed_) {
    io_uring_sqe* sqe = ring_.Next();
    if (sqe == nullptr) return false;
    OperationId id = 0;
    operations_.Allocate(&id).kind = Operation::kWakeUp;
    io_uring_prep_poll_multishot(sqe, wake_.get(), POLLIN);
    io_uring_sqe_set_data64(sqe, id);
    wake_armed_ = true;
  }
  return PrepareSends() && PrepareCancels() && PrepareReceives() &&
         PrepareWaits();
}

bool UringReactor::PrepareCancels() {
  while (!cancels_.empty()) {
    io_uring_sqe* sqe = ring_.Next();
    if (sqe == nullptr) return false;
    io_uring_prep_cancel64(sqe, cancels_.back(), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, kIgnored);
    cancels_.pop_back();
  }
  return true;
}

bool UringReactor::PrepareReceives() {
  while (!rearm_.empty()) {
    io_uring_sqe* sqe = ring_.Next();
    if (sqe == nullptr) return false;
    UringSocket& socket = *rearm_.pop_front();
    Operation& operation = operations_.Allocate(&socket.receive_);
    operation.kind = Operation::kReceive;
    operation.socket = &socket;
    io_uring_prep_recvmsg_multishot(sqe, socket.socket_.fd.get(),
                                    &receive_header_, MSG_TRUNC);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BufferRing::kGroup;
    io_uring_sqe_set_data64(sqe, socket.receive_);
  }
  return true;
}

bool UringReactor::PrepareWaits() {
  while (!await_writable_.empty()) {
    io_uring_sqe* sqe = ring_.Next();
    if (sqe == nullptr) return false;
    UringSocket& socket = *await_writable_.pop_front();
    Operation& operation = operations_.Allocate(&socket.writable_poll_);
    operation.kind = Operation::kWritable;
    operation.socket = &socket;
    io_uring_prep_poll_add(sqe, socket.socket_.fd.get(), POLLOUT);
    io_uring_sqe_set_data64(sqe, socket.writable_poll_);
  }
  return true;
}

bool UringReactor::PrepareSends() {
  while (!dirty_.empty()) {
    UringSocket& socket = *dirty_.pop_front();
    to_send_.clear();
    socket.TakeTrains(to_send_);
    for (size_t i = 0; i < to_send_.size(); ++i) {
      Train* const train = to_send_[i];
      if (train->segments == 0) {
        socket.Return(*train);
        continue;
      }
      if (!train->Prepare(socket.socket_.family, socket.connected())) {
        socket.Drop(*train);
        continue;
      }
      io_uring_sqe* sqe = ring_.Next();
      if (sqe == nullptr) {
        socket.PutBack(absl::MakeSpan(to_send_).subspan(i));
        return false;
      }
      OperationId id = 0;
      Operation& operation = operations_.Allocate(&id);
      operation.kind = Operation::kSend;
      operation.socket = &socket;
      operation.train = train;
      sent_.push_back({id, ring_.place()});
      ++socket.sends_in_ring_;
      io_uring_prep_sendmsg(sqe, socket.socket_.fd.get(), &train->message,
                            MSG_DONTWAIT);
      sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
      io_uring_sqe_set_data64(sqe, id);
      ++socket.statistics_.trains_sent;
      socket.statistics_.datagrams_sent += train->segments;
      socket.statistics_.bytes_sent += train->bytes_left();
    }
  }
  return true;
}

void UringReactor::ReleaseSent() {
  // With MSG_DONTWAIT a send runs within the submission that takes it, and one
  // that succeeded has no completion.
  size_t done = 0;
  for (; done < sent_.size() && ring_.Taken(sent_[done].place); ++done) {
    Operation* const operation = operations_.Find(sent_[done].id);
    if (operation == nullptr) continue;
    if (operation->socket != nullptr) {
      operation->socket->OnSent(*operation->train);
    } else {
      trains_.Return(operation->train);
    }
    operations_.Free(sent_[done].id);
  }
  sent_.erase(sent_.begin(), sent_.begin() + static_cast<ptrdiff_t>(done));
  for (const Sent& left : sent_) {
    Operation* const operation = operations_.Find(left.id);
    if (operation != nullptr && operation->socket != nullptr) {
      ++operation->socket->statistics_.sends_postponed;
    }
  }
}

void UringReactor::Poll(absl::Time until) {
  if (!failure().ok()) return PollFailed(until);
  // What the last submission has left, what this one has no room for, and those
  // who wait for the next turn cannot wait for an event.
  const bool postponed = !sent_.empty();
  const bool all = Prepare();
  absl::Duration wait = absl::ZeroDuration();
  if (until > Now() && all && !postponed && deferred_.empty() &&
      !trains_.awaited()) {
    wait = until - executor().clock().Now();
  }
  const int error = ring_.Enter(wait);
  executor().BeginTurn();
  trains_.BeginTurn();
  const bool progress = HandleCompletions() > 0;
  // The completion of a send that failed may be among those without room.
  if (!ring_.HasOverflow()) ReleaseSent();
  statistics_.system_calls = ring_.system_calls();
  if (wake_failures_ >= kMaxFailures) {
    // Without it nobody could stop the reactor.
    FailAll(ErrnoStatus(wake_error_, "io_uring cannot wait for other threads"));
  } else if (error == 0) {
    enter_failures_ = 0;
  } else {
    HandleEnterError(error, progress);
  }
}

void UringReactor::HandleEnterError(int error, bool progress) {
  if (progress) enter_failures_ = 0;
  if (MayPass(error) && ++enter_failures_ < kMaxFailures) {
    if (!progress) wake_.Wait(kRest);
    return;
  }
  FailAll(ErrnoStatus(error, error == EBADR
                                 ? "io_uring has lost completions"
                                 : "the kernel refuses to enter io_uring"));
}

void UringReactor::FailAll(absl::Status why) {
  Fail(why);
  for (const Sent& sent : sent_) {
    if (Operation* const operation = operations_.Find(sent.id)) {
      if (operation->socket != nullptr) {
        operation->socket->OnSendFailed(*operation->train, ECANCELED);
      } else {
        trains_.Return(operation->train);
      }
      operations_.Free(sent.id);
    }
  }
  sent_.clear();
  deferred_.clear();
  operations_.ForEach([](Operation& operation) { operation.socket = nullptr; });
  // A receiver that hears of it may destroy others.
  IntrusiveList<UringSocket, AllListTag> told;
  while (!sockets_.empty()) {
    UringSocket& socket = *sockets_.pop_front();
    told.push_back(socket);
    socket.receive_ = 0;
    socket.writable_poll_ = 0;
    socket.ended_.WakeAll();
    socket.Fail(why);
  }
  sockets_.splice(told);
}

void UringReactor::PollFailed(absl::Time until) {
  if (until > Now()) wake_.Wait(until - executor().clock().Now());
  wake_.Clear();
  executor().BeginTurn();
  trains_.BeginTurn();
}

void UringReactor::Abandon(UringSocket& socket) {
  if (socket.idle()) return;
  // Kept open, so that requests that have not been taken yet find no other.
  auto fd = std::make_shared<UniqueFd>(std::move(socket.socket_.fd));
  const auto abandon = [this, &socket, &fd](OperationId id) {
    Operation* const operation = operations_.Find(id);
    if (operation == nullptr || operation->socket != &socket) return;
    operation->socket = nullptr;
    operation->fd = fd;
  };
  for (OperationId id : {socket.receive_, socket.writable_poll_}) {
    if (id == 0) continue;
    abandon(id);
    Cancel(id);
  }
  for (const Sent& sent : sent_) abandon(sent.id);
}

unsigned UringReactor::HandleCompletions() {
  if (ring_.HasOverflow()) ++statistics_.completion_overflows;
  if (!deferred_.empty()) HandleDeferred();
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
  return count;
}

void UringReactor::HandleDeferred() {
  // At least one, so that every turn brings something.
  size_t done = 0;
  while (done < deferred_.size() && (done == 0 || !MustDefer())) {
    const io_uring_cqe& cqe = deferred_[done++];
    Operation* const operation = operations_.Find(cqe.user_data);
    if (operation != nullptr) Complete(*operation, cqe);
  }
  deferred_.erase(deferred_.begin(),
                  deferred_.begin() + static_cast<ptrdiff_t>(done));
}

void UringReactor::HandleCompletion(const io_uring_cqe& cqe) {
  if (cqe.user_data == kIgnored) return;
  Operation* const operation = operations_.Find(cqe.user_data);
  if (operation == nullptr) return;
  // Who receives may answer: not before there is memory for it.
  if (operation->kind == Operation::kReceive &&
      (!deferred_.empty() || MustDefer())) {
    deferred_.push_back(cqe);
    return;
  }
  Complete(*operation, cqe);
}

bool UringReactor::MustDefer() {
  // The clock is read once for so many.
  constexpr unsigned kBetweenLooks = 8;
  return MustSend() ||
         (++deliveries_ % kBetweenLooks == 0 && DeliverySliceSpent());
}

void UringReactor::Complete(Operation& operation, const io_uring_cqe& cqe) {
  const bool last = (cqe.flags & IORING_CQE_F_MORE) == 0;
  switch (operation.kind) {
    case Operation::kReceive:
      HandleReceive(operation, cqe);
      if (last && operation.socket != nullptr) {
        UringSocket& socket = *operation.socket;
        socket.receive_ = 0;
        if (socket.receiver_ != nullptr && socket.status().ok()) {
          ++socket.statistics_.receive_rearmed;
          rearm_.push_back(socket);
        }
        socket.ended_.WakeAll();
      }
      break;
    case Operation::kSend:
      HandleSend(operation, cqe);
      break;
    case Operation::kWritable:
      if (operation.socket != nullptr) operation.socket->OnWritable(cqe.res);
      break;
    case Operation::kWakeUp:
      HandleWakeUp(cqe, last);
      break;
  }
  if (last) operations_.Free(cqe.user_data);
}

void UringReactor::HandleSend(Operation& operation, const io_uring_cqe& cqe) {
  if (operation.socket == nullptr) {
    trains_.Return(operation.train);
    return;
  }
  UringSocket& socket = *operation.socket;
  --socket.statistics_.trains_sent;
  socket.statistics_.datagrams_sent -= operation.train->segments;
  socket.statistics_.bytes_sent -= operation.train->bytes_left();
  socket.OnSendFailed(*operation.train, -cqe.res);
}

void UringReactor::HandleWakeUp(const io_uring_cqe& cqe, bool last) {
  wake_.Clear();
  wake_failures_ = cqe.res < 0 ? wake_failures_ + 1 : 0;
  wake_error_ = -cqe.res;
  if (last && cqe.res != -ECANCELED) wake_armed_ = false;
}

void UringReactor::HandleReceive(Operation& operation,
                                 const io_uring_cqe& cqe) {
  UringSocket* const socket = operation.socket;
  if (socket != nullptr && cqe.res >= 0) socket->OnReceived();
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
                     socket->peer_, socket->receiver_, socket->statistics_);
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
    socket->CountReceiveError(-cqe.res, MayComeFromNotice(-cqe.res));
  }
}

}  // namespace cordon::net
