#include "cordon/dtls/control/statistics_collector.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/net/base/byte_pool.h"
#include "cordon/testing/fake_listener/fake_listener.h"
#include "cordon/testing/fake_listener/reactor_thread.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;
using ::cordon::testing::FakeListener;
using ::cordon::testing::kPatience;
using ::cordon::testing::ReactorThread;
using ::cordon::testing::SimReactor;
using ::testing::HasSubstr;

// What a listener has counted: each number another, times `factor`.
ListenerStatistics Counted(uint64_t factor) {
  ListenerStatistics s;
  s.sessions = 1 * factor;
  s.half_open = 2 * factor;
  s.sessions_accepted = 3 * factor;
  s.sessions_superseded = 4 * factor;
  s.handshakes_begun = 5 * factor;
  s.handshakes_completed = 6 * factor;
  s.handshakes_resumed = 7 * factor;
  for (size_t i = 0; i < kHandshakeFailures; ++i) {
    s.failures[i] = (10 + i) * factor;
  }
  s.cookies = {.sent = 20 * factor,
               .accepted = 21 * factor,
               .rejected_invalid = 22 * factor,
               .rejected_expired = 23 * factor,
               .dropped_malformed = 24 * factor,
               .dropped_too_small = 25 * factor};
  s.dropped_max_sessions = 30 * factor;
  s.dropped_accept_backlog = 31 * factor;
  s.dropped_draining = 32 * factor;
  s.dropped_max_half_open = 35 * factor;
  s.dropped_max_half_open_per_source = 36 * factor;
  s.half_open_evicted = 37 * factor;
  s.dropped_handshake_rate_per_source = 38 * factor;
  s.sessions_idle = 39 * factor;
  s.dropped_max_session_memory = 70 * factor;
  s.session_memory = 71 * factor;
  s.dropped_max_reassembly_bytes = 72 * factor;
  s.reassembly_bytes = 73 * factor;
  s.dropped_unknown = 33 * factor;
  s.dropped_bad_source = 75 * factor;
  s.handshakes_superseded = 76 * factor;
  s.dropped_old_hellos = 77 * factor;
  s.session_ids = {.sessions = 78 * factor,
                   .bytes = 79 * factor,
                   .dropped_max_session_ids = 80 * factor,
                   .dropped_max_session_id_bytes = 81 * factor};
  s.strays_forwarded = 82 * factor;
  s.hellos_handed_over = 83 * factor;
  s.strays_dropped = 84 * factor;
  s.verification_errors_ignored = 34 * factor;
  s.traffic = {.datagrams_received = 40 * factor,
               .datagrams_sent = 41 * factor,
               .bytes_received = 42 * factor,
               .bytes_sent = 43 * factor,
               .messages_received = 44 * factor,
               .messages_sent = 45 * factor,
               .message_bytes_received = 46 * factor,
               .message_bytes_sent = 47 * factor,
               .records_discarded = 250 * factor,
               .records_replayed = 48 * factor,
               .records_bad_mac = 49 * factor,
               .records_wrong_epoch = 50 * factor,
               .records_malformed = 51 * factor,
               .messages_dropped_queue_full = 53 * factor,
               .datagrams_not_sent = 54 * factor,
               .datagrams_held_back = 56 * factor,
               .keys_nearly_used_up = 57 * factor,
               .retransmissions = 55 * factor};
  s.socket.datagrams_received = 60 * factor;
  s.socket.datagrams_sent = 61 * factor;
  s.socket.bytes_received = 62 * factor;
  s.socket.bytes_sent = 63 * factor;
  s.socket.trains_sent = 64 * factor;
  s.socket.truncated_datagrams = 65 * factor;
  s.socket.send_errors = 66 * factor;
  s.socket.receive_starved = 67 * factor;
  s.socket.empty_datagrams = 68 * factor;
  s.socket.send_dropped = 69 * factor;
  s.socket.peer_notices = 74 * factor;
  s.socket.send_over_quota = 75 * factor;
  s.socket.trains_split = 76 * factor;
  s.socket.sends_postponed = 77 * factor;
  s.socket.receive_errors = 78 * factor;
  return s;
}

