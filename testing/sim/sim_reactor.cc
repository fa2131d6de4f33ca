#include "cordon/testing/sim/sim_reactor.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"

namespace cordon::testing {

using net::Endpoint;

namespace {

// What the network takes for as much as may be sent in a turn.
constexpr absl::Duration kFullTurn = absl::Microseconds(100);

}  // namespace

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
    receiver_ = nullptr;
    if (open_) Leave();
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
      End(ClosedStatus());
      Leave();
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
    if (receiver_ == nullptr || !status().ok()) return;
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
    std::vector<net::Train*> trains;
    TakeTrains(trains);
    for (net::Train* train : trains) {
      if (reactor_.blocked_) {
        Keep(*train);
        continue;
      }
      SendTrain(*train);
      Return(*train);
    }
    if (reactor_.blocked_) {
      if (!trains.empty()) SetCongested(true);
    } else if (congested()) {
      SetCongested(false);
    }
  }

  // As if the system refused the socket for good.
  void Refuse(const absl::Status& status) { Fail(status); }

 protected:
  void OnQueued() override {
    if (!net::IntrusiveListNode<SimDirtyTag>::linked()) {
      reactor_.dirty_.push_back(*this);
    }
  }

 private:
  void Leave() {
    Flush();
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
  bool open_ = true;
  bool retired_ = false;
};

SimReactor::SimReactor(const Impairments& impairments)
    : Reactor(&clock()), network_(impairments), trains_(kTrains) {}

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

// Whoever is called may destroy others.
template <typename F>
void SimReactor::ForEachSocket(F f) {
  for (SimSocket* socket : std::vector<SimSocket*>(sockets_)) {
    if (absl::c_linear_search(sockets_, socket)) f(*socket);
  }
}

void SimReactor::TellPathMtu(const Endpoint& local, size_t mtu) {
  ForEachSocket([&](SimSocket& socket) {
    if (socket.local_endpoint() == local) socket.TellPathMtu(mtu);
  });
}

void SimReactor::TellOfPeer(const Endpoint& local,
                            const net::PeerNotice& notice) {
  ForEachSocket([&](SimSocket& socket) {
    if (socket.local_endpoint() == local) socket.TellOfPeer(notice);
  });
}

void SimReactor::BlockSends(bool blocked) {
  blocked_ = blocked;
  if (!blocked) ForEachSocket([](SimSocket& socket) { socket.Flush(); });
}

void SimReactor::RefuseSocket(const Endpoint& local,
                              const absl::Status& status) {
  ForEachSocket([&](SimSocket& socket) {
    if (socket.local_endpoint() == local) socket.Refuse(status);
  });
}

bool SimReactor::MustSend() const {
  return trains_.scarce() && !dirty_.empty();
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
  // Also where others can run: they may do so for ever.
  if (trains_.awaited()) until = clock().Now() + kFullTurn;
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
  // Who receives may answer: not before there is memory for it.
  trains_.BeginTurn();
  while (!MustSend() && !in_flight_.empty() &&
         in_flight_.begin()->first.first <= clock().Now() &&
         !DeliverySliceSpent()) {
    const SimDatagram datagram =
        std::move(in_flight_.extract(in_flight_.begin()).mapped());
    Deliver(datagram);
  }
}

}  // namespace cordon::testing
