#include "cordon/net/task/task.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/net/task/channel.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/when_all.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

using ::cordon::testing::SimReactor;

Task<int> Return(int value) { co_return value; }
Task<void> Append(std::vector<int>& out, int value) {
  out.push_back(value);
  co_return;
}
Task<absl::Status> ReturnStatus(absl::Status status) { co_return status; }
Task<absl::StatusOr<int>> ReturnOr(absl::StatusOr<int> value) {
  co_return value;
}

Task<absl::StatusOr<int>> AddOne(absl::StatusOr<int> value) {
  CO_ASSIGN_OR_RETURN(const int got, co_await ReturnOr(value));
  co_return got + 1;
}

Task<absl::Status> FirstFailing(std::vector<int>& steps) {
  CO_RETURN_IF_ERROR(co_await ReturnStatus(absl::OkStatus()));
  steps.push_back(1);
  CO_RETURN_IF_ERROR(co_await ReturnStatus(absl::AbortedError("here")));
  steps.push_back(2);
  co_return absl::OkStatus();
}

TEST(TaskTest, IsLazy) {
  std::vector<int> out;
  SimReactor reactor;
  Task<void> task = Append(out, 1);
  EXPECT_TRUE(out.empty());
  reactor.Run(std::move(task));
  EXPECT_EQ(out, std::vector<int>{1});
}

TEST(TaskTest, YieldsItsResult) {
  SimReactor reactor;
  EXPECT_EQ(reactor.Run(Return(42)), 42);
}

Task<std::unique_ptr<std::string>> MoveOnly() {
  co_return std::make_unique<std::string>("moved");
}

TEST(TaskTest, YieldsMoveOnlyResults) {
  SimReactor reactor;
  EXPECT_EQ(*reactor.Run(MoveOnly()), "moved");
}

TEST(TaskTest, PropagatesErrors) {
  SimReactor reactor;
  std::vector<int> steps;
  EXPECT_TRUE(absl::IsAborted(reactor.Run(FirstFailing(steps))));
  EXPECT_EQ(steps, std::vector<int>{1});
  EXPECT_EQ(*reactor.Run(AddOne(41)), 42);
  EXPECT_TRUE(
      absl::IsNotFound(reactor.Run(AddOne(absl::NotFoundError(""))).status()));
}

TEST(TaskTest, MayBeDroppedBeforeItStarts) {
  std::vector<int> out;
  {
    Task<void> task = Append(out, 1);
  }
  EXPECT_TRUE(out.empty());
}

Task<void> Throw() {
  throw std::runtime_error("out of coffee");
  co_return;
}

TEST(TaskDeathTest, AnEscapingExceptionEndsTheProgramByName) {
  SimReactor reactor;
  EXPECT_DEATH(reactor.Run(Throw()),
               "escaped a coroutine: std::runtime_error: out of coffee");
}

Task<absl::Time> SleepAndTell(SimReactor& reactor, absl::Duration duration) {
  EXPECT_TRUE((co_await SleepFor(duration)).ok());
  co_return reactor.Now();
}

TEST(SleepTest, LastsAsLongAsAsked) {
  SimReactor reactor;
  const absl::Time start = reactor.Now();
  EXPECT_EQ(reactor.Run(SleepAndTell(reactor, absl::Hours(3))),
            start + absl::Hours(3));
}

Task<absl::StatusOr<int>> SlowAnswer(absl::Duration after) {
  CO_RETURN_IF_ERROR(co_await SleepFor(after));
  co_return 7;
}

Task<absl::StatusOr<int>> AnswerWithin(absl::Duration limit,
                                       absl::Duration after) {
  co_return co_await WithTimeout(limit, SlowAnswer(after));
}

TEST(WithTimeoutTest, LetsAResultInTimePass) {
  SimReactor reactor;
  absl::StatusOr<int> answer =
      reactor.Run(AnswerWithin(absl::Seconds(2), absl::Seconds(1)));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, 7);
}

TEST(WithTimeoutTest, StopsWhatTakesTooLong) {
  SimReactor reactor;
  const absl::Time start = reactor.Now();
  absl::StatusOr<int> answer =
      reactor.Run(AnswerWithin(absl::Seconds(2), absl::Seconds(10)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(answer.status())) << answer.status();
  EXPECT_EQ(reactor.Now(), start + absl::Seconds(2));
}

Task<absl::StatusOr<int>> StubbornAnswer(absl::Duration after) {
  const StopToken token = co_await CurrentStopToken();
  (void)co_await SleepFor(after);
  EXPECT_TRUE(token.stop_requested());
  co_return 8;
}

Task<absl::StatusOr<int>> StubbornWithin(absl::Duration limit) {
  co_return co_await WithTimeout(limit, StubbornAnswer(absl::Seconds(10)));
}

TEST(WithTimeoutTest, KeepsAResultThatComesAllTheSame) {
  SimReactor reactor;
  absl::StatusOr<int> answer = reactor.Run(StubbornWithin(absl::Seconds(1)));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, 8);
}

