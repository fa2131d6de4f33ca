// Connection ids (RFC 9146) are not spoken: who offers them gets a session
// without, and records of their form are dropped and counted.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "cordon/dtls/engine.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/scripted_client/scripted_client.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::Saying;
using ::cordon::testing::ScriptedClient;

constexpr uint16_t kConnectionIdExtension = 54;
constexpr uint8_t kConnectionIdRecord = 25;
constexpr size_t kMaxIdBytes = 255;
constexpr std::array<Saying, 3> kRest = {
    Saying::kClientKeyExchange, Saying::kChangeCipherSpec, Saying::kFinished};

// The extension with an id of `said` bytes, of which `sent` follow.
Bytes Extension(size_t said, size_t sent) {
  Bytes extension = {
      0, kConnectionIdExtension, static_cast<uint8_t>((sent + 1) >> 8),
      static_cast<uint8_t>(sent + 1), static_cast<uint8_t>(said)};
  extension.resize(extension.size() + sent, 0xc1);
  return extension;
}

class ConnectionIdTest : public ::testing::Test {
 protected:
  void ExpectSessionWithout(const Bytes& extension) {
    ScriptedClient::Options options;
    options.extensions = extension;
    ScriptedClient client(options);
    pair_.MakeServer();
    pair_.Deliver({client.Hello()}, pair_.server);
    ASSERT_TRUE(client.Read(pair_.server.output.Take()));
    EXPECT_FALSE(client.server_extensions().contains(kConnectionIdExtension));
    pair_.Deliver(client.Say(kRest), pair_.server);
    ASSERT_EQ(pair_.server.state(), EngineState::kConnected);
    pair_.Deliver({client.Seal("hello")}, pair_.server);
    EXPECT_EQ(pair_.server.output.messages, std::vector<std::string>{"hello"});
  }

  EnginePair pair_;
};

// ACCEPTANCE: HD2
TEST_F(ConnectionIdTest, AreNotNegotiatedWhateverTheirLength) {
  for (size_t bytes = 0; bytes <= kMaxIdBytes; ++bytes) {
    SCOPED_TRACE(bytes);
    ExpectSessionWithout(Extension(bytes, bytes));
  }
}

// Nobody reads it, so it need not even be well formed.
// ACCEPTANCE: HD2
TEST_F(ConnectionIdTest, AreNotReadEither) {
  ExpectSessionWithout(Extension(255, 0));
  ExpectSessionWithout(Extension(0, 255));
  ExpectSessionWithout(Extension(8, 7));
  ExpectSessionWithout({0, kConnectionIdExtension, 0, 0});
}

// RFC 9146 section 4: the id stands between the number and the length.
Bytes RecordWithId(uint8_t epoch, size_t id_bytes, size_t payload_bytes) {
  Bytes record = {kConnectionIdRecord, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9};
  record.resize(record.size() + id_bytes, 0xc1);
  record.push_back(static_cast<uint8_t>(payload_bytes >> 8));
  record.push_back(static_cast<uint8_t>(payload_bytes));
  record.resize(record.size() + payload_bytes, 0xab);
  return record;
}

class ConnectionIdRecordTest : public ::testing::TestWithParam<bool> {
 protected:
  // Nothing but a count comes of such records.
  void ExpectIgnored() {
    const EngineState before = to_.state();
    for (size_t id = 0; id <= kMaxIdBytes; ++id) {
      for (uint8_t epoch : {0, 1, 2}) {
        SCOPED_TRACE(id);
        const uint64_t discarded = to_.engine->statistics().records_discarded;
        pair_.Deliver({RecordWithId(epoch, id, 40)}, to_);
        // Without an id it has the form of any other record.
        if (id > 0) {
          EXPECT_GT(to_.engine->statistics().records_discarded, discarded);
        }
        ASSERT_EQ(to_.state(), before);
        ASSERT_TRUE(to_.output.sent.empty());
        ASSERT_TRUE(to_.output.messages.empty());
      }
    }
  }

  EnginePair pair_;
  EngineSide& from_ = GetParam() ? pair_.server : pair_.client;
  EngineSide& to_ = GetParam() ? pair_.client : pair_.server;
};

// ACCEPTANCE: HD2
TEST_P(ConnectionIdRecordTest, IsDroppedDuringAndAfterTheHandshake) {
  pair_.Make();
  for (int flight = 0; !pair_.connected(); ++flight) {
    ASSERT_LT(flight, 10);
    const std::vector<Bytes> held = to_.output.Take();
    ExpectIgnored();
    pair_.Deliver(held, from_);
    pair_.Deliver(from_.output.Take(), to_);
  }
  pair_.Exchange();
  ExpectIgnored();
  EXPECT_EQ(pair_.Carry(from_, to_, "on"), "on");
  EXPECT_EQ(pair_.Carry(to_, from_, "and back"), "and back");
}

INSTANTIATE_TEST_SUITE_P(From, ConnectionIdRecordTest, ::testing::Bool(),
                         [](const auto& role) {
                           return role.param ? "Server" : "Client";
                         });

}  // namespace
}  // namespace cordon::dtls
