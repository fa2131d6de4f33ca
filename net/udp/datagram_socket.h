// UDP sockets as a reactor offers them: datagrams in by a callback, datagrams
// out through memory that the reactor owns.
//
//   class Printer : public DatagramReceiver {
//     void OnDatagram(const Datagram& d) override { Print(d.bytes); }
//   };
//   CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> socket,
//                       reactor.OpenSocket({.bind = Endpoint::AnyV4(4433)}));
//   socket->StartReceiving(printer);
//   Path path(peer);
//   socket->Send(path, bytes);
//
// What is sent within one turn of the loop leaves at its end, by one system
// call for all sockets; datagrams of equal size to one peer leave as one train
// (UDP segmentation offload). The kernel never sees memory of the caller: a
// coroutine that is destroyed at any moment leaves nothing dangling.
//
// For coroutines that just want to send and receive there is `UdpSocket`.
#ifndef CORDON_NET_UDP_DATAGRAM_SOCKET_H_
#define CORDON_NET_UDP_DATAGRAM_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/udp/train.h"

namespace cordon::net {

// How to open a socket.
struct DatagramSocketOptions {
  // Where to receive. Port 0: any free one. On the address [::] IPv4 peers are
  // served as well (dual stack), unless `v6_only`.
  Endpoint bind = {};
  // Optional: receive from, and send to, this peer only. `bind` may then be
  // none.
  Endpoint connect = {};
  bool v6_only = false;
  // Several sockets, usually one per reactor, may bind the same port; the
  // kernel spreads the peers over them.
  bool reuse_port = false;
  // Trains: on sending (used only where the kernel can) and on receiving (for
  // peers that send in bulk; needs larger buffers).
  bool gso = true;
  bool gro = false;
  // Not connected: tell the receiver what the network says of single peers, see
  // `DatagramReceiver::OnPeerNotice`. No effect where the kernel cannot.
  bool peer_notices = false;
  // Sizes in bytes of the kernel's queues; 0 leaves the system's default.
  int receive_buffer = 0;
  int send_buffer = 0;
};

// A datagram as it arrived. `bytes` may be changed in place, and is valid
// during the call only.
struct Datagram {
  Endpoint peer = {};
  LocalAddress local = {};
  absl::Span<uint8_t> bytes = {};
};

// What the network said of one peer of an unconnected socket: ICMP, so anybody
// may have sent it.
struct PeerNotice {
  Endpoint peer = {};
  // Of the datagram that it is about.
  LocalAddress local = {};
  // The path to the peer carries packets of at most so many bytes. 0: it is
  // said that the peer cannot be reached.
  size_t path_mtu = 0;
};

// Called on the reactor's thread, between resumptions of coroutines; must not
// destroy the socket.
class DatagramReceiver {
 public:
  virtual ~DatagramReceiver() = default;
  virtual void OnDatagram(const Datagram& datagram) = 0;
  // The network reported trouble with this socket's peer (connected sockets
  // only): ICMP, so anybody may have sent it.
  virtual void OnSocketError(const absl::Status& status) { (void)status; }
  // The network said that the path to this socket's peer carries packets of at
  // most `mtu` bytes, likewise; the system's limits for such a claim apply.
  virtual void OnPathMtuChanged(size_t mtu) { (void)mtu; }
  // Unconnected sockets that were opened with `peer_notices` only. Less than
  // any path carries is not believed: over IPv4 552 bytes are the least, and
  // over IPv6 a notice of less than 1280 is not passed on.
  virtual void OnPeerNotice(const PeerNotice& notice) { (void)notice; }
};

struct DatagramSocketStatistics {
  uint64_t datagrams_received = 0;
  uint64_t bytes_received = 0;
  uint64_t empty_datagrams = 0;      // of length zero, dropped
  uint64_t truncated_datagrams = 0;  // larger than a buffer, dropped
  uint64_t datagrams_sent = 0;
  uint64_t bytes_sent = 0;
  uint64_t trains_sent = 0;   // sends, of one or more datagrams
  uint64_t send_errors = 0;   // datagrams that the kernel refused
  uint64_t send_dropped = 0;  // datagrams dropped for want of a free buffer
  uint64_t receive_rearmed = 0;
  uint64_t receive_starved = 0;  // times that no receive buffer was free
  uint64_t peer_notices = 0;     // of the network, about single peers
};

// One peer of a socket, as seen by its sender. Remembers the train that is
// being built, so keep one per peer.
struct Path {
  Path() = default;
  explicit Path(const Endpoint& to, const LocalAddress& from = {})
      : peer(to), local(from) {}

