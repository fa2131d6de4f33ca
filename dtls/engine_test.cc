// Two engines driven by hand: no network, no clock.
#include "cordon/dtls/engine.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/sim/virtual_clock.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::TestAuthority;
using ::cordon::testing::VirtualClock;
using Datagram = std::vector<uint8_t>;

class Collector final : public EngineOutput {
 public:
  absl::Span<uint8_t> Reserve(size_t max_bytes) override {
    if (blocked) return {};
    buffer_.resize(max_bytes);
    return absl::MakeSpan(buffer_);
  }
  void Commit(size_t bytes) override {
    if (bytes > 0) {
      sent.emplace_back(buffer_.begin(), buffer_.begin() + bytes);
    }
  }
  bool OnMessage(absl::Span<const uint8_t> message) override {
    messages.emplace_back(message.begin(), message.end());
    return true;
  }

  std::vector<Datagram> Take() { return std::exchange(sent, {}); }

  bool blocked = false;
  std::vector<Datagram> sent;
  std::vector<std::string> messages;

 private:
  Datagram buffer_;
};

struct Side {
  std::unique_ptr<Engine> engine;
  Collector output;
};

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    static const TestAuthority* const authority = new TestAuthority("Test CA");
    static const Certificate* const certificate =
        new Certificate(authority->Issue({.dns_names = {"localhost"}}));
    server_options_.certificates = {*certificate};
    server_options_.wall_clock = [] { return VirtualClock::Epoch(); };
    client_options_.trust = authority->trust();
    client_options_.wall_clock = server_options_.wall_clock;
  }

  void Make() {
    server_.engine = *Engine::Create(*Context::Server(server_options_), {});
    client_.engine = *Engine::Create(*Context::Client(client_options_),
                                     {.server_name = "localhost"});
    server_.engine->Start(now_, server_.output);
    client_.engine->Start(now_, client_.output);
  }

  void Deliver(const std::vector<Datagram>& datagrams, Side& to) {
    for (Datagram datagram : datagrams) {
      to.engine->Receive(absl::MakeSpan(datagram), now_, to.output);
    }
  }
  // Until neither has anything to say.
  void Exchange() {
    while (!client_.output.sent.empty() || !server_.output.sent.empty()) {
      Deliver(client_.output.Take(), server_);
      Deliver(server_.output.Take(), client_);
    }
  }
  void Connect() {
    Make();
    Exchange();
    ASSERT_EQ(client_.engine->state(), EngineState::kConnected);
    ASSERT_EQ(server_.engine->state(), EngineState::kConnected);
  }
  static absl::Span<const uint8_t> Bytes(const std::string& text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }

  absl::Time now_ = VirtualClock::Epoch();
  ServerOptions server_options_;
  ClientOptions client_options_;
  Side server_;
  Side client_;
};

TEST_F(EngineTest, ConnectsAndCarriesMessages) {
  Connect();
  EXPECT_TRUE(client_.engine->Send(Bytes("ping"), client_.output).ok());
  EXPECT_TRUE(client_.engine->Send(Bytes(""), client_.output).ok());
  Exchange();
  EXPECT_EQ(server_.output.messages, (std::vector<std::string>{"ping", ""}));
}

TEST_F(EngineTest, AClientThatVerifiesNeedsAName) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      Engine::Create(*Context::Client(client_options_), {}).status()));
}

TEST_F(EngineTest, RefusesToSendBeforeAndAfter) {
  Make();
  EXPECT_TRUE(absl::IsFailedPrecondition(
      client_.engine->Send(Bytes("early"), client_.output)));
  Exchange();
  client_.engine->Close(now_, client_.output);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      client_.engine->Send(Bytes("late"), client_.output)));
}

