// What a listener does when too many peers begin handshakes.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/heap/heap.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;

using Bytes = std::vector<uint8_t>;

constexpr int kFlood = 100'000;
// In a hello: behind the headers of the record and the message, and the
// version.
constexpr size_t kRandomAt = 13 + 12 + 2;
// Datagrams on their way, and the server's answers to them.
constexpr int kAtOnce = 1000;
constexpr int kFew = 10 * kAtOnce;

net::Endpoint Source(int i) {
  return net::Endpoint::V4(
      {10, static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8),
       static_cast<uint8_t>(i)},
      5000);
}

class ListenerLimitsTest : public ::testing::Test {
 protected:
  void ExpectRuns(const ServedListener::Body& body) {
    EXPECT_EQ(world_.Run(body), absl::OkStatus());
  }
  ListenerStatistics Now() { return world_.admin().statistics(); }

  // Clients that come while `silent_` is set get a cookie, send it back, and
  // are heard of no more.
  void SilenceSome() {
    world_.reactor.network().set_filter([this](SimDatagram& d) {
      if (d.from == ServedListener::At()) {
        return !heard_.contains(d.to.port()) || d.bytes[13] == 3;
      }
      if (silent_) heard_.try_emplace(d.from.port(), 0);
      auto found = heard_.find(d.from.port());
      return found == heard_.end() || ++found->second <= 2;
    });
  }

  net::Task<absl::StatusOr<Bytes>> CaptureHello() {
    return CaptureHello(world_);
  }

  // The first hello of a client, which then gives up.
  static net::Task<absl::StatusOr<Bytes>> CaptureHello(ServedListener& world) {
    Bytes hello;
    world.reactor.network().set_filter([&hello](SimDatagram& d) {
      if (d.to == ServedListener::At() && hello.empty()) hello = d.bytes;
      return false;
    });
    {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world.Open());
      net::TaskScope scope;
      scope.Spawn(client.Handshake());
      co_await ServedListener::Pass(absl::Milliseconds(20));
      scope.RequestStop();
      (void)co_await scope.Join();
    }
    world.reactor.network().set_filter(nullptr);
    co_return hello;
  }

  // Many hellos, each of another source and with another random.
  net::Task<void> Flood(Bytes hello, int count = kFlood) {
    for (int i = 0; i < count; ++i) {
      std::memcpy(&hello[kRandomAt], &i, sizeof(i));
      world_.reactor.Inject(Source(i), ServedListener::At(), hello);
      if (i % kAtOnce != kAtOnce - 1) continue;
      co_await ServedListener::Pass(absl::Milliseconds(1));
      peak_ = std::max(peak_, testing::HeapInUse().value_or(0));
    }
    co_await ServedListener::Pass(absl::Milliseconds(20));
  }

  // Of the heap, while flooded.
  size_t peak_ = 0;
  bool silent_ = false;
  // How many datagrams of each silent client's port.
  std::map<uint16_t, int> heard_;
  ServedListener world_;
};

// ACCEPTANCE: HD4
TEST_F(ListenerLimitsTest, TheOldestHandshakeGivesWayToAProvenNewcomer) {
  world_.listener_options.max_half_open = 2;
  SilenceSome();
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection established, co_await world_.Connect());
    silent_ = true;
    CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Open());
    CO_ASSIGN_OR_RETURN(Connection second, co_await world_.Open());
    net::TaskScope silent;
    silent.Spawn(first.Handshake());
    silent.Spawn(second.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(Now().half_open, 2U);
    EXPECT_EQ(Now().dropped_max_half_open, 0U);
    silent_ = false;
    CO_ASSIGN_OR_RETURN(Connection third, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(third.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(Now().dropped_max_half_open, 1U);
    EXPECT_EQ(Now().half_open_evicted, 0U);
    // Its hellos after the grace are served.
    CO_RETURN_IF_ERROR(co_await scope.Join());
    EXPECT_EQ(Now().half_open_evicted, 1U);
    EXPECT_EQ(Now().half_open, 1U);
    EXPECT_EQ(Now().failures[static_cast<size_t>(HandshakeFailure::kAborted)],
              1U);
    EXPECT_EQ(Now().sessions_closed_by_admin, 0U);
    EXPECT_EQ(world_.ended.size(), 1U);
    if (!world_.ended.empty()) {
      EXPECT_TRUE(absl::IsResourceExhausted(world_.ended[0]))
          << world_.ended[0];
      EXPECT_EQ(GetErrorDetail(world_.ended[0])->limit, "max_half_open");
    }
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(third, "third"));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(established, "first"));
    silent.RequestStop();
    (void)co_await silent.Join();
    co_return absl::OkStatus();
  });
}

