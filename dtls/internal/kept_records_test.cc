#include "cordon/dtls/internal/kept_records.h"

#include <cstdint>
#include <optional>
#include <vector>

#include "cordon/dtls/internal/memory_budget.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using Bytes = std::vector<uint8_t>;

TEST(KeptRecordsTest, AreTakenInTheirOrder) {
  MemoryShare share;
  KeptRecords records(3, 100, share);
  EXPECT_TRUE(records.empty());
  for (uint8_t i = 0; i < 3; ++i) EXPECT_TRUE(records.Keep(Bytes(5, i)));
  EXPECT_EQ(records.size(), 3U);
  EXPECT_EQ(records[1], Bytes(5, 1));
  EXPECT_EQ(records.TakeFirst(), Bytes(5, 0));
  EXPECT_EQ(records.TakeAll(), (std::vector<Bytes>{Bytes(5, 1), Bytes(5, 2)}));
  EXPECT_TRUE(records.empty());
}

TEST(KeptRecordsTest, AreNoMoreThanTheyMayBe) {
  MemoryShare share;
  KeptRecords few(2, 1000, share);
  EXPECT_TRUE(few.Keep(Bytes(1)));
  EXPECT_TRUE(few.Keep(Bytes(1)));
  EXPECT_FALSE(few.Keep(Bytes(1)));
  KeptRecords small(1000, 10, share);
  EXPECT_FALSE(small.Keep(Bytes(11)));
  EXPECT_TRUE(small.Keep(Bytes(7)));
  EXPECT_FALSE(small.Keep(Bytes(4)));
  EXPECT_TRUE(small.Keep(Bytes(3)));
  small.TakeFirst();
  EXPECT_TRUE(small.Keep(Bytes(7)));
}

TEST(KeptRecordsTest, FindRoomInTheMemoryOfAll) {
  MemoryBudget budget(10);
  MemoryShare share(5);
  share.CountIn(&budget);
  std::optional<KeptRecords> records;
  records.emplace(100, 100, share);
  EXPECT_TRUE(records->Keep(Bytes(15)));
  EXPECT_EQ(budget.used(), 10U);
  EXPECT_FALSE(records->Keep(Bytes(1)));
  EXPECT_EQ(budget.refusals(), 1U);
  records->Clear();
  EXPECT_EQ(budget.used(), 0U);
  EXPECT_TRUE(records->Keep(Bytes(8)));
  EXPECT_TRUE(records->Keep(Bytes(2)));
  EXPECT_EQ(budget.used(), 5U);
  records->TakeFirst();
  EXPECT_EQ(budget.used(), 0U);
  EXPECT_TRUE(records->Keep(Bytes(13)));
  EXPECT_EQ(budget.used(), 10U);
  records.reset();
  EXPECT_EQ(budget.used(), 0U);
  EXPECT_EQ(budget.refusals(), 1U);
}

}  // namespace
}  // namespace cordon::dtls::internal