Task<absl::StatusOr<int>> Nested() {
  co_return co_await WithTimeout(
      absl::Seconds(1), AnswerWithin(absl::Seconds(100), absl::Seconds(50)));
}

TEST(WithTimeoutTest, TheInnerLimitLeavesTheOuterOneAlone) {
  SimReactor reactor;
  const absl::Time start = reactor.Now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(reactor.Run(Nested()).status()));
  EXPECT_EQ(reactor.Now(), start + absl::Seconds(1));
}

Task<int> SleepThen(absl::Duration duration, int value) {
  (void)co_await SleepFor(duration);
  co_return value;
}

Task<std::tuple<int, int, std::monostate>> AllThree(std::vector<int>& out) {
  co_return co_await WhenAll(SleepThen(absl::Seconds(2), 1),
                             SleepThen(absl::Seconds(1), 2), Append(out, 3));
}

TEST(WhenAllTest, RunsConcurrentlyAndYieldsInOrder) {
  SimReactor reactor;
  std::vector<int> out;
  const absl::Time start = reactor.Now();
  auto results = reactor.Run(AllThree(out));
  EXPECT_EQ(std::get<0>(results), 1);
  EXPECT_EQ(std::get<1>(results), 2);
  EXPECT_EQ(out, std::vector<int>{3});
  EXPECT_EQ(reactor.Now(), start + absl::Seconds(2));
}

Task<std::vector<int>> AllOf(size_t count) {
  std::vector<Task<int>> tasks;
  tasks.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    tasks.push_back(SleepThen(absl::Milliseconds(count - i), i));
  }
  co_return co_await WhenAll(std::move(tasks));
}

TEST(WhenAllTest, TakesAnyNumber) {
  SimReactor reactor;
  EXPECT_TRUE(reactor.Run(AllOf(0)).empty());
  const std::vector<int> results = reactor.Run(AllOf(1000));
  ASSERT_EQ(results.size(), 1000U);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(results[i], i);
}

Task<AnyResult<absl::Status, absl::StatusOr<int>>> Race() {
  auto sleep = [](absl::Duration d) -> Task<absl::Status> {
    co_return co_await SleepFor(d);
  };
  co_return co_await WhenAny(sleep(absl::Hours(1)),
                             SlowAnswer(absl::Seconds(1)));
}

TEST(WhenAnyTest, StopsAndAwaitsTheOthers) {
  SimReactor reactor;
  const absl::Time start = reactor.Now();
  auto any = reactor.Run(Race());
  EXPECT_EQ(any.index, 1U);
  EXPECT_EQ(*std::get<1>(any.results), 7);
  EXPECT_TRUE(absl::IsCancelled(std::get<0>(any.results)));
  EXPECT_EQ(reactor.Now(), start + absl::Seconds(1));
}

Task<absl::Status> Fail(absl::Duration after, absl::Status status) {
  (void)co_await SleepFor(after);
  co_return status;
}

Task<absl::Status> Scoped(size_t* left) {
  TaskScope scope;
  scope.Spawn(Fail(absl::Seconds(2), absl::DataLossError("second")));
  scope.Spawn(Fail(absl::Seconds(1), absl::AbortedError("first")));
  scope.Spawn(Fail(absl::Seconds(3), absl::OkStatus()));
  EXPECT_EQ(scope.size(), 3U);
  absl::Status status = co_await scope.Join();
  *left = scope.size();
  co_return status;
}

TEST(TaskScopeTest, JoinAwaitsAllAndTellsTheFirstError) {
  SimReactor reactor;
  const absl::Time start = reactor.Now();
  size_t left = 99;
  EXPECT_TRUE(absl::IsAborted(reactor.Run(Scoped(&left))));
  EXPECT_EQ(left, 0U);
  EXPECT_EQ(reactor.Now(), start + absl::Seconds(3));
}

Task<absl::Status> StopScope() {
  TaskScope scope;
  for (int i = 0; i < 100; ++i) {
    scope.Spawn(Fail(absl::Hours(1), absl::OkStatus()));
  }
  (void)co_await SleepFor(absl::Seconds(1));
  scope.RequestStop();
  co_return co_await scope.Join();
}

