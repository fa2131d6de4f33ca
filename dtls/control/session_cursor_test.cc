#include "cordon/dtls/control/session_cursor.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/listener_call.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/fake_listener/fake_listener.h"
#include "cordon/testing/fake_listener/reactor_thread.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::cordon::testing::FakeListener;
using ::cordon::testing::kPatience;
using ::cordon::testing::ReactorThread;
using ::cordon::testing::SimReactor;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SessionCursorTest : public ::testing::Test {
 protected:
  ~SessionCursorTest() override {
    thread_.Do([&] { listeners_.clear(); });
  }

  // Listeners share the thread; each has sessions of these ids.
  size_t Listen(const std::string& name, const std::vector<uint64_t>& ids) {
    thread_.Do([&] {
      listeners_.push_back(
          std::make_unique<FakeListener>(thread_.reactor(), registry_, name));
      for (const uint64_t id : ids) listeners_.back()->Open({.id = id});
    });
    return listeners_.size() - 1;
  }
  void End(size_t listener) {
    thread_.Do([&] { listeners_[listener].reset(); });
  }

  SessionCursor From(uint64_t after) {
    return SessionCursor(registry_.listeners(), after, kPatience);
  }
  // The next id; 0: there is none.
  static uint64_t NextId(SessionCursor& cursor) {
    absl::StatusOr<std::optional<SessionRow>> row = cursor.Next();
    EXPECT_TRUE(row.ok()) << row.status();
    return row.ok() && row->has_value() ? (*row)->session->id : 0;
  }
  static std::vector<uint64_t> Rest(SessionCursor& cursor) {
    std::vector<uint64_t> ids;
    while (const uint64_t id = NextId(cursor)) ids.push_back(id);
    return ids;
  }

  // `first`, `first` + `step`, ...
  static std::vector<uint64_t> Ids(uint64_t first, uint64_t step,
                                   size_t count) {
    std::vector<uint64_t> ids;
    ids.reserve(count);
    for (size_t i = 0; i < count; ++i) ids.push_back(first + i * step);
    return ids;
  }

  Registry registry_;
  ReactorThread thread_;
  std::vector<std::unique_ptr<FakeListener>> listeners_;
};

TEST_F(SessionCursorTest, ListenersAreMergedByTheIdsOfTheirSessions) {
  Listen("a", {2, 3, 9});
  Listen("b", {1, 7, 8, 10});
  Listen("c", {});
  Listen("d", {5});
  SessionCursor cursor = From(0);
  const auto first = cursor.Next();
  ASSERT_TRUE(first.ok() && first->has_value());
  EXPECT_EQ((*first)->session->id, 1U);
  EXPECT_EQ((*first)->listener->name(), "b");
  EXPECT_THAT(Rest(cursor), ElementsAre(2, 3, 5, 7, 8, 9, 10));
  // It stays at the end.
  EXPECT_EQ(NextId(cursor), 0U);
}

TEST_F(SessionCursorTest, BeginsBehindAnId) {
  Listen("a", {2, 3, 9});
  Listen("b", {1, 7});
  SessionCursor cursor = From(3);
  EXPECT_THAT(Rest(cursor), ElementsAre(7, 9));
  SessionCursor none = From(9);
  EXPECT_THAT(Rest(none), IsEmpty());
}

TEST_F(SessionCursorTest, WithoutListenersThereIsNothing) {
  SessionCursor cursor({}, 0, kPatience);
  EXPECT_EQ(NextId(cursor), 0U);
}

TEST_F(SessionCursorTest, ATurnTakesNoMoreThanAChunk) {
  constexpr size_t kChunk = SessionCursor::kChunk;
  // One session more, and exactly as many as chunks hold.
  Listen("a", Ids(1, 2, 2 * kChunk + 1));
  Listen("b", Ids(2, 2, 2 * kChunk));
  SessionCursor cursor = From(0);
  EXPECT_EQ(Rest(cursor), Ids(1, 1, 4 * kChunk + 1));
  thread_.Do([&] {
    for (const auto& listener : listeners_) {
      EXPECT_EQ(listener->most_at_once(), kChunk);
      EXPECT_EQ(listener->turns(), 3U);
    }
  });
}

TEST_F(SessionCursorTest, AListenerThatEndsInTheMiddleHasNoMoreSessions) {
  constexpr size_t kChunk = SessionCursor::kChunk;
  const size_t ending = Listen("a", Ids(1, 2, 2 * kChunk));
  Listen("b", Ids(2, 2, 2 * kChunk));
  SessionCursor cursor = From(0);
  EXPECT_EQ(NextId(cursor), 1U);
  End(ending);
  // What was read already is told.
  std::vector<uint64_t> expected = Ids(2, 1, 2 * kChunk - 1);
  for (const uint64_t id : Ids(2 * kChunk + 2, 2, kChunk)) {
    expected.push_back(id);
  }
  EXPECT_EQ(Rest(cursor), expected);
}

