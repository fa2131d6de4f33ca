#ifndef CORDON_NET_URING_URING_SOCKET_H_
#define CORDON_NET_URING_URING_SOCKET_H_

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/kernel_socket.h"
#include "cordon/net/uring/uring_reactor.h"

namespace cordon::net {

// A socket of a `UringReactor`.
class UringSocket final : public DatagramSocket,
                          public IntrusiveListNode<AllListTag>,
                          public IntrusiveListNode<DirtyListTag>,
                          public IntrusiveListNode<RearmListTag>,
                          public IntrusiveListNode<WritableListTag> {
 public:
  UringSocket(UringReactor& reactor, KernelSocket socket,
              const DatagramSocketOptions& options);
  ~UringSocket() override;

  void StartReceiving(DatagramReceiver& receiver) override;
  void StopReceiving() override;
  absl::Status Retire() override { return RetireKernelSocket(socket_); }
  Task<absl::Status> Close() override;
  size_t path_mtu() const override { return KernelPathMtu(socket_); }

 protected:
  void OnQueued() override;

 private:
  friend class UringReactor;

  bool idle() const {
    return receive_ == 0 && writable_poll_ == 0 && sends_in_ring_ == 0;
  }
  // What is queued when the socket ends.
  void SendRest();
  // Takes `train` back.
  void OnSent(Train& train);
  void OnSendFailed(Train& train, int error);
  void OnWritable(int result);
  void ReadNotices();

  UringReactor& reactor_;
  KernelSocket socket_;
  Endpoint peer_;
  // Of the armed receive; 0 when there is none. (Slot 0 is the wake-up's.)
  UringReactor::OperationId receive_ = 0;
  UringReactor::OperationId writable_poll_ = 0;
  size_t sends_in_ring_ = 0;
  // One of these has ended.
  WaitQueue ended_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_URING_URING_SOCKET_H_