// Like one that waits for a verdict: it is not the peer's fault.
TEST_F(ListenerLimitsTest, AHandshakeThatWaitsForAKeyDoesNotGiveWay) {
  const PreSharedKey psk = {"device", {1, 2, 3, 4, 5, 6, 7, 8}};
  world_.server_options.psk_lookup = true;
  world_.client_options.trust = {};
  world_.client_options.pre_shared_key = psk;
  world_.listener_options.max_half_open = 1;
  world_.listener_options.psk_lookup = [psk](const std::string&)
      -> net::Task<absl::StatusOr<std::vector<uint8_t>>> {
    co_await ServedListener::Pass(absl::Seconds(10));
    co_return psk.key;
  };
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(first.Handshake());
    // Longer than the grace.
    co_await ServedListener::Pass(absl::Seconds(5));
    EXPECT_EQ(Now().half_open, 1U);
    CO_ASSIGN_OR_RETURN(Connection second, co_await world_.Open());
    EXPECT_FALSE(
        (co_await net::WithTimeout(absl::Seconds(2), second.Handshake())).ok());
    EXPECT_GT(Now().dropped_max_half_open, 0U);
    EXPECT_EQ(Now().half_open_evicted, 0U);
    CO_RETURN_IF_ERROR(co_await second.AbortHandshake());
    CO_RETURN_IF_ERROR(co_await scope.Join());
    co_return co_await ServedListener::Ask(first, "patient");
  });
}

TEST_F(ListenerLimitsTest, ASourceAtItsLimitLeavesOthersAlone) {
  world_.server_options.cookies = false;
  world_.listener_options.max_half_open_per_source = 2;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(const Bytes hello, co_await CaptureHello());
    for (uint16_t port : {1, 2, 3}) {
      world_.reactor.Inject(Source(1).WithPort(port), ServedListener::At(),
                            hello);
    }
    co_await ServedListener::Pass(absl::Milliseconds(20));
    EXPECT_EQ(Now().half_open, 2U);
    EXPECT_EQ(Now().dropped_max_half_open_per_source, 1U);
    world_.reactor.Inject(Source(2), ServedListener::At(), hello);
    co_await ServedListener::Pass(absl::Milliseconds(20));
    EXPECT_EQ(Now().half_open, 3U);
    EXPECT_EQ(Now().dropped_max_half_open_per_source, 1U);
    // An established session is none of them.
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    EXPECT_EQ(Now().half_open, 3U);
    co_return co_await ServedListener::Ask(client, "good");
  });
}

TEST_F(ListenerLimitsTest, ASourceBeginsHandshakesNoFasterThanItMay) {
  world_.listener_options.handshake_rate_per_source = 1;
  world_.listener_options.handshake_burst_per_source = 2;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Connect());
    CO_ASSIGN_OR_RETURN(Connection second, co_await world_.Connect());
    EXPECT_EQ(Now().dropped_handshake_rate_per_source, 0U);
    CO_ASSIGN_OR_RETURN(Connection third, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(third.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(Now().cookies.accepted, 3U);
    EXPECT_EQ(Now().dropped_handshake_rate_per_source, 1U);
    EXPECT_EQ(Now().sessions, 2U);
    // Those that are there go on.
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(first, "first"));
    // Its hellos that come when a second is over are served.
    CO_RETURN_IF_ERROR(co_await scope.Join());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(third, "third"));
    co_return co_await ServedListener::Ask(second, "second");
  });
}

