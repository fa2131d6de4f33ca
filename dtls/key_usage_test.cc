// Sessions end before their keys have been used too much.
#include "cordon/dtls/internal/key_usage.h"

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/internal/session.h"
#include "cordon/dtls/session_hooks.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/testing/engine_inspector/engine_inspector.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::AsBytes;
using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::RecordTypes;
using ::cordon::testing::ServedListener;

constexpr uint8_t kChangeCipherSpec = 20;
constexpr uint8_t kAlert = 21;
constexpr uint8_t kHandshake = 22;
constexpr uint8_t kApplicationData = 23;

constexpr size_t kVersionAt = 2;
constexpr size_t kEpochAt = 4;
constexpr size_t kLengthAt = 11;
constexpr size_t kHeaderBytes = 13;

std::string LimitOf(const absl::Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail()).limit;
}

Bytes Forged(Bytes record, uint8_t type = kApplicationData) {
  record[0] = type;
  record.back() ^= 1;
  return record;
}

struct Case {
  std::string name;
  bool server_sends;
  std::string cipher;
};

class KeyUsageTest : public ::testing::TestWithParam<Case> {
 protected:
  KeyUsageTest() {
    pair_.server_options.ciphers = pair_.client_options.ciphers =
        GetParam().cipher;
    if (GetParam().cipher.find("PSK") != std::string::npos) {
      pair_.server_options.pre_shared_keys = {{"device", {1, 2, 3}}};
      pair_.client_options.pre_shared_key = {"device", {1, 2, 3}};
      pair_.client_options.trust = {};
    }
  }
  void Connect() {
    pair_.Make();
    pair_.Exchange();
    ASSERT_TRUE(pair_.connected());
    ASSERT_EQ(to_.engine->info().cipher, GetParam().cipher);
  }
  Bytes Seal(const std::string& text) {
    EXPECT_EQ(from_.engine->Send(AsBytes(text), from_.output),
              absl::OkStatus());
    std::vector<Bytes> sent = from_.output.Take();
    EXPECT_EQ(sent.size(), 1U);
    return sent.front();
  }
  // Sends up to `count` messages of one block and returns how many got through.
  size_t SendUpTo(size_t count) {
    size_t sent = 0;
    while (sent < count &&
           from_.engine->Send(AsBytes("one block"), from_.output).ok()) {
      ++sent;
    }
    return sent;
  }
  uint64_t warnings() const {
    return from_.engine->statistics().keys_nearly_used_up +
           to_.engine->statistics().keys_nearly_used_up;
  }
  // What refused a message has ended the session, and told the peer.
  void ExpectEndOfSending(const std::string& limit, size_t sent) {
    ASSERT_EQ(from_.state(), EngineState::kFailed);
    EXPECT_TRUE(absl::IsResourceExhausted(from_.engine->error()));
    EXPECT_EQ(LimitOf(from_.engine->error()), limit);
    ASSERT_EQ(from_.output.sent.size(), sent + 1);
    EXPECT_EQ(RecordTypes(from_.output.sent.back()),
              std::vector<uint8_t>{kAlert});
    to_.output.messages.clear();
    pair_.Exchange();
    EXPECT_EQ(to_.output.messages, std::vector<std::string>(sent, "one block"));
    EXPECT_EQ(to_.state(), EngineState::kPeerClosed);
    EXPECT_TRUE(IsClosed(to_.engine->error()));
  }

  EnginePair pair_;
  EngineSide& from_ = GetParam().server_sends ? pair_.server : pair_.client;
  EngineSide& to_ = GetParam().server_sends ? pair_.client : pair_.server;
};

// ACCEPTANCE: HC6
TEST_P(KeyUsageTest, TheSessionEndsBeforeItsKeySealsTooMuch) {
  Connect();
  EngineInspector::LimitSealing(*from_.engine,
                                {.blocks = 20, .blocks_per_record = 1});
  EXPECT_EQ(SendUpTo(7), 7U);
  EXPECT_EQ(warnings(), 0U);
  EXPECT_EQ(SendUpTo(3), 3U);
  EXPECT_EQ(warnings(), 1U);
  EXPECT_EQ(from_.state(), EngineState::kConnected);
  const absl::Status status =
      from_.engine->Send(AsBytes("too much"), from_.output);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(status, from_.engine->error());
  ExpectEndOfSending("key_confidentiality", 10);
  EXPECT_EQ(warnings(), 1U);
  EXPECT_EQ(from_.engine->NextDeadline(), absl::InfiniteFuture());
}

