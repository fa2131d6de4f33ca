// An established engine takes nothing from the heap, however much it carries.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/allocations/allocations.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/engine_pair/fixed_output.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::AllocationsSoFar;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::FixedOutput;

constexpr size_t kBatch = 16;

// `from` sends a batch, which `to` receives. Datagrams that `twist` has seen
// may be anything.
template <typename Twist>
void Carry(EnginePair& pair, EngineSide& from, EngineSide& to, size_t bytes,
           FixedOutput& output, Twist twist) {
  static const std::vector<uint8_t> message(1200, 0x5a);
  output.Clear();
  for (size_t i = 0; i < kBatch; ++i) {
    const absl::Status sent = from.engine->Send(
        absl::MakeConstSpan(message).subspan(0, bytes), output);
    ASSERT_TRUE(sent.ok());
  }
  ASSERT_EQ(output.count(), kBatch);
  for (size_t i = 0; i < kBatch; ++i) {
    twist(output.datagram(i));
    to.engine->Receive(output.datagram(i), pair.now, output);
  }
}

template <typename Twist>
void ExpectNoAllocations(uint64_t arriving_of_batch, Twist twist) {
  EnginePair pair;
  pair.Make();
  pair.Exchange();
  ASSERT_TRUE(pair.connected());
  FixedOutput output(kBatch);
  uint64_t before = 0;
  uint64_t messages = 0;
  constexpr int kWarmups = 10;
  constexpr int kRounds = 100;
  for (int round = 0; round < kWarmups + kRounds; ++round) {
    if (round == kWarmups) {
      before = AllocationsSoFar();
      messages = output.messages();
    }
    const size_t bytes = round % 2 == 0 ? 64 : 1200;
    Carry(pair, pair.client, pair.server, bytes, output, twist);
    Carry(pair, pair.server, pair.client, bytes, output, twist);
  }
  EXPECT_EQ(AllocationsSoFar() - before, 0U);
  EXPECT_EQ(output.messages() - messages,
            uint64_t{2} * kRounds * arriving_of_batch);
}

TEST(EngineAllocationTest, SealingAndOpeningAllocateNothing) {
  ExpectNoAllocations(kBatch, [](absl::Span<uint8_t>) {});
}

// Anybody can make us do this, as often as he likes.
TEST(EngineAllocationTest, ForgedRecordsAllocateNothing) {
  ExpectNoAllocations(0, [](absl::Span<uint8_t> datagram) {
    datagram[datagram.size() - 1] ^= 1;
  });
}

TEST(EngineAllocationTest, GarbageAllocatesNothing) {
  ExpectNoAllocations(0, [](absl::Span<uint8_t> datagram) {
    for (uint8_t& byte : datagram) byte ^= 0xa5;
  });
}

}  // namespace
}  // namespace cordon::dtls
