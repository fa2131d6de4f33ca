// Each thing that can be awaited, stopped in each state: before it begins,
// while it waits, after it was woken but before it ran, and after it ended.
#include "cordon/net/task/stop.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/net/task/channel.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/task/when_all.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

using ::cordon::testing::SimReactor;

class Recorder : public StopCallback {
 public:
  int calls = 0;

 private:
  void OnStop() override { ++calls; }
};

TEST(StopSourceTest, CallsEachCallbackOnce) {
  StopSource source;
  Recorder a;
  Recorder b;
  a.RegisterWith(source.token());
  b.RegisterWith(source.token());
  b.Unregister();
  source.RequestStop();
  source.RequestStop();
  EXPECT_EQ(a.calls, 1);
  EXPECT_EQ(b.calls, 0);
  EXPECT_TRUE(source.token().stop_requested());
}

TEST(StopSourceTest, PassesOnFromParentToChildOnly) {
  StopSource parent;
  StopSource child(parent.token());
  StopSource other(parent.token());
  child.RequestStop();
  EXPECT_FALSE(parent.stop_requested());
  EXPECT_FALSE(other.stop_requested());
  parent.RequestStop();
  EXPECT_TRUE(other.stop_requested());
  StopSource late(parent.token());
  EXPECT_TRUE(late.stop_requested());
}

TEST(StopSourceTest, ACallbackMayDieFirst) {
  StopSource source;
  {
    Recorder recorder;
    recorder.RegisterWith(source.token());
  }
  source.RequestStop();
}

// What a case may use; the operation must end with OK when released.
struct World {
  Channel<int> empty{4};
  Channel<int> full{1};
  Event event;
  WaitQueue queue;
  std::optional<TaskScope> scope;

  World() { EXPECT_TRUE(full.TrySend(0)); }
  void Release() {
    EXPECT_TRUE(empty.TrySend(1));
    (void)full.TryRecv();
    event.Set();
    queue.WakeOne();
  }
};

struct Awaitable {
  std::string name;
  Task<absl::Status> (*run)(World& world);
};

Task<absl::Status> RunSleep(World& world) {
  auto [slept, event] = co_await WhenAll(
      [](World&) -> Task<absl::Status> {
        co_return co_await SleepFor(absl::Seconds(5));
      }(world),
      world.event.Wait());
  slept.Update(event);
  co_return slept;
}
Task<absl::Status> RunRecv(World& world) {
  co_return (co_await world.empty.Recv()).status();
}
Task<absl::Status> RunSend(World& world) {
  co_return co_await world.full.Send(1);
}
Task<absl::Status> RunEvent(World& world) {
  co_return co_await world.event.Wait();
}
Task<absl::Status> RunQueue(World& world) {
  const Wakeup wakeup = co_await world.queue.Wait();
  co_return wakeup.status("waiting");
}
Task<absl::Status> RunTimeout(World& world) {
  co_return co_await WithTimeout(absl::Hours(1), world.event.Wait());
}
Task<absl::Status> RunScope(World& world) {
  TaskScope scope;
  absl::Status result;
  scope.Spawn([](World& w, absl::Status* out) -> Task<void> {
    *out = co_await w.event.Wait();
  }(world, &result));
  (void)co_await scope.Join();
  co_return result;
}
Task<absl::Status> RunAny(World& world) {
  auto any = co_await WhenAny(world.event.Wait(), RunQueue(world));
  co_return any.index == 0 ? std::get<0>(any.results)
                           : std::get<1>(any.results);
}

class StopEachTest : public ::testing::TestWithParam<Awaitable> {
 public:
  SimReactor reactor_;
  World world_;
  absl::Status result_ = absl::UnknownError("not ended");

  static Task<void> Record(Task<absl::Status> task, absl::Status* out) {
    *out = co_await std::move(task);
  }
  // Runs the awaitable in a scope, and `script` beside it.
  Task<absl::Status> Play(std::function<void(TaskScope&)> before,
                          std::function<void(TaskScope&)> while_waiting) {
    TaskScope scope;
    if (before) before(scope);
    scope.Spawn(Record(GetParam().run(world_), &result_));
    (void)co_await SleepFor(absl::Seconds(1));
    if (while_waiting) while_waiting(scope);
    co_return co_await scope.Join();
  }
};

TEST_P(StopEachTest, BeforeItBegins) {
  ASSERT_TRUE(
      reactor_.Run(Play([](TaskScope& s) { s.RequestStop(); }, nullptr)).ok());
  EXPECT_TRUE(absl::IsCancelled(result_)) << result_;
}

