#include "cordon/testing/network_namespace/network_namespace.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cordon/net/base/errno_status.h"
#include "cordon/net/base/unique_fd.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using net::ErrnoStatus;

constexpr int kPassed = 0;
constexpr int kFailed = 1;
constexpr int kNotAllowed = 77;

bool WriteFile(const char* path, const std::string& text) {
  const net::UniqueFd fd(open(path, O_WRONLY | O_CLOEXEC));
  return fd.valid() && write(fd.get(), text.data(), text.size()) ==
                           static_cast<ssize_t>(text.size());
}

// With the rights of an administrator or, without them, in a user namespace in
// which everybody may be one.
bool EnterNetworkNamespace() {
  if (unshare(CLONE_NEWNET) == 0) return true;
  const uid_t user = getuid();
  const gid_t group = getgid();
  return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
         WriteFile("/proc/self/setgroups", "deny") &&
         WriteFile("/proc/self/uid_map", absl::StrCat("0 ", user, " 1")) &&
         WriteFile("/proc/self/gid_map", absl::StrCat("0 ", group, " 1"));
}

uint16_t Checksum(const std::vector<uint8_t>& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? uint32_t{bytes[i]} << 8 : bytes[i];
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

template <typename T>
void Append(std::vector<uint8_t>& to, const T& header) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&header);
  to.insert(to.end(), bytes, bytes + sizeof(header));
}

in_addr AddressOf(const net::Endpoint& endpoint) {
  in_addr address = {};
  std::memcpy(&address, endpoint.address_bytes().data(), sizeof(address));
  return address;
}

udphdr UdpHeader(const net::Endpoint& from, const net::Endpoint& to,
                 size_t bytes) {
  udphdr udp = {};
  udp.source = htons(from.port());
  udp.dest = htons(to.port());
  udp.len = htons(static_cast<uint16_t>(bytes));
  return udp;
}

absl::Status SendRaw(int protocol, const net::Endpoint& to,
                     const std::vector<uint8_t>& message) {
  const net::UniqueFd fd(
      socket(to.family(), SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.valid()) return ErrnoStatus(errno, "cannot open a raw socket");
  sockaddr_storage address = {};
  const socklen_t length = to.WithPort(0).ToSockaddr(&address, to.family());
  if (sendto(fd.get(), message.data(), message.size(), 0,
             reinterpret_cast<const sockaddr*>(&address), length) < 0) {
    return ErrnoStatus(errno, "cannot send an ICMP message");
  }
  return absl::OkStatus();
}

// What a router says of a datagram of `bytes` bytes, headers included, that
// `from` has sent to `to`: `notice` and the beginning of it.
absl::Status SendNotice(icmphdr notice, const net::Endpoint& from,
                        const net::Endpoint& to, size_t bytes) {
  iphdr ip = {};
  ip.version = 4;
  ip.ihl = sizeof(ip) / 4;
  ip.tot_len = htons(static_cast<uint16_t>(bytes));
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  ip.saddr = AddressOf(from).s_addr;
  ip.daddr = AddressOf(to).s_addr;
  std::vector<uint8_t> message;
  Append(message, notice);
  Append(message, ip);
  Append(message, UdpHeader(from, to, bytes - sizeof(ip)));
  const uint16_t sum = Checksum(message);
  message[2] = static_cast<uint8_t>(sum >> 8);
  message[3] = static_cast<uint8_t>(sum);
  return SendRaw(IPPROTO_ICMP, from, message);
}

absl::Status SendNotice(icmp6_hdr notice, const net::Endpoint& from,
                        const net::Endpoint& to, size_t bytes) {
  ip6_hdr ip = {};
  ip.ip6_vfc = 6 << 4;
  ip.ip6_plen = htons(static_cast<uint16_t>(bytes - sizeof(ip)));
  ip.ip6_nxt = IPPROTO_UDP;
  ip.ip6_hlim = 64;
  std::memcpy(&ip.ip6_src, from.address_bytes().data(), sizeof(ip.ip6_src));
  std::memcpy(&ip.ip6_dst, to.address_bytes().data(), sizeof(ip.ip6_dst));
  std::vector<uint8_t> message;
  Append(message, notice);
  Append(message, ip);
  Append(message, UdpHeader(from, to, bytes - sizeof(ip)));
  // The kernel fills in the checksum.
  return SendRaw(IPPROTO_ICMPV6, from, message);
}

}  // namespace

NamespaceResult RunInNetworkNamespace(absl::FunctionRef<void()> body) {
  NamespaceResult result;
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    if (!EnterNetworkNamespace() || !SetLoopbackUp(true).ok()) {
      _exit(kNotAllowed);
    }
    body();
    std::fflush(nullptr);
    _exit(::testing::Test::HasFailure() ? kFailed : kPassed);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) {
    result.reason = "no process can be started";
    return result;
  }
  result.allowed = !WIFEXITED(status) || WEXITSTATUS(status) != kNotAllowed;
  if (!result.allowed) {
    result.reason = "this system gives us no network namespace of our own";
  }
  result.passed = WIFEXITED(status) && WEXITSTATUS(status) == kPassed;
  return result;
}

absl::Status SetLoopbackUp(bool up) {
  const net::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  if (ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0) {
    return ErrnoStatus(errno, "SIOCGIFFLAGS");
  }
  const int flags = request.ifr_flags;
  request.ifr_flags =
      static_cast<short>(up ? flags | IFF_UP : flags & ~IFF_UP);  // NOLINT
  if (ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) {
    return ErrnoStatus(errno, "SIOCSIFFLAGS");
  }
  return absl::OkStatus();
}

absl::Status SendPathMtuNotice(const net::Endpoint& from,
                               const net::Endpoint& to, size_t mtu) {
  if (from.is_v6()) {
    icmp6_hdr notice = {};
    notice.icmp6_type = ICMP6_PACKET_TOO_BIG;
    notice.icmp6_mtu = htonl(static_cast<uint32_t>(mtu));
    return SendNotice(notice, from, to, mtu + 1);
  }
  icmphdr notice = {};
  notice.type = ICMP_DEST_UNREACH;
  notice.code = ICMP_FRAG_NEEDED;
  notice.un.frag.mtu = htons(static_cast<uint16_t>(mtu));
  return SendNotice(notice, from, to, mtu + 1);
}

absl::Status SendRefusal(const net::Endpoint& from, const net::Endpoint& to) {
  if (from.is_v6()) {
    icmp6_hdr notice = {};
    notice.icmp6_type = ICMP6_DST_UNREACH;
    notice.icmp6_code = ICMP6_DST_UNREACH_NOPORT;
    return SendNotice(notice, from, to, 200);
  }
  icmphdr notice = {};
  notice.type = ICMP_DEST_UNREACH;
  notice.code = ICMP_PORT_UNREACH;
  return SendNotice(notice, from, to, 200);
}

absl::Status SendDatagramAs(const net::Endpoint& from, const net::Endpoint& to,
                            absl::Span<const uint8_t> bytes) {
  // Without a checksum, as IPv4 allows; the kernel writes the IP header.
  std::vector<uint8_t> message;
  Append(message, UdpHeader(from, to, sizeof(udphdr) + bytes.size()));
  message.insert(message.end(), bytes.begin(), bytes.end());
  return SendRaw(IPPROTO_UDP, to, message);
}

}  // namespace cordon::testing
