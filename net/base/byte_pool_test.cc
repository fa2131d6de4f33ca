#include "cordon/net/base/byte_pool.h"

#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace cordon::net {
namespace {

TEST(BytePoolTest, ReusesBuffersInsteadOfAllocating) {
  BytePool pool;
  for (int i = 0; i < 1000; ++i) {
    PooledBytes a = pool.Take(100);
    PooledBytes b = pool.Take(1200);
    EXPECT_GE(a.capacity(), 100U);
    EXPECT_EQ(b.size(), 1200U);
  }
  EXPECT_EQ(pool.statistics().allocations, 2U);
  EXPECT_EQ(pool.statistics().blocks_out, 0U);
}

TEST(BytePoolTest, CopiesBytes) {
  BytePool pool;
  const std::vector<uint8_t> bytes = {1, 2, 3};
  PooledBytes copy = pool.Copy(bytes);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), copy.bytes().begin()));
  EXPECT_TRUE(pool.Copy({}).empty());
}

TEST(BytePoolTest, HoldsNoMoreThanItsBound) {
  BytePool pool(/*max_cached_bytes=*/1000);
  std::vector<PooledBytes> taken;
  taken.reserve(100);
  for (int i = 0; i < 100; ++i) taken.push_back(pool.Take(500));
  taken.clear();
  EXPECT_LE(pool.statistics().bytes_cached, 1000U);
  EXPECT_EQ(pool.statistics().blocks_out, 0U);
}

TEST(BytePoolTest, ABurstOfOneSizeDoesNotKeepTheOthersOut) {
  BytePool pool;
  {
    std::vector<PooledBytes> burst;
    burst.reserve(600);
    for (int i = 0; i < 600; ++i) burst.push_back(pool.Take(18'000));
  }
  const uint64_t before = pool.statistics().allocations;
  for (int i = 0; i < 1000; ++i) pool.Take(1200);
  EXPECT_EQ(pool.statistics().allocations, before + 1);
  // Nor do many at once.
  for (int round = 0; round < 10; ++round) {
    std::vector<PooledBytes> many;
    many.reserve(2000);
    for (int i = 0; i < 2000; ++i) many.push_back(pool.Take(1200));
  }
  EXPECT_LE(pool.statistics().allocations, before + 2000);
  EXPECT_LE(pool.statistics().bytes_cached, size_t{8} << 20);
  EXPECT_GT(pool.statistics().evictions, 0U);
}

// Each size has been in use once; the one that is now has all the room.
TEST(BytePoolTest, WhatLiesUnusedForTheLongestTimeGoesFirst) {
  BytePool pool(/*max_cached_bytes=*/100'000);
  for (size_t size : {100, 500, 1500, 4000, 18'000, 100}) {
    for (int round = 0; round < 3; ++round) {
      std::vector<PooledBytes> many;
      for (size_t bytes = 0; bytes + 20'000 < 100'000; bytes += size) {
        many.push_back(pool.Take(size));
      }
      const uint64_t before = pool.statistics().allocations;
      const size_t count = many.size();
      many.clear();
      for (size_t i = 0; i < count / 2; ++i) many.push_back(pool.Take(size));
      EXPECT_EQ(pool.statistics().allocations, before) << size;
    }
    EXPECT_LE(pool.statistics().bytes_cached, 100'000U);
  }
}

TEST(BytePoolTest, ServesSizesBeyondItsClasses) {
  BytePool pool;
  PooledBytes large = pool.Take(1 << 20);
  large.data()[(1 << 20) - 1] = 7;
  EXPECT_EQ(large.size(), size_t{1} << 20);
}

TEST(BytePoolTest, BuffersMayOutliveThePool) {
  PooledBytes survivor;
  {
    BytePool pool;
    survivor = pool.Take(10);
    PooledBytes returned = pool.Take(10);
  }
  survivor.data()[0] = 1;
  PooledBytes moved = std::move(survivor);
  EXPECT_EQ(moved.data()[0], 1);
}

}  // namespace
}  // namespace cordon::net