TEST_F(EngineTest, FollowsTheRetransmissionSchedule) {
  Make();
  client_.output.Take();
  const absl::Time start = now_;
  std::vector<absl::Duration> sent;
  while (client_.engine->state() == EngineState::kHandshaking) {
    ASSERT_NE(client_.engine->NextDeadline(), absl::InfiniteFuture());
    now_ = client_.engine->NextDeadline();
    client_.engine->OnTimeout(now_, client_.output);
    if (!client_.output.Take().empty()) sent.push_back(now_ - start);
  }
  std::vector<absl::Duration> expected;
  for (int ms : {400, 1200, 2800, 6000, 10000, 14000, 18000, 22000, 26000}) {
    expected.push_back(absl::Milliseconds(ms));
  }
  EXPECT_EQ(sent, expected);
  EXPECT_EQ(now_ - start, absl::Seconds(30));
  EXPECT_TRUE(absl::IsDeadlineExceeded(client_.engine->error()));
  EXPECT_EQ(client_.engine->NextDeadline(), absl::InfiniteFuture());
}

TEST_F(EngineTest, StrayDatagramsLeaveTheTimerAlone) {
  Make();
  const absl::Time deadline = client_.engine->NextDeadline();
  for (int i = 0; i < 10; ++i) {
    now_ += absl::Milliseconds(10);
    Deliver({{1, 2, 3}, Datagram(100, 0x55), {}}, client_);
    EXPECT_EQ(client_.engine->NextDeadline(), deadline);
  }
}

TEST_F(EngineTest, CallingOnTimeoutEarlyIsHarmless) {
  Make();
  client_.output.Take();
  client_.engine->OnTimeout(now_, client_.output);
  EXPECT_TRUE(client_.output.sent.empty());
}

// ACCEPTANCE: HB7
// Finished before ChangeCipherSpec and the messages before that: no timeout is
// needed.
TEST_F(EngineTest, AFlightInReverseOrderCompletesAtOnce) {
  server_options_.session.mtu = client_options_.session.mtu = 256;
  Make();
  for (int round = 0; round < 10; ++round) {
    std::vector<Datagram> up = client_.output.Take();
    std::reverse(up.begin(), up.end());
    Deliver(up, server_);
    std::vector<Datagram> down = server_.output.Take();
    std::reverse(down.begin(), down.end());
    Deliver(down, client_);
  }
  EXPECT_EQ(client_.engine->state(), EngineState::kConnected);
  EXPECT_EQ(server_.engine->state(), EngineState::kConnected);
  EXPECT_EQ(client_.engine->statistics().retransmissions, 0U);
}

// ACCEPTANCE: HC4
TEST_F(EngineTest, EarlyMessagesAreNotLost) {
  Make();
  Deliver(client_.output.Take(), server_);
  Deliver(server_.output.Take(), client_);
  Deliver(client_.output.Take(), server_);
  ASSERT_EQ(server_.engine->state(), EngineState::kConnected);
  const std::vector<Datagram> last_flight = server_.output.Take();
  ASSERT_TRUE(server_.engine->Send(Bytes("first"), server_.output).ok());
  Deliver(server_.output.Take(), client_);
  EXPECT_TRUE(client_.output.messages.empty());
  Deliver(last_flight, client_);
  EXPECT_EQ(client_.engine->state(), EngineState::kConnected);
  EXPECT_EQ(client_.output.messages, std::vector<std::string>{"first"});
}

// ACCEPTANCE: HB4
TEST_F(EngineTest, EarlyRecordsAreBounded) {
  Make();
  Datagram forged(1000, 0);
  const uint8_t header[] = {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 3, 219};
  std::copy(std::begin(header), std::end(header), forged.begin());
  for (int i = 0; i < 1000; ++i) Deliver({forged}, client_);
  EXPECT_GE(client_.engine->statistics().records_discarded, 990U);
  Exchange();
  EXPECT_EQ(client_.engine->state(), EngineState::kConnected);
}

// The seam: each record of data is opened where it lies, once.
TEST_F(EngineTest, OpensEachRecordOnce) {
  Connect();
  ASSERT_TRUE(client_.engine->Send(Bytes("once"), client_.output).ok());
  const std::vector<Datagram> datagrams = client_.output.Take();
  Deliver(datagrams, server_);
  Deliver(datagrams, server_);
  EXPECT_EQ(server_.output.messages, std::vector<std::string>{"once"});
  EXPECT_EQ(server_.engine->statistics().records_discarded, 1U);
}

