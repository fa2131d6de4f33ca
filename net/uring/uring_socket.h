#ifndef CORDON_NET_URING_URING_SOCKET_H_
#define CORDON_NET_URING_URING_SOCKET_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/kernel_socket.h"
#include "cordon/net/uring/uring_reactor.h"

namespace cordon::net {

// A socket of a `UringReactor`.
class UringSocket final : public DatagramSocket,
                          public IntrusiveListNode<DirtyListTag>,
                          public IntrusiveListNode<RearmListTag> {
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
  void FlushNow() override;

 private:
  friend class UringReactor;

  bool open() const { return socket_.fd.valid(); }
  // Takes what is queued, for submission.
  void TakeQueued(std::vector<Train*>& trains);
  void OnSendFailed(Train& train, int error);
  void OnWritable();
  void ReadNotices();
  void Drop(Train& train);

  UringReactor& reactor_;
  KernelSocket socket_;
  Endpoint peer_;
  DatagramReceiver* receiver_ = nullptr;
  // Of the armed receive; 0 when there is none. (Slot 0 is the wake-up's.)
  UringReactor::OperationId receive_ = 0;
  UringReactor::OperationId writable_poll_ = 0;
  // Refused by a full socket; sent again when it is writable.
  std::vector<Train*> blocked_;
  // Queued again, ahead of what is queued now.
  std::vector<Train*> retry_;
  bool closing_ = false;
  WaitQueue receive_ended_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_URING_URING_SOCKET_H_
