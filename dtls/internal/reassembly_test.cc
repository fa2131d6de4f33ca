#include "cordon/dtls/internal/reassembly.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "cordon/dtls/internal/memory_budget.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kMaxBytes = 32768;
constexpr uint8_t kType = 11;

Bytes MessageOf(size_t size, uint32_t seed = 1) {
  std::minstd_rand random(seed);
  Bytes bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() >> 8);
  return bytes;
}

class ReassemblyTest : public ::testing::Test {
 protected:
  // The part of `message` from `from` up to `to`.
  bool Add(const Bytes& message, size_t from, size_t to, uint16_t sequence = 0,
           uint16_t next = 0, uint8_t type = kType) {
    const HandshakeFragment fragment = {
        .type = type,
        .sequence = sequence,
        .message_bytes = static_cast<uint32_t>(message.size()),
        .offset = static_cast<uint32_t>(from),
        .body = absl::MakeConstSpan(message).subspan(from, to - from)};
    return reassembly_.Add(fragment, next);
  }
  bool AddWhole(const Bytes& message, uint16_t sequence = 0) {
    return Add(message, 0, message.size(), sequence);
  }
  // The next whole message with this number, or nothing.
  Bytes Take(uint16_t sequence = 0) {
    HandshakeMessage message;
    if (!reassembly_.Take(sequence, &message)) return {};
    EXPECT_EQ(message.sequence, sequence);
    return message.body;
  }

  MemoryShare share_;
  Reassembly reassembly_{kMaxBytes, share_};
};

TEST_F(ReassemblyTest, PartsComeInAnyOrderOverlapAndRepeat) {
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return random() % n; };
  for (int round = 0; round < 500; ++round) {
    const Bytes message = MessageOf(1 + below(3000), random());
    std::vector<std::pair<size_t, size_t>> parts;
    for (size_t at = 0; at < message.size();) {
      const size_t to = std::min(message.size(), at + 1 + below(400));
      // Some reach back into the one before, and some come twice.
      parts.emplace_back(at - std::min(at, below(3) == 0 ? below(200) : 0), to);
      if (below(5) == 0) parts.push_back(parts.back());
      at = to;
    }
    std::shuffle(parts.begin(), parts.end(), random);
    for (const auto& [from, to] : parts) EXPECT_TRUE(Add(message, from, to));
    EXPECT_EQ(Take(), message);
    EXPECT_EQ(Take(), Bytes());
    EXPECT_EQ(reassembly_.bytes(), 0U);
  }
}

// ACCEPTANCE: HB1
TEST_F(ReassemblyTest, SixteenKilobytesByteByByte) {
  const Bytes message = MessageOf(16384);
  for (size_t i = 0; i < message.size(); ++i) {
    ASSERT_TRUE(Add(message, i, i + 1));
    ASSERT_LT(reassembly_.bytes(), i + 1024);
  }
  EXPECT_EQ(Take(), message);
  for (size_t i = message.size(); i > 0; --i) {
    ASSERT_TRUE(Add(message, i - 1, i));
  }
  EXPECT_EQ(Take(), message);
}

TEST_F(ReassemblyTest, AnEmptyMessageIsWholeAtOnce) {
  EXPECT_TRUE(AddWhole({}));
  HandshakeMessage message;
  EXPECT_TRUE(reassembly_.Take(0, &message));
  EXPECT_TRUE(message.body.empty());
  EXPECT_FALSE(reassembly_.Take(0, &message));
  EXPECT_EQ(reassembly_.bytes(), 0U);
}

// ACCEPTANCE: HB1
TEST_F(ReassemblyTest, FragmentsThatContradictItDoNotLockTheTrueMessageOut) {
  const Bytes message = MessageOf(1000);
  const Bytes longer = MessageOf(1001, 2);
  const Bytes other = MessageOf(1000, 3);
  struct Case {
    const char* name;
    const Bytes& forged;
    uint8_t type;
  };
  for (const auto& [name, forged, type] :
       {Case{"length", longer, kType}, Case{"type", message, kType + 1},
        Case{"bytes", other, kType}}) {
    SCOPED_TRACE(name);
    reassembly_.Clear();
    for (size_t at = 0; at < 1000; at += 100) {
      // Before each part, and overlapping the last.
      EXPECT_TRUE(Add(forged, at, at + 50, 0, 0, type));
      if (at > 0) {
        EXPECT_TRUE(Add(forged, at - 10, at + 10, 0, 0, type));
      }
      EXPECT_TRUE(Add(message, at, at + 100));
    }
    EXPECT_EQ(Take(), message);
  }
}

TEST_F(ReassemblyTest, ThatWhichIsWholeFirstComesFirst) {
  const Bytes late = MessageOf(100, 1);
  const Bytes early = MessageOf(100, 2);
  EXPECT_TRUE(Add(late, 0, 50));
  EXPECT_TRUE(AddWhole(early));
  EXPECT_TRUE(Add(late, 50, 100));
  EXPECT_EQ(Take(), early);
  EXPECT_EQ(Take(), late);
}

// ACCEPTANCE: HB9
TEST_F(ReassemblyTest, NothingIsKeptThatIsTooFarAhead) {
  const Bytes message = MessageOf(10);
  for (const uint16_t next : {0, 5, 65530}) {
    reassembly_.Clear();
    for (int ahead = -1; ahead < 10; ++ahead) {
      const int sequence = next + ahead;
      if (sequence < 0 || sequence > 65535) continue;
      EXPECT_EQ(Add(message, 0, 10, static_cast<uint16_t>(sequence), next),
                ahead >= 0 && ahead < Reassembly::kWindow)
          << next << " " << ahead;
    }
  }
}

