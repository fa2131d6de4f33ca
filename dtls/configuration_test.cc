// What contexts and single sessions can be told.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::RecordTypes;

class ConfigurationTest : public ::testing::Test {
 protected:
  SessionInfo Connect() {
    pair_.Make();
    pair_.Exchange();
    return client_.engine->info();
  }

  EnginePair pair_;
  EngineSide& client_ = pair_.client;
  EngineSide& server_ = pair_.server;
};

// ACCEPTANCE: QC1, QC2, QC4, QC5, QT1, QT2, QV1, QV2
TEST_F(ConfigurationTest, DefaultsAreSecureAndPlainValues) {
  const ServerOptions server;
  EXPECT_TRUE(server.cookies);
  EXPECT_EQ(server.verification.mode, PeerVerification::kAuto);
  EXPECT_EQ(server.min_version, ProtocolVersion::kDtls12);
  EXPECT_EQ(server.max_version, ProtocolVersion::kDtls12);
  EXPECT_EQ(server.cookie.parameters.hash, CookieHash::kSha256);
  EXPECT_FALSE(server.cookie.parameters.secret.has_value());
  EXPECT_FALSE(server.prefer_client_ciphers);
  EXPECT_EQ(server.session.mtu, kDefaultMtu);
  const ClientOptions client;
  EXPECT_EQ(client.verification.mode, PeerVerification::kAuto);
  EXPECT_TRUE(client.ciphers.empty());
  EXPECT_FALSE(client.key_log);
}

// ACCEPTANCE: QC2, QT3, QT9, QF1, QF8
TEST_F(ConfigurationTest, VersionsThatAreNotSpokenAreRefusedBeforeAnySession) {
  for (const auto& [low, high, what] :
       {std::tuple{ProtocolVersion::kDtls10, ProtocolVersion::kDtls12,
                   "min_version"},
        std::tuple{ProtocolVersion::kDtls12, ProtocolVersion::kDtls13,
                   "max_version"},
        std::tuple{ProtocolVersion::kDtls13, ProtocolVersion::kDtls12,
                   "min_version"}}) {
    pair_.server_options.min_version = pair_.client_options.min_version = low;
    pair_.server_options.max_version = pair_.client_options.max_version = high;
    for (const absl::Status& status :
         {Context::Server(pair_.server_options).status(),
          Context::Client(pair_.client_options).status()}) {
      EXPECT_TRUE(absl::IsInvalidArgument(status));
      EXPECT_TRUE(absl::StrContains(status.message(), what)) << status;
    }
  }
}

// A hello for DTLS 1.0 gets no session.
// ACCEPTANCE: QT9, QC2
TEST_F(ConfigurationTest, ThereIsNoWayDownToDtls10) {
  pair_.Make();
  std::vector<Bytes> hello = client_.output.Take();
  // The version in the message, behind the record's and the message's header.
  hello[0][13 + 12 + 1] = 0xff;
  pair_.Deliver(hello, server_);
  EXPECT_EQ(server_.state(), EngineState::kFailed);
  EXPECT_EQ(testing::PlainAlert(server_.output.sent), 70);  // protocol_version
}

