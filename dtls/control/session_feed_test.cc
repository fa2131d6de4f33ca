#include "cordon/dtls/control/session_feed.h"

#include <openssl/pool.h>
#include <openssl/stack.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/session_cursor.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/fake_listener/fake_listener.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::cordon::testing::FakeListener;
using ::cordon::testing::SimReactor;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = SessionFeed::Event::Kind;

constexpr size_t kChunk = SessionCursor::kChunk;

// "present 3", "missed 4097", ...
std::string Describe(const SessionFeed::Event& event) {
  const auto session = [&](absl::string_view what) {
    return absl::StrCat(what, " ", event.row.session->id);
  };
  switch (event.kind) {
    case Kind::kPresent:
      return session("present");
    case Kind::kOpened:
      return session("opened");
    case Kind::kChanged:
      return session("changed");
    case Kind::kClosed:
      return absl::StrCat(session("closed"), ": ", event.reason);
    case Kind::kSynced:
      return "synced";
    case Kind::kMissed:
      return absl::StrCat("missed ", event.missed);
  }
  return "?";
}

class SessionFeedTest : public ::testing::Test {
 protected:
  SessionFeedTest() { reactor_.RunPiecewise(); }
  ~SessionFeedTest() override {
    if (feed_ != nullptr) feed_->Stop();
    Turn();
  }

  void Listen(const std::string& name) {
    listeners_.push_back(
        std::make_unique<FakeListener>(reactor_, registry_, name));
  }
  FakeListener& listener(size_t i = 0) { return *listeners_[i]; }
  void Open(uint64_t first, uint64_t last, size_t to = 0) {
    for (uint64_t id = first; id <= last; ++id) listener(to).Open({.id = id});
  }

  void Watch(const std::string& name = "", bool skip_present = false) {
    feed_ =
        std::make_shared<SessionFeed>(name, skip_present, [this] { ++ready_; });
    feed_->Start(registry_);
  }
  // Lets the reactor do what was posted to it.
  void Turn() {
    const auto some_time = []() -> net::Task<absl::Status> {
      co_return co_await net::SleepFor(absl::Milliseconds(1));
    };
    EXPECT_EQ(reactor_.Run(some_time()), absl::OkStatus());
  }
  std::string Next() {
    const std::optional<SessionFeed::Event> event = feed_->Next();
    return event.has_value() ? Describe(*event) : "nothing";
  }
  // What there is without the reactor.
  std::vector<std::string> Queued() {
    std::vector<std::string> events;
    while (std::optional<SessionFeed::Event> event = feed_->Next()) {
      events.push_back(Describe(*event));
    }
    return events;
  }
  // All that there is, as often as the feed says that there is more.
  std::vector<std::string> All() {
    std::vector<std::string> events;
    while (true) {
      const int before = ready_;
      for (std::string& event : Queued()) events.push_back(std::move(event));
      Turn();
      if (ready_ == before) return events;
      EXPECT_EQ(ready_, before + 1);
    }
  }

  SimReactor reactor_;
  Registry registry_;
  int ready_ = 0;
  std::shared_ptr<SessionFeed> feed_;
  std::vector<std::unique_ptr<FakeListener>> listeners_;
};

TEST_F(SessionFeedTest, TellsWhatIsPresentAndThenWhatHappens) {
  Listen("a");
  Listen("b");
  Open(1, 2, 0);
  Open(3, 3, 1);
  Watch();
  EXPECT_THAT(All(),
              ElementsAre("present 1", "present 2", "present 3", "synced"));
  Open(4, 4, 1);
  listener(0).Change({.id = 1, .state = EngineState::kConnected});
  listener(1).Close(3, "over");
  EXPECT_THAT(All(), ElementsAre("opened 4", "changed 1", "closed 3: over"));
}

