// What all handshakes of a listener together keep of messages that are not
// whole and of what came too early, and the limit of it.
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/internal/session_bounds.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;
using internal::kHandshakeOwnBytes;
using internal::kMaxEarlyDatagrams;

using Bytes = std::vector<uint8_t>;

constexpr uint8_t kHandshake = 22;
constexpr uint8_t kApplicationData = 23;
constexpr uint8_t kCertificate = 11;
// Of a client that was asked for a cookie.
constexpr uint16_t kCertificateSequence = 2;
constexpr uint32_t kAnnounced = 100'000;

void Append(Bytes& out, uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) {
    out.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
}

// A record with `bytes` bytes of a large Certificate message, from `offset` on.
Bytes Part(uint32_t offset, size_t bytes) {
  Bytes record = {kHandshake, 0xfe, 0xfd};
  Append(record, 100, 8);
  Append(record, 12 + bytes, 2);
  record.push_back(kCertificate);
  Append(record, kAnnounced, 3);
  Append(record, kCertificateSequence, 2);
  Append(record, offset, 3);
  Append(record, bytes, 3);
  record.resize(record.size() + bytes, 7);
  return record;
}

class ReassemblyLimitTest : public ::testing::Test {
 protected:
  ReassemblyLimitTest() {
    world_.server_options.client_trust = ServedListener::Authority().trust();
    // Of clients that come while `halting_` is set the first two hellos pass,
    // and nothing more.
    world_.reactor.network().set_filter([this](SimDatagram& d) {
      if (d.to != ServedListener::At()) return true;
      if (halting_) sent_.try_emplace(d.from.port(), 0);
      last_ = d.from;
      auto found = sent_.find(d.from.port());
      return found == sent_.end() || ++found->second <= 2;
    });
  }

  void ExpectRuns(const ServedListener::Body& body) {
    EXPECT_EQ(world_.Run(body), absl::OkStatus());
  }
  ListenerStatistics Now() { return world_.admin().statistics(); }
  void Limit(size_t bytes) {
    ListenerLimits limits = world_.admin().limits();
    limits.max_reassembly_bytes = bytes;
    world_.admin().SetLimits(limits);
  }
  // Begins the handshake of `client`, which ends with `scope`, up to where the
  // server awaits its certificate. Returns its address.
  net::Task<net::Endpoint> Halt(Connection& client, net::TaskScope& scope) {
    halting_ = true;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(20));
    halting_ = false;
    co_return last_;
  }
  net::Task<void> Inject(net::Endpoint from, Bytes datagram) {
    world_.reactor.Inject(from, ServedListener::At(), datagram);
    co_await ServedListener::Pass(absl::Milliseconds(5));
  }
  // A client whose chain has about so many bytes.
  static ConnectOptions WithChain(size_t bytes) {
    ConnectOptions options;
    options.overrides.certificate = ServedListener::Authority().Issue(
        {.common_name = "client", .padding = bytes});
    return options;
  }

  ServedListener world_;
  bool halting_ = false;
  std::map<uint16_t, int> sent_;
  net::Endpoint last_;
};

TEST_F(ReassemblyLimitTest, WhatFindsNoRoomIsDroppedAndCounted) {
  constexpr size_t kFirst = 14'000;
  constexpr size_t kNext = 1'000;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    net::TaskScope scope;
    const net::Endpoint from = co_await Halt(client, scope);
    EXPECT_EQ(Now().reassembly_bytes, 0U);
    co_await Inject(from, Part(0, kFirst));
    const size_t first = Now().reassembly_bytes;
    EXPECT_GE(first, kFirst - kHandshakeOwnBytes);
    EXPECT_LE(first, kFirst - kHandshakeOwnBytes + 500);
    EXPECT_EQ(Now().dropped_max_reassembly_bytes, 0U);
    Limit(first + kNext - 1);
    co_await Inject(from, Part(kFirst, kNext));
    EXPECT_EQ(Now().reassembly_bytes, first);
    EXPECT_EQ(Now().dropped_max_reassembly_bytes, 1U);
    // A limit that is lower than what is kept takes nothing away.
    Limit(0);
    co_await Inject(from, Part(kFirst, kNext));
    EXPECT_EQ(Now().reassembly_bytes, first);
    EXPECT_EQ(Now().dropped_max_reassembly_bytes, 2U);
    Limit(first + kNext + 500);
    co_await Inject(from, Part(kFirst, kNext));
    EXPECT_EQ(Now().reassembly_bytes, first + kNext);
    EXPECT_EQ(Now().dropped_max_reassembly_bytes, 2U);
    scope.RequestStop();
    (void)co_await scope.Join();
    co_return absl::OkStatus();
  });
}