TEST_P(KeyUsageTest, AMessageThatIsNotSentIsNotCounted) {
  Connect();
  from_.output.blocked = true;
  EXPECT_TRUE(absl::IsUnavailable(
      from_.engine->Send(AsBytes("one block"), from_.output)));
  EXPECT_EQ(EngineInspector::KeyUsageOf(*from_.engine).sealed_blocks(), 0U);
}

TEST_P(KeyUsageTest, APeerThatHasClosedIsToldToo) {
  Connect();
  EngineInspector::LimitSealing(*from_.engine, {.blocks = 2});
  to_.engine->Close(pair_.now, to_.output);
  pair_.Deliver(to_.output.Take(), from_);
  ASSERT_EQ(from_.state(), EngineState::kPeerClosed);
  EXPECT_EQ(SendUpTo(2), 1U);
  EXPECT_EQ(from_.state(), EngineState::kFailed);
  EXPECT_EQ(RecordTypes(from_.output.sent.back()),
            std::vector<uint8_t>{kAlert});
}

// ACCEPTANCE: HC6
TEST_P(KeyUsageTest, TheSessionEndsAtTheLimitOfForgeries) {
  Connect();
  constexpr uint64_t kLimit = 300;
  EngineInspector::LimitFailures(*to_.engine, kLimit);
  const Bytes good = Seal("good");
  for (uint64_t i = 1; i < kLimit; ++i) {
    const uint8_t type = i % 3 == 0   ? kAlert
                         : i % 3 == 1 ? kHandshake
                                      : kApplicationData;
    pair_.Deliver({Forged(good, type)}, to_);
    ASSERT_EQ(to_.engine->statistics().records_bad_mac, i);
    ASSERT_EQ(warnings(), i <= kLimit * 3 / 4 ? 0U : 1U);
  }
  ASSERT_EQ(to_.state(), EngineState::kConnected);
  EXPECT_TRUE(to_.output.sent.empty());
  pair_.Deliver({good}, to_);
  EXPECT_EQ(to_.output.messages, std::vector<std::string>{"good"});

  // The rest of the datagram of the last one is not looked at.
  Bytes last = Forged(Seal("last"));
  const Bytes behind = Seal("behind");
  last.insert(last.end(), behind.begin(), behind.end());
  pair_.Deliver({last}, to_);
  EXPECT_EQ(to_.output.messages, std::vector<std::string>{"good"});
  ASSERT_EQ(to_.state(), EngineState::kFailed);
  EXPECT_TRUE(absl::IsResourceExhausted(to_.engine->error()));
  EXPECT_EQ(LimitOf(to_.engine->error()), "key_integrity");
  EXPECT_EQ(GetErrorDetail(to_.engine->error())->alert, SSL_AD_BAD_RECORD_MAC);

  pair_.Exchange();
  ASSERT_EQ(from_.state(), EngineState::kFailed);
  const ErrorDetail detail = *GetErrorDetail(from_.engine->error());
  EXPECT_EQ(detail.alert, SSL_AD_BAD_RECORD_MAC);
  EXPECT_TRUE(detail.alert_received);
}

