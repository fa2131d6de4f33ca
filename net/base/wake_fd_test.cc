#include "cordon/net/base/wake_fd.h"

#include <poll.h>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

bool Readable(const WakeFd& wake) {
  pollfd polled = {.fd = wake.get(), .events = POLLIN, .revents = 0};
  return poll(&polled, 1, 0) == 1;
}

TEST(WakeFdTest, IsReadableFromWakeToClear) {
  WakeFd wake;
  ASSERT_TRUE(wake.Open().ok());
  wake.Clear();
  EXPECT_FALSE(Readable(wake));
  wake.Wake();
  wake.Wake();
  EXPECT_TRUE(Readable(wake));
  // Returns at once.
  wake.Wait(absl::InfiniteDuration());
  wake.Clear();
  EXPECT_FALSE(Readable(wake));
  wake.Wait(absl::ZeroDuration());
  wake.Wait(-absl::Seconds(1));
}

}  // namespace
}  // namespace cordon::net
