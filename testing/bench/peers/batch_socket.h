// A UDP server's socket that receives and sends many datagrams by one system
// call each: recvmmsg and sendmmsg.
#ifndef CORDON_TESTING_BENCH_PEERS_BATCH_SOCKET_H_
#define CORDON_TESTING_BENCH_PEERS_BATCH_SOCKET_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace cordon::bench {

inline constexpr size_t kBatch = 64;
inline constexpr size_t kMaxDatagram = 2048;

// IPv4 address and port as one number, for maps.
uint64_t KeyOf(const sockaddr_in& peer);

// Binds a UDP socket to a free port of 127.0.0.1, or to `port`, with large
// queues, and does not block. Ends the program if it cannot.
int BindLoopback(uint16_t port, bool reuse);
// Prints "listening on 127.0.0.1:PORT".
void Announce(int fd);
// Prints "PROGRAM: WHAT" and ends the program.
[[noreturn]] void Die(const char* what);

// For timers that are looked at now and then.
class Ticker {
 public:
  static constexpr int kMs = 100;
  // True once in each `kMs`.
  bool Due();

 private:
  int64_t last_ms_ = 0;
};

class BatchSocket {
 public:
  explicit BatchSocket(int fd);
  BatchSocket(const BatchSocket&) = delete;
  BatchSocket& operator=(const BatchSocket&) = delete;

  // Waits for at most `timeout_ms` (-1: forever), then takes what is there, and
  // returns how many datagrams that are.
  size_t Receive(int timeout_ms);
  const sockaddr_in& peer(size_t i) const { return in_peers_[i]; }
  uint8_t* data(size_t i) { return in_[i].data(); }
  size_t size(size_t i) const { return in_headers_[i].msg_len; }

  // Copies a datagram, which leaves with the next `Flush` or before.
  void Queue(const sockaddr_in& peer, const void* data, size_t size);
  void Flush();

 private:
  using Buffers = std::array<std::array<uint8_t, kMaxDatagram>, kBatch>;

  const int fd_;
  Buffers in_;
  std::array<sockaddr_in, kBatch> in_peers_;
  std::array<iovec, kBatch> in_vectors_;
  std::array<mmsghdr, kBatch> in_headers_;
  Buffers out_;
  std::array<sockaddr_in, kBatch> out_peers_;
  std::array<iovec, kBatch> out_vectors_;
  std::array<mmsghdr, kBatch> out_headers_;
  size_t queued_ = 0;
};

}  // namespace cordon::bench

#endif  // CORDON_TESTING_BENCH_PEERS_BATCH_SOCKET_H_
