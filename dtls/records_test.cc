// Records after the handshake that are bad, late, or not the first of their
// kind, each way.
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/engine_inspector/engine_inspector.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::AsBytes;
using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;

// The type, the version, the epoch and number of 8 bytes, and the length.
constexpr size_t kNumberAt = 3;
constexpr size_t kNumberBytes = 8;
constexpr size_t kHeaderBytes = 13;

// Whether it is the server that sends.
class RecordsTest : public ::testing::TestWithParam<bool> {
 protected:
  void Connect() {
    pair_.Make();
    pair_.Exchange();
    ASSERT_TRUE(pair_.connected());
  }
  Bytes Seal(const std::string& text) {
    EXPECT_TRUE(from_.engine->Send(AsBytes(text), from_.output).ok());
    std::vector<Bytes> sent = from_.output.Take();
    EXPECT_EQ(sent.size(), 1U);
    return sent.front();
  }
  // Nothing was answered, and nothing has changed.
  void ExpectSilence() {
    EXPECT_TRUE(to_.output.sent.empty());
    EXPECT_EQ(to_.state(), EngineState::kConnected);
    EXPECT_TRUE(to_.engine->error().ok());
  }

  EnginePair pair_;
  EngineSide& from_ = GetParam() ? pair_.server : pair_.client;
  EngineSide& to_ = GetParam() ? pair_.client : pair_.server;
};

// ACCEPTANCE: HC5
TEST_P(RecordsTest, ABadRecordDoesNotTakeTheOthersOfItsDatagram) {
  Connect();
  const size_t size = Seal("two").size();
  for (size_t i = kHeaderBytes; i < size; ++i) {
    Connect();
    Bytes joined = Seal("one");
    const size_t at = joined.size() + i;
    for (const char* text : {"two", "three"}) {
      const Bytes record = Seal(text);
      joined.insert(joined.end(), record.begin(), record.end());
    }
    joined[at] ^= 1;
    to_.output.messages.clear();
    pair_.Deliver({joined}, to_);
    EXPECT_EQ(to_.output.messages, (std::vector<std::string>{"one", "three"}));
    EXPECT_EQ(to_.engine->statistics().records_bad_mac, 1U);
    EXPECT_EQ(to_.engine->statistics().records_discarded, 1U);
    ExpectSilence();
  }
}

// ACCEPTANCE: HC2
TEST_P(RecordsTest, RepetitionsAreDroppedInSilence) {
  pair_.Make();
  // The handshake's own records, too.
  std::vector<Bytes> old;
  while (!from_.output.sent.empty() || !to_.output.sent.empty()) {
    const std::vector<Bytes> flight = from_.output.Take();
    old.insert(old.end(), flight.begin(), flight.end());
    pair_.Deliver(flight, to_);
    pair_.Deliver(to_.output.Take(), from_);
  }
  ASSERT_TRUE(pair_.connected());
  constexpr size_t kRecords = 300;
  std::vector<std::string> expected;
  for (size_t i = 0; i < kRecords; ++i) {
    expected.push_back(absl::StrCat(i));
    old.push_back(Seal(expected.back()));
    pair_.Deliver({old.back(), old.back()}, to_);
  }
  EXPECT_EQ(to_.engine->statistics().records_replayed, kRecords);
  pair_.Deliver(old, to_);
  EXPECT_EQ(to_.output.messages, expected);
  EXPECT_EQ(to_.state(), EngineState::kConnected);
  EXPECT_TRUE(to_.engine->error().ok());
  // Not more than the last flight again.
  pair_.Deliver(to_.output.Take(), from_);
  EXPECT_EQ(pair_.Carry(from_, to_, "on"), "on");
}

// ACCEPTANCE: HC7
TEST_P(RecordsTest, ThereMayBeMoreThan65536) {
  Connect();
  constexpr size_t kRecords = 66'000;
  for (size_t i = 0; i < kRecords; ++i) pair_.Deliver({Seal("x")}, to_);
  EXPECT_EQ(to_.output.messages.size(), kRecords);
  EXPECT_EQ(to_.engine->statistics().records_discarded, 0U);
}

