#include "cordon/net/time/timer_wheel.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace cordon::net {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

class TestTimer : public Timer {
 public:
  explicit TestTimer(std::function<void()> f) : f_(std::move(f)) {}

 private:
  void OnTimer() override { f_(); }
  std::function<void()> f_;
};

TEST(TimerWheelTest, FiresNeitherEarlyNorLate) {
  TimerWheel wheel(kStart);
  int fired = 0;
  TestTimer timer([&] { ++fired; });
  wheel.Arm(timer, kStart + absl::Milliseconds(400));
  EXPECT_LE(wheel.NextDeadline(), kStart + absl::Milliseconds(400));
  EXPECT_GT(wheel.NextDeadline(), kStart);
  wheel.Advance(kStart + absl::Milliseconds(400) - absl::Nanoseconds(1));
  EXPECT_EQ(fired, 0);
  wheel.Advance(kStart + absl::Milliseconds(400));
  EXPECT_EQ(fired, 1);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(wheel.NextDeadline(), absl::InfiniteFuture());
}

TEST(TimerWheelTest, RoundsUpToATick) {
  TimerWheel wheel(kStart);
  int fired = 0;
  TestTimer timer([&] { ++fired; });
  const absl::Time deadline = kStart + absl::Microseconds(1500);
  wheel.Arm(timer, deadline);
  wheel.Advance(deadline);
  EXPECT_EQ(fired, 0);
  wheel.Advance(kStart + absl::Milliseconds(2));
  EXPECT_EQ(fired, 1);
}

TEST(TimerWheelTest, WhatIsOverdueFiresNext) {
  TimerWheel wheel(kStart);
  int fired = 0;
  TestTimer timer([&] { ++fired; });
  wheel.Advance(kStart + absl::Seconds(1));
  wheel.Arm(timer, kStart);
  EXPECT_LE(wheel.NextDeadline(), kStart + absl::Seconds(1));
  EXPECT_EQ(wheel.Advance(kStart + absl::Seconds(1)), 1U);
  EXPECT_EQ(fired, 1);
}

TEST(TimerWheelTest, ATimerThatArmsItselfForNowWaitsForTheNextCall) {
  TimerWheel wheel(kStart);
  int fired = 0;
  std::unique_ptr<TestTimer> timer;
  timer = std::make_unique<TestTimer>([&] {
    ++fired;
    wheel.Arm(*timer, kStart);
  });
  wheel.Arm(*timer, kStart);
  wheel.Advance(kStart);
  EXPECT_EQ(fired, 1);
  wheel.Advance(kStart);
  EXPECT_EQ(fired, 2);
}

TEST(TimerWheelTest, TimersMayDieInEachOthersCallbacks) {
  TimerWheel wheel(kStart);
  std::vector<std::unique_ptr<TestTimer>> timers(10);
  int fired = 0;
  for (auto& timer : timers) {
    timer = std::make_unique<TestTimer>([&] {
      ++fired;
      for (auto& t : timers) t.reset();
    });
    wheel.Arm(*timer, kStart + absl::Milliseconds(5));
  }
  wheel.Advance(kStart + absl::Seconds(1));
  EXPECT_EQ(fired, 1);
}

TEST(TimerWheelTest, NeverMeansNever) {
  TimerWheel wheel(kStart);
  TestTimer timer([] { FAIL(); });
  wheel.Arm(timer, absl::InfiniteFuture());
  EXPECT_EQ(wheel.NextDeadline(), absl::InfiniteFuture());
  wheel.Arm(timer, kStart + absl::Hours(24 * 365 * 100));
  EXPECT_LE(wheel.NextDeadline(), kStart + absl::Hours(24 * 365 * 100));
  wheel.Advance(kStart + absl::Hours(24 * 365 * 99));
  EXPECT_TRUE(timer.armed());
}

// Against a model: an ordered map.
TEST(TimerWheelTest, AgreesWithAModel) {
  std::mt19937_64 random(7);
  TimerWheel wheel(kStart);
  absl::Time now = kStart;
  constexpr int kTimers = 500;
  std::vector<int> fired;
  std::vector<std::unique_ptr<TestTimer>> timers;
  timers.reserve(kTimers);
  for (int i = 0; i < kTimers; ++i) {
    timers.push_back(
        std::make_unique<TestTimer>([&fired, i] { fired.push_back(i); }));
  }
  std::map<int, absl::Time> model;
  for (int step = 0; step < 20000; ++step) {
    const int i = static_cast<int>(random() % kTimers);
    switch (random() % 4) {
      case 0:
      case 1: {
        // From microseconds to weeks.
        const auto range = int64_t{1} << (random() % 50);
        const absl::Time when =
            now + absl::Nanoseconds(static_cast<int64_t>(random() % range));
        wheel.Arm(*timers[i], when);
        model[i] = when;
        break;
      }
      case 2:
        wheel.Cancel(*timers[i]);
        model.erase(i);
        break;
      default: {
        const auto range = int64_t{1} << (random() % 48);
        now += absl::Nanoseconds(static_cast<int64_t>(random() % range));
        fired.clear();
        wheel.Advance(now);
        absl::Time last = absl::InfinitePast();
        for (int f : fired) {
          ASSERT_TRUE(model.contains(f));
          ASSERT_LE(model[f], now);
          ASSERT_GE(model[f], last - absl::Milliseconds(1));
          last = std::max(last, model[f]);
          model.erase(f);
        }
        for (const auto& [left, when] : model) {
          ASSERT_GT(when, now - absl::Milliseconds(1));
        }
        absl::Time earliest = absl::InfiniteFuture();
        for (const auto& [left, when] : model) {
          earliest = std::min(earliest, when);
        }
        ASSERT_LE(wheel.NextDeadline(), earliest + absl::Milliseconds(1));
        break;
      }
    }
  }
}

