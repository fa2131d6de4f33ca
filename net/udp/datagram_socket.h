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

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/base/lifeline.h"
#include "cordon/net/task/task.h"
#include "cordon/net/udp/send_queue.h"
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
// destroy the socket, but may stop receiving, and destroy others.
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
  // The system refuses for good what the socket needs: it sends and receives
  // nothing any more, and has `status`. Close it.
  virtual void OnSocketFailed(const absl::Status& status) { (void)status; }
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
  // Datagrams dropped because too many trains waited for full sockets.
  uint64_t send_over_quota = 0;
  // Trains that the way to their peer did not take: their datagrams were sent
  // singly. If a device is the reason, this peer gets no trains for a while.
  uint64_t trains_split = 0;
  // Times that the kernel left a train for the next submission (io_uring).
  uint64_t sends_postponed = 0;
  uint64_t receive_errors = 0;  // receives that failed, and were made again
  uint64_t receive_rearmed = 0;
  uint64_t receive_starved = 0;  // times that no receive buffer was free
  uint64_t peer_notices = 0;     // of the network, about single peers
};

// One peer of a socket, as seen by its sender. Remembers the train that is
// being built, so keep one per peer. May be copied, changed, used with several
// sockets, and kept longer than any of them.
struct Path {
  Path() = default;
  explicit Path(const Endpoint& to, const LocalAddress& from = {})
      : peer(to), local(from) {}

  Endpoint peer = {};  // None on a connected socket.
  LocalAddress local = {};

 private:
  friend class DatagramSocket;
  Train* train = nullptr;
  // Of the socket's turn in which that was; no other turn of any socket of this
  // process has the same.
  uint64_t serial = 0;
  // Sent in that turn.
  size_t datagrams = 0;
};

// Belongs to its reactor's thread, and must not outlive the reactor. Destroying
// an open socket is safe: what was queued is sent if the network takes it now,
// the reactor finishes what is in flight, and whoever waits in `Close` gets
// kFailedPrecondition. Its receiver is not called any more.
class DatagramSocket {
 public:
  // Sent to one peer within a turn of the loop by one who can wait.
  static constexpr size_t kDatagramsPerTurn = 1024;
  // What one socket may queue in a turn for those who can wait, and what it
  // keeps while the network takes nothing.
  static constexpr size_t kMaxTrains = 128;
  // A peer that gets no trains is given one again after so many datagrams; so
  // many such peers are remembered.
  static constexpr uint32_t kTrainRetry = 1024;
  static constexpr size_t kMaxPeersWithoutTrains = 256;
  // Receives that fail in a row before the socket is given up.
  static constexpr int kMaxReceiveFailures = 1000;

  virtual ~DatagramSocket();
  DatagramSocket(const DatagramSocket&) = delete;
  DatagramSocket& operator=(const DatagramSocket&) = delete;

  // The address and port that the socket is bound to.
  const Endpoint& local_endpoint() const { return local_endpoint_; }
  bool connected() const { return connected_; }
  // OK while it is open; kFailedPrecondition once it is closed; otherwise what
  // was told to `OnSocketFailed`.
  const absl::Status& status() const { return status_; }
  // The largest IP packet that the path to a connected socket's peer carries,
  // in bytes, as far as the system knows; 0 if it does not.
  virtual size_t path_mtu() const { return 0; }

  // Delivers from now on to `receiver`, which must live until `StopReceiving`
  // or the socket's end. After `StopReceiving` nothing is delivered, not even
  // the rest of what was received at once.
  virtual void StartReceiving(DatagramReceiver& receiver) = 0;
  virtual void StopReceiving() = 0;

  // Room for the next datagram to `path`, of at most `max_size` bytes (up to
  // 65507), to be completed by `Commit` before anything else happens on this
  // socket. Empty if the socket is closed, if the network does not take what
  // was sent before, or if the reactor's memory is used up: the datagram is
  // counted as dropped.
  absl::Span<uint8_t> Reserve(Path& path, size_t max_size);
  // Queues the first `size` bytes of what `Reserve` returned. 0: nothing.
  void Commit(Path& path, size_t size);
  // Reserve, copy, commit. False if the datagram was dropped, or is empty.
  bool Send(Path& path, absl::Span<const uint8_t> bytes);

  // True while the network takes nothing.
  bool congested() const { return congested_; }
  // For those who can wait: whether a datagram of at most `max_size` bytes may
  // be sent now. `Reserve` has room for it then. Check `status()` before.
  bool MaySend(const Path& path, size_t max_size) const;
  // Wakes the first in `queue` as soon as that may have changed; see
  // send_queue.h. The socket's failure and end wake whoever waits for it, too.
  void Enqueue(SendQueue& queue, const Path& path);

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
  DatagramSocket(TrainPool& trains, bool gso);

  // The first train since the last flush was begun.
  virtual void OnQueued() = 0;

  // Moves everything that is to be sent to the end of `trains`: what was kept,
  // and what is queued, none of which can grow any more.
  void TakeTrains(std::vector<Train*>& trains);
  bool has_queued() const { return !queued_.empty(); }
  // What of it could not be sent, each of which has one end:
  // to be sent first the next time,
  void PutBack(absl::Span<Train* const> trains);
  // kept until the network takes it, or dropped if there is too much,
  void Keep(Train& train);
  bool has_kept() const { return !kept_.empty(); }
  // lost,
  void Drop(Train& train);
  // and sent.
  void Return(Train& train);

  void SetCongested(bool congested);
  // The device on the way to `peer` takes no trains.
  void EndTrains(const Endpoint& peer);
  // Nothing is sent or received from now on; wakes those who wait to send.
  void End(absl::Status status);
  // The same, and tells the receiver.
  void Fail(const absl::Status& status);
  // A receive has failed with `error`, or not: fails the socket after
  // `kMaxReceiveFailures` in a row, unless they may be the network's.
  void CountReceiveError(int error, bool of_network = false);
  void OnReceived() { receive_failures_ = 0; }

  static absl::Status ClosedStatus();
  static absl::Status DestroyedStatus();

  Endpoint local_endpoint_;
  bool connected_ = false;
  DatagramSocketStatistics statistics_;
  TrainPool& trains_;
  DatagramReceiver* receiver_ = nullptr;
  Lifeline lifeline_;

 private:
  absl::Span<uint8_t> Room(Path& path, size_t max_size, bool exact);
  // The train that the next datagram of `path` may join, or null.
  Train* Present(const Path& path) const;
  // Puts `train`, which is new, at the end of the queue.
  Train& Begin(Path& path, Train& train);
  bool TakesTrains(const Endpoint& peer);
  bool Spent(const Path& path) const {
    return path.serial == serial_ && path.datagrams >= kDatagramsPerTurn;
  }

  absl::Status status_;
  const bool gso_;
  std::vector<Train*> queued_;
  // The network did not take them.
  std::vector<Train*> kept_;
  // All of this socket, wherever they are.
  size_t in_use_ = 0;
  // For a datagram that may turn out too large for the train that it was
  // reserved in.
  Train* spare_ = nullptr;
  uint64_t serial_;
  bool congested_ = false;
  SendQueueList blocked_;
  int receive_failures_ = 0;
  // Peers' addresses, and what is left until they are tried again.
  absl::flat_hash_map<Endpoint, uint32_t> without_trains_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_UDP_DATAGRAM_SOCKET_H_
