#include "cordon/testing/interop/datagram_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace cordon::testing {
namespace {

// What a capture file calls packets that begin with their IP header.
constexpr uint32_t kLinkTypeRaw = 101;
constexpr uint32_t kMaxPacketBytes = 65535;

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::abort();
}

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

net::UniqueFd UdpSocket() {
  net::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  Require(fd.valid(), "socket");
  return fd;
}

// Capture files are in the byte order of who writes them, packets in the
// network's.
template <typename T>
void Append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

DatagramRelay::DatagramRelay(uint16_t server_port)
    : server_port_(server_port),
      client_side_(UdpSocket()),
      server_side_(UdpSocket()),
      end_(eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof(address);
  Require(bind(client_side_.get(), reinterpret_cast<sockaddr*>(&address),
               length) == 0,
          "bind");
  Require(getsockname(client_side_.get(), reinterpret_cast<sockaddr*>(&address),
                      &length) == 0,
          "getsockname");
  port_ = ntohs(address.sin_port);
  address = Loopback(server_port);
  Require(connect(server_side_.get(), reinterpret_cast<sockaddr*>(&address),
                  length) == 0,
          "connect");
  Append<uint32_t>(&capture_, 0xa1b2c3d4);
  Append<uint16_t>(&capture_, 2);  // version 2.4
  Append<uint16_t>(&capture_, 4);
  Append<uint32_t>(&capture_, 0);  // time zone
  Append<uint32_t>(&capture_, 0);  // accuracy
  Append<uint32_t>(&capture_, kMaxPacketBytes);
  Append<uint32_t>(&capture_, kLinkTypeRaw);
  thread_ = std::thread([this] { Relay(); });
}

DatagramRelay::~DatagramRelay() { Stop(); }

const std::string& DatagramRelay::Stop() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    Require(write(end_.get(), &one, sizeof(one)) == sizeof(one), "write");
    thread_.join();
  }
  return capture_;
}

void DatagramRelay::Relay() {
  std::array<char, kMaxPacketBytes> buffer;
  sockaddr_in client = {};
  std::array<pollfd, 3> fds = {pollfd{client_side_.get(), POLLIN, 0},
                               pollfd{server_side_.get(), POLLIN, 0},
                               pollfd{end_.get(), POLLIN, 0}};
  while (true) {
    poll(fds.data(), fds.size(), -1);
    if (fds[0].revents != 0) {
      socklen_t length = sizeof(client);
      const ssize_t size =
          recvfrom(client_side_.get(), buffer.data(), buffer.size(), 0,
                   reinterpret_cast<sockaddr*>(&client), &length);
      if (size >= 0) {
        const auto bytes = static_cast<size_t>(size);
        Record(ntohs(client.sin_port), server_port_, {buffer.data(), bytes});
        (void)send(server_side_.get(), buffer.data(), bytes, 0);
      }
    } else if (fds[1].revents != 0) {
      const ssize_t size =
          recv(server_side_.get(), buffer.data(), buffer.size(), 0);
      if (size >= 0) {
        const auto bytes = static_cast<size_t>(size);
        Record(server_port_, ntohs(client.sin_port), {buffer.data(), bytes});
        (void)sendto(client_side_.get(), buffer.data(), bytes, 0,
                     reinterpret_cast<const sockaddr*>(&client),
                     sizeof(client));
      }
    } else if (fds[2].revents != 0) {
      // Only when there is nothing left to relay.
      return;
    }
  }
}

void DatagramRelay::Record(uint16_t from, uint16_t to,
                           absl::string_view payload) {
  constexpr size_t kIpBytes = 20;
  constexpr size_t kUdpBytes = 8;
  const timeval now = absl::ToTimeval(absl::Now());
  const auto size =
      static_cast<uint32_t>(kIpBytes + kUdpBytes + payload.size());
  Append(&capture_, static_cast<uint32_t>(now.tv_sec));
  Append(&capture_, static_cast<uint32_t>(now.tv_usec));
  Append(&capture_, size);  // in the file
  Append(&capture_, size);  // as it was
  // IPv4; nobody looks at checksums.
  Append<uint8_t>(&capture_, 0x45);
  Append<uint8_t>(&capture_, 0);
  Append(&capture_, htons(static_cast<uint16_t>(size)));
  Append<uint32_t>(&capture_, 0);  // not fragmented
  Append<uint8_t>(&capture_, 64);  // hops
  Append<uint8_t>(&capture_, IPPROTO_UDP);
  Append<uint16_t>(&capture_, 0);
  Append(&capture_, htonl(INADDR_LOOPBACK));
  Append(&capture_, htonl(INADDR_LOOPBACK));
  Append(&capture_, htons(from));
  Append(&capture_, htons(to));
  Append(&capture_, htons(static_cast<uint16_t>(kUdpBytes + payload.size())));
  Append<uint16_t>(&capture_, 0);
  capture_.append(payload.data(), payload.size());
}

}  // namespace cordon::testing
