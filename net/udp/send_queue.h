// Coroutines that wait until they may send to one peer.
//
// What a reactor can take within one turn of its loop is bounded, and so is
// what it keeps for a socket whose network takes nothing. Whoever sends and can
// wait therefore has a queue, which stands in a list of its socket or of its
// reactor until its turn comes:
//
//   // One for each peer: `senders_`.
//   bool waited = false;
//   while (!(waited || senders_.unused()) || !socket.MaySend(path, size)) {
//     socket.Enqueue(senders_, path);
//     waited = co_await senders_.Wait();
//     if (!waited) co_return StoppedStatus("Send");
//   }
//   socket.Send(path, bytes);
//   senders_.Pass();
#ifndef CORDON_NET_UDP_SEND_QUEUE_H_
#define CORDON_NET_UDP_SEND_QUEUE_H_

#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/task/wait_queue.h"

namespace cordon::net {

struct SendQueueTag {};

// First come, first served: all that wait in one send to the same peer. Belongs
// to the reactor's thread; may be destroyed at any time, and whoever waits is
// woken then.
class SendQueue : public IntrusiveListNode<SendQueueTag> {
 public:
  // True if nobody was here before.
  bool unused() const { return waiters_.unused(); }
  WaitQueue::Waiter Wait() { return waiters_.Wait(); }

  // By who was woken and has sent: the next one may try.
  void Pass() { waiters_.WakeOne(); }
  // Its turn has come.
  void OnTurn() {
    Unlink();
    waiters_.WakeOne();
  }
  // There is nothing to wait for any more.
  void WakeAll() {
    Unlink();
    waiters_.WakeAll();
  }

 private:
  WaitQueue waiters_;
};

using SendQueueList = IntrusiveList<SendQueue, SendQueueTag>;

}  // namespace cordon::net

#endif  // CORDON_NET_UDP_SEND_QUEUE_H_
