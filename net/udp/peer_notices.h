// What the network says of the peers of a socket that is connected to none of
// them: ICMP and ICMPv6 messages, which the kernel keeps in a queue beside that
// of the datagrams.
#ifndef CORDON_NET_UDP_PEER_NOTICES_H_
#define CORDON_NET_UDP_PEER_NOTICES_H_

#include <sys/socket.h>

#include <cstddef>

#include "cordon/net/udp/datagram_socket.h"

namespace cordon::net {

// Read at once; the others have their turn before the next.
inline constexpr size_t kNoticesAtOnce = 64;

// Has the kernel keep notices for the unconnected socket `fd`. From then on the
// next call on the socket fails once with the error of a notice that has come,
// whoever it is about, unless the notice was read before. False if the kernel
// cannot.
bool KeepPeerNotices(int fd, int family, bool v6_only);

// Reads the notices of `fd`, at most `kNoticesAtOnce`, and delivers them to
// `receiver` as long as that is not null.
void ReadPeerNotices(int fd, DatagramReceiver* const& receiver,
                     DatagramSocketStatistics& statistics);

// True if a call may have failed with `error` because of a notice.
bool MayComeFromNotice(int error);

// Takes a message apart that was read from the queue of notices. False if it
// says nothing of a peer.
bool ParsePeerNotice(const msghdr& message, PeerNotice* notice);

}  // namespace cordon::net

#endif  // CORDON_NET_UDP_PEER_NOTICES_H_
