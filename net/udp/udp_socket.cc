#include "cordon/net/udp/udp_socket.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/net/base/ring_queue.h"
#include "cordon/net/task/wait_queue.h"

namespace cordon::net {

class UdpSocket::State : public DatagramReceiver {
 public:
  State(Reactor& reactor, std::unique_ptr<DatagramSocket> socket)
      : reactor_(reactor), socket_(std::move(socket)) {
    socket_->StartReceiving(*this);
  }
  ~State() override = default;

  void OnDatagram(const Datagram& datagram) override {
    if (queue_.size() >= kMaxQueued) {
      ++drops_;
      return;
    }
    Packet packet;
    packet.path.peer = datagram.peer;
    packet.path.local = datagram.local;
    packet.payload = reactor_.byte_pool().Copy(datagram.bytes);
    queue_.push_back(std::move(packet));
    readers_.WakeOne();
  }
  void OnSocketError(const absl::Status& status) override {
    error_ = status;
    readers_.WakeOne();
  }

  DatagramSocket& socket() { return *socket_; }
  uint64_t drops() const { return drops_; }

  Task<absl::StatusOr<Packet>> Recv() {
    const StopToken stop = co_await CurrentStopToken();
    if (stop.stop_requested()) co_return StoppedStatus("UdpSocket::Recv");
    while (queue_.empty()) {
      if (!error_.ok()) co_return std::exchange(error_, absl::OkStatus());
      if (const bool woken = co_await readers_.Wait(); !woken)
        co_return StoppedStatus("UdpSocket::Recv");
    }
    Packet packet = queue_.pop_front();
    if (!queue_.empty()) readers_.WakeOne();
    co_return packet;
  }

 private:
  Reactor& reactor_;
  std::unique_ptr<DatagramSocket> socket_;
  RingQueue<Packet> queue_;
  WaitQueue readers_;
  absl::Status error_;
  uint64_t drops_ = 0;
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
  if (bytes.size() > Train::kMaxBytes) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("a datagram of ", bytes.size(),
                     " bytes is too large: send at most ", Train::kMaxBytes));
  }
  DatagramSocket& socket = state_->socket();
  while (socket.congested()) {
    if (const bool woken = co_await socket.writable().Wait(); !woken) {
      co_return StoppedStatus("UdpSocket::Send");
    }
  }
  socket.Send(path, bytes);
  co_return absl::OkStatus();
}

Task<absl::Status> UdpSocket::Close() { return state_->socket().Close(); }

const DatagramSocketStatistics& UdpSocket::statistics() const {
  return state_->socket().statistics();
}

uint64_t UdpSocket::queue_drops() const { return state_->drops(); }

}  // namespace cordon::net
