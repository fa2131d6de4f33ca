// When flights are sent again, to the millisecond, and when it is given up.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/session_pair/session_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::SessionPair;

std::vector<absl::Duration> Millis(const std::vector<int>& values) {
  std::vector<absl::Duration> durations;
  durations.reserve(values.size());
  for (int ms : values) durations.push_back(absl::Milliseconds(ms));
  return durations;
}

class TimersTest : public ::testing::Test {
 protected:
  SessionOptions& client_session() { return pair_.client_options.session; }

  // The times, from now, at which `side` repeats its flight until it gives up.
  std::vector<absl::Duration> Repetitions(EngineSide& side) {
    const absl::Time start = pair_.now;
    std::vector<absl::Duration> times;
    side.output.Take();
    while (side.state() == EngineState::kHandshaking) {
      const absl::Time next = side.engine->NextDeadline();
      if (next == absl::InfiniteFuture()) {
        ADD_FAILURE() << "no deadline, and no end";
        break;
      }
      pair_.now = next;
      // A nanosecond before nothing happens.
      side.engine->OnTimeout(next - absl::Nanoseconds(1), side.output);
      EXPECT_TRUE(side.output.sent.empty());
      side.engine->OnTimeout(next, side.output);
      if (!side.output.Take().empty()) times.push_back(next - start);
    }
    ended_after_ = pair_.now - start;
    return times;
  }

  EnginePair pair_;
  EngineSide& client_ = pair_.client;
  EngineSide& server_ = pair_.server;
  absl::Duration ended_after_;
};

// ACCEPTANCE: QB5, QB7, QF11, QF22
TEST_F(TimersTest, TheDefaultScheduleEndsAtTheDeadline) {
  pair_.MakeClient();
  EXPECT_EQ(Repetitions(client_),
            Millis({400, 1200, 2800, 6000, 10000, 14000, 18000, 22000, 26000}));
  EXPECT_EQ(ended_after_, absl::Seconds(30));
  EXPECT_TRUE(absl::IsDeadlineExceeded(client_.engine->error()));
  EXPECT_EQ(GetErrorDetail(client_.engine->error())->limit,
            "handshake_deadline");
}

// ACCEPTANCE: QB5, QB6, QB7
TEST_F(TimersTest, InitialFactorCeilingAndNumberAreOptions) {
  client_session().retransmission_timeout = absl::Milliseconds(150);
  client_session().retransmission_factor = 3;
  client_session().max_retransmission_timeout = absl::Milliseconds(1500);
  client_session().max_retransmissions = 5;
  pair_.MakeClient();
  // 150, 450, 1350, 1500, 1500, and 1500 more without an answer.
  EXPECT_EQ(Repetitions(client_), Millis({150, 600, 1950, 3450, 4950}));
  EXPECT_EQ(ended_after_, absl::Milliseconds(6450));
  EXPECT_TRUE(absl::IsUnavailable(client_.engine->error()));
  EXPECT_EQ(GetErrorDetail(client_.engine->error())->limit,
            "max_retransmissions");
  EXPECT_TRUE(absl::StrContains(client_.engine->error().message(), "6 times"));
  EXPECT_EQ(client_.engine->statistics().retransmissions, 5U);

  client_session().retransmission_factor = 1;
  client_session().max_retransmissions = 3;
  pair_.MakeClient();
  EXPECT_EQ(Repetitions(client_), Millis({150, 300, 450}));
}

// Qt's schedule, for those who want it.
// ACCEPTANCE: QB5
TEST_F(TimersTest, OneSecondDoublingToSixty) {
  client_session().retransmission_timeout = absl::Seconds(1);
  client_session().max_retransmission_timeout = absl::Seconds(60);
  client_session().handshake_deadline = absl::Hours(1);
  client_session().max_retransmissions = 8;
  pair_.MakeClient();
  EXPECT_EQ(Repetitions(client_),
            Millis({1000, 3000, 7000, 15000, 31000, 63000, 123000, 183000}));
}

