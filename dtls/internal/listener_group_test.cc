#include "cordon/dtls/internal/listener_group.h"

#include <memory>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/mailbox.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/task.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using ::cordon::testing::SimReactor;

class ListenerGroupTest : public ::testing::Test {
 protected:
  struct Owner final : Mailbox::Owner {
    explicit Owner(absl::Time since) : oldest(since) {}
    void OnParcel(const Parcel&, absl::Span<uint8_t>) override {}
    absl::Time OldestHalfOpen() const override { return oldest; }
    void RetireSocket() override { retired = true; }

    const absl::Time oldest;
    bool retired = false;
  };

  ListenerGroup::Member Join(net::Reactor& reactor, const void* which,
                             absl::Time oldest = absl::InfiniteFuture()) {
    owners_.push_back(std::make_unique<Owner>(oldest));
    auto member = std::make_shared<Mailbox>(reactor, which, *owners_.back());
    group_->Join(member);
    return member;
  }
  static net::Path Peer(uint16_t port) {
    return net::Path(net::Endpoint::LoopbackV4(port),
                     {net::Endpoint::LoopbackV4(0), 1});
  }

  std::vector<std::unique_ptr<Owner>> owners_;
  SimReactor reactor_;
  SimReactor other_;
  std::shared_ptr<ListenerGroup> group_ =
      std::make_shared<ListenerGroup>(nullptr, net::Endpoint::LoopbackV4(1));
  ListenerGroup::Member a_ = Join(reactor_, this, absl::FromUnixSeconds(20));
  ListenerGroup::Member b_ = Join(other_, this, absl::FromUnixSeconds(10));
  ListenerGroup::Member c_ = Join(other_, group_.get());
};

TEST_F(ListenerGroupTest, IsFoundByItsNetworkAndAddress) {
  const net::Endpoint at = net::Endpoint::LoopbackV4(4433);
  const auto group = ListenerGroup::Of(&reactor_, at);
  EXPECT_EQ(ListenerGroup::Of(&reactor_, at), group);
  EXPECT_NE(ListenerGroup::Of(&other_, at), group);
  EXPECT_NE(ListenerGroup::Of(&reactor_, at.WithPort(1)), group);
  EXPECT_FALSE(group->shared());
}

TEST_F(ListenerGroupTest, ListenersOfOneNameHaveOneLedger) {
  const auto ledger = group_->Ledger(this, "a", {.max_sessions = 5});
  EXPECT_EQ(group_->Ledger(this, "a", {.max_sessions = 5}), ledger);
  EXPECT_NE(group_->Ledger(this, "b", {}), ledger);
  EXPECT_NE(group_->Ledger(nullptr, "a", {}), ledger);
  EXPECT_EQ(ledger->limits().max_sessions, 5U);
}

TEST_F(ListenerGroupTest, KnowsWhoHasAPeer) {
  EXPECT_EQ(group_->Find(Peer(1)).session, nullptr);
  group_->Claim(Peer(1), a_);
  group_->Claim(Peer(2), b_);
  EXPECT_EQ(group_->Find(Peer(1)).session, a_);
  EXPECT_EQ(group_->Find(Peer(2)).session, b_);
  EXPECT_EQ(group_->Find(Peer(2)).newcomer, nullptr);
  EXPECT_EQ(group_->peers(), 2U);
  // Only who has it gives it up.
  group_->Release(Peer(1), b_);
  EXPECT_EQ(group_->Find(Peer(1)).session, a_);
  group_->Release(Peer(1), a_);
  group_->Release(Peer(2), b_);
  EXPECT_EQ(group_->peers(), 0U);
}

TEST_F(ListenerGroupTest, ANewcomerElsewhereSupersedesOnceItIsEstablished) {
  group_->Claim(Peer(1), a_);
  EXPECT_EQ(group_->Establish(Peer(1), a_), nullptr);
  group_->Claim(Peer(1), b_);
  EXPECT_EQ(group_->split_peers(), 1U);
  EXPECT_EQ(group_->Find(Peer(1)).session, a_);
  EXPECT_EQ(group_->Find(Peer(1)).newcomer, b_);
  EXPECT_EQ(group_->Establish(Peer(1), b_), a_);
  EXPECT_EQ(group_->split_peers(), 0U);
  EXPECT_EQ(group_->Find(Peer(1)).session, b_);
  // What the old one has to say is late.
  group_->Release(Peer(1), a_);
  EXPECT_EQ(group_->Find(Peer(1)).session, b_);
  group_->Release(Peer(1), b_);
  EXPECT_EQ(group_->peers(), 0U);
}

