// The io_uring reactor: one ring, one system call a turn.
//
// Receiving: one multishot recvmsg per socket, into a ring of buffers that the
// reactor owns. Sending: one sendmsg per train, run by the kernel within the
// call that also waits, so its memory is free again when that returns.
#ifndef CORDON_NET_URING_URING_REACTOR_H_
#define CORDON_NET_URING_URING_REACTOR_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/base/slab.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/udp/train.h"
#include "cordon/net/uring/ring.h"

namespace cordon::net {

class UringSocket;
struct DirtyListTag {};
struct RearmListTag {};

class UringReactor final : public Reactor {
 public:
  struct Options {
    unsigned submissions = 1024;
    unsigned completions = 4096;
    unsigned receive_buffers = 256;
    size_t trains = 512;
  };

  // kUnimplemented or kPermissionDenied where io_uring is refused, and
  // kResourceExhausted where there is not enough memory for it: use epoll.
  static absl::StatusOr<std::unique_ptr<UringReactor>> Create(
      const Options& options);
  ~UringReactor() override;

  absl::StatusOr<std::unique_ptr<DatagramSocket>> OpenSocket(
      const DatagramSocketOptions& options) override;
  absl::string_view backend() const override { return "io_uring"; }

  // Requests that the kernel has not finished with.
  size_t operations_in_flight() const { return operations_.used(); }

 protected:
  void Poll(absl::Time until) override;
  void Wake() override;

 private:
  friend class UringSocket;

  // A request in the kernel. Its slot is freed by its last completion only,
  // whatever has become of `socket`.
  struct Operation {
    enum Kind : uint8_t { kReceive, kSend, kWritable, kWakeUp };
    Kind kind = kReceive;
    UringSocket* socket = nullptr;
    Train* train = nullptr;
    // Of a socket that was destroyed meanwhile: closed with the slot.
    UniqueFd fd;
  };
  using OperationId = Slab<Operation>::Id;

  explicit UringReactor(const Options& options);
  absl::Status Init();
  absl::Status InitRings();

  void ArmWakeUp();
  void ArmReceive(UringSocket& socket);
  void Cancel(OperationId id);
  void PrepareSends();
  // Frees the trains that the last submission has sent.
  void ReleaseSent();
  void HandleCompletions();
  void HandleCompletion(const io_uring_cqe& cqe);
  void Complete(const io_uring_cqe& cqe);
  // Whether what was received has to wait for the next turn.
  bool MustDefer();
  void HandleReceive(Operation& operation, const io_uring_cqe& cqe);

  const Options options_;
  UniqueFd wake_fd_;
  Ring ring_;
  BufferRing buffers_;
  TrainPool trains_;
  Slab<Operation> operations_;
  // What every multishot receive asks for.
  msghdr receive_header_ = {};
  IntrusiveList<UringSocket, DirtyListTag> dirty_;
  IntrusiveList<UringSocket, RearmListTag> rearm_;
  // Kept for their memory; of use within `PrepareSends` and one turn only.
  std::vector<Train*> to_send_;
  std::vector<OperationId> sent_;
  // Received when the turn's time slice was spent: for the next turn.
  std::vector<io_uring_cqe> deferred_;
  unsigned deliveries_ = 0;
};

}  // namespace cordon::net

#endif  // CORDON_NET_URING_URING_REACTOR_H_