TEST_F(ReassemblyLimitTest, TheOptionIsWhereItBegins) {
  world_.listener_options.max_reassembly_bytes = 10'000;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    net::TaskScope scope;
    CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Open());
    co_await Inject(co_await Halt(first, scope), Part(0, 14'000));
    const size_t used = Now().reassembly_bytes;
    EXPECT_GT(used, 0U);
    CO_ASSIGN_OR_RETURN(Connection second, co_await world_.Open());
    co_await Inject(co_await Halt(second, scope), Part(0, 14'000));
    EXPECT_EQ(Now().reassembly_bytes, used);
    EXPECT_EQ(Now().dropped_max_reassembly_bytes, 1U);
    scope.RequestStop();
    (void)co_await scope.Join();
    co_return absl::OkStatus();
  });
}

TEST_F(ReassemblyLimitTest, OrdinaryHandshakesAndSessionsDoNotSuffer) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection before,
                        co_await world_.Connect(WithChain(100)));
    net::TaskScope scope;
    CO_ASSIGN_OR_RETURN(Connection greedy, co_await world_.Open());
    co_await Inject(co_await Halt(greedy, scope), Part(0, 14'000));
    Limit(Now().reassembly_bytes);
    // It takes several datagrams.
    CO_ASSIGN_OR_RETURN(Connection client,
                        co_await world_.Connect(WithChain(5'000)));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "new"));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(before, "old"));
    EXPECT_EQ(Now().dropped_max_reassembly_bytes, 0U);
    EXPECT_EQ(Now().handshakes_completed, 2U);
    scope.RequestStop();
    (void)co_await scope.Join();
    co_return absl::OkStatus();
  });
}

TEST_F(ReassemblyLimitTest, AHandshakeGoesOnWhenThereIsRoomAgain) {
  world_.listener_options.max_reassembly_bytes = 0;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client,
                        co_await world_.Open(WithChain(20'000)));
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_EQ(Now().handshakes_completed, 0U);
    EXPECT_EQ(Now().half_open, 1U);
    EXPECT_EQ(Now().reassembly_bytes, 0U);
    EXPECT_GT(Now().dropped_max_reassembly_bytes, 0U);
    const uint64_t dropped = Now().dropped_max_reassembly_bytes;
    Limit(20'000);
    CO_RETURN_IF_ERROR(co_await scope.Join());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "at last"));
    EXPECT_EQ(Now().dropped_max_reassembly_bytes, dropped);
    EXPECT_EQ(Now().reassembly_bytes, 0U);
    co_return co_await client.Close();
  });
}

TEST_F(ReassemblyLimitTest, IsGivenBackHoweverTheHandshakeEnds) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    net::TaskScope scope;
    CO_ASSIGN_OR_RETURN(Connection closed, co_await world_.Open());
    co_await Inject(co_await Halt(closed, scope), Part(0, 14'000));
    const size_t each = Now().reassembly_bytes;
    EXPECT_GT(each, 0U);
    CO_ASSIGN_OR_RETURN(Connection late, co_await world_.Open());
    co_await Inject(co_await Halt(late, scope), Part(0, 14'000));
    EXPECT_EQ(Now().reassembly_bytes, 2 * each);
    const uint64_t id = world_.admin().Sessions(0, 1).at(0)->id;
    EXPECT_TRUE(world_.admin().CloseSession(id, absl::OkStatus(), 0));
    EXPECT_EQ(Now().reassembly_bytes, each);
    // `handshake_deadline`, or sooner.
    co_await ServedListener::Pass(absl::Seconds(31));
    EXPECT_EQ(Now().handshakes_failed, 2U);
    EXPECT_EQ(Now().reassembly_bytes, 0U);
    scope.RequestStop();
    (void)co_await scope.Join();
    co_return absl::OkStatus();
  });
}

TEST_F(ReassemblyLimitTest, DatagramsBeforeTheHandshakeCount) {
  // Never begins it.
  world_.session = [](Connection&) -> net::Task<absl::Status> {
    co_await ServedListener::Pass(absl::Hours(1));
    co_return absl::OkStatus();
  };
  const Bytes early = [] {
    Bytes record = {kApplicationData, 0xfe, 0xfd};
    Append(record, uint64_t{1} << 48, 8);
    Append(record, 1'900, 2);
    record.resize(record.size() + 1'900);
    return record;
  }();
  ExpectRuns([&]() -> net::Task<absl::Status> {
    net::TaskScope scope;
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    const net::Endpoint from = co_await Halt(client, scope);
    for (size_t i = 0; i < kMaxEarlyDatagrams; ++i) {
      co_await Inject(from, early);
    }
    const size_t kept = Now().reassembly_bytes;
    EXPECT_GT(kept, 0U);
    EXPECT_EQ(Now().dropped_max_reassembly_bytes, 0U);
    Limit(kept);
    CO_ASSIGN_OR_RETURN(Connection other, co_await world_.Open());
    const net::Endpoint there = co_await Halt(other, scope);
    for (size_t i = 0; i < kMaxEarlyDatagrams; ++i) {
      co_await Inject(there, early);
    }
    EXPECT_EQ(Now().reassembly_bytes, kept);
    EXPECT_GT(Now().dropped_max_reassembly_bytes, 0U);
    const uint64_t id = world_.admin().Sessions(0, 1).at(0)->id;
    EXPECT_TRUE(world_.admin().CloseSession(id, absl::OkStatus(), 0));
    EXPECT_EQ(Now().reassembly_bytes, 0U);
    scope.RequestStop();
    (void)co_await scope.Join();
    co_return absl::OkStatus();
  });
}

TEST_F(ReassemblyLimitTest, RecordsThatWaitForAVerdictCount) {
  // Never decides.
  world_.listener_options.verify_peer =
      [](const PeerIdentity&) -> net::Task<VerificationVerdict> {
    co_await ServedListener::Pass(absl::Hours(1));
    co_return VerificationVerdict::Accept();
  };
  const Bytes early = [] {
    Bytes record = {kHandshake, 0xfe, 0xfd};
    Append(record, uint64_t{1} << 48, 8);
    Append(record, 4'000, 2);
    record.resize(record.size() + 4'000);
    return record;
  }();
  ExpectRuns([&]() -> net::Task<absl::Status> {
    net::TaskScope scope;
    CO_ASSIGN_OR_RETURN(Connection client,
                        co_await world_.Open(WithChain(100)));
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(Now().reassembly_bytes, 0U);
    const net::Endpoint from = last_;
    for (int i = 0; i < 5; ++i) co_await Inject(from, early);
    const size_t kept = Now().reassembly_bytes;
    EXPECT_GT(kept, 5 * early.size() - kHandshakeOwnBytes);
    Limit(kept);
    co_await Inject(from, early);
    EXPECT_EQ(Now().reassembly_bytes, kept);
    EXPECT_EQ(Now().dropped_max_reassembly_bytes, 1U);
    const uint64_t id = world_.admin().Sessions(0, 1).at(0)->id;
    EXPECT_TRUE(world_.admin().CloseSession(id, absl::OkStatus(), 0));
    EXPECT_EQ(Now().reassembly_bytes, 0U);
    scope.RequestStop();
    (void)co_await scope.Join();
    co_return absl::OkStatus();
  });
}

}  // namespace
}  // namespace cordon::dtls