TEST_F(ListenerGroupTest, EitherOfTwoMayEnd) {
  group_->Claim(Peer(1), a_);
  group_->Claim(Peer(1), b_);
  group_->Release(Peer(1), b_);
  EXPECT_EQ(group_->split_peers(), 0U);
  EXPECT_EQ(group_->Find(Peer(1)).session, a_);
  group_->Claim(Peer(1), b_);
  group_->Release(Peer(1), a_);
  EXPECT_EQ(group_->split_peers(), 0U);
  EXPECT_EQ(group_->Find(Peer(1)).session, b_);
}

TEST_F(ListenerGroupTest, OneThatHasEndedHasNoPeers) {
  group_->Claim(Peer(1), a_);
  a_->set_alive(false);
  EXPECT_EQ(group_->Find(Peer(1)).session, nullptr);
  group_->Claim(Peer(1), b_);
  EXPECT_EQ(group_->Find(Peer(1)).session, b_);
  EXPECT_EQ(group_->split_peers(), 0U);
}

TEST_F(ListenerGroupTest, HandsOverToWhoAccepts) {
  std::set<ListenerGroup::Member> chosen;
  const ListenerGroup::Member d = Join(other_, this);
  for (uint16_t port = 1; port < 200; ++port) {
    chosen.insert(group_->Accepting(*a_, Peer(port).peer));
  }
  // All of the same listener.
  EXPECT_EQ(chosen, (std::set<ListenerGroup::Member>{b_, d}));
  b_->set_accepting(false);
  d->set_alive(false);
  EXPECT_EQ(group_->Accepting(*a_, Peer(1).peer), c_);
  group_->Leave(c_);
  EXPECT_EQ(group_->Accepting(*a_, Peer(1).peer), nullptr);
  EXPECT_EQ(group_->Accepting(*b_, Peer(1).peer), a_);
}

TEST_F(ListenerGroupTest, KnowsWhereTheOldestHandshakeIs) {
  EXPECT_EQ(group_->WithOldest(*a_, absl::FromUnixSeconds(15)), b_);
  EXPECT_EQ(group_->WithOldest(*a_, absl::FromUnixSeconds(10)), nullptr);
  EXPECT_EQ(group_->WithOldest(*b_, absl::FromUnixSeconds(30)), a_);
  EXPECT_EQ(group_->WithOldest(*c_, absl::FromUnixSeconds(30)), nullptr);
}

// It was alone when its reactor ended.
TEST_F(ListenerGroupTest, OneThatJoinsHasThePortFromThoseThatHaveEnded) {
  const auto nothing = []() -> net::Task<absl::Status> {
    co_return absl::OkStatus();
  };
  EXPECT_EQ(other_.Run(nothing()), absl::OkStatus());
  EXPECT_FALSE(group_->AnyAlive(&reactor_));
  Join(reactor_, this);
  EXPECT_FALSE(owners_[0]->retired);
  EXPECT_TRUE(owners_[1]->retired);
  EXPECT_TRUE(owners_[2]->retired);
  EXPECT_FALSE(b_->alive());
}

TEST_F(ListenerGroupTest, KnowsWhetherAnyIsAlive) {
  EXPECT_TRUE(group_->shared());
  EXPECT_TRUE(group_->AnyAlive(&reactor_));
  b_->set_alive(false);
  group_->Leave(c_);
  EXPECT_FALSE(group_->AnyAlive(&reactor_));
  EXPECT_TRUE(group_->AnyAlive(&other_));
  EXPECT_TRUE(group_->AnyAlive());
  group_->Leave(a_);
  group_->Leave(b_);
  EXPECT_FALSE(group_->shared());
  EXPECT_FALSE(group_->AnyAlive());
}

}  // namespace
}  // namespace cordon::dtls::internal
