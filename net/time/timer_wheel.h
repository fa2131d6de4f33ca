// Very many timers that are mostly re-armed or cancelled and seldom fire.
//
//   class Retransmission : public Timer { void OnTimer() override {...} };
//   wheel.Arm(retransmission, now + absl::Milliseconds(400));
//   ...
//   wheel.Advance(now);   // fires what is due
//
// A hierarchical wheel with ticks of one millisecond: arming and cancelling
// take constant time and no memory. A timer never fires early, and at most one
// tick late. Belongs to one thread.
#ifndef CORDON_NET_TIME_TIMER_WHEEL_H_
#define CORDON_NET_TIME_TIMER_WHEEL_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "cordon/net/base/intrusive_list.h"

namespace cordon::net {

struct TimerListTag {};

// Base of what is called when its time has come. Cancels itself when destroyed.
class Timer : public IntrusiveListNode<TimerListTag> {
 public:
  Timer() = default;

  bool armed() const { return linked(); }
  // When it was last armed for.
  absl::Time deadline() const { return deadline_; }

 protected:
  virtual ~Timer() = default;

 private:
  friend class TimerWheel;
  // Called once; may arm, cancel and destroy any timer, this one included.
  virtual void OnTimer() = 0;

  absl::Time deadline_ = absl::InfiniteFuture();
  uint64_t tick_ = 0;
};

class TimerWheel {
 public:
  // `start` is the earliest time that matters.
  explicit TimerWheel(absl::Time start);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Arms `timer` for `when`, instead of any earlier time. What is due already
  // fires in the next `Advance`. With `absl::InfiniteFuture()`: never.
  void Arm(Timer& timer, absl::Time when);
  void Cancel(Timer& timer) { timer.Unlink(); }

  // Fires all timers that are due at `now`, earlier ticks first, and returns
  // how many. What their callbacks arm for `now` or before waits for the next
  // call.
  size_t Advance(absl::Time now);

  // A time at which to call `Advance`: not later than the first deadline
  // requires (rounded up to a tick), possibly earlier. `InfiniteFuture` if no
  // timer is armed.
  absl::Time NextDeadline();

 private:
  static constexpr int kBits = 6;
  static constexpr uint64_t kSlots = 1 << kBits;
  static constexpr int kLevels = 8;  // 2^48 ms
  static constexpr uint64_t kMaxTick = (uint64_t{1} << (kBits * kLevels)) - 1;

  using TimerList = IntrusiveList<Timer, TimerListTag>;
  struct Level {
    // Bit i: slots[i] may have timers (they may have left since).
    uint64_t occupied = 0;
    std::array<TimerList, kSlots> slots;
  };

  void Insert(Timer& timer);
  // The lowest level that has timers, its first slot in `*slot`; -1 if none.
  int FirstOccupied(uint64_t* slot);
  uint64_t SlotStart(int level, uint64_t slot) const;
  size_t Fire(TimerList& due);

  const int64_t start_;  // ns
  // All ticks up to this one have fired.
  uint64_t current_ = 0;
  std::array<Level, kLevels> levels_;
  // Armed for a time that had passed.
  TimerList overdue_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_TIME_TIMER_WHEEL_H_
