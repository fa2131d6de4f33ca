// A reactor on virtual time and a simulated network: whole programs, clients
// and servers together, run in it deterministically and without waiting.
//
//   SimReactor reactor({.loss = 0.2, .seed = 42});
//   absl::Status status = reactor.Run(Test(reactor));
//
// Time stands still while anything can run, and then jumps to the next timer
// or datagram. A turn in which senders have to wait for the next one, because
// it took as much as it may, is 100 microseconds long.
#ifndef CORDON_TESTING_SIM_SIM_REACTOR_H_
#define CORDON_TESTING_SIM_SIM_REACTOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/train.h"
#include "cordon/testing/sim/sim_network.h"
#include "cordon/testing/sim/virtual_clock.h"

namespace cordon::testing {

class SimSocket;
struct SimDirtyTag {};

namespace internal {
// Before the reactor, whose constructor reads it.
struct ClockHolder {
  VirtualClock clock;
};
}  // namespace internal

class SimReactor final : private internal::ClockHolder, public net::Reactor {
 public:
  explicit SimReactor(const Impairments& impairments = {});
  ~SimReactor() override;

  absl::StatusOr<std::unique_ptr<net::DatagramSocket>> OpenSocket(
      const net::DatagramSocketOptions& options) override;
  absl::string_view backend() const override { return "simulated"; }
  const void* network() const override { return this; }

  SimNetwork& network() { return network_; }
  VirtualClock& clock() { return ClockHolder::clock; }

  // Puts a datagram on its way as if `from` had sent it.
  void Inject(const net::Endpoint& from, const net::Endpoint& to,
              absl::Span<const uint8_t> bytes);

  // As if a router had said that the path from `local`, a connected socket, to
  // its peer carries `mtu` bytes only.
  void TellPathMtu(const net::Endpoint& local, size_t mtu);

  // As if the network had said that of a peer of the socket that is bound to
  // `local`.
  void TellOfPeer(const net::Endpoint& local, const net::PeerNotice& notice);

  // Which of the sockets that share a port gets what `peer` sends: the one that
  // `choose` names, in the order in which they were opened. Without it, the
  // last.
  using Choose =
      std::function<size_t(const net::Endpoint& peer, size_t sockets)>;
  void SpreadPeers(Choose choose) { choose_ = std::move(choose); }

  using net::Reactor::RunPiecewise;

  // As if the sockets' queues in the kernel were full.
  void BlockSends(bool blocked);

  // As if the system refused the socket that is bound to `local` for good.
  void RefuseSocket(const net::Endpoint& local, const absl::Status& status);

 protected:
  void Poll(absl::Time until) override;
  void Wake() override {}
  bool MustSend() const override;

 private:
  friend class SimSocket;

  // As many as other reactors have.
  static constexpr size_t kTrains = 2048;

  template <typename F>
  void ForEachSocket(F f);
  void Transmit(SimDatagram datagram);
  void Deliver(const SimDatagram& datagram);
  SimSocket* Find(const SimDatagram& datagram);

  SimNetwork network_;
  net::TrainPool trains_;
  std::vector<SimSocket*> sockets_;
  net::IntrusiveList<SimSocket, SimDirtyTag> dirty_;
  // In flight, by time of arrival and then by order of sending.
  std::map<std::pair<absl::Time, uint64_t>, SimDatagram> in_flight_;
  uint64_t sequence_ = 0;
  uint16_t next_port_ = 49152;
  bool blocked_ = false;
  Choose choose_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SIM_SIM_REACTOR_H_
