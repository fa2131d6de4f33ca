#include "cordon/testing/sim/sim_reactor.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace cordon::testing {

using net::Endpoint;

class SimSocket final : public net::DatagramSocket,
                        public net::IntrusiveListNode<SimDirtyTag> {
 public:
  SimSocket(SimReactor& reactor, const Endpoint& local,
            const net::DatagramSocketOptions& options)
      : DatagramSocket(reactor.trains_, options.gso),
        reactor_(reactor),
        peer_(options.connect),
        peer_notices_(options.peer_notices && options.connect.is_none()) {
    local_endpoint_ = local;
    connected_ = !peer_.is_none();
    reactor_.sockets_.push_back(this);
  }
  ~SimSocket() override {
    if (open_) {
      Flush();
      Unregister();
    }
    for (net::Train* train : held_) trains_.Return(train);
  }

  void StartReceiving(net::DatagramReceiver& receiver) override {
    receiver_ = &receiver;
  }
  void StopReceiving() override { receiver_ = nullptr; }

  absl::Status Retire() override {
    retired_ = true;
    return absl::OkStatus();
  }
  bool retired() const { return retired_; }

  net::Task<absl::Status> Close() override {
    if (open_) {
      Flush();
      Unregister();
    }
    co_return absl::OkStatus();
  }

  size_t path_mtu() const override {
    return connected_ ? reactor_.network_.impairments().known_path_mtu : 0;
  }

  bool Matches(const SimDatagram& datagram) const {
    if (datagram.to.port() != local_endpoint_.port()) return false;
    if (connected_ && datagram.from != peer_) return false;
    return local_endpoint_.is_any() || local_endpoint_ == datagram.to;
  }

  void Receive(const SimDatagram& datagram) {
    if (receiver_ == nullptr) return;
    if (datagram.bytes.empty()) {
      ++statistics_.empty_datagrams;
      return;
    }
    ++statistics_.datagrams_received;
    statistics_.bytes_received += datagram.bytes.size();
    std::vector<uint8_t> bytes = datagram.bytes;
    receiver_->OnDatagram({.peer = datagram.from,
                           .local = {datagram.to.WithPort(0), 1},
                           .bytes = absl::MakeSpan(bytes)});
  }

  void TellPathMtu(size_t mtu) {
    if (connected_ && receiver_ != nullptr) receiver_->OnPathMtuChanged(mtu);
  }

  void TellOfPeer(const net::PeerNotice& notice) {
    if (peer_notices_ && receiver_ != nullptr) receiver_->OnPeerNotice(notice);
  }

  void Flush() {
    net::IntrusiveListNode<SimDirtyTag>::Unlink();
    held_.insert(held_.end(), queued().begin(), queued().end());
    queued().clear();
    CloseTrains();
    if (reactor_.blocked_) {
      if (!held_.empty()) SetCongested(true);
      return;
    }
    for (net::Train* train : held_) {
      SendTrain(*train);
      trains_.Return(train);
    }
    held_.clear();
    if (congested()) SetCongested(false);
  }

 protected:
  void OnQueued() override { reactor_.dirty_.push_back(*this); }
  void FlushNow() override { Flush(); }

 private:
  void Unregister() {
    open_ = false;
    receiver_ = nullptr;
    std::erase(reactor_.sockets_, this);
  }

  void SendTrain(net::Train& train) {
    Endpoint from = local_endpoint_;
    const Endpoint to = connected_ ? peer_ : train.peer;
    if (!train.local.address.is_none()) {
      from = train.local.address.WithPort(local_endpoint_.port());
    } else if (from.is_any()) {
      from = to.is_v4() ? Endpoint::LoopbackV4(from.port())
                        : Endpoint::LoopbackV6(from.port());
    }
    if (train.segments == 0) return;
    ++statistics_.trains_sent;
    for (size_t offset = 0; offset < train.bytes;
         offset += train.segment_bytes) {
      const size_t size = std::min(train.segment_bytes, train.bytes - offset);
      ++statistics_.datagrams_sent;
      statistics_.bytes_sent += size;
      const uint8_t* bytes = train.data() + offset;
      reactor_.Transmit({from, to, {bytes, bytes + size}});
    }
  }

  SimReactor& reactor_;
  const Endpoint peer_;
  const bool peer_notices_;
  net::DatagramReceiver* receiver_ = nullptr;
  bool open_ = true;
  bool retired_ = false;
  std::vector<net::Train*> held_;
};

