#include "cordon/dtls/internal/mailbox.h"

#include <cstdint>
#include <memory>
#include <optional>
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

class MailboxTest : public ::testing::Test {
 protected:
  std::shared_ptr<Mailbox> Make() {
    return std::make_shared<Mailbox>(
        reactor_, this, [] { return absl::UnixEpoch(); },
        [this](const Parcel& parcel, absl::Span<uint8_t> bytes) {
          received_.emplace_back(bytes.begin(), bytes.end());
          kinds_.push_back(parcel.kind);
          if (on_receive_ != nullptr) on_receive_();
        });
  }
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
  std::shared_ptr<Mailbox> box_ = Make();
  ParcelBatch batch_;
  std::vector<std::string> received_;
  std::vector<Parcel::Kind> kinds_;
  std::function<void()> on_receive_;
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
  EXPECT_EQ(received_,
            (std::vector<std::string>{"one", "", "three", "hello"}));
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
  Turn();
  EXPECT_TRUE(received_.empty());
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
