// The sessions of a listener that wait for the service to accept them.
#ifndef CORDON_DTLS_INTERNAL_ACCEPT_QUEUE_H_
#define CORDON_DTLS_INTERNAL_ACCEPT_QUEUE_H_

#include <cstddef>
#include <deque>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cordon/dtls/internal/session.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/wait_queue.h"

namespace cordon::dtls::internal {

// First come, first served. For the reactor's thread.
class AcceptQueue {
 public:
  bool open() const { return closed_.ok(); }
  size_t size() const { return sessions_.size(); }

  void Push(std::unique_ptr<Session> session);
  // Destroys it. A no-op if it is not there.
  void Remove(const Session& session);
  // Destroys all that wait here, and there will be no more; who asks for one
  // gets `why`, of the first call.
  void Close(absl::Status why);

  // The status of `Close`, if it is closed. Stop: kCancelled; no session is
  // lost. The queue outlives the task.
  net::Task<absl::StatusOr<std::unique_ptr<Session>>> Take();

 private:
  absl::Status closed_;
  std::deque<std::unique_ptr<Session>> sessions_;
  net::WaitQueue takers_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_ACCEPT_QUEUE_H_
