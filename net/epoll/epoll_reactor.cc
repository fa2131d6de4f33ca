#include "cordon/net/epoll/epoll_reactor.h"

#include <netinet/in.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cordon/net/base/errno_status.h"
#include "cordon/net/udp/peer_notices.h"

namespace cordon::net {
namespace {

// The number of what wakes the reactor.
constexpr uint64_t kWakeUp = ~uint64_t{0};

// The rest after a call that failed and may succeed a little later.
constexpr absl::Duration kRest = absl::Milliseconds(1);

}  // namespace

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
  if (absl::Status status = wake_.Open(); !status.ok()) return status;
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = kWakeUp;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
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

absl::StatusOr<std::unique_ptr<DatagramSocket>> EpollReactor::OpenSocket(
    const DatagramSocketOptions& options) {
  if (!failure().ok()) return failure();
  absl::StatusOr<KernelSocket> opened = OpenKernelSocket(options);
  if (!opened.ok()) return opened.status();
  auto socket =
      std::make_unique<EpollSocket>(*this, *std::move(opened), options);
  if (absl::Status status = socket->Register(); !status.ok()) return status;
  return socket;
}

void EpollReactor::SendQueued() {
  while (!dirty_.empty()) dirty_.pop_front()->SendTrains();
}

int EpollReactor::WaitForEvents(absl::Time until,
                                absl::Span<epoll_event> events) {
  int timeout = 0;
  if (until > Now() && !trains_.awaited() && failed_.empty()) {
    const absl::Duration wait =
        std::min(until - executor().clock().Now(), absl::Hours(1));
    // Rounded up: ending early would be a busy loop.
    timeout = static_cast<int>(std::max<int64_t>(
        0, absl::ToInt64Milliseconds(wait + absl::Microseconds(999))));
  }
  ++statistics_.system_calls;
  const int count = epoll_wait(epoll_.get(), events.data(),
                               static_cast<int>(events.size()), timeout);
  return count < 0 && errno == EINTR ? 0 : count;
}

void EpollReactor::Poll(absl::Time until) {
  if (!failure().ok()) return PollFailed(until);
  SendQueued();
  std::array<epoll_event, 256> events;
  const int count = WaitForEvents(until, absl::MakeSpan(events));
  const int error = count < 0 ? errno : 0;
  executor().BeginTurn();
  trains_.BeginTurn();
  while (!failed_.empty()) {
    EpollSocket& socket = *failed_.pop_front();
    socket.Fail(socket.failure_);
    socket.Unregister();
  }
  for (int i = 0; i < count; ++i) HandleEvent(events[i]);
  while (!readable_.empty()) {
    Receive(*readable_.pop_front());
    // The rest is reported again, in the next turn and before others.
    if (DeliverySliceSpent()) break;
  }
  while (!readable_.empty()) readable_.pop_front();
  if (error == 0) {
    wait_failures_ = 0;
  } else {
    HandleWaitError(error);
  }
}

void EpollReactor::HandleEvent(const epoll_event& event) {
  ++statistics_.completions;
  if (event.data.u64 == kWakeUp) {
    wake_.Clear();
    return;
  }
  // Each of these may call somebody who destroys others.
  EpollSocket** const found = registered_.Find(event.data.u64);
  if (found == nullptr) return;
  EpollSocket& socket = **found;
  if ((event.events & EPOLLERR) != 0) socket.OnError();
  if ((event.events & EPOLLOUT) != 0) socket.OnWritable();
  if ((event.events & ~EPOLLOUT) != 0 &&
      !socket.IntrusiveListNode<EpollReadableTag>::linked()) {
    readable_.push_back(socket);
  }
}

void EpollReactor::HandleWaitError(int error) {
  if (error == ENOMEM && ++wait_failures_ < kMaxFailures) {
    wake_.Wait(kRest);
    return;
  }
  FailAll(ErrnoStatus(error, "the kernel refuses to wait for sockets"));
}

void EpollReactor::FailAll(const absl::Status& why) {
  Fail(why);
  // A receiver that hears of it may destroy others.
  IntrusiveList<EpollSocket, EpollAllTag> told;
  while (!sockets_.empty()) {
    EpollSocket& socket = *sockets_.pop_front();
    told.push_back(socket);
    socket.Fail(why);
  }
  sockets_.splice(told);
}

void EpollReactor::PollFailed(absl::Time until) {
  if (until > Now()) wake_.Wait(until - executor().clock().Now());
  wake_.Clear();
  executor().BeginTurn();
  trains_.BeginTurn();
}

void EpollReactor::Receive(EpollSocket& socket) {
  ReceiveBatch& batch = *receive_;
  const size_t most = calls_->receive_batch();
  for (size_t taken = 0; taken < kBatch * kBatchesPerTurn; taken += most) {
    // Who receives may answer: not before there is memory for it. What is left
    // makes epoll report the socket again.
    if (socket.receiver_ == nullptr || !socket.status().ok() || MustSend()) {
      return;
    }
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
      const int error = errno;
      if (error == EAGAIN) socket.OnReceived();
      if (error == EAGAIN || error == EINTR) return;
      ReportSocketError(error, socket.socket_, socket.peer_, *socket.receiver_);
      socket.CountReceiveError(error);
      if (!socket.status().ok()) socket.Unregister();
      continue;
    }
    socket.OnReceived();
    for (int i = 0; i < received && socket.receiver_ != nullptr; ++i) {
      DeliverMessage(batch.messages[i].msg_hdr,
                     {static_cast<uint8_t*>(batch.vectors[i].iov_base),
                      batch.messages[i].msg_len},
                     socket.peer_, socket.receiver_, socket.statistics_);
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
  reactor_.sockets_.push_back(*this);
}

EpollSocket::~EpollSocket() {
  receiver_ = nullptr;
  if (!socket_.fd.valid()) return;
  SendRest();
  Release();
}

absl::Status EpollSocket::Register() {
  reactor_.registered_.Allocate(&id_) = this;
  registered_ = true;
  epoll_event event = {};
  event.data.u64 = id_;
  if (epoll_ctl(reactor_.epoll_.get(), EPOLL_CTL_ADD, socket_.fd.get(),
                &event) != 0) {
    return ErrnoStatus(errno, "cannot wait for another socket: epoll_ctl");
  }
  return absl::OkStatus();
}

void EpollSocket::Unregister() {
  if (!registered_) return;
  // It fails only for what was never added.
  (void)epoll_ctl(reactor_.epoll_.get(), EPOLL_CTL_DEL, socket_.fd.get(),
                  nullptr);
  reactor_.registered_.Free(id_);
  registered_ = false;
}

void EpollSocket::Release() {
  // First: a process that was forked meanwhile has the descriptor, too, and
  // epoll would go on telling of it.
  Unregister();
  socket_.fd.Reset();
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
  if (!registered_) return;
  const bool receives = receiver_ != nullptr && status().ok();
  const uint32_t wanted = (receives ? uint32_t{EPOLLIN} : 0U) |
                          (congested() ? uint32_t{EPOLLOUT} : 0U);
  if (wanted == interest_) return;
  epoll_event event = {};
  event.events = wanted;
  event.data.u64 = id_;
  if (epoll_ctl(reactor_.epoll_.get(), EPOLL_CTL_MOD, socket_.fd.get(),
                &event) != 0) {
    if (!status().ok()) return;
    failure_ = ErrnoStatus(errno, "cannot wait for a socket: epoll_ctl");
    if (!IntrusiveListNode<EpollFailedTag>::linked()) {
      reactor_.failed_.push_back(*this);
    }
    return;
  }
  interest_ = wanted;
}

Task<absl::Status> EpollSocket::Close() {
  if (!socket_.fd.valid()) co_return absl::OkStatus();
  End(ClosedStatus());
  SendRest();
  receiver_ = nullptr;
  IntrusiveListNode<EpollReadableTag>::Unlink();
  IntrusiveListNode<EpollFailedTag>::Unlink();
  Release();
  co_return absl::OkStatus();
}

void EpollSocket::OnQueued() {
  if (!IntrusiveListNode<EpollDirtyTag>::linked()) {
    reactor_.dirty_.push_back(*this);
  }
}

void EpollSocket::SendRest() {
  const bool full = congested();
  IntrusiveListNode<EpollDirtyTag>::Unlink();
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

void EpollSocket::SendTrains() {
  IntrusiveListNode<EpollDirtyTag>::Unlink();
  if (!status().ok()) return;
  TakeTrains(sending_);
  const auto unfit = [this](Train* train) {
    if (train->segments > 0 && train->Prepare(socket_.family, connected_)) {
      return false;
    }
    // Nothing was committed to it, or no such peer can be reached.
    Drop(*train);
    return true;
  };
  sending_.erase(std::remove_if(sending_.begin(), sending_.end(), unfit),
                 sending_.end());

  size_t done = 0;
  bool full = false;
  while (done < sending_.size() && !full) {
    std::array<mmsghdr, EpollReactor::kBatch> messages;
    const size_t count = std::min(messages.size(), sending_.size() - done);
    for (size_t i = 0; i < count; ++i) {
      messages[i].msg_hdr = sending_[done + i]->message;
    }
    ++reactor_.statistics_.system_calls;
    const int sent = reactor_.calls_->Send(socket_.fd.get(), messages.data(),
                                           count, MSG_DONTWAIT);
    const size_t accepted = sent > 0 ? static_cast<size_t>(sent) : 0;
    for (size_t i = 0; i < accepted; ++i) {
      Train& train = *sending_[done + i];
      ++statistics_.trains_sent;
      statistics_.datagrams_sent += train.segments;
      statistics_.bytes_sent += train.bytes_left();
      Return(train);
    }
    done += accepted;
    if (sent < 0) {
      Train& train = *sending_[done];
      bool gso = true;
      full = !RecoverFromSendError(train, errno, socket_, peer_, receiver_,
                                   &gso, statistics_);
      if (!gso) EndTrains(train.peer);
      if (!full) {
        Return(train);
        ++done;
      }
    }
  }
  for (; done < sending_.size(); ++done) Keep(*sending_[done]);
  sending_.clear();
  if (full != congested()) {
    SetCongested(full);
    UpdateInterest();
  }
}

void EpollSocket::OnWritable() { SendTrains(); }

void EpollSocket::OnError() {
  if (socket_.peer_notices) {
    ReadPeerNotices(socket_.fd.get(), receiver_, statistics_);
  } else if (receiver_ == nullptr || !status().ok()) {
    // Nobody else takes it.
    int error = 0;
    socklen_t size = sizeof(error);
    // It cannot fail for a socket.
    (void)getsockopt(socket_.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
}

}  // namespace cordon::net
