#include "cordon/dtls/internal/replay_window.h"

#include <cstddef>
#include <cstdint>
#include <random>
#include <set>

#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

class ReplayWindowTest : public ::testing::TestWithParam<size_t> {
 protected:
  size_t size() const { return GetParam(); }
};

TEST_P(ReplayWindowTest, TakesEachNumberOnce) {
  ReplayWindow window(size());
  for (uint64_t number = 0; number < 3 * size(); ++number) {
    EXPECT_FALSE(window.Contains(number)) << number;
    window.Add(number);
    EXPECT_TRUE(window.Contains(number)) << number;
  }
  for (uint64_t number = 0; number < 3 * size(); ++number) {
    EXPECT_TRUE(window.Contains(number)) << number;
  }
}

TEST_P(ReplayWindowTest, TheFirstNumberMayBeAny) {
  for (const uint64_t first : {uint64_t{0}, uint64_t{1}, uint64_t{63},
                               uint64_t{64}, (uint64_t{1} << 48) - 1}) {
    ReplayWindow window(size());
    EXPECT_FALSE(window.Contains(first));
    window.Add(first);
    EXPECT_TRUE(window.Contains(first));
  }
}

TEST_P(ReplayWindowTest, WhatIsLateByLessThanItsSizeIsTakenOnce) {
  constexpr uint64_t kNewest = 100'000;
  ReplayWindow window(size());
  window.Add(kNewest);
  EXPECT_TRUE(window.Contains(kNewest - size()));
  for (uint64_t late = size() - 1; late > 0; --late) {
    EXPECT_FALSE(window.Contains(kNewest - late)) << late;
    window.Add(kNewest - late);
    EXPECT_TRUE(window.Contains(kNewest - late)) << late;
  }
  // One that is too old leaves no mark on a younger one.
  window.Add(kNewest - size());
  EXPECT_FALSE(window.Contains(kNewest + 1));
}

// Whatever comes, in whatever order: as a set of numbers would have it.
TEST_P(ReplayWindowTest, AgreesWithASet) {
  std::mt19937_64 random(size());
  for (const uint64_t stride : {2U, 70U, 700U, 5000U}) {
    ReplayWindow window(size());
    std::set<uint64_t> seen;
    uint64_t newest = 0;
    for (int i = 0; i < 20'000; ++i) {
      const uint64_t ahead = random() % stride;
      const uint64_t number =
          random() % 4 == 0
              ? newest + ahead
              : newest - std::min<uint64_t>(newest, random() % (size() + 70));
      const bool known = seen.count(number) != 0 ||
                         (!seen.empty() && newest >= size() + number);
      ASSERT_EQ(window.Contains(number), known) << number << " of " << newest;
      if (known) continue;
      window.Add(number);
      seen.insert(number);
      newest = std::max(newest, number);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, ReplayWindowTest,
                         ::testing::Values(64, 65, 100, 127, 128, 256, 1000,
                                           1024));

}  // namespace
}  // namespace cordon::dtls::internal
