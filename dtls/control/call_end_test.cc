#include "cordon/dtls/control/call_end.h"

#include <thread>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

TEST(CallEndTest, GoesOnUntilItsDeadline) {
  EXPECT_TRUE(CallEnd(absl::InfiniteFuture()).Check().ok());
  const CallEnd over(absl::Now());
  EXPECT_TRUE(absl::IsDeadlineExceeded(over.Check())) << over.Check();
  EXPECT_TRUE(over.cancelled().ok());
}

TEST(CallEndTest, TheFirstReasonToCancelCounts) {
  const CallEnd end(absl::InfiniteFuture());
  const CallEnd copy = end;
  copy.Cancel(absl::CancelledError("first"));
  end.Cancel(absl::CancelledError("second"));
  EXPECT_EQ(end.Check(), absl::CancelledError("first"));
}

TEST(CallEndTest, AnEarlierEndIsCancelledWithTheOther) {
  const CallEnd end(absl::InfiniteFuture());
  const CallEnd earlier = end.NoLaterThan(absl::Now());
  EXPECT_TRUE(absl::IsDeadlineExceeded(earlier.Check()));
  EXPECT_TRUE(end.Check().ok());
  EXPECT_EQ(end.NoLaterThan(absl::InfiniteFuture()).deadline(),
            absl::InfiniteFuture());
  end.Cancel(absl::CancelledError("over"));
  EXPECT_EQ(earlier.Check(), absl::CancelledError("over"));
}

TEST(CallEndTest, AWaitEndsWhenItIsDone) {
  const CallEnd end(absl::InfiniteFuture());
  bool done = false;
  std::thread other([&] {
    absl::MutexLock lock(end.mutex());
    done = true;
  });
  EXPECT_TRUE(end.Await(&done, absl::InfiniteFuture()));
  other.join();
}

TEST(CallEndTest, AWaitEndsWhenTheCallDoes) {
  const CallEnd end(absl::InfiniteFuture());
  const bool done = false;
  std::thread other([&] { end.Cancel(absl::CancelledError("over")); });
  EXPECT_FALSE(end.Await(&done, absl::InfiniteFuture()));
  other.join();
  EXPECT_FALSE(CallEnd(absl::Now()).Await(&done, absl::InfiniteFuture()));
  EXPECT_FALSE(CallEnd(absl::InfiniteFuture()).Await(&done, absl::Now()));
}

}  // namespace
}  // namespace cordon::dtls::control
