#include "cordon/net/time/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace cordon::net {
namespace {

constexpr int64_t kTickNanos = 1'000'000;

}  // namespace

TimerWheel::TimerWheel(absl::Time start) : start_(absl::ToUnixNanos(start)) {}

void TimerWheel::Arm(Timer& timer, absl::Time when) {
  timer.Unlink();
  timer.deadline_ = when;
  if (when == absl::InfiniteFuture()) return;
  // ToUnixNanos saturates, so this cannot overflow for times after `start_`.
  const int64_t nanos = absl::ToUnixNanos(when);
  if (nanos <= start_) {
    timer.tick_ = 0;
  } else {
    const uint64_t after = static_cast<uint64_t>(nanos - start_);
    timer.tick_ = std::min(kMaxTick, (after + kTickNanos - 1) / kTickNanos);
  }
  Insert(timer);
}

// All timers of a level agree with `current_` in the digits above it and have a
// larger digit at it. So the first occupied slot of the lowest occupied level
// holds the earliest timers, and no slot is ever reached from behind.
void TimerWheel::Insert(Timer& timer) {
  if (timer.tick_ <= current_) {
    overdue_.push_back(timer);
    return;
  }
  const int level = (std::bit_width(timer.tick_ ^ current_) - 1) / kBits;
  const uint64_t slot = (timer.tick_ >> (level * kBits)) % kSlots;
  levels_[level].occupied |= uint64_t{1} << slot;
  levels_[level].slots[slot].push_back(timer);
}

int TimerWheel::FirstOccupied(uint64_t* slot) {
  for (int i = 0; i < kLevels; ++i) {
    Level& level = levels_[i];
    while (level.occupied != 0) {
      *slot = std::countr_zero(level.occupied);
      if (!level.slots[*slot].empty()) return i;
      level.occupied &= level.occupied - 1;
    }
  }
  return -1;
}

uint64_t TimerWheel::SlotStart(int level, uint64_t slot) const {
  const int shift = level * kBits;
  const uint64_t above = current_ >> (shift + kBits) << (shift + kBits);
  return above | slot << shift;
}

size_t TimerWheel::Fire(TimerList& due) {
  size_t fired = 0;
  while (!due.empty()) {
    due.pop_front()->OnTimer();
    ++fired;
  }
  return fired;
}

size_t TimerWheel::Advance(absl::Time now) {
  const int64_t elapsed = absl::ToUnixNanos(now) - start_;
  const uint64_t target =
      elapsed <= 0
          ? 0
          : std::min(kMaxTick, static_cast<uint64_t>(elapsed) / kTickNanos);
  TimerList due;
  due.splice(overdue_);
  uint64_t slot = 0;
  for (int level; (level = FirstOccupied(&slot)) >= 0;) {
    const uint64_t start = SlotStart(level, slot);
    if (start > target) break;
    current_ = start;
    levels_[level].occupied &= ~(uint64_t{1} << slot);
    TimerList& timers = levels_[level].slots[slot];
    if (level == 0) {
      due.splice(timers);
      continue;
    }
    TimerList moved;
    moved.splice(timers);
    while (!moved.empty()) {
      Timer& timer = *moved.pop_front();
      if (timer.tick_ <= current_) {
        due.push_back(timer);
      } else {
        Insert(timer);
      }
    }
  }
  current_ = std::max(current_, target);
  return Fire(due);
}

absl::Time TimerWheel::NextDeadline() {
  if (!overdue_.empty()) {
    return absl::FromUnixNanos(start_) + absl::Milliseconds(current_);
  }
  uint64_t slot = 0;
  const int level = FirstOccupied(&slot);
  if (level < 0) return absl::InfiniteFuture();
  return absl::FromUnixNanos(start_) +
         absl::Milliseconds(static_cast<int64_t>(SlotStart(level, slot)));
}

}  // namespace cordon::net
