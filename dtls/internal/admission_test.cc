#include "cordon/dtls/internal/admission.h"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cordon/dtls/internal/session_bounds.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

net::Endpoint At(const std::string& address) {
  return *net::Endpoint::ParseAddress(address, 7);
}

TEST(SourceTest, IsTheFirstBitsOfTheAddress) {
  EXPECT_EQ(SourceOf(At("10.1.2.3"), 32, 64), At("10.1.2.3").WithPort(0));
  EXPECT_EQ(SourceOf(At("10.1.2.255"), 25, 64), At("10.1.2.128").WithPort(0));
  EXPECT_EQ(SourceOf(At("10.1.2.3"), 0, 64), At("0.0.0.0").WithPort(0));
  EXPECT_EQ(SourceOf(At("2001:db8:1:2:3:4:5:6"), 32, 64),
            At("2001:db8:1:2::").WithPort(0));
  EXPECT_EQ(SourceOf(At("2001:db8:ffff::1"), 32, 36),
            At("2001:db8:f000::").WithPort(0));
  EXPECT_EQ(SourceOf(At("2001:db8::1"), 32, 128),
            At("2001:db8::1").WithPort(0));
}

class AdmissionTest : public ::testing::Test {
 protected:
  static constexpr absl::Duration kGrace = absl::Seconds(2);

  bool Admit(const std::string& peer, bool proven = true, size_t waiting = 0) {
    return admission_.Admit(At(peer), proven, waiting, now_,
                            [this](uint64_t id) {
                              asked_.push_back(id);
                              if (staying_.contains(id)) return false;
                              admission_.Remove(id);
                              return true;
                            });
  }
  void Add(uint64_t id, const std::string& peer) {
    admission_.Add(id, At(peer), now_);
    ++statistics_.sessions;
  }

  ListenerStatistics statistics_;
  Admission admission_ = Admission({.max_sessions = 100,
                                    .accept_backlog = 5,
                                    .max_half_open = 3,
                                    .max_half_open_per_source = 2},
                                   {.half_open_grace = kGrace}, &statistics_);
  absl::Time now_ = absl::UnixEpoch();
  std::set<uint64_t> staying_;
  std::vector<uint64_t> asked_;
};

TEST_F(AdmissionTest, ASessionAtTheLimitIsTheLast) {
  statistics_.sessions = 99;
  EXPECT_TRUE(Admit("10.0.0.1"));
  statistics_.sessions = 100;
  EXPECT_FALSE(Admit("10.0.0.1"));
  EXPECT_EQ(statistics_.dropped_max_sessions, 1U);
}

TEST_F(AdmissionTest, ASessionMustFindRoomInTheMemory) {
  ListenerLimits limits = admission_.limits();
  limits.max_session_memory = 2 * kSessionBytes;
  admission_.set_limits(limits);
  admission_.memory().Add(kSessionBytes);
  EXPECT_TRUE(Admit("10.0.0.1"));
  admission_.memory().Add(1);
  EXPECT_FALSE(Admit("10.0.0.1"));
  EXPECT_EQ(statistics_.dropped_max_session_memory, 1U);
  // More is in use than there may be.
  limits.max_session_memory = 1;
  admission_.set_limits(limits);
  EXPECT_FALSE(Admit("10.0.0.1"));
  admission_.memory().Remove(kSessionBytes + 1);
  limits.max_session_memory = kSessionBytes;
  admission_.set_limits(limits);
  EXPECT_TRUE(Admit("10.0.0.1"));
}

TEST_F(AdmissionTest, OneThatWaitsAtTheLimitIsTheLast) {
  EXPECT_TRUE(Admit("10.0.0.1", true, 4));
  EXPECT_FALSE(Admit("10.0.0.1", true, 5));
  EXPECT_EQ(statistics_.dropped_accept_backlog, 1U);
}

TEST_F(AdmissionTest, ASourceHasItsShare) {
  Add(1, "10.0.0.1");
  EXPECT_TRUE(Admit("10.0.0.1"));
  Add(2, "10.0.0.1");
  EXPECT_FALSE(Admit("10.0.0.1"));
  EXPECT_EQ(statistics_.dropped_max_half_open_per_source, 1U);
  EXPECT_TRUE(Admit("10.0.0.2"));
  admission_.Remove(1);
  EXPECT_TRUE(Admit("10.0.0.1"));
}

TEST_F(AdmissionTest, ANetworkOfIpv6IsOneSource) {
  Add(1, "2001:db8::1");
  Add(2, "2001:db8::2");
  EXPECT_FALSE(Admit("2001:db8::3"));
  EXPECT_TRUE(Admit("2001:db8:0:1::3"));
}