TEST_F(EngineTest, EveryChangedByteOfARecordIsFound) {
  Connect();
  ASSERT_TRUE(client_.engine->Send(Bytes("secret"), client_.output).ok());
  const Datagram good = client_.output.Take().front();
  for (size_t i = 0; i < good.size(); ++i) {
    Datagram bad = good;
    bad[i] ^= 0x40;
    Deliver({bad}, server_);
    ASSERT_EQ(server_.engine->state(), EngineState::kConnected) << i;
  }
  EXPECT_TRUE(server_.output.messages.empty());
  // ACCEPTANCE: HC1: and none of that moved the replay window.
  Deliver({good}, server_);
  EXPECT_EQ(server_.output.messages, std::vector<std::string>{"secret"});
}

TEST_F(EngineTest, CarriesTheLargestMessage) {
  Connect();
  const std::string largest(kMaxMessageBytes, 'L');
  ASSERT_TRUE(client_.engine->Send(Bytes(largest), client_.output).ok());
  Exchange();
  EXPECT_EQ(server_.output.messages, std::vector<std::string>{largest});
  const absl::Status status =
      client_.engine->Send(Bytes(largest + "x"), client_.output);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(status.message().find("16384"), absl::string_view::npos);
  EXPECT_EQ(client_.engine->state(), EngineState::kConnected);
}

TEST_F(EngineTest, SaysWhenTheNetworkTakesNothing) {
  Connect();
  client_.output.blocked = true;
  EXPECT_TRUE(
      absl::IsUnavailable(client_.engine->Send(Bytes("x"), client_.output)));
  EXPECT_EQ(client_.engine->statistics().datagrams_not_sent, 1U);
}

TEST_F(EngineTest, TellsThePeerThatItCloses) {
  Connect();
  client_.engine->Close(now_, client_.output);
  EXPECT_EQ(client_.output.sent.size(), 1U);
  Exchange();
  EXPECT_EQ(server_.engine->state(), EngineState::kPeerClosed);
  EXPECT_TRUE(IsClosed(server_.engine->error()));
  // Half-closed: what is on its way in the other direction still goes.
  EXPECT_TRUE(server_.engine->Send(Bytes("bye"), server_.output).ok());
  server_.engine->Close(now_, server_.output);
  EXPECT_EQ(server_.engine->state(), EngineState::kClosed);
  server_.output.Take();
  server_.engine->Close(now_, server_.output);
  EXPECT_TRUE(server_.output.sent.empty());
}

TEST_F(EngineTest, ClosingAHandshakeTellsThePeer) {
  Make();
  Deliver(client_.output.Take(), server_);
  server_.output.Take();
  server_.engine->Close(now_, server_.output);
  Exchange();
  // Anybody may have sent that: it counts if nothing else comes.
  EXPECT_EQ(client_.engine->state(), EngineState::kHandshaking);
  while (client_.engine->state() == EngineState::kHandshaking) {
    now_ = client_.engine->NextDeadline();
    client_.engine->OnTimeout(now_, client_.output);
  }
  EXPECT_EQ(client_.engine->state(), EngineState::kFailed);
  EXPECT_EQ(GetErrorDetail(client_.engine->error())->alert, 90);
}

TEST_F(EngineTest, NothingCrashesIt) {
  Connect();
  uint32_t state = 1;
  auto next = [&state] { return state = state * 1664525 + 1013904223; };
  for (int i = 0; i < 20000; ++i) {
    Datagram noise(next() % 200);
    for (uint8_t& byte : noise) byte = static_cast<uint8_t>(next() >> 24);
    if (noise.size() > 13 && i % 2 == 0) {
      // Something like a record.
      noise[0] = static_cast<uint8_t>(20 + i % 7);
      noise[1] = 0xfe;
      noise[2] = 0xfd;
      noise[11] = 0;
      noise[12] = static_cast<uint8_t>(noise.size() - 13);
    }
    Deliver({noise}, server_);
    Deliver({noise}, client_);
  }
  ASSERT_TRUE(client_.engine->Send(Bytes("alive"), client_.output).ok());
  Exchange();
  EXPECT_EQ(server_.output.messages, std::vector<std::string>{"alive"});
}

}  // namespace
}  // namespace cordon::dtls
