// The cookie exchange used alone, in front of engines: no listener.
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/engine.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;

net::Endpoint PeerNumber(int i) {
  return net::Endpoint::V4(
      {10, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)},
      static_cast<uint16_t>(20000 + i));
}

class CookieExchangeTest : public ::testing::Test {
 protected:
  CookieExchange::Result Process(CookieExchange& exchange,
                                 const Bytes& datagram,
                                 const net::Endpoint& peer) {
    return exchange.Process(datagram, peer, pair_.now, reply_);
  }
  Bytes Reply() const { return {reply_.begin(), reply_.end()}; }

  EnginePair pair_;
  EngineSide& client_ = pair_.client;
  CookieExchange exchange_ = *CookieExchange::Create({});
  std::array<uint8_t, CookieExchange::kReplyBytes> reply_;
};

// ACCEPTANCE: QK1, QK3, QV4, QV5, QV6
TEST_F(CookieExchangeTest, VerifiesAClientWhoseHelloThenMakesASession) {
  const net::Endpoint peer = PeerNumber(1);
  pair_.MakeClient();
  const Bytes first = client_.output.Take().front();
  EXPECT_EQ(Process(exchange_, first, peer).verdict, CookieVerdict::kReply);
  pair_.Deliver({Reply()}, client_);
  const Bytes second = client_.output.Take().front();
  // Twice, and by another exchange; not from another port.
  CookieExchange fresh = *CookieExchange::Create({});
  for (CookieExchange* exchange : {&exchange_, &exchange_, &fresh}) {
    EXPECT_EQ(Process(*exchange, second, peer).verdict,
              CookieVerdict::kVerified);
  }
  EXPECT_EQ(Process(exchange_, second, peer.WithPort(1)).verdict,
            CookieVerdict::kReply);
  const CookieExchange::Result result = Process(exchange_, second, peer);
  ASSERT_EQ(result.verdict, CookieVerdict::kVerified);

  pair_.server_engine.verified_hello = result.record_sequence;
  pair_.MakeServer();
  pair_.Deliver({second}, pair_.server);
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  EXPECT_EQ(pair_.Carry(client_, pair_.server, "hello"), "hello");
}

// ACCEPTANCE: QV6
TEST_F(CookieExchangeTest, AnotherHelloThanTheVerifiedOneMakesNoSession) {
  pair_.MakeClient();
  const Bytes without_cookie = client_.output.Take().front();
  pair_.server_engine.verified_hello = 1;
  pair_.MakeServer();
  pair_.Deliver({without_cookie}, pair_.server);
  EXPECT_TRUE(pair_.server.output.sent.empty());
  EXPECT_NE(pair_.server.state(), EngineState::kConnected);
}

// ACCEPTANCE: QK5, QV10, HA7
TEST_F(CookieExchangeTest, VerifiesAHundredClientsAmongNoise) {
  constexpr int kClients = 100;
  const net::Endpoint spammer = net::Endpoint::V4({192, 0, 2, 66}, 666);
  const Context context = *Context::Client(pair_.client_options);
  struct Client {
    EngineSide side;
    bool verified = false;
  };
  std::map<int, Client> clients;
  uint32_t random = 7;
  auto lost = [&random] {
    random = random * 1664525 + 1013904223;
    return random >> 24 < 64;  // a quarter
  };
  const absl::Time start = pair_.now;
  int verified = 0;
  uint64_t noise = 0;
  for (; verified < kClients && pair_.now < start + absl::Seconds(20);
       pair_.now += absl::Milliseconds(5)) {
    // Ten clients every 50 ms.
    const int due = static_cast<int>(
        10 * (1 + (pair_.now - start) / absl::Milliseconds(50)));
    while (static_cast<int>(clients.size()) < std::min(due, kClients)) {
      Client& c = clients[static_cast<int>(clients.size())];
      c.side.engine = *Engine::Create(context, {.server_name = "localhost"});
      c.side.engine->Start(pair_.now, c.side.output);
    }
    // Garbage, and each time a new hello without a cookie.
    Bytes garbage(1 + random % 200);
    RAND_bytes(garbage.data(), garbage.size());
    EXPECT_EQ(Process(exchange_, garbage, spammer).verdict,
              CookieVerdict::kDropped);
    EngineSide liar;
    liar.engine = *Engine::Create(context, {.server_name = "localhost"});
    liar.engine->Start(pair_.now, liar.output);
    EXPECT_EQ(Process(exchange_, liar.output.Take().front(), spammer).verdict,
              CookieVerdict::kReply);
    ++noise;

    for (auto& [i, c] : clients) {
      if (c.verified) continue;
      c.side.engine->OnTimeout(pair_.now, c.side.output);
      for (const Bytes& hello : c.side.output.Take()) {
        if (lost()) continue;
        const auto result = Process(exchange_, hello, PeerNumber(i));
        if (result.verdict == CookieVerdict::kVerified) {
          c.verified = true;
          ++verified;
        } else {
          ASSERT_EQ(result.verdict, CookieVerdict::kReply);
          if (!lost()) pair_.Deliver({Reply()}, c.side);
        }
      }
    }
  }
  EXPECT_EQ(verified, kClients);
  EXPECT_EQ(exchange_.statistics().accepted, 100U);
  EXPECT_EQ(exchange_.statistics().dropped_malformed, noise);
  EXPECT_EQ(exchange_.statistics().rejected_invalid, 0U);
}

}  // namespace
}  // namespace cordon::dtls
