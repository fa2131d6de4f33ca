#include "cordon/net/base/errno_status.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace cordon::net {
namespace {

TEST(ErrnoStatusTest, HasTheCodeThatCallersDecideBy) {
  EXPECT_TRUE(absl::IsUnavailable(ErrnoStatus(EADDRINUSE, "bind")));
  EXPECT_TRUE(absl::IsUnavailable(ErrnoStatus(ECONNREFUSED, "send")));
  EXPECT_TRUE(absl::IsPermissionDenied(ErrnoStatus(EACCES, "bind")));
  EXPECT_TRUE(absl::IsResourceExhausted(ErrnoStatus(EMFILE, "socket")));
  EXPECT_TRUE(absl::IsInvalidArgument(ErrnoStatus(EINVAL, "bind")));
  EXPECT_TRUE(absl::IsUnimplemented(ErrnoStatus(ENOSYS, "io_uring")));
  EXPECT_TRUE(absl::IsInternal(ErrnoStatus(EBADF, "read")));
}

TEST(ErrnoStatusTest, SaysWhatAndWhy) {
  EXPECT_EQ(ErrnoStatus(EADDRINUSE, "cannot bind 1.2.3.4:5").message(),
            "cannot bind 1.2.3.4:5: Address already in use");
}

}  // namespace
}  // namespace cordon::net
