// recvmmsg and sendmmsg, or what does the same where they are refused.
#ifndef CORDON_NET_EPOLL_MESSAGE_CALLS_H_
#define CORDON_NET_EPOLL_MESSAGE_CALLS_H_

#include <sys/socket.h>

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace cordon::net {

class MessageCalls {
 public:
  // Asks the kernel, without any effect, which calls it lets this thread make:
  // a container's filter of system calls may refuse those for several messages
  // at once. The status of such a refusal if not even single messages can be
  // sent and received.
  static absl::StatusOr<MessageCalls> Probe();

  // Why there is a call for each message; empty if there is one for several.
  const std::string& limitation() const { return limitation_; }

  // How many messages to offer to `Receive` at once.
  size_t receive_batch() const { return receives_several_ ? kBatch : 1; }

  // As recvmmsg without a timeout: how many were received, or -1 and errno. At
  // most `receive_batch()`.
  int Receive(int fd, mmsghdr* messages, size_t count) const;
  // As sendmmsg: how many were sent, or -1 and errno.
  int Send(int fd, mmsghdr* messages, size_t count, int flags) const;

  static constexpr size_t kBatch = 64;

 private:
  MessageCalls() = default;

  bool receives_several_ = true;
  bool sends_several_ = true;
  std::string limitation_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_EPOLL_MESSAGE_CALLS_H_