// ACCEPTANCE: QB5
TEST_F(TimersTest, AStrayDatagramNeverResetsThem) {
  pair_.Make();
  pair_.Expire(client_);
  pair_.Expire(client_);
  const absl::Time deadline = client_.engine->NextDeadline();
  const Bytes hello = client_.output.Take().front();
  Bytes garbage(100, 0x55);
  Bytes alert = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 90};
  Bytes data = {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 3, 1, 2, 3};
  for (int i = 0; i < 50; ++i) {
    pair_.now += absl::Milliseconds(10);
    pair_.Deliver({garbage, data, {}}, client_);
    if (i < 3) pair_.Deliver({alert}, client_);
    ASSERT_EQ(client_.engine->NextDeadline(), deadline);
    ASSERT_EQ(client_.state(), EngineState::kHandshaking);
  }
}

// ACCEPTANCE: QB5, QB14
TEST_F(TimersTest, RepetitionsOfThePeerDoNotResetThem) {
  pair_.Make();
  const std::vector<Bytes> hello = client_.output.Take();
  pair_.Deliver(hello, server_);
  server_.output.Take();
  const absl::Time deadline = server_.engine->NextDeadline();
  for (int i = 0; i < 5; ++i) {
    pair_.now += absl::Milliseconds(20);
    pair_.Deliver(hello, server_);
    EXPECT_EQ(server_.engine->NextDeadline(), deadline);
  }
}

// ACCEPTANCE: HB8
// A hello that comes twice makes nothing, and the timer sends what there is: a
// signature made anew would be another.
TEST_F(TimersTest, AFlightThatIsRepeatedIsNotMadeAnew) {
  const auto bodies = [](const std::vector<Bytes>& datagrams) {
    std::vector<Bytes> records;
    for (const Bytes& d : datagrams) {
      for (size_t at = 0; at + 13 <= d.size();) {
        const size_t end = at + 13 + size_t{256} * d[at + 11] + d[at + 12];
        records.emplace_back(d.begin() + static_cast<ptrdiff_t>(at + 13),
                             d.begin() + static_cast<ptrdiff_t>(end));
        at = end;
      }
    }
    return records;
  };
  pair_.Make();
  const std::vector<Bytes> hello = client_.output.Take();
  pair_.Deliver(hello, server_);
  const std::vector<Bytes> flight = server_.output.Take();
  EXPECT_GE(bodies(flight).size(), 4U);
  pair_.Deliver(hello, server_);
  EXPECT_TRUE(server_.output.sent.empty());
  pair_.Expire(server_);
  EXPECT_EQ(bodies(server_.output.Take()), bodies(flight));
}

// ACCEPTANCE: QB8
TEST_F(TimersTest, TheyDieWithTheHandshake) {
  pair_.Make();
  EXPECT_TRUE(client_.engine->AbortHandshake(pair_.now, client_.output).ok());
  EXPECT_EQ(client_.engine->NextDeadline(), absl::InfiniteFuture());
  client_.output.Take();
  client_.engine->OnTimeout(pair_.now + absl::Hours(1), client_.output);
  EXPECT_TRUE(client_.output.sent.empty());
  EXPECT_EQ(client_.state(), EngineState::kNotStarted);

  pair_.Make();
  pair_.Exchange();
  ASSERT_TRUE(pair_.connected());
  EXPECT_EQ(client_.engine->NextDeadline(), absl::InfiniteFuture());
  EXPECT_EQ(server_.engine->NextDeadline(), absl::InfiniteFuture());
}

TEST_F(TimersTest, ALaterFlightWaitsByTheRoundTrip) {
  struct Case {
    int round_trip_ms;
    int expected_ms;
  };
  for (const auto& [round_trip, expected] :
       {Case{20, 200}, Case{300, 450}, Case{390, 585}}) {
    pair_.Make();
    pair_.Deliver(client_.output.Take(), server_);
    pair_.now += absl::Milliseconds(round_trip);
    pair_.Deliver(server_.output.Take(), client_);
    EXPECT_EQ(client_.engine->statistics().round_trip,
              absl::Milliseconds(round_trip));
    EXPECT_EQ(client_.engine->NextDeadline() - pair_.now,
              absl::Milliseconds(expected));
    EXPECT_EQ(client_.engine->statistics().retransmission_timeout,
              absl::Milliseconds(expected));
  }
}

