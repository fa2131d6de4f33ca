// Datagrams to one peer, one behind the other in memory, that the kernel sends
// by one call.
//
// Rules (1) to (4) of a train: one peer and one local address; all datagrams of
// one size, but the last, which may be shorter and ends it; at most
// `kMaxSegments` datagrams; at most `kMaxBytes` in all.
#ifndef CORDON_NET_UDP_TRAIN_H_
#define CORDON_NET_UDP_TRAIN_H_

#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cordon/net/base/endpoint.h"
#include "cordon/net/udp/send_queue.h"

namespace cordon::net {

struct Train {
  // Older kernels take 64; larger trains save nothing that can be measured.
  static constexpr size_t kMaxSegments = 64;
  // The largest UDP payload over IPv4.
  static constexpr size_t kMaxBytes = 65507;
  // A single datagram above this is never part of a train: the kernel refuses
  // segments that do not fit the device's MTU.
  static constexpr size_t kMaxSegmentBytes = 1472;

  Endpoint peer;
  LocalAddress local;
  // Up to here its bytes have been sent, singly; `segments` are left.
  size_t sent = 0;
  size_t bytes = 0;
  size_t segment_bytes = 0;
  size_t segments = 0;
  bool open = true;
  // Of one datagram: on the way to the peer there is somebody who takes no
  // trains.
  bool single = false;

  // Fills `message` for sendmsg() on a socket of `family` with what is left;
  // false if such a socket cannot reach the peer. Everything that it points to
  // is part of this object.
  bool Prepare(int family, bool connected);
  // The same for the one datagram that begins at `offset`.
  void PrepareSegment(size_t offset);
  size_t bytes_left() const { return bytes - sent; }

  uint8_t* data() { return arena.get(); }

  msghdr message = {};
  iovec vector = {};
  sockaddr_storage address = {};
  // Room for UDP_SEGMENT and IPV6_PKTINFO.
  alignas(cmsghdr) char control[CMSG_SPACE(2) + CMSG_SPACE(20)] = {};
  std::unique_ptr<uint8_t[]> arena;
};

// The transmit memory of one reactor, and those who wait for some of it.
//
// Who can wait may use `kMaxForWaiting` trains, or three quarters of a smaller
// pool, and send `kDatagramsPerTurn` datagrams within one turn of the loop; the
// rest is for those who cannot, as handshakes. Full sockets may keep
// `kMaxKept`, or half of a smaller pool.
class TrainPool {
 public:
  static constexpr size_t kMaxForWaiting = 384;
  static constexpr size_t kMaxKept = 256;
  static constexpr size_t kDatagramsPerTurn = 4096;

  // Memory is taken as it is needed and kept.
  explicit TrainPool(size_t max_trains)
      : max_trains_(max_trains),
        max_for_waiting_(std::min(kMaxForWaiting, max_trains - max_trains / 4)),
        max_kept_(std::min(kMaxKept, (max_trains + 1) / 2)) {}
  TrainPool(const TrainPool&) = delete;
  TrainPool& operator=(const TrainPool&) = delete;

  // Null if all are in use.
  Train* Take();
  void Return(Train* train);

  size_t in_use() const { return trains_.size() - free_.size(); }
  // Time to send what is there before more is made.
  bool scarce() const { return in_use() >= max_for_waiting_; }

  // Keeps a train for a socket that is full, until `EndKeeping`; false if too
  // many are kept.
  bool Keep() {
    if (kept_ >= max_kept_) return false;
    ++kept_;
    return true;
  }
  void EndKeeping(size_t trains) { kept_ -= trains; }

  void CountDatagram() { ++datagrams_; }
  bool turn_spent() const { return datagrams_ >= kDatagramsPerTurn; }

  // Until a later turn: one who got nothing in this one, or has had its share.
  void AwaitRoom(SendQueue& queue) { refused_.push_back(queue); }
  void AwaitTurn(SendQueue& queue) { spent_.push_back(queue); }
  // The reactor must not rest.
  bool awaited() const { return !refused_.empty() || !spent_.empty(); }
  // A turn of the loop begins: wakes as many as there is room for, first those
  // who got nothing before, but always some of the others as well.
  void BeginTurn();

 private:
  const size_t max_trains_;
  const size_t max_for_waiting_;
  const size_t max_kept_;
  std::vector<std::unique_ptr<Train>> trains_;
  std::vector<Train*> free_;
  size_t kept_ = 0;
  size_t datagrams_ = 0;
  SendQueueList refused_;
  SendQueueList spent_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_UDP_TRAIN_H_
