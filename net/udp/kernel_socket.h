// What the io_uring and the epoll backends share: opening a UDP socket, and
// taking a received message apart.
#ifndef CORDON_NET_UDP_KERNEL_SOCKET_H_
#define CORDON_NET_UDP_KERNEL_SOCKET_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::net {

struct KernelSocket {
  UniqueFd fd;
  int family = AF_UNSPEC;
  Endpoint local;
  // The kernel keeps notices about its peers, see peer_notices.h.
  bool peer_notices = false;
};

// A non-blocking socket, bound and, if asked for, connected. kUnavailable if
// the address is in use or not of this machine; the message names it.
absl::StatusOr<KernelSocket> OpenKernelSocket(
    const DatagramSocketOptions& options);

// See `DatagramSocket::Retire`.
absl::Status RetireKernelSocket(const KernelSocket& socket);

// True if the kernel splits trains on sending.
bool KernelHasGso(int fd);

// The path MTU of a connected socket as the kernel knows it, or 0.
size_t KernelPathMtu(const KernelSocket& socket);

// Tells `receiver` what the network reported of `peer`, to whom `socket` is
// connected; nothing if that is nobody, or if `error` is not the network's.
void ReportSocketError(int error, const KernelSocket& socket,
                       const Endpoint& peer, DatagramReceiver& receiver);

// What can be done after sendmsg() refused `train`, which is connected to
// `peer` or to nobody: what failed because of a notice about somebody is sent
// again, a soft error is told to `receiver` (may be null), `*gso` is cleared
// where the device on the way turns out to be unable, and what remains to be
// sent is sent singly. False if there is nothing to be done but to wait until
// the socket is writable; `train` has then what is left.
bool RecoverFromSendError(Train& train, int error, const KernelSocket& socket,
                          const Endpoint& peer, DatagramReceiver* receiver,
                          bool* gso, DatagramSocketStatistics& statistics);

// Sends `train` on a socket that is about to be closed, or counts it as lost.
void SendAtOnce(Train& train, const KernelSocket& socket, const Endpoint& peer,
                DatagramSocketStatistics& statistics);

// Room for the control messages that an open socket delivers.
inline constexpr size_t kReceiveControlBytes = 128;

// Delivers one message that the kernel filled in to `receiver`: as one
// datagram, or as several if it is a train, until `receiver` becomes null.
// Drops and counts what is empty or truncated. `message` needs name, control
// and flags; `payload` is what was received.
void DeliverMessage(const msghdr& message, absl::Span<uint8_t> payload,
                    const Endpoint& connected_peer,
                    DatagramReceiver* const& receiver,
                    DatagramSocketStatistics& statistics);

}  // namespace cordon::net

#endif  // CORDON_NET_UDP_KERNEL_SOCKET_H_