TEST_F(SessionFeedTest, TellsWhereAndWhen) {
  Listen("a");
  Listen("b");
  Watch();
  All();
  const absl::Time before = absl::Now();
  listener(1).Open({.id = 7, .state = EngineState::kHandshaking});
  const std::optional<SessionFeed::Event> event = feed_->Next();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->row.listener->name(), "b");
  EXPECT_EQ(event->row.session->state, EngineState::kHandshaking);
  EXPECT_GE(event->time, before);
  EXPECT_LE(event->time, absl::Now());
}

TEST_F(SessionFeedTest, WithoutListenersItIsInSyncAtOnce) {
  Watch();
  EXPECT_THAT(All(), ElementsAre("synced"));
}

TEST_F(SessionFeedTest, IsReadyOnceForEachTimeThatThereWasNothing) {
  Listen("a");
  Watch();
  All();
  const int before = ready_;
  Open(1, 3);
  EXPECT_EQ(ready_, before + 1);
  EXPECT_EQ(Next(), "opened 1");
  Open(4, 4);
  EXPECT_EQ(ready_, before + 1);
  EXPECT_THAT(Queued(), ElementsAre("opened 2", "opened 3", "opened 4"));
  EXPECT_EQ(Next(), "nothing");
  EXPECT_EQ(ready_, before + 1);
  Open(5, 5);
  EXPECT_EQ(ready_, before + 2);
}

// A reactor is not asked for more than the watcher takes.
TEST_F(SessionFeedTest, WhatIsPresentComesInChunks) {
  Listen("a");
  Open(1, 2 * kChunk + 1);
  Watch();
  EXPECT_EQ(Next(), "nothing");
  EXPECT_EQ(listener().turns(), 0U);
  Turn();
  Turn();
  EXPECT_EQ(listener().turns(), 1U);
  EXPECT_EQ(Next(), "present 1");
  Turn();
  EXPECT_EQ(listener().turns(), 1U);
  EXPECT_EQ(All().size(), 2 * kChunk + 1);  // and that it is in sync
  EXPECT_EQ(listener().turns(), 3U);
  EXPECT_EQ(listener().most_at_once(), kChunk);
}

TEST_F(SessionFeedTest, SessionsThatOpenMeanwhileAreToldOnce) {
  Listen("a");
  Open(1, kChunk + 2);
  Watch();
  EXPECT_EQ(Next(), "nothing");
  Turn();
  // Before the second chunk is asked for, and while it is on its way.
  Open(kChunk + 3, kChunk + 3);
  std::vector<std::string> events = Queued();
  Open(kChunk + 4, kChunk + 4);
  for (std::string& event : All()) events.push_back(std::move(event));
  std::vector<std::string> expected;
  for (uint64_t id = 1; id <= kChunk; ++id) {
    expected.push_back(absl::StrCat("present ", id));
  }
  for (const char* text : {"opened ", "opened "}) {
    expected.push_back(absl::StrCat(text, expected.size() + 3));
  }
  expected.push_back(absl::StrCat("present ", kChunk + 1));
  expected.push_back(absl::StrCat("present ", kChunk + 2));
  expected.push_back("synced");
  EXPECT_EQ(events, expected);
}

TEST_F(SessionFeedTest, ASessionThatHasEndedIsNotPresentAnyMore) {
  Listen("a");
  Open(1, kChunk + 2);
  Watch();
  EXPECT_EQ(Next(), "nothing");
  Turn();
  // One that was read already, and one that was not.
  listener().Close(2, "early");
  listener().Close(kChunk + 1, "late");
  const std::vector<std::string> events = All();
  ASSERT_EQ(events.size(), kChunk + 4);
  EXPECT_EQ(events[1], "present 2");
  EXPECT_EQ(events[kChunk], "closed 2: early");
  EXPECT_EQ(events[kChunk + 1], absl::StrCat("closed ", kChunk + 1, ": late"));
  EXPECT_EQ(events[kChunk + 2], absl::StrCat("present ", kChunk + 2));
  EXPECT_EQ(events[kChunk + 3], "synced");
}

