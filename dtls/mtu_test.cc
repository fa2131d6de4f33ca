// How large packets and messages may be.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/engine.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "cordon/testing/session_pair/session_pair.h"
#include "cordon/testing/sim/sim_network.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::AsBytes;
using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::SessionPair;

size_t Largest(const std::vector<Bytes>& datagrams) {
  size_t largest = 0;
  for (const Bytes& d : datagrams) largest = std::max(largest, d.size());
  return largest;
}

class MtuTest : public ::testing::Test {
 protected:
  MtuTest() {
    // A flight of several kilobytes.
    pair_.server_options.certificates = {EnginePair::Authority().Issue(
        {.dns_names = {"localhost"}, .padding = 3000})};
  }
  // The largest datagram of the server's flight.
  size_t ServerFlight() {
    pair_.Deliver(client_.output.Take(), server_);
    const std::vector<Bytes> flight = server_.output.Take();
    pair_.Deliver(flight, client_);
    return Largest(flight);
  }

  EnginePair pair_;
  EngineSide& client_ = pair_.client;
  EngineSide& server_ = pair_.server;
};

// ACCEPTANCE: QF6, QB11
TEST_F(MtuTest, HandshakesFitIntoTheHint) {
  for (size_t mtu : {256, 300, 576, 1280, 1500, 9000}) {
    pair_.server_options.session.mtu = mtu;
    pair_.Make();
    EXPECT_EQ(server_.engine->statistics().mtu, mtu);
    const size_t largest = ServerFlight();
    EXPECT_LE(largest, mtu - 28);
    EXPECT_GT(largest, std::min<size_t>(mtu, 3000) - 100);
    pair_.Exchange();
    EXPECT_TRUE(pair_.connected()) << mtu;
  }
  pair_.server_engine.ipv6 = true;
  pair_.server_options.session.mtu = 1280;
  pair_.Make();
  EXPECT_LE(ServerFlight(), 1280U - 48U);
}

// ACCEPTANCE: QF6
TEST_F(MtuTest, TheHintMayBeSetInAnyState) {
  pair_.Make();
  EXPECT_TRUE(server_.engine->SetMtu(400).ok());
  EXPECT_LE(ServerFlight(), 400U - 28U);
  EXPECT_TRUE(server_.engine->SetMtu(256).ok());
  EXPECT_EQ(server_.engine->statistics().mtu, 256U);
  pair_.Exchange();
  EXPECT_TRUE(server_.engine->SetMtu(1500).ok());
  for (size_t bad : {0, 255, 65536}) {
    const absl::Status status = server_.engine->SetMtu(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(bad)));
  }
  EXPECT_EQ(server_.engine->statistics().mtu, 1500U);
}

// ACCEPTANCE: QB11
TEST_F(MtuTest, APathThatIsKnownToCarryLessCounts) {
  pair_.server_engine.path_mtu = 600;
  pair_.Make();
  EXPECT_LE(ServerFlight(), 600U - 28U);
  pair_.server_engine.path_mtu = 65536;
  pair_.server_options.session.mtu = 500;
  pair_.Make();
  EXPECT_LE(ServerFlight(), 500U - 28U);
}

TEST_F(MtuTest, BacksOffAfterRepeatedLoss) {
  pair_.server_options.session.mtu = 1500;
  pair_.Make();
  EXPECT_GT(ServerFlight(), 1400U);
  std::vector<size_t> largest;
  for (int i = 0; i < 8; ++i) {
    pair_.Expire(server_);
    largest.push_back(Largest(server_.output.Take()));
  }
  const std::vector<size_t> limits = {1500, 1280, 1280, 1024,
                                      1024, 576,  576,  256};
  for (size_t i = 0; i < limits.size(); ++i) {
    EXPECT_LE(largest[i], limits[i] - 28) << i;
    EXPECT_GT(largest[i], limits[i] - 28 - 60) << i;
  }
}

// A path that silently drops what is larger than it says.
// ACCEPTANCE: QB11
TEST(MtuConnectionTest, FindsItsWayThroughABlackHole) {
  testing::Impairments impairments;
  impairments.max_datagram_bytes = 560;
  SessionPair pair(impairments);
  pair.server_options.certificates = {SessionPair::Authority().Issue(
      {.dns_names = {"localhost"}, .padding = 3000})};
  pair.server_options.session.mtu = 1500;
  const absl::Status status =
      pair.Run([](Connection& c) { return c.Handshake(); },
               [](Connection& c) { return c.Handshake(); });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GT(pair.reactor.network().statistics().too_large, 0U);
}