TEST_P(KeyUsageTest, WhatDoesNotComeToTheCipherIsNoForgery) {
  Connect();
  EngineInspector::LimitFailures(*to_.engine, 1);
  const Bytes good = Seal("good");
  std::vector<Bytes> others;
  for (const uint8_t type : {kAlert, kHandshake, kApplicationData}) {
    Bytes record = Forged(good, type);
    record[kEpochAt] = 2;
    others.push_back(record);
    record[kEpochAt] = 0;
    others.push_back(record);
    record = Forged(good, type);
    record[kVersionAt] = 0xff;
    others.push_back(record);
    record = Forged(good, type);
    record.resize(kHeaderBytes + SSL3_RT_MAX_ENCRYPTED_LENGTH + 1);
    record[kLengthAt] =
        static_cast<uint8_t>((record.size() - kHeaderBytes) >> 8);
    record[kLengthAt + 1] = static_cast<uint8_t>(record.size() - kHeaderBytes);
    others.push_back(record);
  }
  pair_.Deliver(others, to_);
  pair_.Deliver({good}, to_);
  // Its number has been seen now.
  for (const uint8_t type : {kAlert, kHandshake, kApplicationData}) {
    pair_.Deliver({Forged(good, type)}, to_);
  }
  EXPECT_EQ(to_.output.messages, std::vector<std::string>{"good"});
  EXPECT_EQ(to_.state(), EngineState::kConnected);
  EXPECT_EQ(to_.engine->statistics().records_bad_mac, 0U);
  EXPECT_EQ(EngineInspector::KeyUsageOf(*to_.engine).failed_records(), 0U);
}

// Those that come before the ChangeCipherSpec are tried when it is there.
TEST_P(KeyUsageTest, ForgeriesInTheHandshakeCountAgainstTheSameKey) {
  for (const bool early : {false, true}) {
    pair_.Make();
    // Until the sender's ChangeCipherSpec leaves, its Finished in the same
    // datagram.
    std::vector<Bytes> flight;
    Bytes finished;
    while (finished.empty()) {
      ASSERT_FALSE(from_.output.sent.empty() && to_.output.sent.empty());
      flight.clear();
      for (const Bytes& datagram : from_.output.Take()) {
        size_t at = 0;
        while (at < datagram.size()) {
          const size_t size =
              kHeaderBytes + (size_t{datagram[at + kLengthAt]} << 8 |
                              datagram[at + kLengthAt + 1]);
          const auto begin = datagram.begin() + static_cast<ptrdiff_t>(at);
          Bytes record(begin, begin + static_cast<ptrdiff_t>(size));
          if (record[kEpochAt] == 1) {
            finished = std::move(record);
          } else {
            flight.push_back(std::move(record));
          }
          at += size;
        }
      }
      if (finished.empty()) {
        pair_.Deliver(flight, to_);
        pair_.Deliver(to_.output.Take(), from_);
      }
    }
    ASSERT_EQ(flight.back()[0], kChangeCipherSpec);

    EngineInspector::LimitFailures(*to_.engine, 2);
    const Bytes forged = Forged(finished, kHandshake);
    if (early) pair_.Deliver({forged}, to_);
    EXPECT_EQ(EngineInspector::KeyUsageOf(*to_.engine).failed_records(), 0U);
    pair_.Deliver(flight, to_);
    if (!early) pair_.Deliver({forged}, to_);
    EXPECT_EQ(EngineInspector::KeyUsageOf(*to_.engine).failed_records(), 1U);
    ASSERT_EQ(to_.state(), EngineState::kHandshaking);
    pair_.Deliver({finished}, to_);
    pair_.Exchange();
    EXPECT_TRUE(pair_.connected());
    // The count goes on.
    EXPECT_EQ(EngineInspector::KeyUsageOf(*to_.engine).failed_records(), 1U);
    pair_.Deliver({Forged(Seal("x"))}, to_);
    EXPECT_EQ(LimitOf(to_.engine->error()), "key_integrity");
  }
}

TEST_P(KeyUsageTest, ANewSessionHasNewKeys) {
  Connect();
  EngineInspector::LimitSealing(*from_.engine, {.blocks = 4});
  EXPECT_EQ(SendUpTo(10), 2U);
  pair_.Deliver(from_.output.Take(), to_);
  for (EngineSide* side : {&pair_.server, &pair_.client}) {
    ASSERT_EQ(side->engine->Restart(), absl::OkStatus());
    side->engine->Start(pair_.now, side->output);
  }
  pair_.Exchange();
  ASSERT_TRUE(pair_.connected());
  EXPECT_EQ(EngineInspector::KeyUsageOf(*from_.engine).sealed_blocks(), 0U);
  EXPECT_EQ(SendUpTo(10), 10U);
}