TEST(TaskScopeTest, RequestStopEndsItsTasks) {
  SimReactor reactor;
  const absl::Time start = reactor.Now();
  EXPECT_TRUE(reactor.Run(StopScope()).ok());
  EXPECT_EQ(reactor.Now(), start + absl::Seconds(1));
}

Task<absl::Status> JoinForever(int* ended) {
  TaskScope scope;
  scope.Spawn([](int* e) -> Task<absl::Status> {
    absl::Status status = co_await SleepFor(absl::Hours(100));
    ++*e;
    co_return status;
  }(ended));
  co_return co_await scope.Join();
}

Task<absl::Status> JoinWithTimeout(int* ended) {
  co_return co_await WithTimeout(absl::Seconds(1), JoinForever(ended));
}

TEST(TaskScopeTest, JoinPassesAStopOn) {
  SimReactor reactor;
  const absl::Time start = reactor.Now();
  int ended = 0;
  reactor.Run(JoinWithTimeout(&ended)).IgnoreError();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(reactor.Now(), start + absl::Seconds(1));
}

struct Witness {
  explicit Witness(int* count) : count_(count) { ++*count_; }
  ~Witness() { --*count_; }
  int* count_;
};

Task<absl::Status> Sleeper(int* alive, int depth) {
  Witness witness(alive);
  if (depth > 0) co_return co_await Sleeper(alive, depth - 1);
  co_return co_await SleepFor(absl::Hours(1));
}

Task<absl::Status> DropRunning(int* alive) {
  {
    TaskScope scope;
    scope.Spawn(Sleeper(alive, 10));
    (void)co_await SleepFor(absl::Seconds(1));
    EXPECT_EQ(*alive, 11);
  }
  EXPECT_EQ(*alive, 0);
  // Nothing of them is left to fire.
  co_return co_await SleepFor(absl::Hours(2));
}

TEST(TaskScopeTest, ASuspendedTreeMayBeDestroyed) {
  SimReactor reactor;
  int alive = 0;
  EXPECT_TRUE(reactor.Run(DropRunning(&alive)).ok());
}

Task<absl::Status> Produce(Channel<int>& channel, int count) {
  for (int i = 0; i < count; ++i) {
    CO_RETURN_IF_ERROR(co_await channel.Send(i));
    EXPECT_LE(channel.size(), channel.capacity());
  }
  channel.Close();
  co_return absl::OkStatus();
}

Task<absl::StatusOr<int>> Consume(Channel<int>& channel) {
  int expected = 0;
  while (true) {
    absl::StatusOr<int> value = co_await channel.Recv();
    if (absl::IsOutOfRange(value.status())) co_return expected;
    if (!value.ok()) co_return value.status();
    EXPECT_EQ(*value, expected);
    ++expected;
  }
}

Task<int> ProduceAndConsume(size_t capacity, int count) {
  Channel<int> channel(capacity);
  auto [produced, consumed] =
      co_await WhenAll(Produce(channel, count), Consume(channel));
  EXPECT_TRUE(produced.ok());
  EXPECT_TRUE(consumed.ok());
  co_return *consumed;
}

TEST(ChannelTest, KeepsOrderAndItsBound) {
  SimReactor reactor;
  EXPECT_EQ(reactor.Run(ProduceAndConsume(1, 1000)), 1000);
  EXPECT_EQ(reactor.Run(ProduceAndConsume(16, 1000)), 1000);
}

Task<absl::Status> SendAfterClose() {
  Channel<int> channel(1);
  channel.Close();
  co_return co_await channel.Send(1);
}

TEST(ChannelTest, RefusesValuesOnceClosed) {
  SimReactor reactor;
  EXPECT_TRUE(absl::IsFailedPrecondition(reactor.Run(SendAfterClose())));
}

Task<int> RecvAfterTimeout() {
  Channel<int> channel(4);
  absl::StatusOr<int> none =
      co_await WithTimeout(absl::Seconds(1), channel.Recv());
  EXPECT_TRUE(absl::IsDeadlineExceeded(none.status()));
  EXPECT_TRUE(channel.TrySend(5));
  absl::StatusOr<int> value = co_await channel.Recv();
  co_return *value;
}

TEST(ChannelTest, AStoppedReceiverLosesNothing) {
  SimReactor reactor;
  EXPECT_EQ(reactor.Run(RecvAfterTimeout()), 5);
}

}  // namespace
}  // namespace cordon::net