TEST_P(StopEachTest, WhileItWaits) {
  ASSERT_TRUE(
      reactor_.Run(Play(nullptr, [](TaskScope& s) { s.RequestStop(); })).ok());
  EXPECT_TRUE(absl::IsCancelled(result_)) << result_;
}

TEST_P(StopEachTest, AfterItWasWoken) {
  ASSERT_TRUE(reactor_
                  .Run(Play(nullptr,
                            [this](TaskScope& s) {
                              world_.Release();
                              s.RequestStop();
                            }))
                  .ok());
  // Whichever came first is told; nothing hangs and nothing else is reported.
  EXPECT_TRUE(result_.ok() || absl::IsCancelled(result_)) << result_;
}

TEST_P(StopEachTest, AfterItEnded) {
  ASSERT_TRUE(reactor_
                  .Run(Play([this](TaskScope&) { world_.Release(); },
                            [this](TaskScope& s) {
                              world_.queue.WakeOne();
                              (void)s;
                            }))
                  .ok());
  EXPECT_TRUE(result_.ok()) << result_;
}

TEST_P(StopEachTest, DestroyedWhileItWaits) {
  auto destroy = [](StopEachTest* test) -> Task<absl::Status> {
    {
      TaskScope scope;
      scope.Spawn(Record(test->GetParam().run(test->world_), &test->result_));
      (void)co_await SleepFor(absl::Seconds(1));
    }
    test->world_.Release();
    co_return co_await SleepFor(absl::Hours(2));
  };
  ASSERT_TRUE(reactor_.Run(destroy(this)).ok());
  EXPECT_TRUE(absl::IsUnknown(result_)) << result_;
}

INSTANTIATE_TEST_SUITE_P(Awaitables, StopEachTest,
                         ::testing::Values(Awaitable{"Sleep", RunSleep},
                                           Awaitable{"ChannelRecv", RunRecv},
                                           Awaitable{"ChannelSend", RunSend},
                                           Awaitable{"Event", RunEvent},
                                           Awaitable{"WaitQueue", RunQueue},
                                           Awaitable{"WithTimeout", RunTimeout},
                                           Awaitable{"TaskScope", RunScope},
                                           Awaitable{"WhenAny", RunAny}),
                         [](const auto& param) { return param.param.name; });

// What is destroyed in the turn in which its waiter was woken, or stopped, and
// has not run yet.
class DestroyEachTest : public ::testing::TestWithParam<Awaitable> {
 protected:
  Task<absl::Status> Play(bool wake, bool stop) {
    TaskScope scope;
    scope.Spawn(StopEachTest::Record(GetParam().run(*world_), &result_));
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Seconds(1)));
    if (wake) world_->Release();
    if (stop) scope.RequestStop();
    world_.reset();
    co_return co_await scope.Join();
  }

  SimReactor reactor_;
  std::optional<World> world_{std::in_place};
  absl::Status result_ = absl::UnknownError("not ended");
};

TEST_P(DestroyEachTest, WhileItWaits) {
  EXPECT_TRUE(reactor_.Run(Play(false, false)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(result_)) << result_;
}

TEST_P(DestroyEachTest, AfterItWasWoken) {
  EXPECT_TRUE(reactor_.Run(Play(true, false)).ok());
  EXPECT_FALSE(absl::IsUnknown(result_)) << result_;
}

TEST_P(DestroyEachTest, AfterItWasStopped) {
  EXPECT_TRUE(reactor_.Run(Play(false, true)).ok());
  EXPECT_FALSE(result_.ok());
  EXPECT_FALSE(absl::IsUnknown(result_)) << result_;
}

TEST_P(DestroyEachTest, AfterItWasWokenAndStopped) {
  EXPECT_TRUE(reactor_.Run(Play(true, true)).ok());
  EXPECT_FALSE(absl::IsUnknown(result_)) << result_;
}

Task<absl::Status> WaitFor(Event& event) { co_return co_await event.Wait(); }
Task<absl::Status> JoinScope(World& world) {
  world.scope.emplace();
  world.scope->Spawn(WaitFor(world.event));
  co_return co_await world.scope->Join();
}

INSTANTIATE_TEST_SUITE_P(Awaitables, DestroyEachTest,
                         ::testing::Values(Awaitable{"ChannelRecv", RunRecv},
                                           Awaitable{"ChannelSend", RunSend},
                                           Awaitable{"Event", RunEvent},
                                           Awaitable{"WaitQueue", RunQueue},
                                           Awaitable{"WithTimeout", RunTimeout},
                                           Awaitable{"TaskScope", RunScope},
                                           Awaitable{"Join", JoinScope},
                                           Awaitable{"WhenAny", RunAny}),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace cordon::net
