#include "cordon/net/udp/udp_socket.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/net/base/lifeline.h"
#include "cordon/net/base/ring_queue.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/udp/send_queue.h"

namespace cordon::net {
namespace {

absl::Status ClosedStatus(absl::string_view operation) {
  return absl::FailedPreconditionError(
      absl::StrCat(operation, " ended: the socket was closed"));
}

}  // namespace

class UdpSocket::State : public DatagramReceiver {
 public:
  State(Reactor& reactor, std::unique_ptr<DatagramSocket> socket)
      : reactor_(reactor), socket_(std::move(socket)) {
    socket_->StartReceiving(*this);
  }
  ~State() override = default;

  void OnDatagram(const Datagram& datagram) override {
    if (queue_.size() >= kMaxQueued ||
        queued_bytes_ + datagram.bytes.size() > kMaxQueuedBytes) {
      ++drops_;
      return;
    }
    Packet packet;
    packet.path.peer = datagram.peer;
    packet.path.local = datagram.local;
    packet.payload = reactor_.byte_pool().Copy(datagram.bytes);
    queued_bytes_ += packet.payload.capacity();
    queue_.push_back(std::move(packet));
    readers_.WakeOne();
  }
  void OnSocketError(const absl::Status& status) override {
    error_ = status;
    readers_.WakeOne();
  }
  void OnSocketFailed(const absl::Status&) override { readers_.WakeAll(); }

  DatagramSocket& socket() { return *socket_; }
  uint64_t drops() const { return drops_; }

  Task<absl::StatusOr<Packet>> Recv() {
    const StopToken stop = co_await CurrentStopToken();
    if (stop.stop_requested()) co_return StoppedStatus("UdpSocket::Recv");
    while (queue_.empty()) {
      if (closed_) co_return ClosedStatus("UdpSocket::Recv");
      if (!socket_->status().ok()) co_return socket_->status();
      if (!error_.ok()) co_return std::exchange(error_, absl::OkStatus());
      const Lifeline::Watch watch(lifeline_);
      const bool woken = co_await readers_.Wait();
      if (!watch.alive()) co_return ClosedStatus("UdpSocket::Recv");
      if (!woken) co_return StoppedOrFailed("UdpSocket::Recv");
    }
    Packet packet = queue_.pop_front();
    queued_bytes_ -= packet.payload.capacity();
    if (!queue_.empty()) readers_.WakeOne();
    co_return packet;
  }

  Task<absl::Status> Send(Path& path, absl::Span<const uint8_t> bytes) {
    if (absl::Status status = Check(path, bytes); !status.ok()) {
      co_return status;
    }
    while (true) {
      if (closed_) co_return ClosedStatus("UdpSocket::Send");
      if (!socket_->status().ok()) co_return socket_->status();
      if (socket_->MaySend(path, bytes.size())) break;
      SendQueue queue;
      socket_->Enqueue(queue, path);
      const Lifeline::Watch watch(lifeline_);
      const bool woken = co_await queue.Wait();
      if (!watch.alive()) co_return ClosedStatus("UdpSocket::Send");
      if (!woken) co_return StoppedOrFailed("UdpSocket::Send");
    }
    co_return socket_->Send(path, bytes)
        ? absl::OkStatus()
        : absl::ResourceExhaustedError(
              "UdpSocket::Send: there is no memory to send from");
  }

  Task<absl::Status> Close() {
    closed_ = true;
    queued_bytes_ = 0;
    queue_.clear();
    readers_.WakeAll();
    co_return co_await socket_->Close();
  }

 private:
  // What a wait ended with that nobody has woken. A reactor that fails stops
  // its task, too: why it did says more.
  absl::Status StoppedOrFailed(absl::string_view what) const {
    return socket_->status().ok() ? StoppedStatus(what) : socket_->status();
  }

  absl::Status Check(const Path& path, absl::Span<const uint8_t> bytes) const {
    if (bytes.empty()) {
      return absl::InvalidArgumentError(
          "an empty datagram is not sent: nobody would receive it");
    }
    if (bytes.size() > Train::kMaxBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("a datagram of ", bytes.size(),
                       " bytes is too large: send at most ", Train::kMaxBytes));
    }
    if (socket_->connected()) return absl::OkStatus();
    const Endpoint& local = socket_->local_endpoint();
    if (path.peer.is_none() || (local.is_v4() && path.peer.is_v6())) {
      return absl::InvalidArgumentError(
          absl::StrCat("a socket bound to ", local.ToString(),
                       " cannot send to \"", path.peer.ToString(), "\""));
    }
    return absl::OkStatus();
  }

  Reactor& reactor_;
  RingQueue<Packet> queue_;
  size_t queued_bytes_ = 0;
  WaitQueue readers_;
  absl::Status error_;
  bool closed_ = false;
  uint64_t drops_ = 0;
  Lifeline lifeline_;
  // Last: it stops calling before the rest goes.
  std::unique_ptr<DatagramSocket> socket_;
};

UdpSocket::UdpSocket(std::unique_ptr<State> state) : state_(std::move(state)) {}
UdpSocket::UdpSocket(UdpSocket&&) noexcept = default;
UdpSocket& UdpSocket::operator=(UdpSocket&&) noexcept = default;
UdpSocket::~UdpSocket() = default;

absl::StatusOr<UdpSocket> UdpSocket::Open(
    Reactor& reactor, const DatagramSocketOptions& options) {
  absl::StatusOr<std::unique_ptr<DatagramSocket>> socket =
      reactor.OpenSocket(options);
  if (!socket.ok()) return socket.status();
  return UdpSocket(std::make_unique<State>(reactor, *std::move(socket)));
}

const Endpoint& UdpSocket::local_endpoint() const {
  return state_->socket().local_endpoint();
}

Task<absl::StatusOr<UdpSocket::Packet>> UdpSocket::Recv() {
  return state_->Recv();
}

Task<absl::Status> UdpSocket::Send(Path& path,
                                   absl::Span<const uint8_t> bytes) {
  return state_->Send(path, bytes);
}

Task<absl::Status> UdpSocket::Close() { return state_->Close(); }

const DatagramSocketStatistics& UdpSocket::statistics() const {
  return state_->socket().statistics();
}

uint64_t UdpSocket::queue_drops() const { return state_->drops(); }

}  // namespace cordon::net
