// Very many timers that are mostly re-armed or cancelled and seldom fire.
//
//   class Retransmission : public Timer { void OnTimer() override {...} };
//   wheel.Arm(retransmission, now + absl::Milliseconds(400));
//   ...
//   wheel.Advance(now);   // fires what is due
//
// A hierarchical wheel with ticks of one millisecond: arming and cancelling
// take constant time and no memory. A timer never fires early, and at most one
// tick late. However many timers there are, a call of `Advance` moves few of
// them from coarse slots to finer ones. Belongs to one thread.
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
  virtual ~Timer() { Leave(); }

 private:
  friend class TimerWheel;
  // Called once; may arm, cancel and destroy any timer, this one included.
  virtual void OnTimer() = 0;

  // Leaves the list that it is in, if any.
  void Leave() {
    if (!linked()) return;
    Unlink();
    if (slot_size_ != nullptr) --*slot_size_;
  }

  absl::Time deadline_ = absl::InfiniteFuture();
  uint64_t tick_ = 0;
  // Of the slot whose list it is in; null for slots that do not count.
  uint64_t* slot_size_ = nullptr;
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
  void Cancel(Timer& timer) { timer.Leave(); }

  // Fires all timers that are due at `now`, earlier ticks first, and returns
  // how many. What their callbacks arm for `now` or before waits for the next
  // call.
  size_t Advance(absl::Time now);

  // A time at which to call `Advance`: not later than the first deadline
  // requires (rounded up to a tick), possibly earlier. `InfiniteFuture` if no
  // timer is armed.
  absl::Time NextDeadline();

  // How many times a timer was moved from one slot to a finer one, ever.
  uint64_t moves() const { return moves_; }
  // A call of `Advance` that is not late moves at most so many timers, or the
  // part of those due in the next two blocks of 64 ticks that is needed to be
  // ready in time.
  static constexpr size_t kMovesPerAdvance = 256;

 private:
  // A slot of a level is as long as a block of `kBlock` slots of the level
  // below. Each level has slots for the present block and the next one, so that
  // the timers of the next slot of the level above can be moved down bit by bit
  // while the present one passes.
  static constexpr int kBits = 6;
  static constexpr uint64_t kBlock = 1 << kBits;
  static constexpr uint64_t kSlots = 2 * kBlock;
  static constexpr int kLevels = 8;  // 2^48 ms
  static constexpr uint64_t kMaxTick = (uint64_t{1} << (kBits * kLevels)) - 1;

  using TimerList = IntrusiveList<Timer, TimerListTag>;
  struct Slot {
    TimerList timers;
    // How many there are; not counted at the lowest level.
    uint64_t size = 0;
  };
  struct Level {
    // Bit i of word w: slots[64 * w + i] may have timers.
    std::array<uint64_t, kSlots / 64> occupied = {};
    std::array<Slot, kSlots> slots;

    void MarkEmpty(uint64_t slot) {
      occupied[slot / 64] &= ~(uint64_t{1} << slot % 64);
    }
    // How far behind slot `from` the first slot with timers is, in slots; -1 if
    // there is none.
    int FirstAfter(uint64_t from);
  };
  // Where the timers that are due next may be.
  struct Place {
    int level = -1;      // of no level: there are no timers
    uint64_t start = 0;  // the first tick of the slot
  };

  void Insert(Timer& timer);
  Place First();
  // The number, not reduced to the window, of the slot that `current_` is in.
  uint64_t PresentSlot(int level) const { return current_ >> (level * kBits); }
  // Moves timers of the slots that come next to finer ones; `elapsed` ticks
  // have passed since it was called last.
  void MoveSome(uint64_t elapsed);
  size_t Fire(TimerList& due);

  const int64_t start_;  // ns
  // All ticks up to this one have fired.
  uint64_t current_ = 0;
  std::array<Level, kLevels> levels_;
  // Bit i: level i may have timers.
  unsigned levels_in_use_ = 0;
  uint64_t moves_ = 0;
  // Armed for a time that had passed.
  TimerList overdue_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_TIME_TIMER_WHEEL_H_
