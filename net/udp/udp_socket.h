// A UDP socket for coroutines.
//
//   CO_ASSIGN_OR_RETURN(net::UdpSocket socket,
//                       net::UdpSocket::Open(reactor, {.bind = at}));
//   while (true) {
//     CO_ASSIGN_OR_RETURN(net::UdpSocket::Packet p, co_await socket.Recv());
//     CO_RETURN_IF_ERROR(co_await socket.Send(p.path, p.payload.bytes()));
//   }
#ifndef CORDON_NET_UDP_UDP_SOCKET_H_
#define CORDON_NET_UDP_UDP_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cordon/net/base/byte_pool.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::net {

// Move-only; belongs to the reactor's thread. Destroying it is safe whoever
// waits for it: as after `Close`, everything ends with kFailedPrecondition.
class UdpSocket {
 public:
  struct Packet {
    // Who sent it and to which of our addresses: give it to `Send` to reply.
    Path path;
    PooledBytes payload;
  };

  // Datagrams that nobody has asked for yet, and the memory that they take;
  // more are dropped and counted.
  static constexpr size_t kMaxQueued = 1024;
  static constexpr size_t kMaxQueuedBytes = size_t{4} << 20;

  static absl::StatusOr<UdpSocket> Open(Reactor& reactor,
                                        const DatagramSocketOptions& options);
  UdpSocket(UdpSocket&&) noexcept;
  UdpSocket& operator=(UdpSocket&&) noexcept;
  ~UdpSocket();

  const Endpoint& local_endpoint() const;

  // Suspends until a datagram is there. Stop: kCancelled, and nothing is lost.
  // kUnavailable when a connected socket's peer was reported unreachable;
  // kFailedPrecondition once the socket is closed or gone; any other code when
  // the system refuses for good to receive.
  Task<absl::StatusOr<Packet>> Recv();

  // Queues a datagram, which leaves at the end of this turn of the loop.
  // Suspends while the network takes nothing, and until the next turn when
  // there was enough for this one, see `DatagramSocket::kDatagramsPerTurn`.
  // OK: queued; what becomes of it later is told by the statistics only.
  // kInvalidArgument if it is empty, larger than 65507 bytes, or to nobody that
  // the socket can reach; kFailedPrecondition once the socket is closed or
  // gone. Stop: kCancelled, and not sent. `path` and `bytes` must live until it
  // returns.
  Task<absl::Status> Send(Path& path, absl::Span<const uint8_t> bytes);

  // See `DatagramSocket::Close`. Datagrams that nobody has taken are dropped.
  Task<absl::Status> Close();

  const DatagramSocketStatistics& statistics() const;
  uint64_t queue_drops() const;

 private:
  class State;
  explicit UdpSocket(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_UDP_UDP_SOCKET_H_