TEST_F(SessionFeedTest, MaySkipWhatIsPresent) {
  Listen("a");
  Open(1, 3);
  Watch("", true);
  EXPECT_THAT(All(), ElementsAre("synced"));
  EXPECT_EQ(listener().turns(), 0U);
  Open(4, 4);
  listener().Close(1, "over");
  EXPECT_THAT(All(), ElementsAre("opened 4", "closed 1: over"));
}

TEST_F(SessionFeedTest, IsOfListenersOfOneName) {
  Listen("a");
  Listen("b");
  Open(1, 1, 0);
  Open(2, 2, 1);
  Watch("b");
  EXPECT_THAT(All(), ElementsAre("present 2", "synced"));
  Listen("a");
  Listen("b");
  Turn();
  Open(3, 3, 0);
  Open(4, 4, 2);
  Open(5, 5, 3);
  EXPECT_THAT(All(), ElementsAre("opened 5"));
  EXPECT_EQ(listener(0).observers(), 0U);
}

TEST_F(SessionFeedTest, ListenersThatComeLaterAreWatchedToo) {
  Listen("a");
  Watch();
  EXPECT_THAT(All(), ElementsAre("synced"));
  Listen("b");
  // Before the feed has reached it.
  Open(1, 2, 1);
  EXPECT_THAT(All(), ElementsAre("present 1", "present 2"));
  Open(3, 3, 1);
  listener(1).Close(1, "over");
  EXPECT_THAT(All(), ElementsAre("opened 3", "closed 1: over"));
  EXPECT_EQ(listener(1).observers(), 1U);
}

TEST_F(SessionFeedTest, AListenerThatEndsHoldsNothingUp) {
  Listen("a");
  Listen("b");
  Open(1, kChunk + 1, 0);
  Open(kChunk + 2, kChunk + 2, 1);
  Watch();
  EXPECT_EQ(Next(), "nothing");
  Turn();
  EXPECT_EQ(Queued().size(), kChunk);
  // Its second chunk is on its way.
  listeners_[0].reset();
  EXPECT_THAT(All(),
              ElementsAre(absl::StrCat("present ", kChunk + 2), "synced"));
  // And one that ends before anything was asked.
  Listen("c");
  listeners_[2].reset();
  EXPECT_THAT(All(), IsEmpty());
  Open(kChunk + 3, kChunk + 3, 1);
  EXPECT_THAT(All(), ElementsAre(absl::StrCat("opened ", kChunk + 3)));
}

TEST_F(SessionFeedTest, AWatcherThatIsTooSlowIsToldOnceAndGetsAllAnew) {
  Listen("a");
  Open(1, 3);
  Watch();
  EXPECT_EQ(All().back(), "synced");
  for (size_t i = 0; i < SessionFeed::kMaxQueued; ++i) {
    listener().Change({.id = 1});
  }
  // One too many; and others that nobody hears of.
  Open(4, 6);
  listener().Close(2, "over");
  EXPECT_THAT(All(),
              ElementsAre(absl::StrCat("missed ", SessionFeed::kMaxQueued + 4),
                          "present 1", "present 3", "present 4", "present 5",
                          "present 6", "synced"));
  Open(7, 7);
  EXPECT_THAT(All(), ElementsAre("opened 7"));
}

