#include "cordon/net/epoll/message_calls.h"

#include <algorithm>
#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cordon/net/base/errno_status.h"

namespace cordon::net {
namespace {

constexpr int kNoDescriptor = -1;

// The error of a call on a descriptor that cannot exist; 0 if it is the error
// of a kernel that looks for the descriptor, and so makes such calls.
int RefusalOf(ssize_t result) {
  const int error = result < 0 ? errno : 0;
  return error == EBADF ? 0 : error;
}

int RefusalToReceive() {
  msghdr message = {};
  return RefusalOf(recvmsg(kNoDescriptor, &message, MSG_DONTWAIT));
}
int RefusalToReceiveSeveral() {
  mmsghdr message = {};
  return RefusalOf(recvmmsg(kNoDescriptor, &message, 1, MSG_DONTWAIT, nullptr));
}
int RefusalToSend() {
  msghdr message = {};
  return RefusalOf(sendmsg(kNoDescriptor, &message, MSG_DONTWAIT));
}
int RefusalToSendSeveral() {
  mmsghdr message = {};
  return RefusalOf(sendmmsg(kNoDescriptor, &message, 1, MSG_DONTWAIT));
}

}  // namespace

absl::StatusOr<MessageCalls> MessageCalls::Probe() {
  MessageCalls calls;
  if (const int error = RefusalToReceiveSeveral(); error != 0) {
    if (RefusalToReceive() != 0) {
      return ErrnoStatus(error, "neither recvmmsg nor recvmsg is permitted");
    }
    calls.receives_several_ = false;
    calls.limitation_ =
        std::string(ErrnoStatus(error, "recvmmsg is refused").message());
  }
  if (const int error = RefusalToSendSeveral(); error != 0) {
    if (RefusalToSend() != 0) {
      return ErrnoStatus(error, "neither sendmmsg nor sendmsg is permitted");
    }
    calls.sends_several_ = false;
    absl::StrAppend(&calls.limitation_, calls.limitation_.empty() ? "" : ", ",
                    ErrnoStatus(error, "sendmmsg is refused").message());
  }
  return calls;
}

int MessageCalls::Receive(int fd, mmsghdr* messages, size_t count) const {
  if (receives_several_) {
    return recvmmsg(fd, messages, static_cast<unsigned>(count), 0, nullptr);
  }
  // One at a time: the error of a second one would be lost.
  const ssize_t bytes = recvmsg(fd, &messages->msg_hdr, 0);
  if (bytes < 0) return -1;
  messages->msg_len = static_cast<unsigned>(bytes);
  return 1;
}

int MessageCalls::Send(int fd, mmsghdr* messages, size_t count,
                       int flags) const {
  if (sends_several_) {
    return sendmmsg(fd, messages, static_cast<unsigned>(count), flags);
  }
  for (size_t i = 0; i < count; ++i) {
    const ssize_t bytes = sendmsg(fd, &messages[i].msg_hdr, flags);
    // As sendmmsg does: the caller meets the error again with the next call.
    if (bytes < 0) return i == 0 ? -1 : static_cast<int>(i);
    messages[i].msg_len = static_cast<unsigned>(bytes);
  }
  return static_cast<int>(count);
}

}  // namespace cordon::net
