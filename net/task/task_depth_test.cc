// A million awaits, in a row and nested, on a small stack.
#include <pthread.h>

#include "cordon/net/task/task.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

using ::cordon::testing::SimReactor;

constexpr int kMillion = 1'000'000;

Task<int> One() { co_return 1; }

Task<int> InARow() {
  int sum = 0;
  for (int i = 0; i < kMillion; ++i) sum += co_await One();
  co_return sum;
}

Task<int> Nested(int depth) {
  if (depth == 0) co_return 0;
  co_return 1 + co_await Nested(depth - 1);
}

Task<absl::Status> NestedForever(int depth) {
  if (depth > 0) co_return co_await NestedForever(depth - 1);
  WaitQueue never;
  (void)co_await never.Wait();
  co_return absl::OkStatus();
}

// Runs `f` on a thread with a stack of 256 KiB.
template <typename F>
void OnASmallStack(F f) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, size_t{256} << 10), 0);
  pthread_t thread;
  auto run = [](void* argument) -> void* {
    (*static_cast<F*>(argument))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &f), 0);
  pthread_join(thread, nullptr);
}

TEST(TaskDepthTest, AMillionAwaitsInARow) {
  OnASmallStack([] {
    SimReactor reactor;
    EXPECT_EQ(reactor.Run(InARow()), kMillion);
  });
}

TEST(TaskDepthTest, AMillionNestedAwaits) {
  OnASmallStack([] {
    SimReactor reactor;
    EXPECT_EQ(reactor.Run(Nested(kMillion)), kMillion);
  });
}

Task<absl::Status> DestroyNested() {
  TaskScope scope;
  scope.Spawn(NestedForever(kMillion));
  co_return co_await SleepFor(absl::Seconds(1));
}

TEST(TaskDepthTest, AMillionNestedTasksMayBeDestroyed) {
  OnASmallStack([] {
    SimReactor reactor;
    EXPECT_TRUE(reactor.Run(DestroyNested()).ok());
  });
}

}  // namespace
}  // namespace cordon::net