// ACCEPTANCE: HB3
TEST_F(ReassemblyTest, WhatIsAnnouncedTakesNoMemory) {
  const Bytes message = MessageOf(16000);
  for (uint16_t sequence = 0; sequence < Reassembly::kWindow; ++sequence) {
    EXPECT_TRUE(Add(message, 0, 1, sequence));
  }
  EXPECT_LT(reassembly_.bytes(), 2048U);
}

// ACCEPTANCE: HB3
TEST_F(ReassemblyTest, ItNeverTakesMoreThanItMay) {
  std::mt19937 random(11);
  for (int i = 0; i < 20'000; ++i) {
    const size_t size = 1 + random() % 16000;
    const Bytes message(size, static_cast<uint8_t>(random()));
    const size_t from = random() % size;
    const size_t to = std::min(size, from + 1 + random() % 1400);
    Add(message, from, to, random() % Reassembly::kWindow, 0, random() % 3);
    ASSERT_LE(reassembly_.bytes(), kMaxBytes);
  }
  // Another that is awaited still gets in, at the cost of the others.
  const Bytes message = MessageOf(16000);
  for (size_t at = 0; at < message.size(); at += 1000) {
    EXPECT_TRUE(Add(message, at, at + 1000));
  }
  Bytes taken;
  do {
    taken = Take();
    ASSERT_FALSE(taken.empty());
  } while (taken != message);
}

// Every other byte: each would be a part of its own.
TEST_F(ReassemblyTest, GapsAreLimited) {
  const Bytes message = MessageOf(1000);
  size_t kept = 0;
  for (size_t at = 0; at < message.size(); at += 2) {
    kept += Add(message, at, at + 1) ? 1 : 0;
  }
  EXPECT_EQ(kept, Reassembly::kMaxPieces);
  // It is no dead end.
  for (size_t at = 0; at < message.size(); at += 100) {
    EXPECT_TRUE(Add(message, at, at + 100));
  }
  EXPECT_EQ(Take(), message);
}

TEST_F(ReassemblyTest, WhatIsPastIsForgotten) {
  for (uint16_t sequence = 0; sequence < 5; ++sequence) {
    EXPECT_TRUE(AddWhole(MessageOf(100), sequence));
  }
  reassembly_.ForgetBefore(3);
  EXPECT_EQ(Take(2), Bytes());
  EXPECT_EQ(Take(3), MessageOf(100));
  EXPECT_EQ(Take(4), MessageOf(100));
  EXPECT_EQ(reassembly_.bytes(), 0U);
}

// What it keeps is a share of what all handshakes may keep.
class SharedReassemblyTest : public ReassemblyTest {
 protected:
  SharedReassemblyTest() { share_.CountIn(&budget_); }

  MemoryBudget budget_{kMaxBytes};
};

TEST_F(SharedReassemblyTest, AFragmentWithoutRoomIsDroppedAndCounted) {
  const Bytes message = MessageOf(3000);
  EXPECT_TRUE(Add(message, 0, 1000));
  EXPECT_EQ(budget_.used(), reassembly_.bytes());
  const size_t used = budget_.used();
  budget_.set_limit(used);
  EXPECT_FALSE(Add(message, 1000, 2000));
  EXPECT_EQ(budget_.used(), used);
  EXPECT_EQ(budget_.refusals(), 1U);
  // What it has already takes nothing.
  EXPECT_TRUE(Add(message, 0, 1000));
  // Others make room.
  budget_.set_limit(kMaxBytes);
  EXPECT_TRUE(Add(message, 1000, 2000));
  EXPECT_TRUE(Add(message, 2000, 3000));
  EXPECT_EQ(Take(), message);
  EXPECT_EQ(budget_.used(), 0U);
  EXPECT_EQ(budget_.refusals(), 1U);
}

TEST_F(SharedReassemblyTest, TheMessageThatIsNextTakesTheRoomOfLaterOnes) {
  const Bytes later = MessageOf(2000, 1);
  const Bytes next = MessageOf(1500, 2);
  EXPECT_TRUE(AddWhole(later, 1));
  budget_.set_limit(budget_.used());
  EXPECT_TRUE(AddWhole(next, 0));
  EXPECT_EQ(budget_.refusals(), 1U);
  EXPECT_LE(budget_.used(), 2000 + 200U);
  EXPECT_EQ(Take(0), next);
  EXPECT_EQ(Take(1), Bytes());
  EXPECT_TRUE(AddWhole(later, 1));
  EXPECT_EQ(Take(1), later);
  EXPECT_EQ(budget_.refusals(), 1U);
}

TEST_F(SharedReassemblyTest, EverythingIsGivenBack) {
  const Bytes message = MessageOf(1000);
  for (uint16_t sequence = 0; sequence < 3; ++sequence) {
    EXPECT_TRUE(Add(message, 0, 500, sequence));
    EXPECT_TRUE(Add(message, 600, 900, sequence));
    EXPECT_TRUE(Add(message, 400, 700, sequence));
    EXPECT_EQ(budget_.used(), reassembly_.bytes());
  }
  reassembly_.ForgetBefore(1);
  EXPECT_EQ(budget_.used(), reassembly_.bytes());
  EXPECT_GT(budget_.used(), 0U);
  reassembly_.Clear();
  EXPECT_EQ(budget_.used(), 0U);
  {
    Reassembly other(kMaxBytes, share_);
    EXPECT_TRUE(other.Add({.type = kType,
                           .sequence = 0,
                           .message_bytes = 2000,
                           .offset = 0,
                           .body = message},
                          0));
    EXPECT_EQ(budget_.used(), other.bytes());
  }
  EXPECT_EQ(budget_.used(), 0U);
}

}  // namespace
}  // namespace cordon::dtls::internal
