#include "cordon/dtls/internal/admission.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cordon/dtls/internal/admission_ledger.h"
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

  // As one reactor of the listener, and as another.
  struct Side {
    explicit Side(const std::shared_ptr<AdmissionLedger>& ledger)
        : admission(ledger, {.half_open_grace = kGrace}, &statistics) {}

    ListenerStatistics statistics;
    Admission admission;
    std::set<uint64_t> staying;
    std::vector<uint64_t> asked;
    // Handshakes from before these times were asked for elsewhere.
    std::vector<absl::Time> elsewhere;
    bool handed_over = false;
  };

  // Whether there is a place, which nobody takes.
  bool Admit(const std::string& peer, bool proven = true) {
    return AdmitAt(side_, peer, proven);
  }
  bool AdmitAt(Side& side, const std::string& peer, bool proven = true) {
    const bool admitted = side.admission.Admit(
        At(peer), proven, now_,
        [&side](uint64_t id) {
          side.asked.push_back(id);
          if (side.staying.contains(id)) return false;
          side.admission.Remove(id);
          return true;
        },
        [&side](absl::Time since) {
          side.elsewhere.push_back(since);
          return side.handed_over;
        });
    side.admission.Abandon();
    return admitted;
  }
  void Add(uint64_t id, const std::string& peer) { AddAt(side_, id, peer); }
  void AddAt(Side& side, uint64_t id, const std::string& peer) {
    side.admission.Add(id, At(peer), now_);
  }
  // A place, which is to be taken.
  bool Place(Side& side, const std::string& peer = "10.0.0.1") {
    return side.admission.Admit(
        At(peer), true, now_, [](uint64_t) { return false; },
        [](absl::Time) { return false; });
  }
  // A session that is accepted and has its handshake behind it.
  void Establish(Side& side, uint64_t id, const std::string& peer) {
    ASSERT_TRUE(Place(side, peer));
    side.admission.Open(id, At(peer), now_);
    side.admission.SetWaiting(0);
    side.admission.Remove(id);
  }

  std::shared_ptr<AdmissionLedger> ledger_ = std::make_shared<AdmissionLedger>(
      ListenerLimits{.max_sessions = 100,
                     .accept_backlog = 5,
                     .max_half_open = 3,
                     .max_half_open_per_source = 2});
  Side side_ = Side(ledger_);
  ListenerStatistics& statistics_ = side_.statistics;
  Admission& admission_ = side_.admission;
  absl::Time now_ = absl::UnixEpoch();
  std::set<uint64_t>& staying_ = side_.staying;
  std::vector<uint64_t>& asked_ = side_.asked;
};