TEST_F(SessionFeedTest, TheQueueIsLimitedInBytes) {
  constexpr size_t kBytes = SessionFeed::kMaxQueuedBytes / 16;
  Listen("a");
  Watch();
  All();
  const auto open = [&](uint64_t id, size_t bytes) {
    dtls::SessionSnapshot session;
    session.id = id;
    session.info.psk_identity = std::string(bytes, 'x');
    listener().Open(std::move(session));
  };
  for (uint64_t id = 1; id <= 15; ++id) open(id, kBytes);
  EXPECT_EQ(Next(), "opened 1");
  // What was taken has made room.
  open(16, kBytes);
  EXPECT_EQ(Next(), "opened 2");
  open(17, 2 * kBytes);
  EXPECT_EQ(Next(), "missed 15");
  for (uint64_t id = 1; id <= 17; ++id) listener().Close(id, "over");
  All();
  // A single one is never too much.
  open(18, SessionFeed::kMaxQueuedBytes);
  EXPECT_THAT(All(), ElementsAre("opened 18"));
  // The errors of a session count, too.
  dtls::SessionSnapshot session;
  session.id = 19;
  session.errors.resize(2);
  session.errors[1].message = std::string(SessionFeed::kMaxQueuedBytes, 'x');
  listener().Open(std::move(session));
  open(20, 1);
  EXPECT_EQ(Next(), "missed 2");
}

TEST_F(SessionFeedTest, AsManyEventsAsTheQueueHoldsAreNotTooMany) {
  Listen("a");
  Watch();
  All();
  Open(1, SessionFeed::kMaxQueued);
  const std::vector<std::string> events = All();
  ASSERT_EQ(events.size(), SessionFeed::kMaxQueued);
  EXPECT_EQ(events.front(), "opened 1");
}

// Those of sessions that are over are kept by nobody else.
SessionSnapshot WithChain(uint64_t id, size_t bytes) {
  SessionSnapshot session;
  session.id = id;
  session.chain.reset(sk_CRYPTO_BUFFER_new_null());
  const std::vector<uint8_t> der(bytes);
  bssl::PushToStack(session.chain.get(),
                    bssl::UniquePtr<CRYPTO_BUFFER>(
                        CRYPTO_BUFFER_new(der.data(), der.size(), nullptr)));
  return session;
}

TEST_F(SessionFeedTest, TheQueueIsBoundedInBytesToo) {
  constexpr size_t kChainBytes = 100'000;
  constexpr size_t kFit = SessionFeed::kMaxQueuedBytes / kChainBytes;
  Listen("a");
  Watch("", true);
  All();
  for (uint64_t id = 1; id < kFit; ++id) {
    listener().Open(WithChain(id, kChainBytes));
  }
  EXPECT_EQ(All().size(), kFit - 1);
  for (uint64_t id = 1; id <= kFit + 1; ++id) {
    listener().Change(WithChain(id, kChainBytes));
  }
  EXPECT_THAT(All(), ElementsAre(absl::StrCat("missed ", kFit + 1), "synced"));
  // What is too large alone is told all the same.
  listener().Change(WithChain(1, SessionFeed::kMaxQueuedBytes + 1));
  EXPECT_THAT(All(), ElementsAre("changed 1"));
}

TEST_F(SessionFeedTest, AChunkOfLargeSessionsIsTakenWhenTheQueueIsEmpty) {
  constexpr size_t kChainBytes = SessionFeed::kMaxQueuedBytes / 10;
  Listen("a");
  for (uint64_t id = 1; id <= 20; ++id) {
    listener().Open(WithChain(id, kChainBytes));
  }
  Watch();
  const std::vector<std::string> events = All();
  ASSERT_EQ(events.size(), 21U);
  EXPECT_EQ(events.front(), "present 1");
  EXPECT_EQ(events.back(), "synced");
}

TEST_F(SessionFeedTest, SessionsThatOpenDuringTheSecondSnapshotAreToldOnce) {
  Listen("a");
  Watch();
  All();
  Open(1, SessionFeed::kMaxQueued + 1);
  for (uint64_t id = 1; id < SessionFeed::kMaxQueued; ++id) {
    listener().Close(id, "over");
  }
  const uint64_t last = SessionFeed::kMaxQueued + 1;
  EXPECT_EQ(Next(), absl::StrCat("missed ", 2 * SessionFeed::kMaxQueued));
  Open(last + 1, last + 1);
  EXPECT_EQ(Next(), absl::StrCat("opened ", last + 1));
  EXPECT_EQ(Next(), "nothing");
  Open(last + 2, last + 2);
  EXPECT_THAT(All(), ElementsAre(absl::StrCat("opened ", last + 2),
                                 absl::StrCat("present ", last - 1),
                                 absl::StrCat("present ", last), "synced"));
}

