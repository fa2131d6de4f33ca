#include "cordon/dtls/control/shares.h"

#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

constexpr ShareLimits kLimits = {
    .total = 10, .per_reader = 4, .per_admin = 6, .for_admins = 3};

TEST(SharesTest, NobodyHasMoreThanItsShare) {
  Shares shares(kLimits);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(shares.Take("reader", false), ShareVerdict::kGranted);
  }
  EXPECT_EQ(shares.Take("reader", false), ShareVerdict::kCallerHasItsShare);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(shares.Take("admin", true), ShareVerdict::kGranted);
  }
  EXPECT_EQ(shares.Take("admin", true), ShareVerdict::kCallerHasItsShare);
  EXPECT_EQ(shares.Take("other", true), ShareVerdict::kNoneLeft);
  EXPECT_EQ(shares.taken(), 10U);
  shares.Return("reader", false);
  EXPECT_EQ(shares.Take("other", true), ShareVerdict::kGranted);
}

TEST(SharesTest, ReadersLeaveSomeToAdmins) {
  Shares shares(kLimits);
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(shares.Take("reader" + std::to_string(i), false),
              ShareVerdict::kGranted);
  }
  EXPECT_EQ(shares.Take("one more", false), ShareVerdict::kLeftToAdmins);
  EXPECT_EQ(shares.Take("admin", true), ShareVerdict::kGranted);
  shares.Return("reader0", false);
  EXPECT_EQ(shares.Take("one more", false), ShareVerdict::kGranted);
}

TEST(SharesTest, ReadersHaveHalfAtLeast) {
  Shares shares(
      {.total = 1, .per_reader = 1, .per_admin = 1, .for_admins = 16});
  EXPECT_EQ(shares.Take("reader", false), ShareVerdict::kGranted);
  EXPECT_EQ(shares.Take("admin", true), ShareVerdict::kNoneLeft);
}

TEST(SharesTest, AmountsAreGrantedAsAWholeOrNotAtAll) {
  Shares shares(kLimits);
  EXPECT_EQ(shares.Take("reader", false, 3), ShareVerdict::kGranted);
  EXPECT_EQ(shares.Take("reader", false, 2), ShareVerdict::kCallerHasItsShare);
  EXPECT_EQ(shares.Take("reader", false, 0), ShareVerdict::kGranted);
  EXPECT_EQ(shares.taken_by("reader"), 3U);
  EXPECT_EQ(shares.Take("admin", true, ~size_t{0}),
            ShareVerdict::kCallerHasItsShare);
  shares.Return("reader", false, 3);
  EXPECT_EQ(shares.taken_by("reader"), 0U);
  EXPECT_EQ(shares.taken(), 0U);
}

TEST(SharesTest, SaysWhoHasHowMany) {
  const Shares shares(kLimits);
  EXPECT_TRUE(
      shares.Explain(ShareVerdict::kGranted, "uid:7", false, "calls").ok());
  EXPECT_EQ(
      shares.Explain(ShareVerdict::kCallerHasItsShare, "uid:7", false, "calls"),
      absl::ResourceExhaustedError("uid:7 has its share of calls, 4: try "
                                   "again when it has fewer"));
  EXPECT_EQ(
      shares.Explain(ShareVerdict::kLeftToAdmins, "uid:7", false, "calls"),
      absl::ResourceExhaustedError(
          "readers have their share of calls, 7: try again later"));
  EXPECT_EQ(shares.Explain(ShareVerdict::kNoneLeft, "uid:7", true, "calls"),
            absl::ResourceExhaustedError("there are 10 calls, which is the "
                                         "limit: try again later"));
}

}  // namespace
}  // namespace cordon::dtls::control
