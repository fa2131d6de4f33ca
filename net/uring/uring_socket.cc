#include "cordon/net/uring/uring_socket.h"

#include <poll.h>

#include <utility>

#include "cordon/net/udp/peer_notices.h"

namespace cordon::net {
namespace {

// What may wait for a full socket; more is dropped.
constexpr size_t kMaxBlockedTrains = 64;

}  // namespace

UringSocket::UringSocket(UringReactor& reactor, KernelSocket socket,
                         const DatagramSocketOptions& options)
    : DatagramSocket(reactor.trains_,
                     options.gso && KernelHasGso(socket.fd.get())),
      reactor_(reactor),
      socket_(std::move(socket)),
      peer_(options.connect) {
  local_endpoint_ = socket_.local;
  connected_ = !peer_.is_none();
}

UringSocket::~UringSocket() {
  if ((!queued().empty() || !retry_.empty()) && reactor_.ring_.MayEnter()) {
    FlushNow();
  }
  for (Train* train : blocked_) trains_.Return(train);
  for (Train* train : retry_) trains_.Return(train);
  // Sends never outlast the call that submits them, but a receive does: it
  // keeps the descriptor, so that its completion finds it valid.
  for (UringReactor::OperationId id : {writable_poll_, receive_}) {
    UringReactor::Operation* operation =
        id == 0 ? nullptr : reactor_.operations_.Find(id);
    if (operation == nullptr) continue;
    operation->socket = nullptr;
    if (socket_.fd.valid()) operation->fd = std::move(socket_.fd);
    reactor_.Cancel(id);
  }
}

void UringSocket::StartReceiving(DatagramReceiver& receiver) {
  receiver_ = &receiver;
  if (receive_ == 0 && open() && !IntrusiveListNode<RearmListTag>::linked()) {
    reactor_.rearm_.push_back(*this);
  }
}

void UringSocket::StopReceiving() {
  receiver_ = nullptr;
  IntrusiveListNode<RearmListTag>::Unlink();
  if (receive_ != 0) reactor_.Cancel(receive_);
}

Task<absl::Status> UringSocket::Close() {
  if (!closing_) {
    closing_ = true;
    if (!queued().empty() || !retry_.empty()) FlushNow();
    for (Train* train : std::exchange(blocked_, {})) Drop(*train);
    StopReceiving();
  }
  // Also where one who had begun this was destroyed meanwhile.
  while (receive_ != 0) co_await receive_ended_.WaitUnstoppably();
  if (writable_poll_ != 0) {
    reactor_.Cancel(writable_poll_);
    while (writable_poll_ != 0) co_await receive_ended_.WaitUnstoppably();
  }
  socket_.fd.Reset();
  co_return absl::OkStatus();
}

void UringSocket::OnQueued() {
  if (!IntrusiveListNode<DirtyListTag>::linked()) {
    reactor_.dirty_.push_back(*this);
  }
}

void UringSocket::FlushNow() {
  reactor_.PrepareSends();
  reactor_.ring_.Submit();
  reactor_.ReleaseSent();
}

void UringSocket::TakeQueued(std::vector<Train*>& trains) {
  trains.assign(retry_.begin(), retry_.end());
  retry_.clear();
  trains.insert(trains.end(), queued().begin(), queued().end());
  queued().clear();
  CloseTrains();
}

void UringSocket::Drop(Train& train) {
  statistics_.send_errors += train.segments;
  trains_.Return(&train);
}

void UringSocket::ReadNotices() {
  if (!socket_.peer_notices || !open()) return;
  ReadPeerNotices(socket_.fd.get(), receiver_, statistics_);
}

void UringSocket::OnSendFailed(Train& train, int error) {
  if (!open() || closing_) return Drop(train);
  const bool done = RecoverFromSendError(train, error, socket_, peer_,
                                         receiver_, &gso_, statistics_);
  ReadNotices();
  if (done) {
    trains_.Return(&train);
    return;
  }
  if (blocked_.size() >= kMaxBlockedTrains) return Drop(train);
  blocked_.push_back(&train);
  SetCongested(true);
  if (writable_poll_ != 0) return;
  UringReactor::Operation& operation =
      reactor_.operations_.Allocate(&writable_poll_);
  operation.kind = UringReactor::Operation::kWritable;
  operation.socket = this;
  io_uring_sqe* sqe = reactor_.ring_.Next();
  io_uring_prep_poll_add(sqe, socket_.fd.get(), POLLOUT);
  io_uring_sqe_set_data64(sqe, writable_poll_);
}

void UringSocket::OnWritable() {
  writable_poll_ = 0;
  receive_ended_.WakeAll();
  if (closing_) return;
  // While there are any the socket is never waited for.
  ReadNotices();
  retry_.insert(retry_.end(), blocked_.begin(), blocked_.end());
  blocked_.clear();
  SetCongested(false);
  if (!retry_.empty()) OnQueued();
}

}  // namespace cordon::net
