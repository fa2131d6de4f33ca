#include "cordon/dtls/internal/memory_budget.h"

#include <optional>

#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

TEST(MemoryBudgetTest, HasRoomUpToItsLimit) {
  MemoryBudget budget(100);
  EXPECT_TRUE(budget.HasRoomFor(100));
  EXPECT_FALSE(budget.HasRoomFor(101));
  budget.Add(60);
  EXPECT_TRUE(budget.HasRoomFor(40));
  EXPECT_FALSE(budget.HasRoomFor(41));
  // More is in use than there may be.
  budget.set_limit(50);
  EXPECT_TRUE(budget.HasRoomFor(0));
  EXPECT_FALSE(budget.HasRoomFor(1));
  budget.Remove(20);
  EXPECT_TRUE(budget.HasRoomFor(10));
}

TEST(MemoryBudgetTest, AShareIsGivenBack) {
  MemoryBudget budget(100);
  std::optional<MemoryShare> share;
  share.emplace();
  share->Add(30);
  share->CountIn(&budget);
  EXPECT_EQ(budget.used(), 30U);
  share->Add(40);
  share->Remove(20);
  EXPECT_EQ(budget.used(), 50U);
  EXPECT_TRUE(share->HasRoomFor(50));
  EXPECT_FALSE(share->HasRoomFor(51));
  share.reset();
  EXPECT_EQ(budget.used(), 0U);
}

TEST(MemoryBudgetTest, AShareOfNothingHasRoomForAll) {
  MemoryShare share;
  EXPECT_TRUE(share.HasRoomFor(~size_t{0}));
  share.Add(1000);
  EXPECT_TRUE(share.HasRoomFor(1000));
  share.CountRefusal();
}

TEST(MemoryBudgetTest, WhatIsItsOwnHasRoomAndDoesNotCount) {
  MemoryBudget budget(100);
  MemoryShare greedy(50);
  MemoryShare modest(50);
  greedy.CountIn(&budget);
  modest.CountIn(&budget);
  greedy.Add(50);
  EXPECT_EQ(budget.used(), 0U);
  EXPECT_TRUE(greedy.HasRoomFor(100));
  EXPECT_FALSE(greedy.HasRoomFor(101));
  greedy.Add(100);
  EXPECT_EQ(budget.used(), 100U);
  EXPECT_FALSE(greedy.HasRoomFor(1));
  EXPECT_TRUE(modest.HasRoomFor(50));
  EXPECT_FALSE(modest.HasRoomFor(51));
  modest.Add(50);
  EXPECT_EQ(budget.used(), 100U);
  greedy.Remove(120);
  EXPECT_EQ(budget.used(), 0U);
  greedy.Add(30);
  EXPECT_EQ(budget.used(), 10U);
  greedy.Clear();
  EXPECT_EQ(budget.used(), 0U);
}

}  // namespace
}  // namespace cordon::dtls::internal