TEST(TimerWheelTest, AMillionTimersAreArmedAndCancelled) {
  TimerWheel wheel(kStart);
  TestTimer timer([] { FAIL(); });
  for (int i = 0; i < 1'000'000; ++i) {
    wheel.Arm(timer, kStart + absl::Milliseconds(400 + i % 1000));
  }
  wheel.Cancel(timer);
  EXPECT_EQ(wheel.NextDeadline(), absl::InfiniteFuture());
}

class CountingTimer : public Timer {
 public:
  explicit CountingTimer(size_t* fired) : fired_(fired) {}

 private:
  void OnTimer() override { ++*fired_; }
  size_t* const fired_;
};

// Timers that are armed for deadlines long from now; and time that passes.
class ManyTimersTest : public ::testing::Test {
 protected:
  void ArmAll(size_t count,
              const std::function<absl::Duration(size_t)>& after) {
    timers_.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      timers_.push_back(std::make_unique<CountingTimer>(&fired_));
      wheel_.Arm(*timers_.back(), kStart + after(i));
    }
  }
  // Calls `Advance` at least so often, and whenever it is due. The most moves
  // of a call.
  uint64_t MostMoves(absl::Duration until, absl::Duration step) {
    uint64_t most = 0;
    absl::Time now = kStart;
    while (now < kStart + until) {
      now = std::min(now + step, std::max(now, wheel_.NextDeadline()));
      const uint64_t before = wheel_.moves();
      wheel_.Advance(now);
      most = std::max(most, wheel_.moves() - before);
    }
    return most;
  }

  size_t fired_ = 0;
  TimerWheel wheel_{kStart};
  std::vector<std::unique_ptr<CountingTimer>> timers_;
};

// As of sessions that are idle for five minutes, and were opened one by one.
TEST_F(ManyTimersTest, NoCallMovesThemAll) {
  constexpr size_t kTimers = 100'000;
  ArmAll(kTimers, [](size_t i) {
    return absl::Seconds(300) + absl::Milliseconds(3) * static_cast<int>(i);
  });
  EXPECT_LE(MostMoves(absl::Seconds(601), absl::Milliseconds(10)),
            2 * TimerWheel::kMovesPerAdvance);
  EXPECT_EQ(fired_, kTimers);
}

// Nothing else happens, so nobody calls but when the wheel asks for it.
TEST_F(ManyTimersTest, NoCallMovesThemAllAlthoughNothingElseHappens) {
  constexpr size_t kTimers = 100'000;
  ArmAll(kTimers, [](size_t i) {
    return absl::Seconds(300) + absl::Milliseconds(3) * static_cast<int>(i);
  });
  EXPECT_LE(MostMoves(absl::Seconds(601), absl::Hours(1)),
            2 * TimerWheel::kMovesPerAdvance);
  EXPECT_EQ(fired_, kTimers);
}

// All at one moment: they are moved in the time that is left until then.
TEST_F(ManyTimersTest, TheSameDeadlineIsPreparedBitByBit) {
  constexpr size_t kTimers = 200'000;
  ArmAll(kTimers, [](size_t) { return absl::Seconds(300); });
  EXPECT_LE(MostMoves(absl::Seconds(301), absl::Milliseconds(1)), kTimers / 16);
  EXPECT_EQ(fired_, kTimers);
}

TEST_F(ManyTimersTest, ThoseThatWereArmedAnewDoNotCount) {
  constexpr size_t kTimers = 1000;
  ArmAll(kTimers, [](size_t) { return absl::Hours(10); });
  for (int again = 0; again < 100; ++again) {
    for (auto& timer : timers_) wheel_.Arm(*timer, kStart + absl::Seconds(300));
  }
  timers_.resize(kTimers / 2);
  EXPECT_LE(MostMoves(absl::Seconds(301), absl::Milliseconds(10)),
            TimerWheel::kMovesPerAdvance);
  EXPECT_EQ(fired_, kTimers / 2);
}

}  // namespace
}  // namespace cordon::net
