#include "cordon/testing/soak/lossy_relay.h"

#include <utility>
#include <vector>

#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"

namespace cordon::testing {
namespace {

constexpr uint8_t kAlert = 21;
constexpr uint8_t kApplicationData = 23;
constexpr size_t kHeaderBytes = 13;  // RFC 6347 section 4.1

// The sequence numbers of the encrypted records of one type in a datagram.
std::vector<uint64_t> RecordsIn(absl::Span<const uint8_t> datagram,
                                uint8_t type) {
  std::vector<uint64_t> sequences;
  while (datagram.size() >= kHeaderBytes) {
    uint64_t sequence = 0;
    for (size_t i = 5; i < 11; ++i) sequence = sequence << 8 | datagram[i];
    const size_t size =
        kHeaderBytes + (size_t{datagram[11]} << 8) + datagram[12];
    if (size > datagram.size()) break;
    const bool encrypted = datagram[3] != 0 || datagram[4] != 0;
    if (datagram[0] == type && encrypted) sequences.push_back(sequence);
    datagram.remove_prefix(size);
  }
  return sequences;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LossyRelay>> LossyRelay::Open(
    net::Reactor& reactor, const net::Endpoint& server,
    const Impairments& impairments) {
  net::DatagramSocketOptions options;
  options.bind = net::Endpoint::V4({127, 0, 0, 1}, 0);
  options.receive_buffer = 4 << 20;
  absl::StatusOr<net::UdpSocket> front = net::UdpSocket::Open(reactor, options);
  if (!front.ok()) return front.status();
  return std::unique_ptr<LossyRelay>(
      new LossyRelay(reactor, server, impairments, *std::move(front)));
}

net::Task<absl::Status> LossyRelay::Run() {
  net::TaskScope scope;
  scope_ = &scope;
  scope.Spawn(Front());
  absl::Status status = co_await scope.Join();
  scope_ = nullptr;
  co_return status;
}

void LossyRelay::Begin(const net::Endpoint& client,
                       std::shared_ptr<Traffic> traffic) {
  std::unique_ptr<Flow>& flow = flows_[client];
  if (flow == nullptr) {
    flow = std::make_unique<Flow>();
    flow->client = net::Path(client);
  }
  flow->traffic = std::move(traffic);
  flow->muted = false;
}

void LossyRelay::Mute(const net::Endpoint& client) {
  const auto found = flows_.find(client);
  if (found != flows_.end()) found->second->muted = true;
}

bool LossyRelay::Happens(double probability) {
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

net::Task<absl::Status> LossyRelay::Front() {
  while (true) {
    CO_ASSIGN_OR_RETURN(const net::UdpSocket::Packet packet,
                        co_await front_.Recv());
    const auto found = flows_.find(packet.path.peer);
    if (found == flows_.end()) {
      ++statistics_.strangers;
      continue;
    }
    Flow* flow = found->second.get();
    if (flow->back == nullptr) {
      net::DatagramSocketOptions options;
      options.connect = server_;
      CO_ASSIGN_OR_RETURN(net::UdpSocket back,
                          net::UdpSocket::Open(reactor_, options));
      flow->back = std::make_unique<net::UdpSocket>(std::move(back));
      scope_->Spawn(Back(flow));
    }
    Carry(flow, true, packet.payload.bytes());
  }
}

net::Task<absl::Status> LossyRelay::Back(Flow* flow) {
  while (true) {
    CO_ASSIGN_OR_RETURN(const net::UdpSocket::Packet packet,
                        co_await flow->back->Recv());
    Carry(flow, false, packet.payload.bytes());
  }
}

void LossyRelay::Carry(Flow* flow, bool up,
                       absl::Span<const uint8_t> datagram) {
  ++statistics_.datagrams;
  Traffic& traffic = *flow->traffic;
  for (uint64_t sequence : RecordsIn(datagram, kApplicationData)) {
    (up ? traffic.up : traffic.down).seen.insert(sequence);
  }
  if (!up && !RecordsIn(datagram, kAlert).empty()) traffic.ended = true;
  if (flow->muted) {
    ++statistics_.muted;
    return;
  }
  if (Happens(impairments_.loss)) {
    ++statistics_.lost;
    return;
  }
  int copies = 1;
  if (Happens(impairments_.duplicate)) {
    ++statistics_.duplicated;
    ++copies;
  }
  for (; copies > 0; --copies) {
    absl::Duration after = absl::ZeroDuration();
    if (Happens(impairments_.delay)) {
      ++statistics_.delayed;
      after = impairments_.max_delay *
              std::uniform_real_distribution<double>(0, 1)(random_);
    }
    scope_->Spawn(
        Deliver(flow, up, flow->traffic,
                std::string(reinterpret_cast<const char*>(datagram.data()),
                            datagram.size()),
                after));
  }
}

net::Task<absl::Status> LossyRelay::Deliver(Flow* flow, bool up,
                                            std::shared_ptr<Traffic> traffic,
                                            std::string datagram,
                                            absl::Duration after) {
  if (after > absl::ZeroDuration()) {
    CO_RETURN_IF_ERROR(co_await net::SleepFor(after));
  }
  // The client was switched off meanwhile, or is another one.
  if (flow->muted || flow->traffic != traffic) {
    ++statistics_.muted;
    co_return absl::OkStatus();
  }
  const absl::Span<const uint8_t> bytes(
      reinterpret_cast<const uint8_t*>(datagram.data()), datagram.size());
  for (uint64_t sequence : RecordsIn(bytes, kApplicationData)) {
    (up ? traffic->up : traffic->down).passed.insert(sequence);
  }
  net::UdpSocket& socket = up ? *flow->back : front_;
  const absl::Status sent =
      co_await socket.Send(up ? flow->server : flow->client, bytes);
  if (!sent.ok()) ++statistics_.refused;
  co_return absl::OkStatus();
}

}  // namespace cordon::testing
