#include "cordon/dtls/internal/send_allowance.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using Verdict = SendAllowance::Verdict;
using Bytes = std::vector<uint8_t>;

constexpr uint8_t kAlertType = 21;
constexpr uint8_t kHandshakeType = 22;

Bytes Datagram(size_t size, uint8_t type = kHandshakeType) {
  Bytes bytes(size, 0);
  bytes[0] = type;
  return bytes;
}

class SendAllowanceTest : public ::testing::Test {
 protected:
  void Receive(size_t bytes) {
    allowance_.OnReceived(bytes, [this](absl::Span<const uint8_t> datagram) {
      sent_.push_back(datagram.size());
    });
  }

  SendAllowance allowance_{3};
  std::vector<size_t> sent_;
};

TEST_F(SendAllowanceTest, NothingIsSentForNothing) {
  EXPECT_EQ(allowance_.Offer(Datagram(1)), Verdict::kWaits);
  EXPECT_TRUE(allowance_.waiting());
}

TEST_F(SendAllowanceTest, AllowsExactlyTheFactor) {
  Receive(100);
  EXPECT_EQ(allowance_.Offer(Datagram(200)), Verdict::kSend);
  EXPECT_EQ(allowance_.Offer(Datagram(100)), Verdict::kSend);
  EXPECT_EQ(allowance_.Offer(Datagram(1)), Verdict::kWaits);
}

TEST_F(SendAllowanceTest, WhatWaitsLeavesInOrderAsBytesCome) {
  Receive(100);
  EXPECT_EQ(allowance_.Offer(Datagram(250)), Verdict::kSend);
  EXPECT_EQ(allowance_.Offer(Datagram(300)), Verdict::kWaits);
  // It would fit, but is later than what waits.
  EXPECT_EQ(allowance_.Offer(Datagram(20)), Verdict::kWaits);
  EXPECT_EQ(sent_, std::vector<size_t>());
  Receive(83);
  EXPECT_EQ(sent_, std::vector<size_t>());
  Receive(1);
  EXPECT_EQ(sent_, std::vector<size_t>({300}));
  EXPECT_TRUE(allowance_.waiting());
  Receive(7);
  EXPECT_EQ(sent_, std::vector<size_t>({300, 20}));
  EXPECT_FALSE(allowance_.waiting());
}

TEST_F(SendAllowanceTest, AlertsGoAtOnceOrNever) {
  Receive(10);
  EXPECT_EQ(allowance_.Offer(Datagram(300)), Verdict::kWaits);
  EXPECT_EQ(allowance_.Offer(Datagram(15, kAlertType)), Verdict::kSend);
  EXPECT_EQ(allowance_.Offer(Datagram(15, kAlertType)), Verdict::kSend);
  EXPECT_EQ(allowance_.Offer(Datagram(15, kAlertType)), Verdict::kDropped);
  Receive(100);
  EXPECT_EQ(sent_, std::vector<size_t>({300}));
}

TEST_F(SendAllowanceTest, SendsAllOnceThePeerIsKnown) {
  EXPECT_EQ(allowance_.Offer(Datagram(1000)), Verdict::kWaits);
  EXPECT_EQ(allowance_.Offer(Datagram(2000)), Verdict::kWaits);
  allowance_.SendAll([this](absl::Span<const uint8_t> datagram) {
    sent_.push_back(datagram.size());
  });
  EXPECT_EQ(sent_, std::vector<size_t>({1000, 2000}));
  EXPECT_FALSE(allowance_.waiting());
}

}  // namespace
}  // namespace cordon::dtls::internal