// `Counted(1)` as it is told.
constexpr char kCounted[] = R"pb(
  sessions: 1
  sessions_half_open: 2
  sessions_accepted: 3
  sessions_superseded: 4
  handshakes_begun: 5
  handshakes_completed: 6
  handshakes_resumed: 7
  handshakes_failed { key: "deadline" value: 10 }
  handshakes_failed { key: "no_answer" value: 11 }
  handshakes_failed { key: "peer_alert" value: 12 }
  handshakes_failed { key: "verification" value: 13 }
  handshakes_failed { key: "policy" value: 14 }
  handshakes_failed { key: "unknown_psk" value: 15 }
  handshakes_failed { key: "aborted" value: 16 }
  handshakes_failed { key: "protocol" value: 17 }
  cookies {
    sent: 20
    accepted: 21
    rejected_invalid: 22
    rejected_expired: 23
    dropped_malformed: 24
    dropped_too_small: 25
  }
  limits_hit { key: "max_sessions" value: 30 }
  limits_hit { key: "accept_backlog" value: 31 }
  limits_hit { key: "draining" value: 32 }
  limits_hit { key: "max_half_open" value: 35 }
  limits_hit { key: "max_half_open_per_source" value: 36 }
  limits_hit { key: "half_open_evicted" value: 37 }
  limits_hit { key: "handshake_rate_per_source" value: 38 }
  limits_hit { key: "idle_timeout" value: 39 }
  limits_hit { key: "max_session_memory" value: 70 }
  session_memory: 71
  limits_hit { key: "max_reassembly_bytes" value: 72 }
  reassembly_bytes: 73
  dropped_unknown: 33
  dropped_bad_source: 75
  handshakes_superseded: 76
  dropped_old_hellos: 77
  session_ids: 78
  session_id_bytes: 79
  limits_hit { key: "max_session_ids" value: 80 }
  limits_hit { key: "max_session_id_bytes" value: 81 }
  strays_forwarded: 82
  hellos_handed_over: 83
  strays_dropped: 84
  verification_errors_ignored: 34
  traffic {
    datagrams_received: 40
    datagrams_sent: 41
    bytes_received: 42
    bytes_sent: 43
    messages_received: 44
    messages_sent: 45
    message_bytes_received: 46
    message_bytes_sent: 47
    dropped {
      replay: 48
      bad_mac: 49
      wrong_epoch: 50
      malformed: 51
      other: 52
      queue_full: 53
    }
    datagrams_not_sent: 54
    datagrams_held_back: 56
    keys_nearly_used_up: 57
  }
  retransmissions: 55
  socket {
    datagrams_received: 60
    datagrams_sent: 61
    bytes_received: 62
    bytes_sent: 63
    trains_sent: 64
    truncated: 65
    send_errors: 66
    ring_starved: 67
    empty: 68
    send_dropped: 69
    peer_notices: 74
    send_over_quota: 75
    trains_split: 76
    sends_postponed: 77
    receive_errors: 78
  }
)pb";

// Less its histogram and its name.
std::string Difference(v1::ListenerStatistics told,
                       const std::string& expected) {
  told.clear_handshake_time();
  told.clear_listener();
  v1::ListenerStatistics wanted;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(expected, &wanted));
  google::protobuf::util::MessageDifferencer differencer;
  std::string difference;
  differencer.ReportDifferencesToString(&difference);
  differencer.Compare(wanted, told);
  return difference;
}

class StatisticsCollectorTest : public ::testing::Test {
 protected:
  // Ends its listener on its thread.
  struct Listening {
    Listening(ReactorThread& t, Registry& registry, const std::string& name,
              const ListenerStatistics& statistics)
        : thread(t) {
      thread.Do([&] {
        listener.emplace(thread.reactor(), registry, name);
        listener->set_statistics(statistics);
      });
    }
    ~Listening() {
      thread.Do([&] { listener.reset(); });
    }
    ReactorThread& thread;
    std::optional<FakeListener> listener;
  };

  v1::Statistics Collect(const std::string& listener = "") {
    absl::StatusOr<v1::Statistics> statistics =
        CollectStatistics(registry_, listener, absl::Now() + kPatience);
    EXPECT_TRUE(statistics.ok()) << statistics.status();
    return statistics.ok() ? *std::move(statistics) : v1::Statistics();
  }

  Registry registry_;
  ReactorThread first_;
  ReactorThread second_;
};

TEST_F(StatisticsCollectorTest, TellsAllThatAListenerHasCounted) {
  const Listening listening(first_, registry_, "a", Counted(1));
  const v1::Statistics statistics = Collect();
  EXPECT_EQ(Difference(statistics.total(), kCounted), "");
  ASSERT_EQ(statistics.listeners_size(), 1);
  EXPECT_EQ(statistics.listeners(0).listener(), "a");
  EXPECT_EQ(Difference(statistics.listeners(0), kCounted), "");
}

TEST_F(StatisticsCollectorTest, ListenersOfOneNameAreOne) {
  const Listening b(first_, registry_, "b", Counted(4));
  const Listening a1(first_, registry_, "a", Counted(1));
  const Listening a2(second_, registry_, "a", Counted(2));
  const v1::Statistics statistics = Collect();
  EXPECT_EQ(statistics.total().sessions(), 7U);
  EXPECT_EQ(statistics.total().traffic().dropped().other(), 7 * 52U);
  EXPECT_EQ(statistics.total().handshakes_failed().at("policy"), 7 * 14U);
  EXPECT_EQ(statistics.total().limits_hit().at("draining"), 7 * 32U);
  ASSERT_EQ(statistics.listeners_size(), 2);
  EXPECT_EQ(statistics.listeners(0).listener(), "a");
  EXPECT_EQ(statistics.listeners(0).sessions(), 3U);
  EXPECT_EQ(statistics.listeners(1).listener(), "b");
  EXPECT_EQ(statistics.listeners(1).cookies().sent(), 80U);

  const v1::Statistics one = Collect("b");
  EXPECT_EQ(one.total().sessions(), 4U);
  EXPECT_EQ(one.listeners_size(), 1);
  EXPECT_EQ(one.reactors_size(), 1);
}

