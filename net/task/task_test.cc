#include "cordon/net/task/task.h"

#include <memory>
#include <set>
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

// As `WhenAny` is used to choose between sources in a loop.
Task<std::vector<int>> TakeAllByAny(Channel<int>& a, Channel<int>& b) {
  std::vector<int> taken;
  while (a.size() > 0 || b.size() > 0) {
    auto any = co_await WhenAny(a.Recv(), b.Recv());
    const absl::StatusOr<int>& value =
        any.index == 0 ? std::get<0>(any.results) : std::get<1>(any.results);
    if (value.ok()) taken.push_back(*value);
  }
  co_return taken;
}

TEST(WhenAnyTest, TakesFromOneSourceOnly) {
  SimReactor reactor;
  Channel<int> a(10);
  Channel<int> b(10);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(a.TrySend(i));
    EXPECT_TRUE(b.TrySend(10 + i));
  }
  EXPECT_EQ(reactor.Run(TakeAllByAny(a, b)),
            (std::vector<int>{0, 1, 2, 3, 4, 10, 11, 12, 13, 14}));
}

// A task of a user's, which ends with what it has received.
Task<absl::StatusOr<int>> RecvAndAdd(Channel<int>& channel, int add) {
  CO_ASSIGN_OR_RETURN(const int value, co_await channel.Recv());
  co_return value + add;
}

Task<std::vector<int>> TakeWhileBothWait(Channel<int>& a, Channel<int>& b,
                                         int count) {
  std::vector<int> taken;
  while (static_cast<int>(taken.size()) < count) {
    auto any = co_await WhenAny(RecvAndAdd(a, 100), RecvAndAdd(b, 200));
    const absl::StatusOr<int>& value =
        any.index == 0 ? std::get<0>(any.results) : std::get<1>(any.results);
    EXPECT_TRUE(value.ok()) << value.status();
    if (value.ok()) taken.push_back(*value);
  }
  co_return taken;
}

Task<absl::Status> FeedBothAtOnce(Channel<int>& a, Channel<int>& b, int count) {
  for (int i = 0; i < count; ++i) {
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Seconds(1)));
    // Both receivers are woken in one turn.
    EXPECT_TRUE(a.TrySend(int{i}));
    EXPECT_TRUE(b.TrySend(int{i}));
  }
  co_return absl::OkStatus();
}

Task<std::vector<int>> FeedAndTake(int count) {
  Channel<int> a(10);
  Channel<int> b(10);
  auto [fed, taken] = co_await WhenAll(FeedBothAtOnce(a, b, count),
                                       TakeWhileBothWait(a, b, 2 * count));
  EXPECT_TRUE(fed.ok());
  co_return taken;
}

TEST(WhenAnyTest, LosesNothingWhenBothAreWokenAtOnce) {
  SimReactor reactor;
  const std::vector<int> taken = reactor.Run(FeedAndTake(5));
  EXPECT_EQ(
      std::multiset<int>(taken.begin(), taken.end()),
      (std::multiset<int>{100, 101, 102, 103, 104, 200, 201, 202, 203, 204}));
}

Task<absl::Status> CountAndFail(int* count) {
  ++*count;
  co_return absl::DataLossError("not taken");
}

Task<AnyResult<absl::Status, absl::Status, int>> RaceOfThree(int* begun) {
  co_return co_await WhenAny(ReturnStatus(absl::OkStatus()),
                             CountAndFail(begun), Return(3));
}

TEST(WhenAnyTest, DoesNotBeginWhatComesTooLate) {
  SimReactor reactor;
  int begun = 0;
  auto any = reactor.Run(RaceOfThree(&begun));
  EXPECT_EQ(any.index, 0U);
  EXPECT_EQ(begun, 0);
  EXPECT_TRUE(absl::IsCancelled(std::get<1>(any.results)));
  // There is no other way to a result of this type.
  EXPECT_EQ(std::get<2>(any.results), 3);
}

Task<absl::StatusOr<int>> RecvStopped(Channel<int>& channel) {
  co_return co_await WithTimeout(absl::ZeroDuration(), RecvAndAdd(channel, 0));
}
Task<absl::Status> StopThenRecv(Channel<int>& channel, absl::Status* received) {
  TaskScope scope;
  scope.RequestStop();
  scope.Spawn([](Channel<int>& c, absl::Status* out) -> Task<void> {
    *out = (co_await c.Recv()).status();
  }(channel, received));
  CO_RETURN_IF_ERROR(co_await scope.Join());
  scope.Spawn([](Channel<int>& c) -> Task<absl::Status> {
    const absl::Status sent = co_await c.Send(9);
    EXPECT_TRUE(absl::IsCancelled(sent)) << sent;
    co_return absl::OkStatus();
  }(channel));
  co_return co_await scope.Join();
}

