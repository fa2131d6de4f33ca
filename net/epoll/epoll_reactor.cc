#include "cordon/net/epoll/epoll_reactor.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cordon/net/base/errno_status.h"
#include "cordon/net/udp/peer_notices.h"

namespace cordon::net {

struct EpollReactor::ReceiveBatch {
  std::array<mmsghdr, kBatch> messages;
  std::array<iovec, kBatch> vectors;
  std::array<sockaddr_in6, kBatch> names;
  struct alignas(cmsghdr) Control {
    std::array<char, kReceiveControlBytes> bytes;
  };
  std::array<Control, kBatch> controls;
  // Not initialised: pages that no datagram reaches are never touched.
  std::unique_ptr<uint8_t[]> memory{new uint8_t[kBatch * kReceiveBytes]};
};

EpollReactor::EpollReactor(const Options& options)
    : Reactor(SteadyClock::Get()),
      trains_(options.trains),
      receive_(std::make_unique<ReceiveBatch>()) {}

EpollReactor::~EpollReactor() = default;

absl::StatusOr<std::unique_ptr<EpollReactor>> EpollReactor::Create(
    const Options& options) {
  std::unique_ptr<EpollReactor> reactor(new EpollReactor(options));
  if (absl::Status status = reactor->Init(); !status.ok()) return status;
  return reactor;
}

absl::Status EpollReactor::Init() {
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return ErrnoStatus(errno, "epoll_create1");
  wake_fd_.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake_fd_.valid()) return ErrnoStatus(errno, "eventfd");
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_fd_.get(), &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  return Probe();
}

// What is refused is found out now, and not when peers wait for an answer.
absl::Status EpollReactor::Probe() {
  epoll_event event = {};
  if (epoll_wait(epoll_.get(), &event, 1, 0) < 0 && errno != EINTR) {
    return ErrnoStatus(errno, "epoll_wait");
  }
  absl::StatusOr<MessageCalls> calls = MessageCalls::Probe();
  if (!calls.ok()) return calls.status();
  calls_ = *std::move(calls);
  return absl::OkStatus();
}

void EpollReactor::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wake_fd_.get(), &one, sizeof(one));
}

absl::StatusOr<std::unique_ptr<DatagramSocket>> EpollReactor::OpenSocket(
    const DatagramSocketOptions& options) {
  absl::StatusOr<KernelSocket> socket = OpenKernelSocket(options);
  if (!socket.ok()) return socket.status();
  return std::make_unique<EpollSocket>(*this, *std::move(socket), options);
}

void EpollReactor::SendQueued() {
  while (!dirty_.empty()) dirty_.pop_front()->SendTrains();
}

void EpollReactor::Poll(absl::Time until) {
  SendQueued();
  int timeout = 0;
  if (until > Now()) {
    const absl::Duration wait =
        std::min(until - executor().clock().Now(), absl::Hours(1));
    // Rounded up: ending early would be a busy loop.
    timeout = static_cast<int>(std::max<int64_t>(
        0, absl::ToInt64Milliseconds(wait + absl::Microseconds(999))));
  }
  std::array<epoll_event, 256> events;
  ++statistics_.system_calls;
  const int count = epoll_wait(epoll_.get(), events.data(),
                               static_cast<int>(events.size()), timeout);
  executor().BeginTurn();
  for (int i = 0; i < count; ++i) {
    ++statistics_.completions;
    if (events[i].data.ptr == nullptr) {
      uint64_t unused = 0;
      [[maybe_unused]] ssize_t bytes =
          read(wake_fd_.get(), &unused, sizeof(unused));
      continue;
    }
    auto& socket = *static_cast<EpollSocket*>(events[i].data.ptr);
    if ((events[i].events & EPOLLERR) != 0) socket.OnError();
    if ((events[i].events & EPOLLOUT) != 0) socket.OnWritable();
    if ((events[i].events & ~EPOLLOUT) != 0) readable_.push_back(socket);
  }
  while (!readable_.empty()) {
    Receive(*readable_.pop_front());
    // The rest is reported again, in the next turn and before others.
    if (DeliverySliceSpent()) break;
  }
  while (!readable_.empty()) readable_.pop_front();
}

