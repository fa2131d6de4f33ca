// Datagrams to one peer, one behind the other in memory, that the kernel sends
// by one call.
//
// Rules (1) to (4) of a train: one peer and one local address; all datagrams of
// one size, but the last, which may be shorter and ends it; at most
// `kMaxSegments` datagrams; at most `kMaxBytes` in all.
#ifndef CORDON_NET_UDP_TRAIN_H_
#define CORDON_NET_UDP_TRAIN_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cordon/net/base/endpoint.h"

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
  size_t bytes = 0;
  size_t segment_bytes = 0;
  size_t segments = 0;
  bool open = true;
  int error = 0;

  // Fills `message` for sendmsg() on a socket of `family`; false if such a
  // socket cannot reach the peer. Everything that it points to is part of this
  // object.
  bool Prepare(int family, bool connected);
  // The same for the one datagram that begins at `offset`.
  void PrepareSegment(size_t offset);

  uint8_t* data() { return arena.get(); }

  msghdr message = {};
  iovec vector = {};
  sockaddr_storage address = {};
  // Room for UDP_SEGMENT and IPV6_PKTINFO.
  alignas(cmsghdr) char control[CMSG_SPACE(2) + CMSG_SPACE(20)] = {};
  std::unique_ptr<uint8_t[]> arena;
};

// The transmit memory of one reactor.
class TrainPool {
 public:
  // Memory is taken as it is needed and kept.
  explicit TrainPool(size_t max_trains) : max_trains_(max_trains) {}
  TrainPool(const TrainPool&) = delete;
  TrainPool& operator=(const TrainPool&) = delete;

  // Null if all are in use.
  Train* Take();
  void Return(Train* train);

  size_t in_use() const { return trains_.size() - free_.size(); }

 private:
  const size_t max_trains_;
  std::vector<std::unique_ptr<Train>> trains_;
  std::vector<Train*> free_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_UDP_TRAIN_H_
