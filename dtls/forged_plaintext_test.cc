// Somebody who knows the addresses and ports of two peers, and nothing else,
// sends what a peer might have sent in the clear. No handshake ends by it, and
// no session.
#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;

constexpr uint8_t kChangeCipherSpec = 20;
constexpr uint8_t kAlert = 21;
constexpr uint8_t kHandshake = 22;
constexpr uint8_t kApplicationData = 23;
constexpr uint8_t kConnectionId = 25;
constexpr uint8_t kAck = 26;
// The largest: a window that moves to it takes nothing that follows.
constexpr uint64_t kRecordNumber = (uint64_t{1} << 48) - 1;
// Of messages that one of the two may await, and some more.
constexpr uint16_t kSequences[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 65535};

void Append(Bytes& out, uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) {
    out.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
}

Bytes Record(uint8_t type, const Bytes& body, uint64_t number = kRecordNumber) {
  Bytes record = {type, 0xfe, 0xfd};
  Append(record, number, 8);
  Append(record, body.size(), 2);
  record.insert(record.end(), body.begin(), body.end());
  return record;
}

Bytes Fragment(uint8_t type, uint16_t sequence, uint32_t message_bytes,
               uint32_t offset, const Bytes& body) {
  Bytes fragment = {type};
  Append(fragment, message_bytes, 3);
  Append(fragment, sequence, 2);
  Append(fragment, offset, 3);
  Append(fragment, body.size(), 3);
  fragment.insert(fragment.end(), body.begin(), body.end());
  return fragment;
}

// For each number and type of a message that there might be.
std::vector<Bytes> OfEachKind(
    const std::function<Bytes(uint8_t type, uint16_t sequence)>& make) {
  std::vector<Bytes> records;
  for (const uint16_t sequence : kSequences) {
    for (int type = 0; type < 26; ++type) {
      records.push_back(
          Record(kHandshake, make(static_cast<uint8_t>(type), sequence)));
    }
    records.push_back(Record(kHandshake, make(254, sequence)));
  }
  return records;
}

struct Forgery {
  std::string name;
  std::vector<Bytes> datagrams;
  // It may push out a part of a message, which must then come again.
  bool costs_time = false;
};

std::vector<Forgery> Forgeries() {
  std::vector<Forgery> all;
  std::vector<Bytes> alerts;
  alerts.reserve(256);
  for (int alert = 0; alert < 256; ++alert) {
    alerts.push_back(Record(kAlert, {2, static_cast<uint8_t>(alert)}));
  }
  all.push_back({"FatalAlerts", alerts});
  all.push_back({"CloseNotify", {Record(kAlert, {1, 0})}});
  all.push_back({"Warnings", std::vector<Bytes>(20, Record(kAlert, {1, 90}))});
  all.push_back(
      {"BadAlerts",
       {Record(kAlert, {}), Record(kAlert, {2}), Record(kAlert, {2, 40, 0}),
        Record(kAlert, {0, 40}), Record(kAlert, {3, 40})}});
  all.push_back(
      {"ApplicationData",
       {Record(kApplicationData, {'h', 'i'}), Record(kApplicationData, {})}});
  all.push_back({"ChangeCipherSpec", {Record(kChangeCipherSpec, {1})}});
  all.push_back({"BadChangeCipherSpec",
                 {Record(kChangeCipherSpec, {2}), Record(kChangeCipherSpec, {}),
                  Record(kChangeCipherSpec, {1, 1})}});
  std::vector<Bytes> unknown;
  for (int type = 0; type < 256; ++type) {
    if (type >= kChangeCipherSpec && type <= kApplicationData) continue;
    unknown.push_back(Record(static_cast<uint8_t>(type), {1, 2, 3}));
    unknown.push_back(Record(static_cast<uint8_t>(type), {}));
  }
  all.push_back({"UnknownTypes", unknown});
  all.push_back({"ConnectionIds", {Record(kConnectionId, Bytes(40, 7))}});
  all.push_back(
      {"Acks",
       {Record(kAck, {}), Record(kAck, {0, 0}), Record(kAck, Bytes(17, 0x5a)),
        Record(kAck,
               {0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})}});
  all.push_back(
      {"EmptyHandshakes", std::vector<Bytes>(50, Record(kHandshake, {}))});
  all.push_back({"BadHandshakeHeaders",
                 {Record(kHandshake, {1}), Record(kHandshake, Bytes(11, 0)),
                  Record(kHandshake, Bytes(12, 0xff)),
                  Record(kHandshake, Bytes(40, 0xff))}});
  std::vector<Bytes> requests;
  for (const uint16_t sequence : kSequences) {
    requests.push_back(Record(kHandshake, Fragment(0, sequence, 0, 0, {})));
  }
  all.push_back({"HelloRequests", requests});
  all.push_back({"FirstFragments", OfEachKind([](uint8_t type, uint16_t s) {
                   return Fragment(type, s, 300, 0, Bytes(10, 0xaa));
                 }),
                 true});
  all.push_back({"LastFragments", OfEachKind([](uint8_t type, uint16_t s) {
                   return Fragment(type, s, 300, 290, Bytes(10, 0xaa));
                 }),
                 true});
  all.push_back({"FragmentsOfNothing", OfEachKind([](uint8_t type, uint16_t s) {
                   return Fragment(type, s, 300, 0, {});
                 })});
  all.push_back(
      {"FragmentsBeyondTheEnd", OfEachKind([](uint8_t type, uint16_t s) {
         return Fragment(type, s, 300, 295, Bytes(10, 0xaa));
       })});
  all.push_back(
      {"FragmentsOf16Megabytes", OfEachKind([](uint8_t type, uint16_t s) {
         return Fragment(type, s, 0xffffff, 0, Bytes(1, 0xaa));
       })});
  all.push_back({"FragmentsLongerThanTheirRecord",
                 OfEachKind([](uint8_t type, uint16_t s) {
                   Bytes fragment = Fragment(type, s, 300, 0, Bytes(20, 0xaa));
                   fragment.resize(fragment.size() - 1);
                   return fragment;
                 })});
  all.push_back(
      {"WholeMessagesOfGarbage", OfEachKind([](uint8_t type, uint16_t s) {
         return Fragment(type, s, 40, 0, Bytes(40, 0xaa));
       })});
  // A Finished has 12 bytes (RFC 5246 section 7.4.9).
  std::vector<Bytes> finished;
  for (const uint16_t sequence : kSequences) {
    finished.push_back(
        Record(kHandshake, Fragment(20, sequence, 12, 0, Bytes(12, 0))));
  }
  all.push_back({"Finished", finished});
  all.push_back({"NoRecords", {{}, {22}, Bytes(100, 0x55), Bytes(12, 22)}});
  return all;
}

