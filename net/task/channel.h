// A bounded queue between coroutines of one thread.
//
//   net::Channel<Job> jobs(16);
//   CO_RETURN_IF_ERROR(co_await jobs.Send(Job{...}));   // waits while full
//   absl::StatusOr<Job> job = co_await jobs.Recv();     // waits while empty
//   jobs.Close();                                       // no more jobs
//
// To reach a channel from another thread, go through `Reactor::Post`. It may be
// closed, and destroyed, while coroutines wait for it.
#ifndef CORDON_NET_TASK_CHANNEL_H_
#define CORDON_NET_TASK_CHANNEL_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/wait_queue.h"

namespace cordon::net {

template <typename T>
class Channel {
 public:
  // Holds at most `capacity` values, at least one.
  explicit Channel(size_t capacity) : capacity_(capacity > 0 ? capacity : 1) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  size_t size() const { return values_.size(); }
  size_t capacity() const { return capacity_; }
  bool closed() const { return closed_; }

  // Suspends while the channel is full. kFailedPrecondition once it is closed
  // or destroyed. Stop, before it began or since: kCancelled, and the value is
  // not sent.
  Task<absl::Status> Send(T value) {
    const StopToken stop = co_await CurrentStopToken();
    if (stop.stop_requested()) {
      co_return StoppedStatus("Channel::Send");
    }
    while (!closed_ && values_.size() >= capacity_) {
      const Wakeup wakeup = co_await senders_.Wait();
      if (!wakeup) co_return wakeup.status("Channel::Send");
    }
    if (!TrySend(value)) {
      co_return absl::FailedPreconditionError(
          "Channel::Send: the channel is closed");
    }
    co_return absl::OkStatus();
  }

  // Moves `value` in if there is room and the channel is open. Never suspends.
  bool TrySend(T& value) {
    if (closed_ || values_.size() >= capacity_) return false;
    values_.push_back(std::move(value));
    receivers_.WakeOne();
    return true;
  }
  bool TrySend(T&& value) { return TrySend(value); }

  // Suspends while the channel is empty and open. kOutOfRange when it is closed
  // and empty, kFailedPrecondition when it is destroyed meanwhile. Stop, before
  // it began or since: kCancelled, and no value is taken.
  Task<absl::StatusOr<T>> Recv() {
    const StopToken stop = co_await CurrentStopToken();
    if (stop.stop_requested()) {
      co_return StoppedStatus("Channel::Recv");
    }
    while (values_.empty() && !closed_) {
      const Wakeup wakeup = co_await receivers_.Wait();
      if (!wakeup) co_return wakeup.status("Channel::Recv");
    }
    std::optional<T> value = TryRecv();
    if (!value.has_value()) {
      co_return absl::OutOfRangeError("Channel::Recv: closed and empty");
    }
    co_return *std::move(value);
  }

  // Takes the oldest value, if there is one. Never suspends.
  std::optional<T> TryRecv() {
    if (values_.empty()) return std::nullopt;
    std::optional<T> value(std::move(values_.front()));
    values_.pop_front();
    senders_.WakeOne();
    // A waiter that was woken for a value may have been destroyed before it
    // ran: pass the wake-up on.
    if (!values_.empty()) receivers_.WakeOne();
    return value;
  }

  // Lets receivers take what is left and makes senders fail. Idempotent.
  void Close() {
    closed_ = true;
    senders_.WakeAll();
    receivers_.WakeAll();
  }

 private:
  const size_t capacity_;
  std::deque<T> values_;
  bool closed_ = false;
  WaitQueue senders_;
  WaitQueue receivers_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_TASK_CHANNEL_H_