// What they keep together is not counted for each of them.
TEST_F(StatisticsCollectorTest, ListenersOfOneContextKeepTheirSessionsOnce) {
  ListenerStatistics one;
  one.session_ids = {.context = 1,
                     .sessions = 10,
                     .bytes = 1000,
                     .dropped_max_session_id_bytes = 5};
  ListenerStatistics other;
  other.session_ids = {.context = 2, .sessions = 3, .bytes = 300};
  const Listening a1(first_, registry_, "a", one);
  const Listening a2(second_, registry_, "a", one);
  const Listening b1(first_, registry_, "b", one);
  const Listening b2(second_, registry_, "b", other);
  const v1::Statistics statistics = Collect();
  EXPECT_EQ(statistics.total().session_ids(), 13U);
  EXPECT_EQ(statistics.total().session_id_bytes(), 1300U);
  EXPECT_EQ(statistics.total().limits_hit().at("max_session_id_bytes"), 5U);
  ASSERT_EQ(statistics.listeners_size(), 2);
  EXPECT_EQ(statistics.listeners(0).session_ids(), 10U);
  EXPECT_EQ(statistics.listeners(1).session_ids(), 13U);
}

TEST_F(StatisticsCollectorTest, HistogramsAreAdded) {
  ListenerStatistics fast;
  fast.handshake_times.Add(absl::Microseconds(500));
  fast.handshake_times.Add(absl::Milliseconds(1));
  fast.handshake_times.Add(absl::Milliseconds(3));
  ListenerStatistics slow;
  slow.handshake_times.Add(absl::Milliseconds(4));
  slow.handshake_times.Add(absl::Seconds(40));
  const Listening a(first_, registry_, "a", fast);
  const Listening b(second_, registry_, "b", slow);
  const v1::Histogram times = Collect().total().handshake_time();
  ASSERT_EQ(times.bounds_size(), 16);
  ASSERT_EQ(times.counts_size(), 17);
  EXPECT_EQ(times.bounds(0).nanos(), 1'000'000);
  EXPECT_EQ(times.bounds(15).seconds(), 32);
  EXPECT_EQ(times.bounds(15).nanos(), 768'000'000);
  for (int i = 0; i < times.counts_size(); ++i) {
    const bool two = i == 0 || i == 2;
    EXPECT_EQ(times.counts(i), two ? 2U : i == 16 ? 1U : 0U) << i;
  }
  EXPECT_EQ(times.sum().seconds(), 40);
  EXPECT_EQ(times.sum().nanos(), 8'500'000);
}

TEST_F(StatisticsCollectorTest, EachReactorIsToldOnce) {
  const Listening a(first_, registry_, "a", {});
  const Listening b(second_, registry_, "b", {});
  const Listening c(first_, registry_, "c", {});
  size_t pooled = 0;
  for (ReactorThread* thread : {&first_, &second_}) {
    thread->Do([&] {
      net::BytePool& pool = thread->reactor().byte_pool();
      {
        const net::PooledBytes bytes = pool.Take(1000);
      }
      pooled += pool.statistics().bytes_cached;
    });
  }
  ASSERT_GT(pooled, 0U);
  const v1::Statistics statistics = Collect();
  ASSERT_EQ(statistics.reactors_size(), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(statistics.reactors(i).reactor(), static_cast<uint32_t>(i));
    EXPECT_EQ(statistics.reactors(i).backend(), "epoll");
    EXPECT_GT(statistics.reactors(i).turns(), 0U);
  }
  EXPECT_EQ(statistics.process().pooled_bytes(), pooled);
}

TEST_F(StatisticsCollectorTest, TellsOfTheProcess) {
  const v1::Statistics statistics = Collect();
  EXPECT_GT(statistics.process().resident_bytes(), 1U << 20);
  EXPECT_GT(statistics.process().cpu_seconds(), 0);
  EXPECT_EQ(statistics.started().seconds(),
            absl::ToUnixSeconds(registry_.started()));
  EXPECT_GE(statistics.time().seconds(), statistics.started().seconds());
  EXPECT_EQ(statistics.listeners_size(), 0);
  EXPECT_EQ(statistics.total().sessions(), 0U);
}

TEST_F(StatisticsCollectorTest, AListenerThatThereIsNotIsNotFound) {
  const Listening a(first_, registry_, "a", {});
  const absl::Status status =
      CollectStatistics(registry_, "b", absl::InfiniteFuture()).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("listener: "));
}

TEST_F(StatisticsCollectorTest, AListenerThatDoesNotAnswerIsAnError) {
  const Listening a(first_, registry_, "a", {});
  SimReactor stuck;
  const FakeListener silent(stuck, registry_, "silent");
  const absl::Status status =
      CollectStatistics(registry_, "", absl::Now() + absl::Milliseconds(1))
          .status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

}  // namespace
}  // namespace cordon::dtls::control
