// Ends the sessions of a listener some at a time: thousands of them would hold
// up everybody else.
#ifndef CORDON_DTLS_INTERNAL_SESSION_ENDER_H_
#define CORDON_DTLS_INTERNAL_SESSION_ENDER_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/time/timer_wheel.h"

namespace cordon::dtls::internal {

// For the reactor's thread.
class SessionEnder final : private net::Timer {
 public:
  // The sessions, which outlive it.
  class Sessions {
   public:
    virtual ~Sessions() = default;
    // A no-op if it is gone. The alert is that of the status' `ErrorDetail`, or
    // a close_notify.
    virtual void End(uint64_t id, const absl::Status& why) = 0;
    // The next one's id, in their order.
    virtual std::optional<uint64_t> After(uint64_t id) const = 0;
    // What `EndAllAt` asked for is done.
    virtual void OnAllEnded() = 0;
  };

  SessionEnder(net::Reactor& reactor, Sessions& sessions)
      : reactor_(reactor), sessions_(sessions) {}

  // In the next turn, not from within the session's own call.
  void EndSoon(uint64_t id, absl::Status why);
  // Those that are there then; `why` is what they are told.
  void EndAllAt(absl::Time when, absl::Status why);

 private:
  void OnTimer() override;
  void Arm();

  net::Reactor& reactor_;
  Sessions& sessions_;
  std::deque<std::pair<uint64_t, absl::Status>> soon_;
  absl::Time all_at_ = absl::InfiniteFuture();
  absl::Status why_all_;
  uint64_t ended_up_to_ = 0;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SESSION_ENDER_H_