SimReactor::SimReactor(const Impairments& impairments)
    : Reactor(&clock()), network_(impairments), trains_(4096) {}

SimReactor::~SimReactor() = default;

absl::StatusOr<std::unique_ptr<net::DatagramSocket>> SimReactor::OpenSocket(
    const net::DatagramSocketOptions& options) {
  Endpoint local = options.bind;
  if (local.is_none()) {
    if (options.connect.is_none()) {
      return absl::InvalidArgumentError(
          "a socket needs an address to bind or to connect to");
    }
    local = options.connect.is_v4() ? Endpoint::LoopbackV4(0)
                                    : Endpoint::LoopbackV6(0);
  }
  auto taken = [this](const Endpoint& endpoint) {
    return std::any_of(sockets_.begin(), sockets_.end(), [&](SimSocket* s) {
      return s->local_endpoint() == endpoint;
    });
  };
  if (local.port() == 0) {
    do {
      local = local.WithPort(next_port_);
      next_port_ = next_port_ == 65535 ? 1024 : next_port_ + 1;
    } while (taken(local));
  } else if (!options.reuse_port && taken(local)) {
    return absl::UnavailableError(
        absl::StrCat("cannot bind ", local.ToString(), ": in use"));
  }
  return std::make_unique<SimSocket>(*this, local, options);
}

void SimReactor::Transmit(SimDatagram datagram) {
  for (SimNetwork::Delivery& d : network_.Transmit(std::move(datagram))) {
    in_flight_.emplace(std::make_pair(clock().Now() + d.after, sequence_++),
                       std::move(d.datagram));
  }
}

void SimReactor::Inject(const Endpoint& from, const Endpoint& to,
                        absl::Span<const uint8_t> bytes) {
  in_flight_.emplace(
      std::make_pair(clock().Now() + absl::Microseconds(1), sequence_++),
      SimDatagram{from, to, {bytes.begin(), bytes.end()}});
}

void SimReactor::TellPathMtu(const Endpoint& local, size_t mtu) {
  for (SimSocket* socket : sockets_) {
    if (socket->local_endpoint() == local) socket->TellPathMtu(mtu);
  }
}

void SimReactor::TellOfPeer(const Endpoint& local,
                            const net::PeerNotice& notice) {
  for (SimSocket* socket : sockets_) {
    if (socket->local_endpoint() == local) socket->TellOfPeer(notice);
  }
}

void SimReactor::BlockSends(bool blocked) {
  blocked_ = blocked;
  if (blocked) return;
  for (SimSocket* socket : std::vector<SimSocket*>(sockets_)) socket->Flush();
}

SimSocket* SimReactor::Find(const SimDatagram& datagram) {
  std::vector<SimSocket*> found;
  for (SimSocket* socket : sockets_) {
    if (socket->retired() || !socket->Matches(datagram)) continue;
    if (socket->connected()) return socket;
    found.push_back(socket);
  }
  if (found.empty()) return nullptr;
  if (found.size() == 1 || choose_ == nullptr) return found.back();
  return found[choose_(datagram.from, found.size()) % found.size()];
}

void SimReactor::Deliver(const SimDatagram& datagram) {
  if (SimSocket* socket = Find(datagram)) socket->Receive(datagram);
}

void SimReactor::Poll(absl::Time until) {
  while (!dirty_.empty()) dirty_.front().Flush();
  if (until > clock().Now()) {
    absl::Time next = until;
    if (!in_flight_.empty()) {
      next = std::min(next, in_flight_.begin()->first.first);
    }
    if (next == absl::InfiniteFuture()) {
      std::fputs("simulation is stuck: no timer and no datagram is left\n",
                 stderr);
      std::abort();
    }
    clock().AdvanceTo(next);
  }
  executor().BeginTurn();
  while (!in_flight_.empty() &&
         in_flight_.begin()->first.first <= clock().Now()) {
    const SimDatagram datagram =
        std::move(in_flight_.extract(in_flight_.begin()).mapped());
    Deliver(datagram);
  }
}

}  // namespace cordon::testing
