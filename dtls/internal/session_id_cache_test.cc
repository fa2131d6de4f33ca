#include "cordon/dtls/internal/session_id_cache.h"

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

constexpr size_t kOwn = SessionIdCache::kEntryBytes;
const absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);

class SessionIdCacheTest : public ::testing::Test {
 protected:
  static void Add(SessionIdCache& cache, int id, size_t bytes,
                  absl::Duration life = absl::Hours(1), absl::Time now = kNow) {
    cache.Add(absl::StrCat(id), std::string(bytes, 's'), now + life, now);
  }
  static bool Has(SessionIdCache& cache, int id, absl::Time now = kNow) {
    return !cache.Find(absl::StrCat(id), now).empty();
  }
};

TEST_F(SessionIdCacheTest, KeepsWhatWasAddedUntilItExpires) {
  SessionIdCache cache(10, 100'000);
  EXPECT_EQ(cache.Find("id", kNow), "");
  cache.Add("id", "session", kNow + absl::Minutes(1), kNow);
  EXPECT_EQ(cache.Find("id", kNow), "session");
  EXPECT_EQ(cache.Find("id", kNow + absl::Seconds(59)), "session");
  EXPECT_EQ(cache.statistics().sessions, 1U);
  EXPECT_EQ(cache.statistics().bytes, kOwn + 7);
  EXPECT_EQ(cache.Find("id", kNow + absl::Minutes(1)), "");
  EXPECT_EQ(cache.statistics().sessions, 0U);
  EXPECT_EQ(cache.statistics().bytes, 0U);
}

TEST_F(SessionIdCacheTest, TheSameIdAgainReplacesTheSession) {
  SessionIdCache cache(10, 100'000);
  cache.Add("id", "first", kNow + absl::Minutes(1), kNow);
  cache.Add("id", "the second", kNow + absl::Minutes(1), kNow);
  EXPECT_EQ(cache.Find("id", kNow), "the second");
  EXPECT_EQ(cache.statistics().sessions, 1U);
  EXPECT_EQ(cache.statistics().bytes, kOwn + 10);
}

TEST_F(SessionIdCacheTest, TheOldestGivesWayWhereThereAreTooMany) {
  SessionIdCache cache(3, 100'000);
  for (int id = 0; id < 5; ++id) Add(cache, id, 10);
  EXPECT_FALSE(Has(cache, 0));
  EXPECT_FALSE(Has(cache, 1));
  for (int id = 2; id < 5; ++id) EXPECT_TRUE(Has(cache, id));
  EXPECT_EQ(cache.statistics().dropped_max_session_ids, 2U);
  EXPECT_EQ(cache.statistics().dropped_max_session_id_bytes, 0U);
}

TEST_F(SessionIdCacheTest, TheOldestGiveWayToBytes) {
  SessionIdCache cache(1000, 4 * (kOwn + 1000));
  for (int id = 0; id < 4; ++id) Add(cache, id, 1000);
  EXPECT_TRUE(Has(cache, 0));
  // One that takes as much as three.
  Add(cache, 4, 2 * kOwn + 3000);
  for (int id = 0; id < 3; ++id) EXPECT_FALSE(Has(cache, id));
  EXPECT_TRUE(Has(cache, 3));
  EXPECT_TRUE(Has(cache, 4));
  EXPECT_EQ(cache.statistics().dropped_max_session_id_bytes, 3U);
  EXPECT_EQ(cache.statistics().bytes, 4 * (kOwn + 1000));
}

TEST_F(SessionIdCacheTest, WhatIsLargerThanAllPushesNobodyOut) {
  SessionIdCache cache(1000, 10'000);
  Add(cache, 1, 1000);
  Add(cache, 2, 10'000 - kOwn + 1);
  EXPECT_TRUE(Has(cache, 1));
  EXPECT_FALSE(Has(cache, 2));
  EXPECT_EQ(cache.statistics().dropped_max_session_id_bytes, 1U);
}

TEST_F(SessionIdCacheTest, WhatHasExpiredIsRemovedAndNotCounted) {
  SessionIdCache cache(3, 100'000);
  for (int id = 0; id < 3; ++id) Add(cache, id, 10, absl::Minutes(1));
  Add(cache, 3, 10, absl::Hours(1), kNow + absl::Minutes(2));
  EXPECT_EQ(cache.statistics().sessions, 1U);
  EXPECT_EQ(cache.statistics().dropped_max_session_ids, 0U);
}

TEST_F(SessionIdCacheTest, SeveralThreadsKeepToTheLimits) {
  SessionIdCache cache(50, 50 * (kOwn + 100));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      for (int i = 0; i < 1000; ++i) {
        Add(cache, 1000 * t + i, 100);
        Has(cache, 1000 * t + i / 2);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache.statistics().sessions, 50U);
  EXPECT_EQ(cache.statistics().bytes, 50 * (kOwn + 100));
}

}  // namespace
}  // namespace cordon::dtls::internal
