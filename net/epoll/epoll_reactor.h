// The epoll reactor, for where io_uring is refused (as in many containers):
// recvmmsg and sendmmsg in batches, with the same trains. Where those are
// refused, too, there is a system call for each message.
#ifndef CORDON_NET_EPOLL_EPOLL_REACTOR_H_
#define CORDON_NET_EPOLL_EPOLL_REACTOR_H_

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/base/slab.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/net/base/wake_fd.h"
#include "cordon/net/epoll/message_calls.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/kernel_socket.h"
#include "cordon/net/udp/train.h"

namespace cordon::net {

class EpollSocket;
struct EpollAllTag {};
struct EpollDirtyTag {};
struct EpollFailedTag {};
struct EpollReadableTag {};

class EpollReactor final : public Reactor {
 public:
  struct Options {
    size_t trains = 2048;
  };
  // Failures to wait, in a row, where one may pass, before the reactor fails.
  static constexpr int kMaxFailures = 200;

  // kPermissionDenied or kUnimplemented where a system call is refused without
  // which nothing can be served.
  static absl::StatusOr<std::unique_ptr<EpollReactor>> Create(
      const Options& options);
  ~EpollReactor() override;

  absl::StatusOr<std::unique_ptr<DatagramSocket>> OpenSocket(
      const DatagramSocketOptions& options) override;
  absl::string_view backend() const override { return "epoll"; }
  // Why it is slower than it could be; empty if it is not.
  const std::string& limitation() const { return calls_->limitation(); }

 protected:
  void Poll(absl::Time until) override;
  void Wake() override { wake_.Wake(); }
  bool MustSend() const override { return trains_.scarce() && !dirty_.empty(); }

 private:
  friend class EpollSocket;
  using SocketId = Slab<EpollSocket*>::Id;

  // Messages of one recvmmsg or sendmmsg.
  static constexpr size_t kBatch = MessageCalls::kBatch;
  // Batches taken from one socket before the others have their turn.
  static constexpr size_t kBatchesPerTurn = 8;
  static constexpr size_t kReceiveBytes = 65536;

  explicit EpollReactor(const Options& options);
  absl::Status Init();
  absl::Status Probe();
  void SendQueued();
  // How many of `events` there are; -1 if the kernel refuses to tell.
  int WaitForEvents(absl::Time until, absl::Span<epoll_event> events);
  void HandleEvent(const epoll_event& event);
  void Receive(EpollSocket& socket);
  void HandleWaitError(int error);
  void FailAll(const absl::Status& why);
  void PollFailed(absl::Time until);

  struct ReceiveBatch;

  std::optional<MessageCalls> calls_;
  UniqueFd epoll_;
  WakeFd wake_;
  TrainPool trains_;
  std::unique_ptr<ReceiveBatch> receive_;
  // By the number that the kernel knows them by: it may tell of one that has
  // just been destroyed.
  Slab<EpollSocket*> registered_;
  IntrusiveList<EpollSocket, EpollAllTag> sockets_;
  IntrusiveList<EpollSocket, EpollDirtyTag> dirty_;
  // Reported readable in this turn.
  IntrusiveList<EpollSocket, EpollReadableTag> readable_;
  // To be told that they have failed.
  IntrusiveList<EpollSocket, EpollFailedTag> failed_;
  int wait_failures_ = 0;
};

class EpollSocket final : public DatagramSocket,
                          public IntrusiveListNode<EpollAllTag>,
                          public IntrusiveListNode<EpollDirtyTag>,
                          public IntrusiveListNode<EpollReadableTag>,
                          public IntrusiveListNode<EpollFailedTag> {
 public:
  EpollSocket(EpollReactor& reactor, KernelSocket socket,
              const DatagramSocketOptions& options);
  ~EpollSocket() override;

  void StartReceiving(DatagramReceiver& receiver) override;
  void StopReceiving() override;
  absl::Status Retire() override { return RetireKernelSocket(socket_); }
  Task<absl::Status> Close() override;
  size_t path_mtu() const override { return KernelPathMtu(socket_); }

 protected:
  void OnQueued() override;

 private:
  friend class EpollReactor;

  // Has epoll know the socket, once, before anything else.
  absl::Status Register();
  // Sends the trains until one is refused; keeps the rest for later.
  void SendTrains();
  // What is queued when the socket ends.
  void SendRest();
  // Has epoll forget it, and closes the descriptor.
  void Unregister();
  void Release();
  void OnWritable();
  // What is left makes epoll report the socket again.
  void OnError();
  void UpdateInterest();

  EpollReactor& reactor_;
  KernelSocket socket_;
  Endpoint peer_;
  EpollReactor::SocketId id_ = 0;
  bool registered_ = false;
  uint32_t interest_ = 0;
  // Of a call that failed where nobody could be told.
  absl::Status failure_;
  // Those that are being sent.
  std::vector<Train*> sending_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_EPOLL_EPOLL_REACTOR_H_
