// Records that come late, and records that come again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::AsBytes;
using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;

// 0: the default. Which side receives.
struct Case {
  size_t window;
  bool server;
};

class LateRecordsTest : public ::testing::TestWithParam<Case> {
 protected:
  LateRecordsTest() {
    if (GetParam().window != 0) {
      options().replay_window = GetParam().window;
    }
    pair_.Make();
    pair_.RunFor(absl::Seconds(10));
    EXPECT_TRUE(pair_.connected());
  }
  SessionOptions& options() {
    return GetParam().server ? pair_.server_options.session
                             : pair_.client_options.session;
  }
  size_t window() { return options().replay_window; }
  EngineSide& to() { return GetParam().server ? pair_.server : pair_.client; }
  EngineSide& from() { return GetParam().server ? pair_.client : pair_.server; }

  Bytes Seal(const std::string& text) {
    EXPECT_EQ(from().engine->Send(AsBytes(text), from().output),
              absl::OkStatus());
    return from().output.Take().back();
  }
  // How many messages came of it.
  size_t Deliver(const Bytes& datagram) {
    const uint64_t before = to().engine->statistics().messages_received;
    pair_.Deliver({datagram}, to());
    return to().engine->statistics().messages_received - before;
  }
  uint64_t Replays() { return to().engine->statistics().records_replayed; }

  EnginePair pair_;
};

TEST_P(LateRecordsTest, AreTakenOnceWithinTheWindow) {
  std::vector<Bytes> late;
  late.reserve(window() + 10);
  for (size_t i = 0; i < window() + 10; ++i) {
    late.push_back(Seal(absl::StrCat("late ", i)));
  }
  EXPECT_EQ(Deliver(Seal("newest")), 1U);
  // The newest is one of the window.
  for (size_t i = 0; i < late.size(); ++i) {
    EXPECT_EQ(Deliver(late[i]), i < 11 ? 0U : 1U) << i;
  }
  EXPECT_EQ(Replays(), 11U);
  for (const Bytes& datagram : late) EXPECT_EQ(Deliver(datagram), 0U);
  EXPECT_EQ(Replays(), 11U + late.size());
  EXPECT_EQ(to().engine->statistics().records_bad_mac, 0U);
}

// A forged number neither moves the window nor takes the place of its record.
TEST_P(LateRecordsTest, AForgedRecordChangesNothing) {
  const Bytes first = Seal("first");
  const Bytes second = Seal("second");
  for (const uint8_t byte : {1, 0}) {
    // Far ahead, and the second's own number with another body.
    Bytes forged = second;
    forged[7] ^= byte;
    forged.back() ^= 1;
    EXPECT_EQ(Deliver(forged), 0U);
  }
  EXPECT_EQ(to().engine->statistics().records_bad_mac, 2U);
  EXPECT_EQ(Replays(), 0U);
  EXPECT_EQ(Deliver(second), 1U);
  EXPECT_EQ(Deliver(first), 1U);
}

// Records of the handshake are of the same epoch, and in the same window.
TEST_P(LateRecordsTest, TheLastFlightIsNotAnsweredTwice) {
  pair_.Make();
  std::vector<Bytes> flight;
  while (!pair_.connected()) {
    std::vector<Bytes> of_server = pair_.server.output.Take();
    std::vector<Bytes> of_client = pair_.client.output.Take();
    for (const Bytes& d : of_client) flight.push_back(d);
    if (of_server.empty() && of_client.empty()) break;
    pair_.Deliver(of_client, pair_.server);
    pair_.Deliver(of_server, pair_.client);
  }
  ASSERT_TRUE(pair_.connected());
  pair_.client.output.Take();
  pair_.server.output.Take();
  for (int i = 0; i < 5; ++i) pair_.Deliver(flight, pair_.server);
  EXPECT_TRUE(pair_.server.output.Take().empty());
  EXPECT_GE(pair_.server.engine->statistics().records_replayed, 5U);
  EXPECT_EQ(pair_.server.engine->statistics().records_bad_mac, 0U);
  EXPECT_EQ(pair_.Carry(pair_.client, pair_.server, "still"), "still");
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, LateRecordsTest,
    ::testing::Values(Case{0, true}, Case{0, false}, Case{64, true},
                      Case{100, false}, Case{1024, true}, Case{1024, false}),
    [](const auto& c) {
      return absl::StrCat(c.param.server ? "Server" : "Client", c.param.window);
    });

// A session may have a window of its own.
TEST(ReplayWindowTest, IsOneOfASessionsOverrides) {
  EnginePair pair;
  pair.Make();
  SessionOverrides overrides;
  overrides.session = SessionOptions{.replay_window = 1024};
  pair.server = {};
  pair.server.engine = *Engine::Create(*Context::Server(pair.server_options),
                                       pair.server_engine, overrides);
  pair.server.engine->Start(pair.now, pair.server.output);
  pair.Exchange();
  ASSERT_TRUE(pair.connected());
  std::vector<Bytes> all;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(
        pair.client.engine->Send(AsBytes("x"), pair.client.output).ok());
    all.push_back(pair.client.output.Take().back());
  }
  pair.Deliver({all.back()}, pair.server);
  pair.Deliver({all.front()}, pair.server);
  EXPECT_EQ(pair.server.engine->statistics().messages_received, 2U);
}

}  // namespace
}  // namespace cordon::dtls