// ACCEPTANCE: QT7, QC3, QF16
TEST_F(ConfigurationTest, BothSidesReportTheSameCipher) {
  const std::string cipher = Connect().cipher;
  EXPECT_FALSE(cipher.empty());
  EXPECT_EQ(cipher, server_.engine->info().cipher);
  EXPECT_EQ(client_.engine->info().version, "DTLSv1.2");
  for (const char* name :
       {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305"}) {
    pair_.client_options.ciphers = name;
    EXPECT_EQ(Connect().cipher, name);
  }
}

// ACCEPTANCE: QT8, QC3
TEST_F(ConfigurationTest, EitherSideMayPreferCiphers) {
  pair_.server_options.ciphers =
      "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384";
  pair_.client_options.ciphers =
      "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256";
  EXPECT_EQ(Connect().cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
  pair_.server_options.prefer_client_ciphers = true;
  EXPECT_EQ(Connect().cipher, "ECDHE-ECDSA-AES256-GCM-SHA384");
}

TEST_F(ConfigurationTest, ByDefaultTheClientChoosesAmongTheSuites) {
  const std::string aes128 = "ECDHE-ECDSA-AES128-GCM-SHA256";
  const std::string aes256 = "ECDHE-ECDSA-AES256-GCM-SHA384";
  const std::string chacha = "ECDHE-ECDSA-CHACHA20-POLY1305";
  // The second is OpenSSL's order, the third that of clients without hardware
  // for AES.
  for (const std::vector<std::string>& offered :
       {std::vector<std::string>{aes128, aes256, chacha},
        {aes256, chacha, aes128},
        {chacha, aes256, aes128}}) {
    pair_.client_options.ciphers = absl::StrJoin(offered, ":");
    EXPECT_EQ(Connect().cipher, offered.front());
  }
  pair_.client_options.ciphers = "";
  EXPECT_EQ(Connect().cipher, aes128);
}

// ACCEPTANCE: QC3, HC9
TEST_F(ConfigurationTest, OnlyAeadSuitesUnlessAPskSuiteIsNamed) {
  for (const char* bad : {"AES128-SHA", "ECDHE-RSA-AES128-SHA", "ALL", "x"}) {
    pair_.client_options.ciphers = bad;
    const absl::Status status = Context::Client(pair_.client_options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad;
    EXPECT_TRUE(absl::StrContains(status.message(), bad)) << status;
  }
}

// ACCEPTANCE: QC6, QC8
TEST_F(ConfigurationTest, GroupsAreChosenAndReported) {
  EXPECT_EQ(Connect().group, "X25519");
  pair_.client_options.groups = "P-384:P-256";
  pair_.server_options.groups = "P-384,P-256";
  EXPECT_EQ(Connect().group, "P-384");
  EXPECT_EQ(server_.engine->info().group, "P-384");
  pair_.server_options.groups = "P-521";
  Connect();
  pair_.BelieveAlert(client_);
  EXPECT_EQ(client_.state(), EngineState::kFailed);
  pair_.server_options.groups = "P-255";
  const absl::Status status = Context::Server(pair_.server_options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "P-255")) << status;
}

// ACCEPTANCE: QC7
TEST_F(ConfigurationTest, ApplicationProtocolsAreNegotiated) {
  pair_.server_options.alpn = {"coap", "echo"};
  pair_.client_options.alpn = {"echo", "coap"};
  EXPECT_EQ(Connect().alpn, "coap");
  pair_.client_options.alpn = {};
  EXPECT_EQ(Connect().alpn, "");
  EXPECT_TRUE(pair_.connected());
}

// ACCEPTANCE: QB16
TEST_F(ConfigurationTest, SrtpProfilesAreNegotiated) {
  pair_.server_options.srtp_profiles = {"SRTP_AEAD_AES_256_GCM",
                                        "SRTP_AEAD_AES_128_GCM"};
  pair_.client_options.srtp_profiles = {"SRTP_AES128_CM_SHA1_80",
                                        "SRTP_AEAD_AES_128_GCM"};
  EXPECT_EQ(Connect().srtp_profile, "SRTP_AEAD_AES_128_GCM");
  EXPECT_EQ(server_.engine->info().srtp_profile, "SRTP_AEAD_AES_128_GCM");
  pair_.client_options.srtp_profiles = {};
  EXPECT_EQ(Connect().srtp_profile, "");
  pair_.client_options.srtp_profiles = {"SRTP_NULL"};
  const absl::Status status = Context::Client(pair_.client_options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "SRTP_NULL")) << status;
}

// ACCEPTANCE: QB16
TEST_F(ConfigurationTest, BothSidesExportTheSameKeyMaterial) {
  Connect();
  auto material = [](EngineSide& side, absl::string_view label,
                     std::optional<absl::string_view> context) {
    return side.engine->ExportKeyingMaterial(label, context, 60).value();
  };
  const auto ours = material(client_, "EXTRACTOR-dtls_srtp", std::nullopt);
  EXPECT_EQ(ours.size(), 60U);
  EXPECT_EQ(ours, material(server_, "EXTRACTOR-dtls_srtp", std::nullopt));
  EXPECT_NE(ours, material(server_, "EXTRACTOR-dtls_srtp", ""));
  EXPECT_NE(ours, material(server_, "EXPERIMENTAL x", std::nullopt));
  for (size_t bytes : {size_t{0}, size_t{4097}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        client_.engine->ExportKeyingMaterial("l", std::nullopt, bytes)
            .status()));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      client_.engine->ExportKeyingMaterial("", std::nullopt, 16).status()));
}

