#include "cordon/dtls/internal/mailbox.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using ::cordon::testing::SimReactor;

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class MailboxTest : public ::testing::Test, public Mailbox::Owner {
 protected:
  void OnParcel(const Parcel& parcel, absl::Span<uint8_t> bytes) override {
    received_.emplace_back(bytes.begin(), bytes.end());
    kinds_.push_back(parcel.kind);
    if (on_receive_ != nullptr) on_receive_();
  }
  absl::Time OldestHalfOpen() const override { return absl::UnixEpoch(); }
  void RetireSocket() override { ++retired_; }

  static Parcel Of(Parcel::Kind kind) {
    return {.kind = kind, .peer = net::Endpoint::LoopbackV4(5000)};
  }
  // One turn of the loop.
  void Turn() {
    auto turn = []() -> net::Task<absl::Status> {
      co_return co_await net::SleepFor(absl::Milliseconds(1));
    };
    EXPECT_EQ(reactor_.Run(turn()), absl::OkStatus());
  }

  SimReactor reactor_;
  std::shared_ptr<Mailbox> box_ =
      std::make_shared<Mailbox>(reactor_, this, *this);
  ParcelBatch batch_;
  std::vector<std::string> received_;
  std::vector<Parcel::Kind> kinds_;
  std::function<void()> on_receive_;
  int retired_ = 0;
};

TEST_F(MailboxTest, DeliversInOrder) {
  for (const std::string text : {"one", "", "three"}) {
    batch_.Add(Of(Parcel::Kind::kDatagram), Bytes(text));
  }
  EXPECT_EQ(box_->Deliver(batch_), 0U);
  EXPECT_TRUE(batch_.empty());
  batch_.Add(Of(Parcel::Kind::kHello), Bytes("hello"));
  EXPECT_EQ(box_->Deliver(batch_), 0U);
  EXPECT_TRUE(received_.empty());
  Turn();
  EXPECT_EQ(received_, (std::vector<std::string>{"one", "", "three", "hello"}));
  EXPECT_EQ(kinds_.back(), Parcel::Kind::kHello);
}

TEST_F(MailboxTest, KeepsNoMoreThanItsLimit) {
  const std::string large(65'000, 'x');
  const size_t cost = large.size() + sizeof(Parcel);
  const size_t fit = kMaxStrayBytes / cost;
  for (size_t i = 0; i < fit + 10; ++i) {
    batch_.Add(Of(Parcel::Kind::kDatagram), Bytes(large));
  }
  EXPECT_EQ(box_->Deliver(batch_), 10U);
  // What ends a session is never left out.
  for (size_t i = 0; i < 100; ++i) {
    batch_.Add(Of(Parcel::Kind::kSuperseded), {});
  }
  EXPECT_EQ(box_->Deliver(batch_), 0U);
  // Empty ones cost something, too.
  for (size_t i = 0; i < kMaxStrayBytes / sizeof(Parcel); ++i) {
    batch_.Add(Of(Parcel::Kind::kDatagram), {});
  }
  EXPECT_GT(box_->Deliver(batch_), 0U);
  Turn();
  EXPECT_GE(received_.size(), fit + 100);
  // There is room again.
  received_.clear();
  auto hand = [&]() -> net::Task<absl::Status> {
    batch_.Add(Of(Parcel::Kind::kDatagram), Bytes("again"));
    EXPECT_EQ(box_->Deliver(batch_), 0U);
    co_return co_await net::SleepFor(absl::Milliseconds(1));
  };
  EXPECT_EQ(reactor_.Run(hand()), absl::OkStatus());
  EXPECT_EQ(received_, std::vector<std::string>{"again"});
}

TEST_F(MailboxTest, OfOneThatHasEndedAllIsDropped) {
  Turn();
  batch_.Add(Of(Parcel::Kind::kDatagram), Bytes("late"));
  batch_.Add(Of(Parcel::Kind::kSuperseded), {});
  EXPECT_EQ(box_->Deliver(batch_), 2U);
  EXPECT_FALSE(box_->alive());
  EXPECT_FALSE(box_->accepting());
  // Nor does its socket take anything from the others.
  EXPECT_EQ(retired_, 1);
  Turn();
  EXPECT_TRUE(received_.empty());
}

TEST_F(MailboxTest, OnlyOneThatHasEndedIsRetiredByOthers) {
  box_->RetireIfEnded();
  EXPECT_TRUE(box_->IsServed(nullptr));
  EXPECT_FALSE(box_->IsServed(&reactor_));
  EXPECT_EQ(retired_, 0);
  Turn();
  EXPECT_FALSE(box_->IsServed(nullptr));
  box_->RetireIfEnded();
  EXPECT_EQ(retired_, 1);
  EXPECT_FALSE(box_->alive());
  box_->Close();
  box_->RetireIfEnded();
  EXPECT_EQ(retired_, 1);
}

TEST_F(MailboxTest, NothingIsReceivedOnceItIsClosed) {
  batch_.Add(Of(Parcel::Kind::kDatagram), Bytes("one"));
  batch_.Add(Of(Parcel::Kind::kDatagram), Bytes("two"));
  EXPECT_EQ(box_->Deliver(batch_), 0U);
  on_receive_ = [this] { box_->Close(); };
  Turn();
  EXPECT_EQ(received_, std::vector<std::string>{"one"});
  batch_.Add(Of(Parcel::Kind::kDatagram), Bytes("three"));
  EXPECT_EQ(box_->Deliver(batch_), 1U);
  EXPECT_EQ(box_->oldest(), absl::InfiniteFuture());
}

}  // namespace
}  // namespace cordon::dtls::internal