  Endpoint peer = {};  // None on a connected socket.
  LocalAddress local = {};

 private:
  friend class DatagramSocket;
  Train* train = nullptr;
  uint64_t serial = 0;
};

// Belongs to its reactor's thread, and must not outlive the reactor. Destroying
// an open socket is safe: what was queued is sent if the network takes it now,
// and the reactor finishes what is in flight.
class DatagramSocket {
 public:
  virtual ~DatagramSocket();
  DatagramSocket(const DatagramSocket&) = delete;
  DatagramSocket& operator=(const DatagramSocket&) = delete;

  // The address and port that the socket is bound to.
  const Endpoint& local_endpoint() const { return local_endpoint_; }
  bool connected() const { return connected_; }
  // The largest IP packet that the path to a connected socket's peer carries,
  // in bytes, as far as the system knows; 0 if it does not.
  virtual size_t path_mtu() const { return 0; }

  // Delivers from now on to `receiver`, which must live until `StopReceiving`
  // or the socket's end.
  virtual void StartReceiving(DatagramReceiver& receiver) = 0;
  virtual void StopReceiving() = 0;

  // Room for the next datagram to `path`, of at most `max_size` bytes (up to
  // 65507), to be completed by `Commit` before anything else happens on this
  // socket. Empty if the network does not take what was sent before: the
  // datagram is counted as dropped.
  absl::Span<uint8_t> Reserve(Path& path, size_t max_size);
  // Queues the first `size` bytes of what `Reserve` returned. 0: nothing.
  void Commit(Path& path, size_t size);
  // Reserve, copy, commit. False if the datagram was dropped.
  bool Send(Path& path, absl::Span<const uint8_t> bytes);

  // True while the network takes nothing; wait in `writable()` then.
  bool congested() const { return congested_; }
  WaitQueue& writable() { return writable_; }

  // Of sockets that share a port (`reuse_port`): from now on the system gives
  // what comes to the others. This one still delivers what it was given before,
  // and still sends. Cannot be undone.
  virtual absl::Status Retire() {
    return absl::UnimplementedError("this socket shares its port with none");
  }

  // Sends what is queued, stops receiving, waits until the kernel has let go of
  // the socket, and closes it: the port is free when this returns. Cannot be
  // stopped. Idempotent.
  virtual Task<absl::Status> Close() = 0;

  const DatagramSocketStatistics& statistics() const { return statistics_; }

 protected:
  DatagramSocket(TrainPool& trains, bool gso) : trains_(trains), gso_(gso) {}

  // The first train since the last flush was begun.
  virtual void OnQueued() = 0;
  // Hands `queued()` to the kernel now, because there are no trains left.
  virtual void FlushNow() = 0;

  std::vector<Train*>& queued() { return queued_; }
  // To be called when the queued trains are handed over: none may grow.
  void CloseTrains() { ++serial_; }
  void SetCongested(bool congested);

  Endpoint local_endpoint_;
  bool connected_ = false;
  DatagramSocketStatistics statistics_;
  TrainPool& trains_;
  // Cleared when the device turns out to be unable.
  bool gso_;

 private:
  Train* Begin(Path& path);

  std::vector<Train*> queued_;
  uint64_t serial_ = 1;
  bool congested_ = false;
  WaitQueue writable_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_UDP_DATAGRAM_SOCKET_H_