// ACCEPTANCE: QB16
TEST_F(ConfigurationTest, TheKeyLogIsThatOfNss) {
  std::vector<std::string> ours;
  std::vector<std::string> theirs;
  pair_.client_options.key_log = [&ours](absl::string_view line) {
    ours.emplace_back(line);
  };
  pair_.server_options.key_log = [&theirs](absl::string_view line) {
    theirs.emplace_back(line);
  };
  Connect();
  ASSERT_EQ(ours.size(), 1U);
  EXPECT_EQ(ours, theirs);
  const std::vector<std::string> fields = absl::StrSplit(ours[0], ' ');
  ASSERT_EQ(fields.size(), 3U);
  EXPECT_EQ(fields[0], "CLIENT_RANDOM");
  EXPECT_EQ(fields[1].size(), 64U);
  EXPECT_EQ(fields[2].size(), 96U);
}

// ACCEPTANCE: QV7, QC4
TEST_F(ConfigurationTest, CookiesAreOnAndMayBeSwitchedOff) {
  EXPECT_TRUE(ServerOptions().cookies);
  // An engine that was told of a good cookie goes on from the second hello.
  pair_.server_engine.verified_hello = 7;
  Connect();
  EXPECT_EQ(server_.state(), EngineState::kHandshaking);
}

// --- One session of its own --------------------------------------------------

// ACCEPTANCE: QF8, QT2, QC1
TEST_F(ConfigurationTest, ASessionMayDifferFromItsContext) {
  pair_.server_options.alpn = {"a", "b"};
  const Context server = *Context::Server(pair_.server_options);
  const Context client = *Context::Client(pair_.client_options);
  SessionOverrides overrides;
  overrides.alpn = std::vector<std::string>{"b"};
  overrides.ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305";
  overrides.groups = "P-256";
  overrides.srtp_profiles = std::vector<std::string>{"SRTP_AEAD_AES_128_GCM"};
  SessionOptions session;
  session.mtu = 512;
  session.retransmission_timeout = absl::Milliseconds(100);
  overrides.session = session;
  server_.engine = *Engine::Create(server, {});
  client_.engine = *Engine::Create(client, {.server_name = "localhost"});
  EXPECT_TRUE(client_.engine->Configure(overrides).ok());
  SessionOverrides ours;
  ours.certificate = EnginePair::Authority().Issue(
      {.common_name = "special", .dns_names = {"localhost"}});
  ours.alpn = std::vector<std::string>{"c", "b"};
  EXPECT_TRUE(server_.engine->Configure(ours).ok());
  server_.engine->Start(pair_.now, server_.output);
  client_.engine->Start(pair_.now, client_.output);
  EXPECT_EQ(client_.engine->NextDeadline() - pair_.now,
            absl::Milliseconds(100));
  pair_.Exchange();
  const SessionInfo info = client_.engine->info();
  EXPECT_EQ(info.alpn, "b");
  EXPECT_EQ(info.cipher, "ECDHE-ECDSA-CHACHA20-POLY1305");
  EXPECT_EQ(info.group, "P-256");
  EXPECT_EQ(info.peer_subject, "CN=special");
  EXPECT_EQ(client_.engine->statistics().mtu, 512U);
  // Refused now, and nothing has changed.
  EXPECT_TRUE(absl::IsFailedPrecondition(client_.engine->Configure(overrides)));

  // The next session of the same contexts is as before.
  server_.engine = *Engine::Create(server, {});
  client_.engine = *Engine::Create(client, {.server_name = "localhost"});
  server_.engine->Start(pair_.now, server_.output);
  client_.engine->Start(pair_.now, client_.output);
  pair_.Exchange();
  EXPECT_EQ(client_.engine->info().alpn, "");
  EXPECT_EQ(client_.engine->info().group, "X25519");
  EXPECT_EQ(client_.engine->info().peer_subject, "CN=server");
}

// Empty lists are the defaults of the context's credentials, or nothing.
TEST_F(ConfigurationTest, ASessionMayHaveLessThanItsContext) {
  for (bool of_server : {true, false}) {
    pair_.client_options.srtp_profiles =
        pair_.server_options.srtp_profiles = {"SRTP_AEAD_AES_128_GCM"};
    pair_.client_options.alpn = pair_.server_options.alpn = {"a"};
    SessionOverrides overrides;
    overrides.srtp_profiles.emplace();
    overrides.alpn.emplace();
    overrides.groups.emplace();
    overrides.ciphers.emplace();
    pair_.MakeServer();
    server_.engine =
        *Engine::Create(*Context::Server(pair_.server_options), {},
                        of_server ? overrides : SessionOverrides());
    absl::StatusOr<std::unique_ptr<Engine>> client = Engine::Create(
        *Context::Client(pair_.client_options), {.server_name = "localhost"},
        of_server ? SessionOverrides() : overrides);
    ASSERT_TRUE(client.ok()) << client.status();
    client_.engine = *std::move(client);
    server_.engine->Start(pair_.now, server_.output);
    client_.engine->Start(pair_.now, client_.output);
    pair_.Exchange();
    ASSERT_TRUE(pair_.connected()) << client_.engine->error();
    EXPECT_EQ(client_.engine->info().srtp_profile, "");
    EXPECT_EQ(client_.engine->info().alpn, "");
  }
}