TEST_F(SessionFeedTest, TooMuchDuringASnapshotBeginsItAnew) {
  Listen("a");
  Open(1, kChunk + 1);
  Watch();
  EXPECT_EQ(Next(), "nothing");
  Turn();
  EXPECT_EQ(Queued().size(), kChunk);
  // The second chunk is on its way.
  for (size_t i = 0; i <= SessionFeed::kMaxQueued; ++i) {
    listener().Change({.id = 1});
  }
  const std::vector<std::string> events = All();
  ASSERT_EQ(events.size(), kChunk + 3);
  EXPECT_EQ(events[0], absl::StrCat("missed ", SessionFeed::kMaxQueued + 1));
  EXPECT_EQ(events[1], "present 1");
  EXPECT_EQ(events[kChunk + 1], absl::StrCat("present ", kChunk + 1));
  EXPECT_EQ(events[kChunk + 2], "synced");
}

TEST_F(SessionFeedTest, AChunkForWhichThereIsNoRoomIsAskedForAgain) {
  constexpr size_t kEvents = SessionFeed::kMaxQueued;
  Listen("a");
  Open(1, kChunk + 3);
  Watch();
  EXPECT_EQ(Next(), "nothing");
  Turn();
  EXPECT_EQ(Queued().size(), kChunk);
  // The second chunk is on its way.
  for (size_t i = 0; i < kEvents; ++i) listener().Change({.id = 1});
  Turn();
  EXPECT_EQ(listener().turns(), 2U);
  EXPECT_THAT(Queued(), AllOf(SizeIs(kEvents), Each("changed 1")));
  EXPECT_THAT(All(),
              ElementsAre(absl::StrCat("present ", kChunk + 1),
                          absl::StrCat("present ", kChunk + 2),
                          absl::StrCat("present ", kChunk + 3), "synced"));
}

TEST_F(SessionFeedTest, OverflowWithoutSnapshotsIsToldToo) {
  Listen("a");
  Watch("", true);
  All();
  Open(1, SessionFeed::kMaxQueued + 1);
  EXPECT_THAT(All(),
              ElementsAre(absl::StrCat("missed ", SessionFeed::kMaxQueued + 1),
                          "synced"));
  Open(5000, 5000);
  EXPECT_THAT(All(), ElementsAre("opened 5000"));
}

TEST_F(SessionFeedTest, OneThatIsStoppedHearsNoMore) {
  Listen("a");
  Open(1, 3);
  Watch();
  All();
  Open(4, 4);
  const int before = ready_;
  feed_->Stop();
  Open(5, 5);
  Turn();
  EXPECT_EQ(listener().observers(), 0U);
  Listen("b");
  Turn();
  EXPECT_EQ(listener(1).observers(), 0U);
  Open(6, 6, 1);
  EXPECT_EQ(ready_, before);
  // Twice is as good as once.
  feed_->Stop();
}

TEST_F(SessionFeedTest, AChunkThatComesAfterTheEndIsDropped) {
  Listen("a");
  Open(1, 3);
  Watch();
  EXPECT_EQ(Next(), "nothing");
  feed_->Stop();
  Turn();
  EXPECT_EQ(ready_, 0);
}

TEST_F(SessionFeedTest, OneThatNobodyHoldsIsNotKeptAlive) {
  Listen("a");
  Watch();
  All();
  const std::weak_ptr<SessionFeed> feed = feed_;
  feed_.reset();
  EXPECT_TRUE(feed.expired());
  Open(1, 1);
  Listen("b");
  Turn();
}

}  // namespace
}  // namespace cordon::dtls::control