// ACCEPTANCE: HC7
TEST_P(RecordsTest, TheSessionEndsWithItsSequenceNumbers) {
  pair_.server_options.ciphers = pair_.client_options.ciphers =
      "ECDHE-ECDSA-CHACHA20-POLY1305";
  Connect();
  constexpr uint64_t kEnd = uint64_t{1} << 48;
  // The next to the last is the alert's, and the last is never used.
  constexpr uint64_t kRecords = 300;
  EngineInspector::SkipToRecord(*from_.engine, kEnd - 2 - kRecords);
  Bytes record;
  for (uint64_t i = 0; i < kRecords; ++i) {
    record = Seal(absl::StrCat(i));
    pair_.Deliver({record, record}, to_);
    EXPECT_EQ(to_.output.messages.back(), absl::StrCat(i));
  }
  EXPECT_EQ(Bytes(record.begin() + kNumberAt,
                  record.begin() + kNumberAt + kNumberBytes),
            (Bytes{0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd}));
  EXPECT_EQ(to_.output.messages.size(), kRecords);
  EXPECT_EQ(to_.engine->statistics().records_replayed, kRecords);
  EXPECT_EQ(to_.engine->statistics().records_discarded, kRecords);
  ASSERT_EQ(from_.state(), EngineState::kConnected);

  const absl::Status status = from_.engine->Send(AsBytes("x"), from_.output);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(GetErrorDetail(status)->limit, "sequence_numbers");
  EXPECT_EQ(from_.state(), EngineState::kFailed);
  EXPECT_EQ(from_.engine->error(), status);
  pair_.Exchange();
  EXPECT_EQ(to_.state(), EngineState::kPeerClosed);
}

// ACCEPTANCE: HC7
// A peer of another make may use all of them, and go on after 2^32.
TEST_P(RecordsTest, NumbersMayBeAnyOf48Bits) {
  Connect();
  for (const uint64_t sequence : {uint64_t{0xffff}, uint64_t{0xffff'ffff},
                                  uint64_t{0xffff'ffff'ffff} - 9}) {
    EngineInspector::SkipToRecord(*from_.engine, sequence);
    for (const char* text : {"a", "b", "c"}) {
      EXPECT_EQ(pair_.Carry(from_, to_, text), text);
    }
  }
  EXPECT_EQ(to_.engine->statistics().records_discarded, 0U);
}

// ACCEPTANCE: HC8
TEST_P(RecordsTest, TheNonceIsTheNumberOfTheRecord) {
  pair_.server_options.ciphers = pair_.client_options.ciphers =
      "ECDHE-ECDSA-AES128-GCM-SHA256";
  Connect();
  std::set<Bytes> numbers;
  constexpr size_t kRecords = 300;
  for (size_t i = 0; i < kRecords; ++i) {
    const Bytes record = Seal("the same");
    const auto number = record.begin() + kNumberAt;
    const auto nonce = record.begin() + kHeaderBytes;
    EXPECT_EQ(Bytes(nonce, nonce + kNumberBytes),
              Bytes(number, number + kNumberBytes));
    numbers.emplace(number, number + kNumberBytes);
  }
  EXPECT_EQ(numbers.size(), kRecords);
}

// ACCEPTANCE: HC10
TEST_P(RecordsTest, DataThatComesAfterTheCloseIsIgnored) {
  Connect();
  const Bytes in_time = Seal("in time");
  const Bytes late = Seal("late");
  from_.engine->Close(pair_.now, from_.output);
  const std::vector<Bytes> close = from_.output.Take();
  pair_.Deliver({in_time}, to_);
  pair_.Deliver(close, to_);
  ASSERT_EQ(to_.state(), EngineState::kPeerClosed);
  pair_.Deliver({late}, to_);
  pair_.Deliver(close, to_);
  EXPECT_EQ(to_.output.messages, std::vector<std::string>{"in time"});
  EXPECT_EQ(to_.state(), EngineState::kPeerClosed);
  EXPECT_TRUE(to_.output.sent.empty());
  // Nor does who has closed take anything.
  ASSERT_TRUE(to_.engine->Send(AsBytes("back"), to_.output).ok());
  pair_.Deliver(to_.output.Take(), from_);
  EXPECT_TRUE(from_.output.messages.empty());
  EXPECT_EQ(from_.state(), EngineState::kClosed);
}

INSTANTIATE_TEST_SUITE_P(From, RecordsTest, ::testing::Bool(),
                         [](const ::testing::TestParamInfo<bool>& role) {
                           return role.param ? "Server" : "Client";
                         });

}  // namespace
}  // namespace cordon::dtls
