// Options that make no sense: each is refused by a sentence that names what is
// wrong, and no secret.
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::EnginePair;

void ExpectRefused(const absl::Status& status,
                   const std::vector<std::string>& words) {
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << words[0] << ": " << status;
  for (const std::string& word : words) {
    EXPECT_TRUE(absl::StrContains(status.message(), word))
        << word << ": " << status;
  }
  EXPECT_FALSE(absl::StrContains(status.message(), "\n")) << status;
}

// The same field of both roles, by a function that spoils it.
template <typename Spoil>
void ExpectBothRefused(const Spoil& spoil,
                       const std::vector<std::string>& words) {
  EnginePair pair;
  spoil(pair.server_options);
  ExpectRefused(Context::Server(pair.server_options).status(), words);
  spoil(pair.client_options);
  ExpectRefused(Context::Client(pair.client_options).status(), words);
}

TEST(BadOptionsTest, OfSessions) {
  struct Case {
    std::function<void(SessionOptions&)> spoil;
    std::vector<std::string> words;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Case> cases = {
      {[](auto& s) { s.mtu = 255; }, {"session.mtu", "255", "256", "65535"}},
      {[](auto& s) { s.mtu = 65536; }, {"session.mtu", "65536"}},
      {[](auto& s) { s.handshake_deadline = absl::ZeroDuration(); },
       {"session.handshake_deadline", " 0"}},
      {[](auto& s) { s.handshake_deadline = -absl::Seconds(1); },
       {"session.handshake_deadline", "-1s"}},
      {[](auto& s) { s.idle_timeout = absl::ZeroDuration(); },
       {"session.idle_timeout", " 0"}},
      {[](auto& s) { s.idle_timeout = -absl::Hours(1); },
       {"session.idle_timeout", "-1h"}},
      {[](auto& s) { s.retransmission_timeout = absl::Milliseconds(9); },
       {"session.retransmission_timeout", "9ms", "10ms"}},
      {[](auto& s) { s.retransmission_timeout = absl::InfiniteDuration(); },
       {"session.retransmission_timeout", "inf"}},
      {[](auto& s) { s.max_retransmission_timeout = absl::Milliseconds(11); },
       {"session.max_retransmission_timeout", "11ms"}},
      {[](auto& s) { s.min_retransmission_timeout = absl::Seconds(5); },
       {"session.min_retransmission_timeout", "5s"}},
      {[](auto& s) { s.min_retransmission_timeout = -absl::Seconds(5); },
       {"session.min_retransmission_timeout", "-5s"}},
      {[](auto& s) { s.retransmission_factor = 0.5; },
       {"session.retransmission_factor", "0.5"}},
      {[nan](auto& s) { s.retransmission_factor = nan; },
       {"session.retransmission_factor", "nan"}},
      {[](auto& s) { s.max_retransmissions = 0; },
       {"session.max_retransmissions", " 0"}},
      {[](auto& s) { s.max_retransmissions = 13; },
       {"session.max_retransmissions", "13"}},
      {[](auto& s) { s.replay_window = 63; },
       {"session.replay_window", "63", "64", "1024"}},
      {[](auto& s) { s.replay_window = 1025; },
       {"session.replay_window", "1025"}},
      {[](auto& s) { s.max_queued_messages = 0; },
       {"session.max_queued_messages", "0"}},
      {[](auto& s) { s.max_queued_bytes = 0; },
       {"session.max_queued_bytes", "0"}},
  };
  for (const Case& c : cases) {
    ExpectBothRefused([&](auto& options) { c.spoil(options.session); },
                      c.words);
    SessionOverrides overrides;
    c.spoil(overrides.session.emplace());
    EnginePair pair;
    ExpectRefused(Engine::Create(*Context::Client(pair.client_options),
                                 pair.client_engine, overrides)
                      .status(),
                  c.words);
  }
}

TEST(BadOptionsTest, OfBothRoles) {
  const std::string long_name(256, 'a');
  ExpectBothRefused([](auto& o) { o.verification.max_chain_depth = -1; },
                    {"max_chain_depth", "-1"});
  ExpectBothRefused([](auto& o) { o.verification.blocked = {"00", "11"}; },
                    {"verification.blocked", "\"00\""});
  ExpectBothRefused([](auto& o) { o.ciphers = "AES128-SHA"; },
                    {"\"AES128-SHA\"", "ECDHE-ECDSA-AES128-GCM-SHA256"});
  ExpectBothRefused([](auto& o) { o.ciphers = " :"; }, {"cipher suites"});
  ExpectBothRefused([](auto& o) { o.groups = "X25519:P-12"; },
                    {"\"X25519:P-12\"", "P-384"});
  ExpectBothRefused([](auto& o) { o.groups = ":"; }, {"groups"});
  ExpectBothRefused([](auto& o) { o.alpn = {"a", ""}; }, {"ALPN"});
  ExpectBothRefused([&](auto& o) { o.alpn = {long_name}; }, {"ALPN", "255"});
  // More than the extension's length can say.
  ExpectBothRefused(
      [](auto& o) {
        o.alpn = std::vector<std::string>(300, std::string(255, 'a'));
      },
      {"ALPN", "76800", "65533"});
  ExpectBothRefused([](auto& o) { o.srtp_profiles = {"SRTP_NULL"}; },
                    {"SRTP_NULL", "SRTP_AEAD_AES_128_GCM"});
  ExpectBothRefused([](auto& o) { o.min_version = ProtocolVersion::kDtls10; },
                    {"min_version", "DTLS 1.0"});
  ExpectBothRefused([](auto& o) { o.max_version = ProtocolVersion::kDtls13; },
                    {"max_version", "DTLS 1.3"});
}

TEST(BadOptionsTest, OfServers) {
  struct Case {
    std::function<void(ServerOptions&)> spoil;
    std::vector<std::string> words;
  };
  const std::vector<Case> cases = {
      {[](auto& o) { o.certificates.clear(); },
       {"certificate", "pre-shared key"}},
      {[](auto& o) { o.certificates.emplace_back(); }, {"certificate 2"}},
      {[](auto& o) { o.certificates[0].key_pem.clear(); }, {"private key"}},
      {[](auto& o) { o.certificates[0].chain_pem.clear(); }, {"certificate"}},
      {[](auto& o) { o.pre_shared_keys = {{"", {1}}}; }, {"identity"}},
      {[](auto& o) { o.pre_shared_keys = {{std::string("a\0b", 3), {1}}}; },
       {"identity"}},
      {[](auto& o) { o.pre_shared_keys = {{"id", {}}}; }, {"\"id\"", "256"}},
      {[](auto& o) { o.pre_shared_keys = {{"id", {1}}, {"id", {2}}}; },
       {"two", "\"id\""}},
      {[](auto& o) { o.psk_identity_hint = std::string(129, 'h'); },
       {"psk_identity_hint", "129", "128"}},
      {[](auto& o) { o.psk_identity_hint = std::string("a\0b", 3); },
       {"psk_identity_hint"}},
      {[](auto& o) { o.verification.mode = PeerVerification::kVerify; },
       {"client_trust"}},
      {[](auto& o) { o.client_trust.pem = "rubbish"; }, {"trust"}},
      {[](auto& o) { o.client_trust.crl_pem = "rubbish"; },
       {"revocation list"}},
      {[](auto& o) { o.cookie.lifetime = absl::Milliseconds(999); },
       {"cookie.lifetime", "999ms"}},
      {[](auto& o) { o.cookie.rotation = absl::Seconds(1); },
       {"cookie.rotation", "1s"}},
      {[](auto& o) { o.cookie.parameters.secret = "hush"; },
       {"cookie.secret", "4 bytes", "16"}},
      {[](auto& o) { o.session_lifetime = absl::ZeroDuration(); },
       {"session_lifetime", " 0"}},
      {[](auto& o) { o.max_session_ids = 0; }, {"max_session_ids"}},
      {[](auto& o) { o.max_session_id_bytes = 0; },
       {"max_session_id_bytes", "session_ids"}},
      {[](auto& o) { o.session_ticket_secret = "hush"; },
       {"session_ticket_secret", "4 bytes", "32"}},
  };
  for (const Case& c : cases) {
    EnginePair pair;
    c.spoil(pair.server_options);
    const absl::Status status = Context::Server(pair.server_options).status();
    ExpectRefused(status, c.words);
    EXPECT_FALSE(absl::StrContains(status.message(), "hush")) << status;
  }
}

TEST(BadOptionsTest, OfClients) {
  struct Case {
    std::function<void(ClientOptions&)> spoil;
    std::vector<std::string> words;
  };
  const std::vector<Case> cases = {
      {[](auto& o) { o.trust.pem = "rubbish"; }, {"trust anchors"}},
      {[](auto& o) { o.certificate.chain_pem = "rubbish"; },
       {"client's certificate"}},
      {[](auto& o) { o.certificate.key_pem = "rubbish"; },
       {"client's certificate"}},
      {[](auto& o) { o.pre_shared_key.key = {1}; }, {"identity"}},
      {[](auto& o) { o.pre_shared_key.identity = "id"; }, {"\"id\"", "256"}},
      {[](auto& o) {
         o.pre_shared_key = {"id", {1}};
         o.psk_for_hint =
             [](const std::string&) -> absl::StatusOr<PreSharedKey> {
           return absl::NotFoundError("none");
         };
       },
       {"pre_shared_key", "psk_for_hint"}},
  };
  for (const Case& c : cases) {
    EnginePair pair;
    c.spoil(pair.client_options);
    ExpectRefused(Context::Client(pair.client_options).status(), c.words);
  }
}

// A name that C would cut off is no name: what is sent, and what is verified,
// must be the same.
TEST(BadOptionsTest, OfOneSession) {
  EnginePair pair;
  const Context client = *Context::Client(pair.client_options);
  for (const std::string& name :
       {std::string(), std::string(256, 'a'), std::string("local\0host", 10)}) {
    EngineOptions options;
    options.server_name = name;
    ExpectRefused(Engine::Create(client, options).status(), {"name"});
  }
  SessionOverrides overrides;
  overrides.verify_name = std::string("local\0host", 10);
  ExpectRefused(Engine::Create(client, pair.client_engine, overrides).status(),
                {"verify_name"});
}

}  // namespace
}  // namespace cordon::dtls
