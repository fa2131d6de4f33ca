#include "cordon/dtls/control/worker_pool.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::testing::ElementsAre;

// Keeps one thread of a pool busy until it is let go.
class Plug {
 public:
  explicit Plug(WorkerPool& pool, const std::string& caller = "") {
    EXPECT_TRUE(pool.Submit(caller, [this] {
      begun_.Notify();
      let_go_.WaitForNotification();
    }));
    begun_.WaitForNotification();
  }
  void LetGo() { let_go_.Notify(); }

 private:
  absl::Notification begun_;
  absl::Notification let_go_;
};

TEST(WorkerPoolTest, OneThreadWorksInOrder) {
  std::vector<int> order;
  {
    WorkerPool pool(1, 100);
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(pool.Submit([&order, i] { order.push_back(i); }));
    }
  }
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
}

TEST(WorkerPoolTest, RefusesWhatIsTooMuchAndTakesMoreOnceThereIsRoom) {
  WorkerPool pool(1, 2);
  Plug plug(pool);
  absl::Notification first;
  absl::Notification second;
  EXPECT_TRUE(pool.Submit([&] { first.Notify(); }));
  EXPECT_TRUE(pool.Submit([&] { second.Notify(); }));
  auto work = std::make_shared<int>();
  EXPECT_FALSE(pool.Submit([work] { ADD_FAILURE() << "it was refused"; }));
  EXPECT_EQ(work.use_count(), 1);
  plug.LetGo();
  second.WaitForNotification();
  EXPECT_TRUE(first.HasBeenNotified());
  absl::Notification third;
  EXPECT_TRUE(pool.Submit([&] { third.Notify(); }));
  third.WaitForNotification();
}

TEST(WorkerPoolTest, RunsWhatIsQueuedAtItsEnd) {
  int ran = 0;
  std::optional<WorkerPool> pool(std::in_place, 1, 100);
  Plug plug(*pool);
  for (int i = 0; i < 50; ++i) pool->Submit([&] { ++ran; });
  EXPECT_EQ(ran, 0);
  plug.LetGo();
  pool.reset();
  EXPECT_EQ(ran, 50);
}

TEST(WorkerPoolTest, ItsThreadsWorkAtOnce) {
  WorkerPool pool(2, 2);
  // Neither could end without the other.
  absl::Notification one;
  absl::Notification other;
  absl::BlockingCounter done(2);
  pool.Submit([&] {
    one.Notify();
    other.WaitForNotification();
    done.DecrementCount();
  });
  pool.Submit([&] {
    one.WaitForNotification();
    other.Notify();
    done.DecrementCount();
  });
  done.Wait();
}

TEST(WorkerPoolTest, ACallerDoesNotKeepAllThreadsBusy) {
  WorkerPool pool(3, 100, 2);
  Plug first(pool, "a");
  Plug second(pool, "a");
  bool ran = false;
  // Comes before that of the other, and waits.
  EXPECT_TRUE(pool.Submit("a", [&] { ran = true; }));
  absl::Notification other;
  EXPECT_TRUE(pool.Submit("b", [&] { other.Notify(); }));
  other.WaitForNotification();
  absl::Notification last;
  EXPECT_TRUE(pool.Submit("a", [&] {
    EXPECT_TRUE(ran);
    last.Notify();
  }));
  first.LetGo();
  last.WaitForNotification();
  second.LetGo();
}

TEST(WorkerPoolTest, RunsWhatWaitsForItsCallerAtItsEnd) {
  int ran = 0;
  std::optional<WorkerPool> pool(std::in_place, 2, 100, 1);
  Plug plug(*pool, "a");
  for (int i = 0; i < 50; ++i) pool->Submit("a", [&] { ++ran; });
  plug.LetGo();
  pool.reset();
  EXPECT_EQ(ran, 50);
}

TEST(WorkerPoolTest, WorkThatHasNotBegunCanBeRemoved) {
  int ran = 0;
  std::optional<WorkerPool> pool(std::in_place, 1, 2);
  Plug plug(*pool);
  const int tag = 0;
  auto work = std::make_shared<int>();
  EXPECT_TRUE(pool->Submit("a", [work, &ran] { ++ran; }, &tag));
  EXPECT_TRUE(pool->Submit("a", [&ran] { ran += 10; }));
  EXPECT_FALSE(pool->Submit("a", [] {}));
  EXPECT_TRUE(pool->Remove(&tag));
  EXPECT_EQ(work.use_count(), 1);
  EXPECT_FALSE(pool->Remove(&tag));
  // There is room again.
  EXPECT_TRUE(pool->Submit("a", [&ran] { ran += 100; }));
  plug.LetGo();
  pool.reset();
  EXPECT_EQ(ran, 110);
}

TEST(WorkerPoolTest, WorkMaySubmitMore) {
  WorkerPool pool(1, 1);
  absl::Notification done;
  EXPECT_TRUE(
      pool.Submit([&] { EXPECT_TRUE(pool.Submit([&] { done.Notify(); })); }));
  done.WaitForNotification();
}

TEST(WorkerPoolTest, WorkIsDestroyedAsSoonAsItHasRun) {
  WorkerPool pool(1, 2);
  auto work = std::make_shared<int>();
  absl::Notification next;
  EXPECT_TRUE(pool.Submit([work] {}));
  EXPECT_TRUE(pool.Submit([&] { next.Notify(); }));
  next.WaitForNotification();
  EXPECT_EQ(work.use_count(), 1);
}

}  // namespace
}  // namespace cordon::dtls::control