TEST(ChannelTest, WhatBeginsStoppedTakesNothingAndSendsNothing) {
  SimReactor reactor;
  Channel<int> channel(4);
  EXPECT_TRUE(channel.TrySend(1));
  absl::Status received;
  EXPECT_TRUE(reactor.Run(StopThenRecv(channel, &received)).ok());
  EXPECT_TRUE(absl::IsCancelled(received)) << received;
  EXPECT_EQ(channel.size(), 1U);
  // One that has begun in time takes what is there.
  EXPECT_EQ(*reactor.Run(RecvStopped(channel)), 1);
}

// A receiver is woken, and stopped before it runs: the next one is woken.
Task<absl::Status> StopTheWoken(int* received) {
  Channel<int> channel(4);
  TaskScope first;
  TaskScope second;
  const auto recv = [](Channel<int>& c, int* out) -> Task<void> {
    absl::StatusOr<int> value = co_await c.Recv();
    if (value.ok()) *out = *value;
  };
  int stopped = 0;
  first.Spawn(recv(channel, &stopped));
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Seconds(1)));
  second.Spawn(recv(channel, received));
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Seconds(1)));
  EXPECT_TRUE(channel.TrySend(7));
  first.RequestStop();
  CO_RETURN_IF_ERROR(co_await first.Join());
  EXPECT_EQ(stopped, 0);
  co_return co_await WithTimeout(absl::Seconds(1), second.Join());
}

TEST(ChannelTest, AStoppedReceiverPassesItsWakeUpOn) {
  SimReactor reactor;
  int received = 0;
  EXPECT_EQ(reactor.Run(StopTheWoken(&received)), absl::OkStatus());
  EXPECT_EQ(received, 7);
}

// What a turn of 200 ms does to durations that are counted from its end.
Task<absl::Status> ExpireAfterALongTurn(SimReactor& reactor) {
  Event never;
  const absl::Time begin = reactor.clock().Now();
  reactor.clock().Advance(absl::Milliseconds(200));
  const absl::Status status =
      co_await WithTimeout(absl::Milliseconds(100), never.Wait());
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(reactor.Now(), begin + absl::Milliseconds(300));
  reactor.clock().Advance(absl::Milliseconds(200));
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(50)));
  EXPECT_EQ(reactor.Now(), begin + absl::Milliseconds(550));
  co_return absl::OkStatus();
}

TEST(WithTimeoutTest, CountsFromTheCallHoweverLongTheTurnHasLasted) {
  SimReactor reactor;
  EXPECT_EQ(reactor.Run(ExpireAfterALongTurn(reactor)), absl::OkStatus());
}

// Coroutines that take long, and one timer that is due meanwhile.
Task<absl::Status> Work(SimReactor& reactor, int* done) {
  reactor.clock().Advance(absl::Milliseconds(5));
  ++*done;
  co_return absl::OkStatus();
}
Task<absl::Status> WorkMuch(SimReactor& reactor, int* done_before_timer) {
  constexpr int kPieces = 1000;
  TaskScope scope;
  int done = 0;
  scope.Spawn([](int& d, int* before) -> Task<void> {
    (void)co_await SleepFor(absl::Milliseconds(1));
    *before = d;
  }(done, done_before_timer));
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Microseconds(10)));
  for (int i = 0; i < kPieces; ++i) scope.Spawn(Work(reactor, &done));
  CO_RETURN_IF_ERROR(co_await scope.Join());
  EXPECT_EQ(done, kPieces);
  co_return absl::OkStatus();
}

TEST(ExecutorTest, ATurnEndsWhenItsTimeSliceIsSpent) {
  SimReactor reactor;
  int done_before_timer = 0;
  EXPECT_EQ(reactor.Run(WorkMuch(reactor, &done_before_timer)),
            absl::OkStatus());
  // Those that were ready before it, among which it is, are another turn's.
  EXPECT_LT(done_before_timer, 1000);
}

Task<absl::Status> Branch(bool first, absl::Status status, std::string* way) {
  if (first)
    CO_RETURN_IF_ERROR(co_await ReturnStatus(status));
  else
    *way += "else";
  *way += " end";
  co_return absl::OkStatus();
}
absl::Status PlainBranch(bool first, const absl::Status& status,
                         std::string* way) {
  if (first)
    CORDON_RETURN_IF_ERROR(status);
  else
    *way += "else";
  *way += " end";
  return absl::OkStatus();
}

TEST(StatusMacrosTest, LeaveAnElseToItsIf) {
  SimReactor reactor;
  for (bool plain : {false, true}) {
    const auto run = [&](bool first, const absl::Status& status,
                         std::string* way) {
      return plain ? PlainBranch(first, status, way)
                   : reactor.Run(Branch(first, status, way));
    };
    std::string way;
    EXPECT_TRUE(run(true, absl::OkStatus(), &way).ok());
    EXPECT_EQ(way, " end");
    way.clear();
    EXPECT_TRUE(run(false, absl::AbortedError(""), &way).ok());
    EXPECT_EQ(way, "else end");
    way.clear();
    EXPECT_TRUE(absl::IsAborted(run(true, absl::AbortedError(""), &way)));
    EXPECT_EQ(way, "");
  }
}

}  // namespace
}  // namespace cordon::net
