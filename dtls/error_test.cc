#include "cordon/dtls/error.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
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

TEST(ErrorDetailTest, HasEachCertificateOnce) {
  const SharedBytes large = std::string(50'000, 'c');
  ErrorDetail detail;
  for (int i = 0; i < 16; ++i) {
    detail.verification_errors.push_back(
        {.code = VerificationErrorCode::kExpired,
         .depth = i,
         .subject = "CN=large",
         .certificate = i % 5 == 4 ? SharedBytes("small") : large,
         .message = "expired"});
  }
  absl::Status status = absl::UnauthenticatedError("no");
  SetErrorDetail(&status, detail);
  size_t bytes = 0;
  status.ForEachPayload([&](absl::string_view, const absl::Cord& payload) {
    bytes += payload.size();
  });
  EXPECT_LT(bytes, 51'000U);
  const std::optional<ErrorDetail> back = GetErrorDetail(status);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->verification_errors, detail.verification_errors);
  EXPECT_EQ(back->verification_errors[0].certificate.view().data(),
            back->verification_errors[15].certificate.view().data());
}

TEST(ErrorTest, ATextHasTheFirstMessagesOnly) {
  std::vector<VerificationError> errors(3);
  for (VerificationError& error : errors) error.message = "wrong";
  EXPECT_EQ(MessagesOf(errors), "wrong; wrong; wrong");
  errors.resize(16);
  EXPECT_EQ(MessagesOf(errors).substr(19), "; ; and 12 more");
  EXPECT_EQ(MessagesOf({}), "");
}

TEST(SharedBytesTest, AreSharedAndCompared) {
  const SharedBytes a = std::string("bytes");
  const SharedBytes b = a;
  EXPECT_EQ(a.view().data(), b.view().data());
  EXPECT_EQ(a, SharedBytes("bytes"));
  EXPECT_FALSE(a == SharedBytes("other"));
  EXPECT_FALSE(a == SharedBytes("byte"));
  EXPECT_TRUE(SharedBytes().empty());
  EXPECT_EQ(SharedBytes(), SharedBytes(""));
  EXPECT_EQ(a.size(), 5U);
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