// Whoever forges the address of another uses up nothing that is his.
TEST_F(ListenerLimitsTest, ForgedHellosShutNobodyOut) {
  for (const size_t before_cookies : {0, 1000}) {
    ServedListener world;
    world.listener_options.handshake_rate_per_source = 1;
    world.listener_options.handshake_burst_per_source = 3;
    world.listener_options.half_open_before_cookies = before_cookies;
    const absl::Status status = world.Run([&]() -> net::Task<absl::Status> {
      CO_ASSIGN_OR_RETURN(const Bytes hello, co_await CaptureHello(world));
      const net::Endpoint victim = net::Endpoint::LoopbackV4(1);
      for (uint16_t port = 1; port <= 100; ++port) {
        world.reactor.Inject(victim.WithPort(port), ServedListener::At(),
                             hello);
      }
      co_await ServedListener::Pass(absl::Milliseconds(20));
      const ListenerStatistics flooded = world.admin().statistics();
      // More than may be are asked for cookies.
      EXPECT_EQ(flooded.sessions, before_cookies == 0 ? 0U : 3U);
      EXPECT_EQ(flooded.cookies.sent, 100 - flooded.sessions);
      // Within less than a second:
      for (int i = 0; i < 3; ++i) {
        CO_ASSIGN_OR_RETURN(Connection client, co_await world.Connect());
        CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "good"));
      }
      EXPECT_EQ(world.admin().statistics().dropped_handshake_rate_per_source,
                0U);
      co_return absl::OkStatus();
    });
    EXPECT_EQ(status, absl::OkStatus()) << before_cookies;
  }
}

TEST_F(ListenerLimitsTest, TheRateHoldsWithoutCookies) {
  world_.server_options.cookies = false;
  world_.listener_options.handshake_rate_per_source = 1;
  world_.listener_options.handshake_burst_per_source = 2;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(const Bytes hello, co_await CaptureHello());
    for (uint16_t port = 1; port <= 5; ++port) {
      world_.reactor.Inject(Source(1).WithPort(port), ServedListener::At(),
                            hello);
    }
    co_await ServedListener::Pass(absl::Milliseconds(20));
    EXPECT_EQ(Now().sessions, 2U);
    EXPECT_EQ(Now().dropped_handshake_rate_per_source, 3U);
    co_return absl::OkStatus();
  });
}

// ACCEPTANCE: HD4
TEST_F(ListenerLimitsTest, AFloodWithoutCookiesStopsAtTheLimit) {
  world_.server_options.cookies = false;
  world_.listener_options.max_half_open = 64;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(const Bytes hello, co_await CaptureHello());
    CO_ASSIGN_OR_RETURN(Connection established, co_await world_.Connect());
    co_await Flood(hello);
    EXPECT_EQ(Now().half_open, 64U);
    EXPECT_EQ(Now().sessions, 65U);
    EXPECT_EQ(Now().dropped_max_half_open, kFlood - 64U);
    EXPECT_EQ(Now().half_open_evicted, 0U);
    co_return co_await ServedListener::Ask(established, "still there");
  });
}

// ACCEPTANCE: HA7
TEST_F(ListenerLimitsTest, AFloodOfSpoofedHellosLeavesNothing) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(const Bytes hello, co_await CaptureHello());
    // The server's answers, the largest of them.
    size_t largest = 0;
    world_.reactor.network().set_filter([&largest](SimDatagram& d) {
      if (d.from == ServedListener::At() && d.to.port() == 5000) {
        largest = std::max(largest, d.bytes.size());
      }
      return true;
    });
    // What is made once and kept, such as buffers for sending.
    {
      CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Connect());
      CO_RETURN_IF_ERROR(co_await first.Close());
    }
    co_await Flood(hello, kFew);
    co_await ServedListener::Pass(absl::Seconds(1));
    peak_ = 0;
    const size_t before = testing::HeapInUse().value_or(0);
    net::TaskScope scope;
    scope.Spawn(Flood(hello));
    co_await ServedListener::Pass(absl::Milliseconds(10));
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "good"));
    CO_RETURN_IF_ERROR(co_await scope.Join());
    EXPECT_EQ(Now().cookies.sent, kFew + kFlood + 2U);
    EXPECT_EQ(Now().cookies.accepted, 2U);
    EXPECT_EQ(Now().sessions, 1U);
    EXPECT_EQ(Now().sessions_accepted, 2U);
    // Less than a dozen bytes for each would be more.
    if (testing::HeapInUse().has_value()) {
      EXPECT_GT(peak_, 0U);
      EXPECT_LT(peak_, before + size_t{kFlood} * 12);
    }
    EXPECT_EQ(Now().half_open, 0U);
    EXPECT_GT(largest, 0U);
    EXPECT_LE(largest, hello.size());
    world_.reactor.network().set_filter(nullptr);
    co_return absl::OkStatus();
  });
}

}  // namespace
}  // namespace cordon::dtls
