#include "cordon/dtls/internal/key_usage.h"

#include <openssl/ssl.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

SealingLimit LimitOf(uint16_t cipher) {
  return SealingLimitOf(*SSL_get_cipher_by_value(cipher));
}

constexpr uint16_t kGcm128 = 0xc02b;
constexpr uint16_t kGcm256 = 0xc02c;
constexpr uint16_t kChaCha20 = 0xcca9;
constexpr uint16_t kCbc = 0xc035;

TEST(SealingLimitTest, GcmIsBoundByItsBlocks) {
  for (const uint16_t cipher : {kGcm128, kGcm256}) {
    const SealingLimit limit = LimitOf(cipher);
    // 2^34.5, the square root of 2^69; and not so few that it hurts.
    const double blocks = static_cast<double>(limit.blocks);
    EXPECT_LE(blocks * blocks, std::exp2(69));
    EXPECT_GT(limit.blocks, uint64_t{1} << 34);
    // The tag's.
    EXPECT_EQ(limit.blocks_per_record, 1U);
  }
}

TEST(SealingLimitTest, CbcIsBoundTighterThanGcm) {
  const SealingLimit limit = LimitOf(kCbc);
  EXPECT_EQ(limit.blocks, uint64_t{1} << 33);
  // A message of 13 bytes becomes 33 with the HMAC, and 48 with the padding.
  KeyUsage usage;
  usage.LimitSealing(limit);
  EXPECT_EQ(usage.CountSealed(13), KeyUse::kFine);
  EXPECT_EQ(usage.sealed_blocks(), 3U);
}

TEST(SealingLimitTest, ChaCha20IsBoundByItsSequenceNumbersOnly) {
  KeyUsage usage;
  usage.LimitSealing(LimitOf(kChaCha20));
  constexpr uint64_t kRecords = uint64_t{1} << 48;
  constexpr uint64_t kMessageBytes = uint64_t{1} << 14;
  EXPECT_EQ(usage.CountSealed(kRecords * kMessageBytes - 1), KeyUse::kFine);
}

TEST(KeyUsageTest, CountsTheBlocksOfMessages) {
  KeyUsage usage;
  usage.LimitSealing({.blocks = 1000, .blocks_per_record = 1});
  uint64_t expected = 0;
  for (const auto& [bytes, blocks] : {std::pair<size_t, uint64_t>{0, 1},
                                      {1, 2},
                                      {16, 2},
                                      {17, 3},
                                      {1200, 76}}) {
    expected += blocks;
    EXPECT_EQ(usage.CountSealed(bytes), KeyUse::kFine);
    EXPECT_EQ(usage.sealed_blocks(), expected);
  }
}

TEST(KeyUsageTest, WarnsOnceAndSealsUpToTheLimit) {
  KeyUsage usage;
  usage.LimitSealing({.blocks = 8, .blocks_per_record = 1});
  for (int i = 0; i < 6; ++i) EXPECT_EQ(usage.CountSealed(0), KeyUse::kFine);
  EXPECT_EQ(usage.CountSealed(0), KeyUse::kNearlyUsedUp);
  EXPECT_EQ(usage.CountSealed(0), KeyUse::kFine);
  EXPECT_EQ(usage.sealed_blocks(), 8U);
  EXPECT_EQ(usage.CountSealed(0), KeyUse::kUsedUp);
  EXPECT_EQ(usage.sealed_blocks(), 8U);
}

TEST(KeyUsageTest, AMessageThatIsTooMuchIsNotCounted) {
  KeyUsage usage;
  usage.LimitSealing({.blocks = 8, .blocks_per_record = 1});
  EXPECT_EQ(usage.CountSealed(size_t{8} * 16), KeyUse::kUsedUp);
  EXPECT_EQ(usage.sealed_blocks(), 0U);
  // The warning comes even if one message takes it all.
  EXPECT_EQ(usage.CountSealed(size_t{7} * 16), KeyUse::kNearlyUsedUp);
  EXPECT_EQ(usage.CountSealed(0), KeyUse::kUsedUp);
}

TEST(KeyUsageTest, TheLastFailureUsesTheKeyUp) {
  KeyUsage usage;
  usage.LimitFailures(8);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(usage.CountFailed(), KeyUse::kFine);
  EXPECT_EQ(usage.CountFailed(), KeyUse::kNearlyUsedUp);
  EXPECT_EQ(usage.CountFailed(), KeyUse::kUsedUp);
  EXPECT_EQ(usage.CountFailed(), KeyUse::kUsedUp);
  EXPECT_EQ(usage.failed_records(), 8U);
}

TEST(KeyUsageTest, OneFailureMayBeTheLimit) {
  KeyUsage usage;
  usage.LimitFailures(1);
  EXPECT_EQ(usage.CountFailed(), KeyUse::kUsedUp);
}

TEST(KeyUsageTest, ManyFailuresAreFineByDefault) {
  EXPECT_EQ(kMaxFailedRecords, 68'719'476'736U);
  KeyUsage usage;
  for (int i = 0; i < 1'000'000; ++i) {
    ASSERT_EQ(usage.CountFailed(), KeyUse::kFine);
  }
}

}  // namespace
}  // namespace cordon::dtls::internal