TEST_F(ConfigurationTest, DefaultCiphersOfASessionAreThoseOfItsCredentials) {
  pair_.server_options.certificates.clear();
  pair_.server_options.pre_shared_keys = {{"id", {1, 2, 3}}};
  pair_.client_options.trust = {};
  pair_.client_options.pre_shared_key = {"id", {1, 2, 3}};
  SessionOverrides overrides;
  overrides.ciphers.emplace();
  server_.engine =
      *Engine::Create(*Context::Server(pair_.server_options), {}, overrides);
  client_.engine =
      *Engine::Create(*Context::Client(pair_.client_options), {}, overrides);
  server_.engine->Start(pair_.now, server_.output);
  client_.engine->Start(pair_.now, client_.output);
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected()) << client_.engine->error();
  EXPECT_EQ(client_.engine->info().psk_identity, "id");
}

TEST_F(ConfigurationTest, FailuresAreToldInWords) {
  // The server's key is of P-256.
  pair_.client_options.groups = "X25519";
  Connect();
  EXPECT_EQ(client_.engine->error().message(),
            "the handshake failed: the curve of the peer's key is not one of "
            "our groups (BAD_ECC_CERT)");
  pair_.server_options.groups = "P-384:P-256";
  Connect();
  EXPECT_TRUE(absl::StrContains(server_.engine->error().message(),
                                "that both have (NO_SHARED_"))
      << server_.engine->error();
}

// BoringSSL gives no reason for an extension that cannot be read.
TEST_F(ConfigurationTest, AFailureWithoutReasonNamesTheAlert) {
  pair_.Make();
  std::vector<Bytes> hello = client_.output.Take();
  const std::string name = "localhost";
  auto at =
      std::search(hello[0].begin(), hello[0].end(), name.begin(), name.end());
  ASSERT_NE(at, hello[0].end());
  *at = 0;
  pair_.Deliver(hello, server_);
  ASSERT_EQ(server_.state(), EngineState::kFailed);
  EXPECT_TRUE(absl::StrContains(server_.engine->error().message(),
                                "the peer was told "))
      << server_.engine->error();
}

// A warning ends nothing, so it is not why something failed.
TEST_F(ConfigurationTest, AWarningIsNotTakenForTheReason) {
  pair_.server_options.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
  pair_.Make();
  // In the clear, unrecognized_name: forged, or meant well.
  const Bytes warning = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 112};
  pair_.Deliver({warning}, server_);
  EXPECT_EQ(server_.state(), EngineState::kHandshaking);
  pair_.Exchange();
  const absl::Status& error = server_.engine->error();
  EXPECT_TRUE(absl::StrContains(error.message(), "no cipher suite that both"))
      << error;
  EXPECT_TRUE(absl::StrContains(error.message(), "NO_SHARED_CIPHER")) << error;
  EXPECT_EQ(GetErrorDetail(error)->alert, 40);  // handshake_failure
  EXPECT_FALSE(GetErrorDetail(error)->alert_received);
  pair_.BelieveAlert(client_);
  EXPECT_TRUE(GetErrorDetail(client_.engine->error())->alert_received);
}

TEST_F(ConfigurationTest, ABadOverrideIsRefusedAndChangesNothing) {
  client_.engine = *Engine::Create(*Context::Client(pair_.client_options),
                                   {.server_name = "localhost"});
  SessionOverrides good;
  good.groups = "P-256";
  ASSERT_TRUE(client_.engine->Configure(good).ok());
  std::vector<SessionOverrides> all(7);
  all[0].ciphers = "none";
  all[1].groups = "none";
  all[2].alpn = std::vector<std::string>{""};
  all[3].srtp_profiles = std::vector<std::string>{"none"};
  all[4].certificate = Certificate{"bad", "bad"};
  all[5].max_chain_depth = -1;
  SessionOptions session;
  session.mtu = 1;
  all[6].session = session;
  for (const SessionOverrides& bad : all) {
    EXPECT_TRUE(absl::IsInvalidArgument(client_.engine->Configure(bad)));
    EXPECT_FALSE(Engine::Create(*Context::Client(pair_.client_options),
                                {.server_name = "localhost"}, bad)
                     .ok());
  }
  pair_.MakeServer();
  client_.engine->Start(pair_.now, client_.output);
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  EXPECT_EQ(client_.engine->info().group, "P-256");
}

