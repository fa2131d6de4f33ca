// The epoll reactor, for where io_uring is refused (as in many containers):
// recvmmsg and sendmmsg in batches, with the same trains.
#ifndef CORDON_NET_EPOLL_EPOLL_REACTOR_H_
#define CORDON_NET_EPOLL_EPOLL_REACTOR_H_

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/kernel_socket.h"
#include "cordon/net/udp/train.h"

namespace cordon::net {

class EpollSocket;
struct EpollDirtyTag {};
struct EpollReadableTag {};

class EpollReactor final : public Reactor {
 public:
  struct Options {
    size_t trains = 512;
  };

  static absl::StatusOr<std::unique_ptr<EpollReactor>> Create(
      const Options& options);
  ~EpollReactor() override;

  absl::StatusOr<std::unique_ptr<DatagramSocket>> OpenSocket(
      const DatagramSocketOptions& options) override;
  absl::string_view backend() const override { return "epoll"; }

 protected:
  void Poll(absl::Time until) override;
  void Wake() override;

 private:
  friend class EpollSocket;

  // Messages of one recvmmsg or sendmmsg.
  static constexpr size_t kBatch = 64;
  // Batches taken from one socket before the others have their turn.
  static constexpr size_t kBatchesPerTurn = 8;
  static constexpr size_t kReceiveBytes = 65536;

  explicit EpollReactor(const Options& options);
  absl::Status Init();
  void SendQueued();
  void Receive(EpollSocket& socket);

  struct ReceiveBatch;

  UniqueFd epoll_;
  UniqueFd wake_fd_;
  TrainPool trains_;
  std::unique_ptr<ReceiveBatch> receive_;
  IntrusiveList<EpollSocket, EpollDirtyTag> dirty_;
  // Reported readable in this turn.
  IntrusiveList<EpollSocket, EpollReadableTag> readable_;
};

class EpollSocket final : public DatagramSocket,
                          public IntrusiveListNode<EpollDirtyTag>,
                          public IntrusiveListNode<EpollReadableTag> {
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
  void FlushNow() override;

 private:
  friend class EpollReactor;

  // Sends the trains until one is refused; keeps the rest for later.
  void SendTrains();
  void OnWritable();
  // What is left makes epoll report the socket again.
  void OnError();
  void UpdateInterest();

  EpollReactor& reactor_;
  KernelSocket socket_;
  Endpoint peer_;
  DatagramReceiver* receiver_ = nullptr;
  std::vector<Train*> pending_;
  uint32_t interest_ = 0;
  bool registered_ = false;
};

}  // namespace cordon::net

#endif  // CORDON_NET_EPOLL_EPOLL_REACTOR_H_