TEST_F(SessionCursorTest, SessionsThatEndInTheMiddleAreSkipped) {
  constexpr size_t kChunk = SessionCursor::kChunk;
  Listen("a", Ids(1, 1, kChunk + 3));
  SessionCursor cursor = From(0);
  EXPECT_EQ(NextId(cursor), 1U);
  thread_.Do([&] {
    listeners_[0]->Close(2, "");
    listeners_[0]->Close(kChunk + 1, "");
    listeners_[0]->Open({.id = kChunk + 50});
  });
  std::vector<uint64_t> expected = Ids(2, 1, kChunk - 1);
  for (const uint64_t id : {kChunk + 2, kChunk + 3, kChunk + 50}) {
    expected.push_back(id);
  }
  EXPECT_EQ(Rest(cursor), expected);
}

TEST_F(SessionCursorTest, AListenerThatDoesNotAnswerIsAnErrorOfItsName) {
  Listen("a", {1});
  // Nobody runs it.
  SimReactor stuck;
  FakeListener silent(stuck, registry_, "silent");
  SessionCursor cursor({silent.handle()}, 0, absl::Milliseconds(1));
  const absl::Status status = cursor.Next().status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("\"silent\""), HasSubstr("reactor 1")));
}

TEST_F(SessionCursorTest, AListenerThatHasEndedHasNoSessions) {
  Listen("b", {2});
  std::vector<std::shared_ptr<ListenerHandle>> listeners;
  {
    SimReactor reactor;
    const FakeListener ended(reactor, registry_, "a");
    listeners = registry_.listeners();
  }
  ASSERT_EQ(listeners.size(), 2U);
  SessionCursor cursor(listeners, 0, kPatience);
  EXPECT_THAT(Rest(cursor), ElementsAre(2));
}

TEST(CallListenerTest, ReturnsWhatTheListenerSays) {
  Registry registry;
  ReactorThread thread;
  std::optional<FakeListener> listener;
  thread.Do([&] { listener.emplace(thread.reactor(), registry, "a"); });
  const auto called = CallListener<std::unique_ptr<int>>(
      *listener->handle(), absl::Now() + kPatience, [](ListenerAdmin& admin) {
        admin.Drain(absl::ZeroDuration());
        return std::make_unique<int>(5);
      });
  ASSERT_TRUE(called.ok()) << called.status();
  EXPECT_EQ(**called, 5);
  thread.Do([&] {
    EXPECT_TRUE(listener->draining());
    listener.reset();
  });
}

TEST(CallListenerTest, OneThatHasEndedIsUnavailable) {
  Registry registry;
  std::shared_ptr<ListenerHandle> handle;
  {
    SimReactor reactor;
    const FakeListener listener(reactor, registry, "a");
    handle = listener.handle();
  }
  const absl::Status status =
      CallListener<int>(*handle, absl::InfiniteFuture(), [](ListenerAdmin&) {
        ADD_FAILURE() << "it has ended";
        return 1;
      }).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"a\" has ended"));
}

// What ends the listener stands before the call in its reactor's queue.
TEST(CallListenerTest, OneThatEndsBeforeItsTurnIsUnavailable) {
  Registry registry;
  ReactorThread thread;
  std::optional<FakeListener> listener;
  thread.Do([&] { listener.emplace(thread.reactor(), registry, "a"); });
  const std::shared_ptr<ListenerHandle> handle = listener->handle();
  thread.reactor().Post([&] { listener.reset(); });
  const absl::Status status =
      CallListener<int>(*handle, absl::InfiniteFuture(), [](ListenerAdmin&) {
        ADD_FAILURE() << "it has ended";
        return 1;
      }).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

// Its reactor has been stopped, say, though it lives.
TEST(CallListenerTest, OneThatNeverAnswersIsNotWaitedForForEver) {
  Registry registry;
  SimReactor reactor;
  const FakeListener listener(reactor, registry, "a");
  const absl::Status status =
      CallListener<int>(
          *listener.handle(), absl::InfiniteFuture(),
          [](ListenerAdmin&) { return 1; }, absl::Milliseconds(1))
          .status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("does not answer"));
}

// It was bound outside of its reactor's task.
TEST(CallListenerTest, OneWhoseReactorHasEndedIsNotWaitedFor) {
  Registry registry;
  SimReactor reactor;
  const FakeListener listener(reactor, registry, "a");
  const auto nothing = []() -> net::Task<absl::Status> {
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor.Run(nothing()), absl::OkStatus());
  const absl::Status status =
      CallListener<int>(
          *listener.handle(), absl::InfiniteFuture(),
          [](ListenerAdmin&) { return 1; }, absl::InfiniteDuration())
          .status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

// The function is still there when it is too late for its answer.
TEST(CallListenerTest, OneThatAnswersTooLateHarmsNobody) {
  Registry registry;
  SimReactor reactor;
  std::optional<FakeListener> listener;
  listener.emplace(reactor, registry, "a");
  auto used = std::make_shared<int>(0);
  const absl::Status status =
      CallListener<int>(*listener->handle(), absl::InfinitePast(),
                        [used](ListenerAdmin&) { return ++*used; })
          .status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  const auto turn = []() -> net::Task<absl::Status> {
    co_return co_await net::SleepFor(absl::Milliseconds(1));
  };
  EXPECT_EQ(reactor.Run(turn()), absl::OkStatus());
  EXPECT_EQ(*used, 1);
  EXPECT_EQ(used.use_count(), 1);
}

}  // namespace
}  // namespace cordon::dtls::control