INSTANTIATE_TEST_SUITE_P(
    All, KeyUsageTest,
    ::testing::Values(
        Case{"ClientGcm", false, "ECDHE-ECDSA-AES128-GCM-SHA256"},
        Case{"ServerGcm", true, "ECDHE-ECDSA-AES128-GCM-SHA256"},
        Case{"ClientChaCha", false, "ECDHE-ECDSA-CHACHA20-POLY1305"},
        Case{"ServerChaCha", true, "ECDHE-ECDSA-CHACHA20-POLY1305"},
        Case{"ClientCbc", false, "PSK-AES128-CBC-SHA"},
        Case{"ServerCbc", true, "PSK-AES128-CBC-SHA"}),
    [](const ::testing::TestParamInfo<Case>& tested) {
      return tested.param.name;
    });

// A client whose engine the test can get at.
class OpenClient final : public internal::SessionOwner,
                         public net::DatagramReceiver {
 public:
  explicit OpenClient(std::unique_ptr<net::DatagramSocket> socket)
      : socket_(std::move(socket)) {}

  void Serve(internal::Session& session) {
    session_ = &session;
    socket_->StartReceiving(*this);
  }
  net::DatagramSocket& socket() override { return *socket_; }
  const VerifyPeer& verify_peer() const override { return verify_peer_; }
  const PskLookup& psk_lookup() const override { return psk_lookup_; }
  void OnHandshakeEnded(internal::Session&, const absl::Status&) override {}
  void OnStateChanged(internal::Session& session) override {
    states.push_back(session.engine().state());
  }
  void OnSessionGone(internal::Session&) override {
    session_ = nullptr;
    socket_->StopReceiving();
  }
  net::Task<absl::Status> CloseSocket() override { return socket_->Close(); }
  void OnDatagram(const net::Datagram& datagram) override {
    if (session_ != nullptr) session_->OnDatagram(datagram.bytes);
  }
  void OnSocketError(const absl::Status&) override {}

  std::vector<EngineState> states;

 private:
  internal::Session* session_ = nullptr;
  const VerifyPeer verify_peer_;
  const PskLookup psk_lookup_;
  std::unique_ptr<net::DatagramSocket> socket_;
};

net::Task<void> AwaitMessage(Connection& connection, absl::Status* status) {
  *status = (co_await connection.RecvDecrypted()).status();
}

TEST(KeyUsageConnectionTest, WhoSendsAndWhoReceivesAreTold) {
  ServedListener world;
  EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
    net::DatagramSocketOptions socket_options;
    socket_options.connect = ServedListener::At();
    CO_ASSIGN_OR_RETURN(std::unique_ptr<net::DatagramSocket> socket,
                        world.reactor.OpenSocket(socket_options));
    EngineOptions engine_options;
    engine_options.server_name = "localhost";
    CO_ASSIGN_OR_RETURN(std::unique_ptr<Engine> made,
                        Engine::Create(world.client_context(), engine_options));
    Engine& engine = *made;
    auto owner = std::make_shared<OpenClient>(std::move(socket));
    net::Path path;
    path.peer = ServedListener::At();
    auto session = std::make_unique<internal::Session>(world.reactor, owner,
                                                       path, std::move(made));
    owner->Serve(*session);
    Connection client(std::move(session));
    CO_RETURN_IF_ERROR(co_await client.Handshake());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "hello"));

    EngineInspector::LimitSealing(engine, {.blocks = 2});
    net::TaskScope scope;
    absl::Status received;
    scope.Spawn(AwaitMessage(client, &received));
    const std::string text = "longer than two blocks of the cipher are";
    const absl::Status sent = co_await client.SendEncrypted(AsBytes(text));
    EXPECT_TRUE(absl::IsResourceExhausted(sent)) << sent;
    CO_RETURN_IF_ERROR(co_await scope.Join());
    EXPECT_EQ(received, sent);
    EXPECT_EQ(owner->states.back(), EngineState::kFailed);
    const absl::Status again = co_await client.SendEncrypted(AsBytes(text));
    EXPECT_EQ(again, sent);
    // The server has been told.
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_EQ(world.ended.size(), 1U);
    EXPECT_TRUE(IsClosed(world.ended.front()));
    co_return co_await client.Close();
  }),
            absl::OkStatus());
}

}  // namespace
}  // namespace cordon::dtls
