// The io_uring reactor: one ring, one system call a turn.
//
// Receiving: one multishot recvmsg per socket, into a ring of buffers that the
// reactor owns. Sending: one sendmsg per train, run by the kernel within the
// call that also waits, so its memory is free again when that returns.
#ifndef CORDON_NET_URING_URING_REACTOR_H_
#define CORDON_NET_URING_URING_REACTOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cordon/net/base/intrusive_list.h"
#include "cordon/net/base/slab.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/net/base/wake_fd.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/udp/train.h"
#include "cordon/net/uring/ring.h"

namespace cordon::net {

class UringSocket;
struct AllListTag {};
struct DirtyListTag {};
struct RearmListTag {};
struct WritableListTag {};

class UringReactor final : public Reactor {
 public:
  struct Options {
    unsigned submissions = 1024;
    unsigned completions = 4096;
    unsigned receive_buffers = 256;
    size_t trains = 2048;
  };
  // Failures in a row, where one may pass, before the reactor fails.
  static constexpr int kMaxFailures = 200;

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
  void Wake() override { wake_.Wake(); }
  bool MustSend() const override { return trains_.scarce() && !dirty_.empty(); }

 private:
  friend class UringSocket;

  // A request in the kernel. Its slot is freed by its last completion only,
  // whatever has become of `socket`; that of a send when the kernel has taken
  // it and said nothing.
  struct Operation {
    enum Kind : uint8_t { kReceive, kSend, kWritable, kWakeUp };
    Kind kind = kReceive;
    UringSocket* socket = nullptr;
    Train* train = nullptr;
    // Of a socket that was destroyed meanwhile: closed with its last slot.
    std::shared_ptr<UniqueFd> fd;
  };
  using OperationId = Slab<Operation>::Id;
  struct Sent {
    OperationId id;
    unsigned place;
  };

  explicit UringReactor(const Options& options);
  absl::Status Init();
  absl::Status InitRings();

  // What is to be submitted. Each stops where the kernel takes no more (false),
  // and goes on in the next turn.
  bool Prepare();
  bool PrepareCancels();
  bool PrepareReceives();
  bool PrepareWaits();
  bool PrepareSends();
  void Cancel(OperationId id) { cancels_.push_back(id); }

  // How many there were.
  unsigned HandleCompletions();
  void HandleCompletion(const io_uring_cqe& cqe);
  void HandleDeferred();
  // Whether what was received has to wait for the next turn.
  bool MustDefer();
  void Complete(Operation& operation, const io_uring_cqe& cqe);
  void HandleReceive(Operation& operation, const io_uring_cqe& cqe);
  void HandleSend(Operation& operation, const io_uring_cqe& cqe);
  void HandleWakeUp(const io_uring_cqe& cqe, bool last);
  // Frees the trains that the kernel has sent.
  void ReleaseSent();

  // Lets go of what the kernel has of `socket`, which is being destroyed.
  void Abandon(UringSocket& socket);
  void HandleEnterError(int error, bool progress);
  void FailAll(absl::Status why);
  void PollFailed(absl::Time until);

  const Options options_;
  WakeFd wake_;
  Ring ring_;
  BufferRing buffers_;
  TrainPool trains_;
  Slab<Operation> operations_;
  // What every multishot receive asks for.
  msghdr receive_header_ = {};
  IntrusiveList<UringSocket, AllListTag> sockets_;
  IntrusiveList<UringSocket, DirtyListTag> dirty_;
  IntrusiveList<UringSocket, RearmListTag> rearm_;
  IntrusiveList<UringSocket, WritableListTag> await_writable_;
  std::vector<OperationId> cancels_;
  bool wake_armed_ = false;
  int wake_failures_ = 0;
  int wake_error_ = 0;
  int enter_failures_ = 0;
  // Sends that were prepared and not released, in the order of their places.
  std::vector<Sent> sent_;
  // Received while there were no trains to answer: for the next turn.
  std::vector<io_uring_cqe> deferred_;
  // Kept for its memory; of use within `PrepareSends` only.
  std::vector<Train*> to_send_;
  unsigned deliveries_ = 0;
};

}  // namespace cordon::net

#endif  // CORDON_NET_URING_URING_REACTOR_H_
