#include "cordon/net/uring/uring_socket.h"

#include <utility>
#include <vector>

#include "cordon/net/udp/peer_notices.h"

namespace cordon::net {

UringSocket::UringSocket(UringReactor& reactor, KernelSocket socket,
                         const DatagramSocketOptions& options)
    : DatagramSocket(reactor.trains_,
                     options.gso && KernelHasGso(socket.fd.get())),
      reactor_(reactor),
      socket_(std::move(socket)),
      peer_(options.connect) {
  local_endpoint_ = socket_.local;
  connected_ = !peer_.is_none();
  reactor_.sockets_.push_back(*this);
}

UringSocket::~UringSocket() {
  receiver_ = nullptr;
  if (socket_.fd.valid()) SendRest();
  reactor_.Abandon(*this);
}

void UringSocket::StartReceiving(DatagramReceiver& receiver) {
  receiver_ = &receiver;
  if (receive_ == 0 && status().ok() &&
      !IntrusiveListNode<RearmListTag>::linked()) {
    reactor_.rearm_.push_back(*this);
  }
}

void UringSocket::StopReceiving() {
  receiver_ = nullptr;
  IntrusiveListNode<RearmListTag>::Unlink();
  if (receive_ != 0) reactor_.Cancel(receive_);
}

Task<absl::Status> UringSocket::Close() {
  if (!socket_.fd.valid()) co_return absl::OkStatus();
  // Also where one who had begun this was destroyed meanwhile.
  End(ClosedStatus());
  SendRest();
  StopReceiving();
  IntrusiveListNode<WritableListTag>::Unlink();
  if (writable_poll_ != 0) reactor_.Cancel(writable_poll_);
  const Lifeline::Watch watch(lifeline_);
  while (!idle()) {
    co_await ended_.WaitUnstoppably();
    if (!watch.alive()) co_return DestroyedStatus();
  }
  socket_.fd.Reset();
  co_return absl::OkStatus();
}

void UringSocket::OnQueued() {
  if (!IntrusiveListNode<DirtyListTag>::linked()) {
    reactor_.dirty_.push_back(*this);
  }
}

// By calls of its own: what was prepared for the ring may be left there, and
// must not find another socket in the place of this one.
void UringSocket::SendRest() {
  const bool full = congested();
  IntrusiveListNode<DirtyListTag>::Unlink();
  std::vector<Train*> rest;
  TakeTrains(rest);
  for (Train* train : rest) {
    if (full) {
      Drop(*train);
      continue;
    }
    SendAtOnce(*train, socket_, peer_, statistics_);
    Return(*train);
  }
}

void UringSocket::ReadNotices() {
  if (!socket_.peer_notices || !socket_.fd.valid()) return;
  ReadPeerNotices(socket_.fd.get(), receiver_, statistics_);
}

void UringSocket::OnSent(Train& train) {
  --sends_in_ring_;
  Return(train);
  if (!status().ok()) ended_.WakeAll();
}

void UringSocket::OnSendFailed(Train& train, int error) {
  if (!status().ok()) {
    statistics_.send_errors += train.segments;
    OnSent(train);
    return;
  }
  bool gso = true;
  const bool settled = RecoverFromSendError(train, error, socket_, peer_,
                                            receiver_, &gso, statistics_);
  if (!gso) EndTrains(train.peer);
  ReadNotices();
  if (settled) {
    OnSent(train);
    return;
  }
  --sends_in_ring_;
  Keep(train);
  SetCongested(true);
  if (writable_poll_ == 0 && !IntrusiveListNode<WritableListTag>::linked()) {
    reactor_.await_writable_.push_back(*this);
  }
}

void UringSocket::OnWritable(int result) {
  writable_poll_ = 0;
  ended_.WakeAll();
  if (!status().ok()) return;
  if (result < 0) {
    // It is waited for again, but not for ever.
    CountReceiveError(-result);
    if (status().ok()) reactor_.await_writable_.push_back(*this);
    return;
  }
  // While there are any the socket is never waited for.
  ReadNotices();
  SetCongested(false);
  if (has_kept()) OnQueued();
}

}  // namespace cordon::net