enum class Moment {
  kClientAwaitsHello,
  kClientHasHalfAFlight,
  kServerAwaitsHello,
  kServerAwaitsFlight,
  kServerHasHalfAFlight,
  kClientAwaitsFinished,
  kClientConnected,
  kServerConnected,
};
constexpr Moment kMoments[] = {
    Moment::kClientAwaitsHello,    Moment::kClientHasHalfAFlight,
    Moment::kServerAwaitsHello,    Moment::kServerAwaitsFlight,
    Moment::kServerHasHalfAFlight, Moment::kClientAwaitsFinished,
    Moment::kClientConnected,      Moment::kServerConnected};
constexpr const char* kMomentNames[] = {
    "ClientAwaitsHello",  "ClientHasHalfAFlight", "ServerAwaitsHello",
    "ServerAwaitsFlight", "ServerHasHalfAFlight", "ClientAwaitsFinished",
    "ClientConnected",    "ServerConnected"};

using Parameters = std::tuple<Moment, Forgery>;

class ForgedPlaintextTest : public ::testing::TestWithParam<Parameters> {
 protected:
  // Both sides have certificates and flights of several datagrams.
  ForgedPlaintextTest() {
    static const auto* const certificate = new Certificate(
        EnginePair::Authority().Issue({.common_name = "client"}));
    pair_.server_options.client_trust = EnginePair::Authority().trust();
    pair_.client_options.certificate = *certificate;
    pair_.server_options.session.mtu = pair_.client_options.session.mtu = 256;
  }

  EngineSide& Victim(Moment moment) {
    switch (moment) {
      case Moment::kClientAwaitsHello:
      case Moment::kClientHasHalfAFlight:
      case Moment::kClientAwaitsFinished:
      case Moment::kClientConnected:
        return pair_.client;
      case Moment::kServerAwaitsHello:
      case Moment::kServerAwaitsFlight:
      case Moment::kServerHasHalfAFlight:
      case Moment::kServerConnected:
        break;
    }
    return pair_.server;
  }

  // Calls `attack` at that moment of a handshake which is otherwise
  // undisturbed.
  void RunWith(Moment moment, const std::function<void()>& attack) {
    pair_.Make();
    if (moment == Moment::kClientAwaitsHello ||
        moment == Moment::kServerAwaitsHello) {
      attack();
    }
    pair_.Deliver(pair_.client.output.Take(), pair_.server);
    if (moment == Moment::kServerAwaitsFlight) attack();
    DeliverInTwo(pair_.server, pair_.client,
                 moment == Moment::kClientHasHalfAFlight ? attack : nullptr);
    if (moment == Moment::kClientAwaitsFinished) attack();
    DeliverInTwo(pair_.client, pair_.server,
                 moment == Moment::kServerHasHalfAFlight ? attack : nullptr);
    pair_.RunFor(absl::Seconds(5));
    if (moment == Moment::kClientConnected ||
        moment == Moment::kServerConnected) {
      ASSERT_TRUE(pair_.connected());
      attack();
    }
  }

  void DeliverInTwo(EngineSide& from, EngineSide& to,
                    const std::function<void()>& between) {
    std::vector<Bytes> flight = from.output.Take();
    ASSERT_GE(flight.size(), 3U);
    const auto half =
        flight.begin() + static_cast<ptrdiff_t>(flight.size() / 2);
    pair_.Deliver({flight.begin(), half}, to);
    if (between != nullptr) between();
    pair_.Deliver({half, flight.end()}, to);
  }

