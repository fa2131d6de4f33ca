#include "cordon/net/time/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <optional>

namespace cordon::net {
namespace {

constexpr int64_t kTickNanos = 1'000'000;

}  // namespace

TimerWheel::TimerWheel(absl::Time start) : start_(absl::ToUnixNanos(start)) {}

void TimerWheel::Arm(Timer& timer, absl::Time when) {
  timer.Leave();
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

// The level is the lowest whose two blocks reach as far as the timer's tick. So
// no level but the lowest has timers in the present slot, and those of the next
// slot are the ones that `MoveSome` has not come to yet.
void TimerWheel::Insert(Timer& timer) {
  timer.slot_size_ = nullptr;
  if (timer.tick_ <= current_) {
    overdue_.push_back(timer);
    return;
  }
  int level = (std::bit_width(timer.tick_ ^ current_) - 1) / kBits;
  while (level > 0 &&
         (timer.tick_ >> (level * kBits)) - PresentSlot(level) <= 1) {
    --level;
  }
  const uint64_t number = (timer.tick_ >> (level * kBits)) % kSlots;
  levels_in_use_ |= 1U << level;
  levels_[level].occupied[number / 64] |= uint64_t{1} << number % 64;
  Slot& slot = levels_[level].slots[number];
  slot.timers.push_back(timer);
  if (level == 0) return;
  timer.slot_size_ = &slot.size;
  ++slot.size;
}

int TimerWheel::Level::FirstAfter(uint64_t from) {
  for (uint64_t distance = 0; distance < kSlots;) {
    const uint64_t at = (from + distance) % kSlots;
    const uint64_t word = occupied[at / 64] >> at % 64;
    if (word == 0) {
      distance += 64 - at % 64;
      continue;
    }
    distance += std::countr_zero(word);
    if (distance >= kSlots) break;
    const uint64_t slot = (from + distance) % kSlots;
    if (!slots[slot].timers.empty()) return static_cast<int>(distance);
    MarkEmpty(slot);
  }
  return -1;
}

// Of slots that begin together, that of the highest level: its timers have to
// be moved before those of the lower one are due.
TimerWheel::Place TimerWheel::First() {
  Place first;
  for (unsigned left = levels_in_use_; left != 0; left &= left - 1) {
    const int level = std::countr_zero(left);
    const uint64_t present = PresentSlot(level);
    const int distance = levels_[level].FirstAfter(present % kSlots);
    if (distance < 0) {
      levels_in_use_ &= ~(1U << level);
      continue;
    }
    const uint64_t start = (present + distance) << (level * kBits);
    if (first.level < 0 || start <= first.start) {
      first = {level, start};
    }
  }
  return first;
}

void TimerWheel::MoveSome(uint64_t elapsed) {
  uint64_t budget = kMovesPerAdvance;
  for (unsigned left = levels_in_use_ & ~1U; left != 0; left &= left - 1) {
    const int level = std::countr_zero(left);
    const uint64_t next = PresentSlot(level) + 1;
    const uint64_t ticks_left = (next << (level * kBits)) - current_;
    // Before the present slot began nothing could be moved.
    const uint64_t passed =
        std::min(elapsed, (uint64_t{1} << (level * kBits)) - ticks_left);
    Slot& slot = levels_[level].slots[next % kSlots];
    // As many of them as time has passed of what there was to move them all.
    const uint64_t share = slot.size * passed / (ticks_left + passed);
    const uint64_t quota = std::max<uint64_t>(budget, share);
    uint64_t moved = 0;
    for (; moved < quota && !slot.timers.empty(); ++moved) {
      Timer& timer = slot.timers.front();
      timer.Leave();
      Insert(timer);
    }
    moves_ += moved;
    budget -= std::min(budget, moved);
  }
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
  const uint64_t before = current_;
  TimerList due;
  due.splice(overdue_);
  for (Place place; (place = First()).level >= 0 && place.start <= target;) {
    current_ = place.start;
    Level& level = levels_[place.level];
    const uint64_t slot = PresentSlot(place.level) % kSlots;
    TimerList& timers = level.slots[slot].timers;
    level.MarkEmpty(slot);
    if (place.level == 0) {
      due.splice(timers);
      continue;
    }
    // `MoveSome` was not called often enough to empty it in time.
    while (!timers.empty()) {
      Timer& timer = timers.front();
      timer.Leave();
      ++moves_;
      if (timer.tick_ <= current_) {
        timer.slot_size_ = nullptr;
        due.push_back(timer);
      } else {
        Insert(timer);
      }
    }
  }
  current_ = std::max(current_, target);
  MoveSome(current_ - before);
  return Fire(due);
}

absl::Time TimerWheel::NextDeadline() {
  const auto time_of = [this](uint64_t tick) {
    return absl::FromUnixNanos(start_) +
           absl::Milliseconds(static_cast<int64_t>(tick));
  };
  if (!overdue_.empty()) return time_of(current_);
  std::optional<uint64_t> next;
  for (unsigned left = levels_in_use_; left != 0; left &= left - 1) {
    const int level = std::countr_zero(left);
    const uint64_t present = PresentSlot(level);
    const int distance = levels_[level].FirstAfter(present % kSlots);
    if (distance < 0) {
      levels_in_use_ &= ~(1U << level);
      continue;
    }
    // Of a higher level, when the slot before begins: `MoveSome` has its timers
    // to move from then on.
    uint64_t tick = (present + distance) << (level * kBits);
    if (level > 0) {
      tick = std::max(current_ + 1, tick - (uint64_t{1} << (level * kBits)));
    }
    next = std::min(next.value_or(tick), tick);
  }
  return next.has_value() ? time_of(*next) : absl::InfiniteFuture();
}

}  // namespace cordon::net
