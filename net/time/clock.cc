#include "cordon/net/time/clock.h"

#include <ctime>

#include "absl/time/clock.h"

namespace cordon::net {
namespace {

int64_t MonotonicNanos() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{1'000'000'000} * t.tv_sec + t.tv_nsec;
}

}  // namespace

SteadyClock::SteadyClock()
    : offset_(absl::GetCurrentTimeNanos() - MonotonicNanos()) {}

SteadyClock* SteadyClock::Get() {
  static SteadyClock* const clock = new SteadyClock();
  return clock;
}

absl::Time SteadyClock::Now() {
  return absl::FromUnixNanos(MonotonicNanos() + offset_);
}

}  // namespace cordon::net
