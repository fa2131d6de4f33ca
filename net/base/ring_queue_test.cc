#include "cordon/net/base/ring_queue.h"

#include <cstddef>
#include <deque>
#include <memory>
#include <random>
#include <utility>

#include "gtest/gtest.h"

namespace cordon::net {
namespace {

TEST(RingQueueTest, FirstInFirstOut) {
  RingQueue<int> queue;
  EXPECT_TRUE(queue.empty());
  for (int i = 0; i < 5; ++i) queue.push_back(i);
  EXPECT_EQ(queue.size(), 5U);
  EXPECT_EQ(queue.front(), 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue.pop_front(), i);
  EXPECT_TRUE(queue.empty());
}

TEST(RingQueueTest, AgreesWithADeque) {
  std::mt19937 random(3);
  RingQueue<int> queue;
  std::deque<int> model;
  for (int i = 0; i < 20'000; ++i) {
    // Longer in some times than in others, so that it wraps and grows.
    const unsigned pushes_of_8 = i / 1000 % 2 == 0 ? 5 : 3;
    if (random() % 8 < pushes_of_8 || model.empty()) {
      queue.push_back(i);
      model.push_back(i);
    } else {
      ASSERT_EQ(queue.pop_front(), model.front());
      model.pop_front();
    }
    ASSERT_EQ(queue.size(), model.size());
    if (!model.empty()) {
      ASSERT_EQ(queue.front(), model.front());
    }
  }
}

TEST(RingQueueTest, WhatWasTakenOutIsNotKept) {
  RingQueue<std::shared_ptr<int>> queue;
  const auto value = std::make_shared<int>(1);
  queue.push_back(value);
  queue.push_back(value);
  EXPECT_EQ(value.use_count(), 3);
  EXPECT_EQ(queue.pop_front(), value);
  EXPECT_EQ(value.use_count(), 2);
  queue.clear();
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(value.use_count(), 1);
}

TEST(RingQueueTest, MovingLeavesAnEmptyOne) {
  RingQueue<std::unique_ptr<int>> queue;
  queue.push_back(std::make_unique<int>(7));
  RingQueue<std::unique_ptr<int>> moved = std::exchange(queue, {});
  EXPECT_TRUE(queue.empty());
  ASSERT_EQ(moved.size(), 1U);
  EXPECT_EQ(*moved.front(), 7);
  queue.push_back(std::make_unique<int>(8));
  queue = std::move(moved);
  EXPECT_EQ(*queue.pop_front(), 7);
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace cordon::net
