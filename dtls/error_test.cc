#include "cordon/dtls/error.h"

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

TEST(ErrorDetailTest, TravelsWithAStatus) {
  ErrorDetail detail;
  detail.alert = 45;
  detail.alert_received = true;
  detail.limit = "handshake_deadline";
  detail.verification_errors = {
      {VerificationErrorCode::kExpired, 2, "CN=a", std::string("\0\1", 2),
       "expired: ..."},
      {VerificationErrorCode::kSelfSigned, 0, "", "", ""}};
  absl::Status status = absl::UnauthenticatedError("no");
  SetErrorDetail(&status, detail);
  const std::optional<ErrorDetail> back = GetErrorDetail(status);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->alert, 45);
  EXPECT_TRUE(back->alert_received);
  EXPECT_EQ(back->limit, "handshake_deadline");
  EXPECT_EQ(back->verification_errors, detail.verification_errors);
}

TEST(ErrorDetailTest, IsNotThereUnlessSet) {
  EXPECT_FALSE(GetErrorDetail(absl::InternalError("x")).has_value());
  EXPECT_FALSE(GetErrorDetail(absl::OkStatus()).has_value());
  absl::Status status = absl::InternalError("x");
  SetErrorDetail(&status, {});
  EXPECT_FALSE(GetErrorDetail(status)->alert.has_value());
}

TEST(ErrorTest, NamesAlerts) {
  EXPECT_EQ(AlertName(0), "close_notify");
  EXPECT_EQ(AlertName(45), "certificate_expired");
  EXPECT_EQ(AlertName(48), "unknown_ca");
  EXPECT_EQ(AlertName(200), "alert 200");
}

TEST(ErrorTest, OnlyAnOrderlyCloseIsClosed) {
  EXPECT_TRUE(IsClosed(absl::OutOfRangeError("")));
  EXPECT_FALSE(IsClosed(absl::OkStatus()));
  EXPECT_FALSE(IsClosed(absl::UnavailableError("")));
}

}  // namespace
}  // namespace cordon::dtls
