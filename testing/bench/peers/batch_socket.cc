#include "cordon/testing/bench/peers/batch_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cordon::bench {

uint64_t KeyOf(const sockaddr_in& peer) {
  return uint64_t{peer.sin_addr.s_addr} << 16 | peer.sin_port;
}

void Die(const char* what) {
  std::fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
               strerrordesc_np(errno));
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): no other threads
}

int BindLoopback(uint16_t port, bool reuse) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) Die("socket");
  constexpr int kQueueBytes = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kQueueBytes, sizeof(kQueueBytes));
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kQueueBytes, sizeof(kQueueBytes));
  const int one = 1;
  if (reuse) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0) Die("bind");
  return fd;
}

void Announce(int fd) {
  sockaddr_in at = {};
  socklen_t size = sizeof(at);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
    Die("getsockname");
  }
  std::printf("listening on 127.0.0.1:%d\n", ntohs(at.sin_port));
  std::fflush(stdout);
}

bool Ticker::Due() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const int64_t ms = int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
  if (ms - last_ms_ < kMs) return false;
  last_ms_ = ms;
  return true;
}

BatchSocket::BatchSocket(int fd) : fd_(fd) {
  for (size_t i = 0; i < kBatch; ++i) {
    in_vectors_[i] = {in_[i].data(), kMaxDatagram};
    in_headers_[i].msg_hdr = {};
    in_headers_[i].msg_hdr.msg_name = &in_peers_[i];
    in_headers_[i].msg_hdr.msg_iov = &in_vectors_[i];
    in_headers_[i].msg_hdr.msg_iovlen = 1;
    out_headers_[i].msg_hdr = {};
    out_headers_[i].msg_hdr.msg_name = &out_peers_[i];
    out_headers_[i].msg_hdr.msg_namelen = sizeof(sockaddr_in);
    out_headers_[i].msg_hdr.msg_iov = &out_vectors_[i];
    out_headers_[i].msg_hdr.msg_iovlen = 1;
  }
}

size_t BatchSocket::Receive(int timeout_ms) {
  for (mmsghdr& header : in_headers_) {
    header.msg_hdr.msg_namelen = sizeof(sockaddr_in);
  }
  // Under load there is something without waiting.
  int count = recvmmsg(fd_, in_headers_.data(), kBatch, MSG_DONTWAIT, nullptr);
  if (count <= 0) {
    pollfd readable = {fd_, POLLIN, 0};
    if (poll(&readable, 1, timeout_ms) <= 0) return 0;
    count = recvmmsg(fd_, in_headers_.data(), kBatch, MSG_DONTWAIT, nullptr);
  }
  return count < 0 ? 0 : static_cast<size_t>(count);
}

void BatchSocket::Queue(const sockaddr_in& peer, const void* data,
                        size_t size) {
  if (size > kMaxDatagram) return;
  if (queued_ == kBatch) Flush();
  out_peers_[queued_] = peer;
  std::memcpy(out_[queued_].data(), data, size);
  out_vectors_[queued_] = {out_[queued_].data(), size};
  ++queued_;
}

void BatchSocket::Flush() {
  size_t sent = 0;
  while (sent < queued_) {
    const int count = sendmmsg(fd_, out_headers_.data() + sent,
                               static_cast<unsigned>(queued_ - sent), 0);
    // What the network does not take is lost, as it may be anywhere.
    sent += count > 0 ? static_cast<size_t>(count) : 1;
  }
  queued_ = 0;
}

}  // namespace cordon::bench