TEST(MtuConnectionTest, AClientKnowsThePathOfItsSocket) {
  testing::Impairments impairments;
  impairments.known_path_mtu = 700;
  SessionPair pair(impairments);
  pair.client_options.session.ip_fragmentation = false;
  const absl::Status status = pair.Run(
      [](Connection& c) -> net::Task<absl::Status> {
        EXPECT_EQ(c.statistics().mtu, 700U);
        EXPECT_EQ(c.MaxMessageSize(), 0U);
        CO_RETURN_IF_ERROR(co_await c.Handshake());
        // Record header, explicit nonce and tag of AES-GCM.
        EXPECT_EQ(c.MaxMessageSize(), 700U - 28U - 37U);
        EXPECT_TRUE(c.SetMtu(600).ok());
        EXPECT_EQ(c.statistics().mtu, 600U);
        co_return co_await SessionPair::Ask(
            c, std::string(c.MaxMessageSize(), 'm'));
      },
      [](Connection& c) -> net::Task<absl::Status> {
        CO_RETURN_IF_ERROR(co_await c.Handshake());
        co_return co_await SessionPair::Echo(c);
      });
  EXPECT_TRUE(status.ok()) << status;
}

// A router speaks up in the middle: only the session that it speaks of heeds
// it, and neither it nor another is harmed, however often that is repeated.
// ACCEPTANCE: HD5
TEST(MtuConnectionTest, ANoticeReachesTheSessionItBelongsTo) {
  testing::ServedListener world;
  world.client_options.session.ip_fragmentation = false;
  const absl::Status status = world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection narrow, co_await world.Connect());
    CO_ASSIGN_OR_RETURN(Connection wide, co_await world.Connect());
    const size_t before = wide.MaxMessageSize();
    EXPECT_EQ(narrow.MaxMessageSize(), before);
    for (int i = 0; i < 10; ++i) {
      world.reactor.TellPathMtu(narrow.local(), 700);
    }
    EXPECT_EQ(narrow.MaxMessageSize(), 700U - 28U - 37U);
    EXPECT_EQ(narrow.statistics().mtu, 700U);
    EXPECT_EQ(wide.MaxMessageSize(), before);
    EXPECT_EQ(wide.statistics().mtu, kDefaultMtu);
    CO_RETURN_IF_ERROR(co_await testing::ServedListener::Ask(
        narrow, std::string(narrow.MaxMessageSize(), 'n')));
    CO_RETURN_IF_ERROR(co_await testing::ServedListener::Ask(
        wide, std::string(wide.MaxMessageSize(), 'w')));
    // Less than any path has is not believed.
    world.reactor.TellPathMtu(narrow.local(), 1);
    EXPECT_EQ(narrow.statistics().mtu, kMinMtu);
    co_return co_await testing::ServedListener::Ask(narrow, "still");
  });
  EXPECT_TRUE(status.ok()) << status;
}

// The same on the server, whose sessions share a socket.
// ACCEPTANCE: HD5
TEST(MtuConnectionTest, ANoticeReachesTheServersSessionItBelongsTo) {
  testing::ServedListener world;
  world.server_options.session.mtu = 1400;
  const absl::Status status = world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection narrow, co_await world.Connect());
    CO_ASSIGN_OR_RETURN(Connection wide, co_await world.Connect());
    const auto mtu_with = [&world](const Connection& client) -> size_t {
      for (const auto& session : world.admin().Sessions(0, 10)) {
        if (session->peer == client.local()) return session->statistics.mtu;
      }
      return 0;
    };
    net::PeerNotice notice;
    notice.peer = narrow.local();
    notice.local = {testing::ServedListener::At().WithPort(0), 1};
    const auto tell = [&](size_t mtu) {
      notice.path_mtu = mtu;
      world.reactor.TellOfPeer(testing::ServedListener::At(), notice);
    };
    EXPECT_EQ(mtu_with(narrow), 1400U);
    tell(700);
    EXPECT_EQ(mtu_with(narrow), 700U);
    // It may be anybody who says so: nothing grows by it, and nobody is given
    // up.
    for (size_t mtu : {701, 1399, 1400, 9000, 65535, 0, 0, 0, 0, 0}) tell(mtu);
    EXPECT_EQ(mtu_with(narrow), 700U);
    tell(600);
    EXPECT_EQ(mtu_with(narrow), 600U);
    EXPECT_EQ(mtu_with(wide), 1400U);
    // Of nobody who is known.
    notice.peer = narrow.local().WithPort(1);
    tell(700);
    notice.peer = wide.local();
    notice.local.address = net::Endpoint::V4({127, 0, 0, 9}, 0);
    tell(700);
    EXPECT_EQ(mtu_with(wide), 1400U);
    CO_RETURN_IF_ERROR(co_await testing::ServedListener::Ask(narrow, "narrow"));
    co_return co_await testing::ServedListener::Ask(wide, "wide");
  });
  EXPECT_TRUE(status.ok()) << status;
}

