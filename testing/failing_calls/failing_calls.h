// System calls of the network that fail when they are told to.
//
//   CallFailure failure(Call::kSend, ENOBUFS, 3);   // three times
//
// The linker puts functions of ours in the place of the C library's and of
// liburing's, in programs that depend on this; all others have no part in it.
#ifndef CORDON_TESTING_FAILING_CALLS_FAILING_CALLS_H_
#define CORDON_TESTING_FAILING_CALLS_FAILING_CALLS_H_

#include <cstdint>

namespace cordon::testing {

enum class Call : uint8_t {
  kSocket,
  kEventFd,
  kEpollCreate,
  // Of memory.
  kMap,
  kRingSetup,
  kBufferRingSetup,
  // sendmsg, sendmmsg, and requests to send in a ring.
  kSend,
  // recvmsg and recvmmsg, but for errors, and requests to receive in a ring.
  kReceive,
  // Whatever enters a ring: nothing is submitted.
  kRingEnter,
  kEpollWait,
  // But EPOLL_CTL_DEL.
  kEpollControl,
};
inline constexpr int kCalls = 11;

// As long as it lives, the next `count` calls of a kind fail with `error`, and
// have no effect. One of each kind at a time; for one thread.
class CallFailure {
 public:
  CallFailure(Call call, int error, int count);
  CallFailure(const CallFailure&) = delete;
  CallFailure& operator=(const CallFailure&) = delete;
  ~CallFailure();

  // How many have failed.
  int happened() const;

 private:
  const Call call_;
};

// As long as it lives, the next `count` calls that submit to a ring take at
// most `entries` of what there is. For one thread.
class PartialSubmission {
 public:
  PartialSubmission(unsigned entries, int count);
  PartialSubmission(const PartialSubmission&) = delete;
  PartialSubmission& operator=(const PartialSubmission&) = delete;
  ~PartialSubmission();

  // How many have left something.
  int happened() const;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FAILING_CALLS_FAILING_CALLS_H_
