// Lets a coroutine find out that an object is gone, without keeping it.
//
//   class Socket {
//     Task<absl::Status> Wait() {
//       const Lifeline::Watch watch(lifeline_);
//       (void)co_await waiters_.Wait();
//       if (!watch.alive()) co_return absl::FailedPreconditionError("gone");
//       ...
//     }
//     Lifeline lifeline_;
//   };
//
// No allocation. Belongs to one thread.
#ifndef CORDON_NET_BASE_LIFELINE_H_
#define CORDON_NET_BASE_LIFELINE_H_

#include "cordon/net/base/intrusive_list.h"

namespace cordon::net {

struct LifelineTag {};

// A member of what may be destroyed while somebody waits for it.
class Lifeline {
 public:
  // Stands in the frame of whoever waits, and may outlive the object.
  class Watch : public IntrusiveListNode<LifelineTag> {
   public:
    explicit Watch(Lifeline& lifeline) { lifeline.watches_.push_back(*this); }

    bool alive() const { return linked(); }
  };

  Lifeline() = default;
  Lifeline(const Lifeline&) = delete;
  Lifeline& operator=(const Lifeline&) = delete;

 private:
  // Its end lets go of every node.
  IntrusiveList<Watch, LifelineTag> watches_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_LIFELINE_H_