// What a server's largest message is follows, and only downwards.
TEST_F(MtuTest, WhatAnybodyMaySayOfThePathOnlyLowersIt) {
  pair_.server_options.session.ip_fragmentation = false;
  pair_.server_options.session.mtu = 1400;
  pair_.Make();
  pair_.Exchange();
  const size_t around = 1400 - server_.engine->MaxMessageSize();
  for (const auto& [said, heeded] : {std::pair<size_t, size_t>{65535, 1400},
                                     {1400, 1400},
                                     {1300, 1300},
                                     {1350, 1300},
                                     {576, 576},
                                     {1, kMinMtu},
                                     {600, kMinMtu}}) {
    server_.engine->LowerPathMtu(said);
    EXPECT_EQ(server_.engine->MaxMessageSize(), heeded - around) << said;
  }
}

// Unlike a refusal, it is no sign that nobody is there.
// ACCEPTANCE: HD5
TEST(MtuConnectionTest, NoticesDuringTheHandshakeMakeItsPacketsSmaller) {
  testing::ServedListener world;
  size_t largest = 0;
  // Nothing of the server's arrives, so that all is left to the notices.
  bool server_heard = false;
  const absl::Status status = world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world.Open());
    net::TaskScope scope;
    world.reactor.network().set_filter([&](testing::SimDatagram& d) {
      if (d.from.port() == 4433) return server_heard;
      largest = std::max(largest, d.bytes.size());
      return true;
    });
    scope.Spawn(client.Handshake());
    co_await testing::ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_GT(largest, 140U);
    for (int i = 0; i < 10; ++i) {
      world.reactor.TellPathMtu(client.local(), kMinMtu);
    }
    EXPECT_EQ(client.state(), EngineState::kHandshaking);
    EXPECT_EQ(client.statistics().mtu, kMinMtu);
    largest = 0;
    server_heard = true;
    CO_RETURN_IF_ERROR(co_await scope.Join());
    EXPECT_LE(largest, kMinMtu - 28);
    co_return co_await testing::ServedListener::Ask(client, "there");
  });
  EXPECT_TRUE(status.ok()) << status;
}

// ACCEPTANCE: QF17, QT16
TEST_F(MtuTest, AMessageThatDoesNotFitIsRefusedWithTheLargestSize) {
  pair_.Make();
  pair_.Exchange();
  EXPECT_EQ(client_.engine->MaxMessageSize(), kMaxMessageBytes);
  absl::Status status = client_.engine->Send(
      AsBytes(std::string(size_t{17} * 1024, 'x')), client_.output);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "16384"));
  EXPECT_TRUE(absl::StrContains(status.message(), "17408"));
  EXPECT_EQ(GetErrorDetail(status)->limit, "max_message_size");
  EXPECT_TRUE(client_.output.sent.empty());
  EXPECT_TRUE(pair_.connected());
  EXPECT_EQ(pair_.Carry(client_, server_, "small"), "small");
  // An empty message is one, too.
  EXPECT_EQ(pair_.Carry(client_, server_, ""), "");
}

TEST_F(MtuTest, WithoutIpFragmentationAMessageFitsIntoAPacket) {
  pair_.client_options.session.ip_fragmentation = false;
  for (const auto& [ciphers, overhead] :
       {std::pair<std::string, size_t>{"ECDHE-ECDSA-AES128-GCM-SHA256", 37},
        std::pair<std::string, size_t>{"ECDHE-ECDSA-CHACHA20-POLY1305", 29}}) {
    pair_.client_options.ciphers = ciphers;
    pair_.Make();
    pair_.Exchange();
    ASSERT_TRUE(pair_.connected());
    const size_t largest = client_.engine->MaxMessageSize();
    EXPECT_EQ(largest, kDefaultMtu - 28 - overhead);
    ASSERT_TRUE(
        client_.engine->Send(AsBytes(std::string(largest, 'f')), client_.output)
            .ok());
    EXPECT_EQ(client_.output.Take().front().size(), kDefaultMtu - 28);
    const absl::Status status = client_.engine->Send(
        AsBytes(std::string(largest + 1, 'f')), client_.output);
    EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(largest)))
        << status;
  }
}

}  // namespace
}  // namespace cordon::dtls