void EpollReactor::Receive(EpollSocket& socket) {
  ReceiveBatch& batch = *receive_;
  const size_t most = calls_->receive_batch();
  for (size_t taken = 0; taken < kBatch * kBatchesPerTurn; taken += most) {
    if (socket.receiver_ == nullptr) return;
    if (taken > 0 && taken % kBatch == 0 && DeliverySliceSpent()) return;
    for (size_t i = 0; i < most; ++i) {
      batch.vectors[i] = {batch.memory.get() + i * kReceiveBytes,
                          kReceiveBytes};
      batch.messages[i] = {};
      msghdr& message = batch.messages[i].msg_hdr;
      message.msg_name = &batch.names[i];
      message.msg_namelen = sizeof(sockaddr_in6);
      message.msg_iov = &batch.vectors[i];
      message.msg_iovlen = 1;
      message.msg_control = &batch.controls[i];
      message.msg_controllen = sizeof(ReceiveBatch::Control);
    }
    ++statistics_.system_calls;
    const int received =
        calls_->Receive(socket.socket_.fd.get(), batch.messages.data(), most);
    if (received < 0) {
      if (errno != EAGAIN && errno != EINTR) {
        ReportSocketError(errno, socket.socket_, socket.peer_,
                          *socket.receiver_);
        continue;
      }
      return;
    }
    for (int i = 0; i < received && socket.receiver_ != nullptr; ++i) {
      DeliverMessage(batch.messages[i].msg_hdr,
                     {static_cast<uint8_t*>(batch.vectors[i].iov_base),
                      batch.messages[i].msg_len},
                     socket.peer_, *socket.receiver_, socket.statistics_);
    }
    if (static_cast<size_t>(received) < most) return;
  }
}

EpollSocket::EpollSocket(EpollReactor& reactor, KernelSocket socket,
                         const DatagramSocketOptions& options)
    : DatagramSocket(reactor.trains_,
                     options.gso && KernelHasGso(socket.fd.get())),
      reactor_(reactor),
      socket_(std::move(socket)),
      peer_(options.connect) {
  local_endpoint_ = socket_.local;
  connected_ = !peer_.is_none();
}

EpollSocket::~EpollSocket() {
  if (socket_.fd.valid()) SendTrains();
  for (Train* train : pending_) trains_.Return(train);
}

void EpollSocket::StartReceiving(DatagramReceiver& receiver) {
  receiver_ = &receiver;
  UpdateInterest();
}

void EpollSocket::StopReceiving() {
  receiver_ = nullptr;
  UpdateInterest();
}

void EpollSocket::UpdateInterest() {
  if (!socket_.fd.valid()) return;
  const uint32_t wanted = (receiver_ != nullptr ? uint32_t{EPOLLIN} : 0U) |
                          (congested() ? uint32_t{EPOLLOUT} : 0U);
  if (registered_ && wanted == interest_) return;
  epoll_event event = {};
  event.events = wanted;
  event.data.ptr = this;
  epoll_ctl(reactor_.epoll_.get(), registered_ ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
            socket_.fd.get(), &event);
  registered_ = true;
  interest_ = wanted;
}

Task<absl::Status> EpollSocket::Close() {
  if (!socket_.fd.valid()) co_return absl::OkStatus();
  FlushNow();
  StopReceiving();
  for (Train* train : std::exchange(pending_, {})) {
    statistics_.send_errors += train->segments;
    trains_.Return(train);
  }
  IntrusiveListNode<EpollReadableTag>::Unlink();
  socket_.fd.Reset();
  co_return absl::OkStatus();
}

void EpollSocket::OnQueued() {
  if (!IntrusiveListNode<EpollDirtyTag>::linked()) {
    reactor_.dirty_.push_back(*this);
  }
}

void EpollSocket::FlushNow() { SendTrains(); }

void EpollSocket::SendTrains() {
  IntrusiveListNode<EpollDirtyTag>::Unlink();
  for (Train* train : queued()) {
    if (train->segments > 0 && train->Prepare(socket_.family, connected_)) {
      pending_.push_back(train);
    } else {
      trains_.Return(train);
    }
  }
  queued().clear();
  CloseTrains();

  size_t done = 0;
  bool full = false;
  while (done < pending_.size() && !full) {
    std::array<mmsghdr, EpollReactor::kBatch> messages;
    const size_t count = std::min(messages.size(), pending_.size() - done);
    for (size_t i = 0; i < count; ++i) {
      messages[i].msg_hdr = pending_[done + i]->message;
    }
    ++reactor_.statistics_.system_calls;
    const int sent = reactor_.calls_->Send(socket_.fd.get(), messages.data(),
                                           count, MSG_DONTWAIT);
    const size_t accepted = sent > 0 ? static_cast<size_t>(sent) : 0;
    for (size_t i = 0; i < accepted; ++i) {
      const Train& train = *pending_[done + i];
      ++statistics_.trains_sent;
      statistics_.datagrams_sent += train.segments;
      statistics_.bytes_sent += train.bytes;
      trains_.Return(pending_[done + i]);
    }
    done += accepted;
    if (sent < 0) {
      full = !RecoverFromSendError(*pending_[done], errno, socket_, peer_,
                                   receiver_, &gso_, statistics_);
      if (!full) trains_.Return(pending_[done++]);
    }
  }
  pending_.erase(pending_.begin(), pending_.begin() + done);
  if (full != congested()) {
    SetCongested(full);
    UpdateInterest();
  }
}

void EpollSocket::OnWritable() { SendTrains(); }

void EpollSocket::OnError() {
  if (socket_.peer_notices) {
    ReadPeerNotices(socket_.fd.get(), receiver_, statistics_);
  } else if (receiver_ == nullptr) {
    // Nobody else takes it.
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(socket_.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
}

}  // namespace cordon::net