// Karn's rule: nobody knows which of the two was answered.
TEST_F(TimersTest, ARepeatedFlightMeasuresNothing) {
  pair_.Make();
  client_.output.Take();
  pair_.Expire(client_);
  pair_.Deliver(client_.output.Take(), server_);
  pair_.Deliver(server_.output.Take(), client_);
  EXPECT_EQ(client_.engine->statistics().round_trip, absl::ZeroDuration());
  EXPECT_EQ(client_.engine->NextDeadline() - pair_.now,
            absl::Milliseconds(400));
}

TEST_F(TimersTest, TheRoundTripMayBeLeftOut) {
  client_session().rtt_based_timeout = false;
  pair_.Make();
  pair_.Deliver(client_.output.Take(), server_);
  pair_.now += absl::Milliseconds(390);
  pair_.Deliver(server_.output.Take(), client_);
  EXPECT_EQ(client_.engine->NextDeadline() - pair_.now,
            absl::Milliseconds(400));
}

TEST_F(TimersTest, OptionsMustMakeSense) {
  const std::vector<std::pair<std::string, void (*)(SessionOptions&)>> bad = {
      {"retransmission_timeout",
       [](SessionOptions& o) {
         o.retransmission_timeout = absl::Milliseconds(1);
       }},
      {"max_retransmission_timeout",
       [](SessionOptions& o) {
         o.max_retransmission_timeout = absl::Milliseconds(300);
       }},
      {"min_retransmission_timeout",
       [](SessionOptions& o) {
         o.min_retransmission_timeout = absl::Seconds(5);
       }},
      {"retransmission_factor",
       [](SessionOptions& o) { o.retransmission_factor = 0.5; }},
      {"retransmission_factor",
       [](SessionOptions& o) { o.retransmission_factor = 11; }},
      {"max_retransmissions",
       [](SessionOptions& o) { o.max_retransmissions = 0; }},
      {"max_retransmissions",
       [](SessionOptions& o) { o.max_retransmissions = 13; }},
      {"handshake_deadline",
       [](SessionOptions& o) { o.handshake_deadline = absl::ZeroDuration(); }},
      {"mtu", [](SessionOptions& o) { o.mtu = 255; }},
  };
  for (const auto& [name, change] : bad) {
    ClientOptions options;
    change(options.session);
    const absl::Status status = Context::Client(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << name;
    EXPECT_TRUE(absl::StrContains(status.message(), name)) << status;
  }
}

// ACCEPTANCE: QT6, QF22
TEST(HandshakeWithLossTest, RepeatsWithoutAnyHelpOfTheApplication) {
  SessionPair pair;
  int up = 0;
  int down = 0;
  pair.reactor.network().set_filter([&](testing::SimDatagram& d) {
    return (d.to.port() == 4433 ? up : down)++ > 0;
  });
  SessionStatistics statistics;
  const absl::Status status = pair.Run(
      [&](Connection& c) -> net::Task<absl::Status> {
        absl::Status done = co_await c.Handshake();
        statistics = c.statistics();
        co_return done;
      },
      [](Connection& c) { return c.Handshake(); });
  EXPECT_TRUE(status.ok()) << status;
  // The hello, and then the first answer, were lost: 0.4 and 0.8 s.
  EXPECT_EQ(statistics.retransmissions, 2U);
  EXPECT_GE(statistics.handshake_duration, absl::Milliseconds(1200));
  EXPECT_LT(statistics.handshake_duration, absl::Milliseconds(1300));
}

}  // namespace
}  // namespace cordon::dtls