TEST_F(AdmissionTest, ASessionAtTheLimitIsTheLast) {
  for (uint64_t id = 1; id < 100; ++id) Establish(side_, id, "10.0.0.1");
  EXPECT_TRUE(Admit("10.0.0.1"));
  Establish(side_, 100, "10.0.0.1");
  EXPECT_EQ(statistics_.sessions, 100U);
  EXPECT_FALSE(Admit("10.0.0.1"));
  EXPECT_EQ(statistics_.dropped_max_sessions, 1U);
  admission_.Close(7);
  EXPECT_TRUE(Admit("10.0.0.1"));
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
  for (uint64_t id = 1; id <= 4; ++id) {
    ASSERT_TRUE(Place(side_));
    admission_.Open(id, At("10.0.0.1"), now_);
    admission_.Remove(id);
  }
  EXPECT_TRUE(Admit("10.0.0.1"));
  ASSERT_TRUE(Place(side_));
  admission_.Open(5, At("10.0.0.1"), now_);
  admission_.Remove(5);
  EXPECT_FALSE(Admit("10.0.0.1"));
  EXPECT_EQ(statistics_.dropped_accept_backlog, 1U);
  // One is accepted.
  admission_.SetWaiting(4);
  EXPECT_TRUE(Admit("10.0.0.1"));
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

// --- Several reactors --------------------------------------------------------

class SharedAdmissionTest : public AdmissionTest {
 protected:
  void SetLimits(const ListenerLimits& limits) {
    side_.admission.set_limits(limits);
  }

  Side other_ = Side(ledger_);
};

TEST_F(SharedAdmissionTest, SessionsCountForAll) {
  SetLimits({.max_sessions = 2});
  Establish(side_, 1, "10.0.0.1");
  Establish(other_, 2, "10.0.0.2");
  EXPECT_FALSE(AdmitAt(side_, "10.0.0.3"));
  EXPECT_FALSE(AdmitAt(other_, "10.0.0.3"));
  EXPECT_EQ(side_.statistics.sessions, 1U);
  EXPECT_EQ(other_.statistics.sessions, 1U);
  EXPECT_EQ(other_.statistics.dropped_max_sessions, 1U);
  side_.admission.Close(1);
  EXPECT_TRUE(AdmitAt(other_, "10.0.0.3"));
}

TEST_F(SharedAdmissionTest, SoDoThoseThatWait) {
  SetLimits({.accept_backlog = 1});
  ASSERT_TRUE(Place(side_));
  side_.admission.Open(1, At("10.0.0.1"), now_);
  EXPECT_FALSE(AdmitAt(other_, "10.0.0.2"));
  EXPECT_EQ(other_.statistics.dropped_accept_backlog, 1U);
  side_.admission.SetWaiting(0);
  EXPECT_TRUE(AdmitAt(other_, "10.0.0.2"));
}

TEST_F(SharedAdmissionTest, SoDoTheirMemoryAndWhatHandshakesKeep) {
  SetLimits(
      {.max_session_memory = 3 * kSessionBytes, .max_reassembly_bytes = 1000});
  side_.admission.memory().Add(2 * kSessionBytes);
  EXPECT_TRUE(AdmitAt(other_, "10.0.0.1"));
  other_.admission.memory().Add(kSessionBytes);
  EXPECT_FALSE(AdmitAt(other_, "10.0.0.1"));
  EXPECT_FALSE(AdmitAt(side_, "10.0.0.1"));
  EXPECT_EQ(other_.statistics.dropped_max_session_memory, 1U);
  other_.admission.memory().Remove(kSessionBytes);
  EXPECT_TRUE(AdmitAt(side_, "10.0.0.1"));

  side_.admission.reassembly().Add(600);
  EXPECT_TRUE(other_.admission.reassembly().HasRoomFor(400));
  EXPECT_FALSE(other_.admission.reassembly().HasRoomFor(401));
}

TEST_F(SharedAdmissionTest, SoDoHandshakesAndThoseOfASource) {
  SetLimits({.max_half_open = 3, .max_half_open_per_source = 2});
  AddAt(side_, 1, "10.0.0.1");
  AddAt(other_, 2, "10.0.0.1");
  EXPECT_EQ(side_.admission.half_open(), 2U);
  EXPECT_FALSE(AdmitAt(other_, "10.0.0.1"));
  EXPECT_EQ(other_.statistics.dropped_max_half_open_per_source, 1U);
  AddAt(side_, 3, "10.0.0.2");
  EXPECT_FALSE(AdmitAt(other_, "10.0.0.3"));
  EXPECT_EQ(other_.statistics.dropped_max_half_open, 1U);
  // What each one has is told for itself.
  EXPECT_EQ(side_.statistics.half_open, 2U);
  EXPECT_EQ(other_.statistics.half_open, 1U);
}

TEST_F(SharedAdmissionTest, SoDoesTheRateOfASource) {
  SetLimits({.handshake_rate_per_source = 1, .handshake_burst_per_source = 2});
  EXPECT_TRUE(AdmitAt(side_, "10.0.0.1"));
  EXPECT_TRUE(AdmitAt(other_, "10.0.0.1"));
  EXPECT_FALSE(AdmitAt(side_, "10.0.0.1"));
  EXPECT_FALSE(AdmitAt(other_, "10.0.0.1"));
}

TEST_F(SharedAdmissionTest, OneThatGivesWayIsLookedForHereAndThenElsewhere) {
  AddAt(other_, 1, "10.0.0.1");
  now_ += 2 * kGrace;
  AddAt(side_, 2, "10.0.0.2");
  AddAt(side_, 3, "10.0.0.3");
  EXPECT_EQ(other_.admission.oldest(), absl::UnixEpoch());
  EXPECT_EQ(side_.admission.oldest(), now_);
  // None is old enough here.
  side_.handed_over = true;
  EXPECT_FALSE(AdmitAt(side_, "10.0.0.4"));
  EXPECT_EQ(side_.elsewhere, std::vector<absl::Time>{now_ - kGrace});
  EXPECT_EQ(side_.statistics.dropped_max_half_open, 0U);
  side_.handed_over = false;
  EXPECT_FALSE(AdmitAt(side_, "10.0.0.4"));
  EXPECT_EQ(side_.statistics.dropped_max_half_open, 1U);
  // There it is.
  EXPECT_TRUE(AdmitAt(other_, "10.0.0.4"));
  EXPECT_EQ(other_.asked, std::vector<uint64_t>{1});
  EXPECT_EQ(other_.admission.oldest(),
            absl::FromUnixNanos(std::numeric_limits<int64_t>::max()));
}

TEST_F(SharedAdmissionTest, AnotherLimitHoldsForAllAtOnce) {
  SetLimits({.max_sessions = 1, .idle_timeout_seconds = 5});
  EXPECT_EQ(other_.admission.limits().max_sessions, 1U);
  EXPECT_EQ(IdleTimeoutOf(other_.admission.limits()), absl::Seconds(5));
}

// Who binds with the options of the others leaves alone what was set since.
TEST_F(SharedAdmissionTest, WhoBindsLaterTakesTheLimitsAsTheyAre) {
  const ListenerLimits bound = ledger_->limits();
  ListenerLimits set = bound;
  set.max_sessions = 7;
  ledger_->SetLimits(set);
  ledger_->Configure(bound);
  EXPECT_EQ(ledger_->limits().max_sessions, 7U);
  ListenerLimits other = bound;
  other.accept_backlog = 9;
  ledger_->Configure(other);
  EXPECT_EQ(ledger_->limits(), other);
}

TEST_F(SharedAdmissionTest, WhatAReactorHadIsFreeWhenItEnds) {
  SetLimits({.max_sessions = 2,
             .max_session_memory = 2 * kSessionBytes,
             .max_half_open_per_source = 2});
  {
    Side ending(ledger_);
    Establish(ending, 1, "10.0.0.1");
    ending.admission.memory().Add(kSessionBytes);
    ASSERT_TRUE(Place(ending, "10.0.0.1"));
    ending.admission.Open(2, At("10.0.0.1"), now_);
    EXPECT_FALSE(AdmitAt(other_, "10.0.0.1"));
    ending.admission.memory().Remove(kSessionBytes);
  }
  EXPECT_EQ(ledger_->half_open(), 0U);
  EXPECT_EQ(ledger_->sources(), 0U);
  Establish(other_, 3, "10.0.0.1");
  other_.admission.memory().Add(kSessionBytes);
  EXPECT_TRUE(AdmitAt(other_, "10.0.0.1"));
}

}  // namespace
}  // namespace cordon::dtls::internal