// The configuration stays when the session is over.
// ACCEPTANCE: QF8
TEST_F(ConfigurationTest, ARestartedSessionKeepsItsConfiguration) {
  client_.engine = *Engine::Create(*Context::Client(pair_.client_options),
                                   {.server_name = "localhost"});
  SessionOverrides overrides;
  overrides.groups = "P-256";
  ASSERT_TRUE(client_.engine->Configure(overrides).ok());
  for (int i = 0; i < 2; ++i) {
    pair_.MakeServer();
    client_.engine->Start(pair_.now, client_.output);
    pair_.Exchange();
    ASSERT_TRUE(pair_.connected());
    EXPECT_EQ(client_.engine->info().group, "P-256");
    EXPECT_TRUE(absl::IsFailedPrecondition(client_.engine->Restart()));
    client_.engine->Close(pair_.now, client_.output);
    EXPECT_TRUE(client_.engine->Restart().ok());
    EXPECT_EQ(client_.state(), EngineState::kNotStarted);
    client_.output.Take();
  }
}

// --- Records -----------------------------------------------------------------

// ACCEPTANCE: QB10, QF18, QT15, HC11
TEST_F(ConfigurationTest, EveryRecordOfADatagramIsDeliveredOnce) {
  Connect();
  Bytes joined;
  for (const char* text : {"one", "two", "three"}) {
    ASSERT_TRUE(
        client_.engine->Send(testing::AsBytes(text), client_.output).ok());
    for (const Bytes& d : client_.output.Take()) {
      joined.insert(joined.end(), d.begin(), d.end());
    }
  }
  ASSERT_EQ(RecordTypes(joined).size(), 3U);
  pair_.Deliver({joined, {}, joined}, server_);
  EXPECT_EQ(server_.output.messages,
            (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(server_.engine->statistics().records_discarded, 3U);
  EXPECT_TRUE(server_.engine->error().ok());
}

// ACCEPTANCE: QB14
TEST_F(ConfigurationTest, TheLastFlightIsRepeatedAfterCompletion) {
  pair_.Make();
  pair_.Deliver(client_.output.Take(), server_);
  pair_.Deliver(server_.output.Take(), client_);
  const std::vector<Bytes> finished = client_.output.Take();
  pair_.Deliver(finished, server_);
  ASSERT_EQ(server_.state(), EngineState::kConnected);
  EXPECT_FALSE(server_.output.Take().empty());  // And lost.
  pair_.Expire(client_);
  pair_.Exchange();
  EXPECT_TRUE(pair_.connected());
  EXPECT_EQ(pair_.Carry(server_, client_, "there"), "there");
}

// What BoringSSL says is translated by kind, not by accident.
// ACCEPTANCE: QB9, QE1
TEST_F(ConfigurationTest, ErrorsHaveTheirKinds) {
  // No cipher in common: the peer's alert.
  pair_.server_options.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
  pair_.client_options.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384";
  Connect();
  pair_.BelieveAlert(client_);
  EXPECT_TRUE(absl::IsUnavailable(client_.engine->error()));
  EXPECT_EQ(GetErrorDetail(client_.engine->error())->alert, 40);
  EXPECT_TRUE(GetErrorDetail(client_.engine->error())->alert_received);
  EXPECT_TRUE(absl::IsUnavailable(server_.engine->error()));
  EXPECT_FALSE(GetErrorDetail(server_.engine->error())->alert_received);
  // A record that cannot be opened is no error at all.
  pair_.server_options.ciphers = "";
  pair_.client_options.ciphers = "";
  Connect();
  ASSERT_TRUE(client_.engine->Send(testing::AsBytes("x"), client_.output).ok());
  std::vector<Bytes> bad = client_.output.Take();
  bad[0].back() ^= 1;
  pair_.Deliver(bad, server_);
  EXPECT_TRUE(server_.engine->error().ok());
  // The peer's close is told as such.
  client_.engine->Close(pair_.now, client_.output);
  pair_.Exchange();
  EXPECT_TRUE(IsClosed(server_.engine->error()));
}

}  // namespace
}  // namespace cordon::dtls
