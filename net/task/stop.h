// Cooperative stopping for coroutines that run on one thread.
//
// A `StopSource` is where stopping is asked for, a `StopToken` is how an
// operation learns of it, a `StopCallback` is what runs at that moment. A task
// inherits its awaiting task's token (task.h); `WithTimeout` and `TaskScope`
// replace it by one of their own that is linked to the outer one.
//
//   StopSource stop;
//   scope.Spawn(Work(stop.token()));
//   stop.RequestStop();   // every operation that waits completes, kCancelled
//
// Nothing here allocates, locks, or may be used from two threads.
#ifndef CORDON_NET_TASK_STOP_H_
#define CORDON_NET_TASK_STOP_H_

#include "cordon/net/base/intrusive_list.h"

namespace cordon::net {

class StopSource;
struct StopListTag {};

// A view of a `StopSource`, which must outlive it. A default-made token never
// stops.
class StopToken {
 public:
  StopToken() = default;
  bool stop_requested() const;
  // False if no request can ever come.
  bool stop_possible() const { return source_ != nullptr; }

 private:
  friend class StopSource;
  friend class StopCallback;
  explicit StopToken(StopSource* source) : source_(source) {}
  StopSource* source_ = nullptr;
};

// Base of whatever waits. Unregisters itself when destroyed. `OnStop` runs
// inside `RequestStop` and may only mark things ready: it must not resume a
// coroutine nor destroy the source.
class StopCallback : public IntrusiveListNode<StopListTag> {
 public:
  StopCallback() = default;
  StopCallback(const StopCallback&) = delete;
  StopCallback& operator=(const StopCallback&) = delete;

  // Registers for one call of `OnStop`. A token that has already stopped calls
  // nothing: check `stop_requested` first.
  void RegisterWith(StopToken token);
  // After this `OnStop` will not run. Harmless when not registered.
  void Unregister() { Unlink(); }

 protected:
  virtual ~StopCallback() = default;

 private:
  friend class StopSource;
  virtual void OnStop() = 0;
};

class StopSource : private StopCallback {
 public:
  StopSource() = default;
  // Stops when `parent` does, too.
  explicit StopSource(StopToken parent) { LinkTo(parent); }

  StopToken token() { return StopToken(this); }
  bool stop_requested() const { return requested_; }
  // Runs each registered callback once, in the order of registration.
  // Idempotent.
  void RequestStop();
  // Stops from now on when `parent` does (at once if it already has). Replaces
  // an earlier link.
  void LinkTo(StopToken parent);
  void UnlinkFromParent() { StopCallback::Unregister(); }

 private:
  friend class StopCallback;
  void OnStop() override { RequestStop(); }

  IntrusiveList<StopCallback, StopListTag> callbacks_;
  bool requested_ = false;
};

inline bool StopToken::stop_requested() const {
  return source_ != nullptr && source_->stop_requested();
}

inline void StopCallback::RegisterWith(StopToken token) {
  Unregister();
  if (token.source_ != nullptr && !token.source_->requested_) {
    token.source_->callbacks_.push_back(*this);
  }
}

inline void StopSource::RequestStop() {
  if (requested_) return;
  requested_ = true;
  StopCallback::Unregister();
  while (!callbacks_.empty()) callbacks_.pop_front()->OnStop();
}

inline void StopSource::LinkTo(StopToken parent) {
  if (parent.stop_requested()) {
    RequestStop();
  } else {
    RegisterWith(parent);
  }
}

}  // namespace cordon::net

#endif  // CORDON_NET_TASK_STOP_H_