  uint64_t Retransmissions() const {
    return pair_.client.engine->statistics().retransmissions +
           pair_.server.engine->statistics().retransmissions;
  }

  EnginePair pair_;
};

// ACCEPTANCE: HB1, HB2, HB5, HB6, HC3
TEST_P(ForgedPlaintextTest, EndsNothing) {
  const auto& [moment, forgery] = GetParam();
  EngineSide& victim = Victim(moment);
  RunWith(moment, [&, this] {
    const std::vector<Bytes> pending = victim.output.Take();
    pair_.Deliver(forgery.datagrams, victim);
    // Nor is there an answer.
    EXPECT_TRUE(victim.output.sent.empty());
    victim.output.sent = pending;
  });
  EXPECT_TRUE(pair_.connected())
      << pair_.client.engine->error() << pair_.server.engine->error();
  EXPECT_TRUE(pair_.client.output.messages.empty());
  EXPECT_TRUE(pair_.server.output.messages.empty());
  if (!forgery.costs_time) {
    EXPECT_EQ(Retransmissions(), 0U);
  }
  EXPECT_EQ(pair_.Carry(pair_.client, pair_.server, "up"), "up");
  EXPECT_EQ(pair_.Carry(pair_.server, pair_.client, "down"), "down");
}

INSTANTIATE_TEST_SUITE_P(
    Of, ForgedPlaintextTest,
    ::testing::Combine(::testing::ValuesIn(kMoments),
                       ::testing::ValuesIn(Forgeries())),
    [](const ::testing::TestParamInfo<Parameters>& of) {
      return absl::StrCat(
          kMomentNames[static_cast<size_t>(std::get<0>(of.param))],
          std::get<1>(of.param).name);
    });

Bytes HelloVerifyRequest(uint8_t cookie, uint64_t record) {
  const Bytes body = {0xfe, 0xff, 4, cookie, 2, 3, 4};
  return Record(kHandshake,
                Fragment(3, 0, static_cast<uint32_t>(body.size()), 0, body),
                record);
}

class ForgedHelloVerifyRequestTest : public ForgedPlaintextTest {};

// ACCEPTANCE: HA9, HB5
TEST_F(ForgedHelloVerifyRequestTest, AServerThatWantsNoCookieIsUnderstood) {
  pair_.Make();
  const std::vector<Bytes> hello = pair_.client.output.Take();
  for (uint8_t i = 0; i < 50; ++i) {
    pair_.Deliver({HelloVerifyRequest(i, i)}, pair_.client);
  }
  // One of them was believed.
  const std::vector<Bytes> second = pair_.client.output.Take();
  EXPECT_FALSE(second.empty());
  EXPECT_LE(second.size(), hello.size() + 1);
  pair_.Deliver(hello, pair_.server);
  pair_.Deliver(second, pair_.server);
  pair_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(pair_.connected()) << pair_.client.engine->error();
  EXPECT_EQ(Retransmissions(), 0U);
  EXPECT_EQ(pair_.Carry(pair_.client, pair_.server, "up"), "up");
  EXPECT_EQ(pair_.Carry(pair_.server, pair_.client, "down"), "down");
}

TEST_F(ForgedHelloVerifyRequestTest, SoItIsIfItsAnswerIsLost) {
  pair_.Make();
  const std::vector<Bytes> hello = pair_.client.output.Take();
  pair_.Deliver({HelloVerifyRequest(1, 0)}, pair_.client);
  pair_.Deliver(hello, pair_.server);
  pair_.Deliver(pair_.client.output.Take(), pair_.server);
  EXPECT_FALSE(pair_.server.output.Take().empty());
  pair_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(pair_.connected()) << pair_.client.engine->error();
}

TEST_F(ForgedHelloVerifyRequestTest, AfterTheServersHelloThereIsNone) {
  RunWith(Moment::kClientHasHalfAFlight, [this] {
    for (uint8_t i = 0; i < 50; ++i) {
      pair_.Deliver({HelloVerifyRequest(i, i)}, pair_.client);
    }
    EXPECT_TRUE(pair_.client.output.sent.empty());
  });
  EXPECT_TRUE(pair_.connected()) << pair_.client.engine->error();
  EXPECT_EQ(Retransmissions(), 0U);
}

// The server ends its handshake over a hello that it does not understand.
TEST_F(ForgedHelloVerifyRequestTest, AServerThatGivesUpOverItIsTriedAgain) {
  pair_.Make();
  const std::vector<Bytes> hello = pair_.client.output.Take();
  pair_.Deliver({HelloVerifyRequest(1, 0)}, pair_.client);
  pair_.client.output.Take();
  pair_.Deliver(hello, pair_.server);
  pair_.Deliver(pair_.server.output.Take(), pair_.client);
  EXPECT_FALSE(pair_.client.output.Take().empty());
  pair_.Deliver({Record(kAlert, {2, 10}, 9)}, pair_.client);
  pair_.MakeServer();
  const absl::Time start = pair_.now;
  pair_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(pair_.connected()) << pair_.client.engine->error();
  EXPECT_LT(pair_.now - start, absl::Seconds(2));
}

}  // namespace
}  // namespace cordon::dtls