// ACCEPTANCE: HD4
TEST_F(AdmissionTest, TheOldestGivesWayAfterTheGrace) {
  Add(1, "10.0.0.1");
  now_ += absl::Milliseconds(1);
  Add(2, "10.0.0.2");
  Add(3, "10.0.0.3");
  now_ = absl::UnixEpoch() + kGrace;
  EXPECT_FALSE(Admit("10.0.0.4"));
  EXPECT_EQ(statistics_.dropped_max_half_open, 1U);
  now_ += absl::Nanoseconds(1);
  // Anybody could pretend to be there.
  EXPECT_FALSE(Admit("10.0.0.4", false));
  EXPECT_EQ(statistics_.dropped_max_half_open, 2U);
  EXPECT_TRUE(asked_.empty());
  EXPECT_TRUE(Admit("10.0.0.4"));
  EXPECT_EQ(asked_, std::vector<uint64_t>{1});
  EXPECT_EQ(statistics_.half_open_evicted, 1U);
  EXPECT_EQ(statistics_.half_open, 2U);
}

TEST_F(AdmissionTest, WhoShouldStayIsPassedOver) {
  for (uint64_t id : {1, 2, 3}) Add(id, "10.0.0." + std::to_string(id));
  now_ += 2 * kGrace;
  staying_ = {1, 2};
  EXPECT_TRUE(Admit("10.0.0.4"));
  EXPECT_EQ(asked_, (std::vector<uint64_t>{1, 2, 3}));
  Add(4, "10.0.0.4");
  EXPECT_FALSE(Admit("10.0.0.5"));
  EXPECT_EQ(statistics_.half_open_evicted, 1U);
}

TEST_F(AdmissionTest, ALowerLimitEndsNobody) {
  for (uint64_t id : {1, 2, 3}) Add(id, "10.0.0." + std::to_string(id));
  ListenerLimits limits = admission_.limits();
  limits.max_half_open = 2;
  admission_.set_limits(limits);
  now_ += 2 * kGrace;
  EXPECT_FALSE(Admit("10.0.0.4"));
  EXPECT_TRUE(asked_.empty());
  admission_.Remove(1);
  EXPECT_TRUE(Admit("10.0.0.4"));
  limits.max_half_open = 0;
  admission_.set_limits(limits);
  admission_.Remove(3);
  EXPECT_FALSE(Admit("10.0.0.4"));
}

// ACCEPTANCE: HD4
TEST_F(AdmissionTest, NothingIsKeptOfThoseThatHaveGone) {
  for (uint64_t id = 0; id < 100'000; ++id) {
    const net::Endpoint peer = net::Endpoint::V4(
        {10, static_cast<uint8_t>(id >> 16), static_cast<uint8_t>(id >> 8),
         static_cast<uint8_t>(id)},
        1);
    admission_.Add(id, peer, now_);
    admission_.Add(id, peer, now_);
    if (id >= 3) {
      admission_.Remove(id - 3);
      admission_.Remove(id - 3);
    }
  }
  EXPECT_EQ(admission_.half_open(), 3U);
  EXPECT_EQ(admission_.sources(), 3U);
  EXPECT_EQ(statistics_.half_open, 3U);
}

TEST_F(AdmissionTest, TheRateOfASourceIsKept) {
  admission_.set_limits(
      {.handshake_rate_per_source = 1, .handshake_burst_per_source = 2});
  EXPECT_TRUE(Admit("10.0.0.1"));
  EXPECT_TRUE(Admit("10.0.0.1"));
  EXPECT_FALSE(Admit("10.0.0.1"));
  EXPECT_EQ(statistics_.dropped_handshake_rate_per_source, 1U);
  // One without a cookie is another matter.
  EXPECT_FALSE(admission_.KeepsRate(At("10.0.0.1"), true, now_));
  EXPECT_TRUE(admission_.KeepsRate(At("10.0.0.1"), false, now_));
  EXPECT_TRUE(Admit("10.0.0.2"));
  now_ += absl::Seconds(1);
  EXPECT_TRUE(Admit("10.0.0.1"));
}

TEST_F(AdmissionTest, AnotherRateHoldsAtOnce) {
  ListenerLimits limits = {.handshake_rate_per_source = 1,
                           .handshake_burst_per_source = 100};
  admission_.set_limits(limits);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Admit("10.0.0.1"));
  EXPECT_FALSE(Admit("10.0.0.1"));
  // Another limit that changes leaves it alone.
  limits.max_half_open = 5;
  admission_.set_limits(limits);
  EXPECT_FALSE(Admit("10.0.0.1"));
  limits.handshake_rate_per_source = 50;
  admission_.set_limits(limits);
  EXPECT_TRUE(Admit("10.0.0.1"));
}

TEST_F(AdmissionTest, AHelloThatIsRefusedOtherwiseDoesNotCountForTheRate) {
  admission_.set_limits({.max_half_open = 0,
                         .handshake_rate_per_source = 1,
                         .handshake_burst_per_source = 1});
  EXPECT_FALSE(Admit("10.0.0.1"));
  admission_.set_limits(
      {.handshake_rate_per_source = 1, .handshake_burst_per_source = 1});
  EXPECT_TRUE(Admit("10.0.0.1"));
  EXPECT_EQ(statistics_.dropped_handshake_rate_per_source, 0U);
}

}  // namespace
}  // namespace cordon::dtls::internal
