#include "cordon/dtls/control/session_query.h"

#include <openssl/pool.h>
#include <openssl/stack.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/testing/certs/certs.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;
using ::testing::StartsWith;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

v1::SessionFilter Parse(const std::string& text) {
  v1::SessionFilter filter;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &filter))
      << text;
  return filter;
}

SessionQuery Compile(const std::string& filter) {
  absl::StatusOr<SessionQuery> query = SessionQuery::Compile(Parse(filter));
  EXPECT_TRUE(query.ok()) << filter << query.status();
  return query.ok() ? *std::move(query) : SessionQuery();
}

SessionRow RowOf(SessionSnapshot session,
                 const std::string& listener = "public") {
  SessionRow row;
  row.listener = std::make_shared<ListenerHandle>(
      listener, 0, net::Endpoint::LoopbackV4(4433), "simulated");
  row.session = std::make_shared<const SessionSnapshot>(std::move(session));
  return row;
}

bool Matches(const std::string& filter, const SessionRow& row) {
  return Compile(filter).Matches(row, kNow);
}

void ExpectRefused(const std::string& filter, const std::string& message) {
  const absl::Status status = SessionQuery::Compile(Parse(filter)).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << filter;
  EXPECT_THAT(std::string(status.message()), StartsWith(message));
}

SessionRow From(const net::Endpoint& peer) { return RowOf({.peer = peer}); }

SessionRow From(absl::string_view address) {
  return From(*net::Endpoint::ParseAddress(address, 5684));
}

bool PrefixMatches(const std::string& prefix, const SessionRow& row) {
  return Matches(absl::StrCat("peer_prefix: \"", prefix, "\""), row);
}

// Each prefix of an address holds the addresses that differ in a bit behind it,
// and no others.
template <size_t kBytes, typename Make>
void CheckPrefixes(const std::array<uint8_t, kBytes>& address,
                   const Make& make) {
  const std::string text = make(address).AddressToString();
  for (size_t length = 0; length <= kBytes * 8; ++length) {
    const std::string prefix = absl::StrCat(text, "/", length);
    const SessionQuery query =
        Compile(absl::StrCat("peer_prefix: \"", prefix, "\""));
    EXPECT_TRUE(query.Matches(From(make(address)), kNow)) << prefix;
    for (size_t bit = 0; bit < kBytes * 8; ++bit) {
      std::array<uint8_t, kBytes> other = address;
      other[bit / 8] ^= static_cast<uint8_t>(0x80 >> bit % 8);
      EXPECT_EQ(query.Matches(From(make(other)), kNow), bit >= length)
          << prefix << " and " << make(other);
    }
  }
}

// What seems to choose sessions, and does not.
TEST(SessionQueryTest, KnowsFiltersThatExcludeNothing) {
  const SessionQuery::Bounds bounds = {.now = absl::FromUnixSeconds(10'000),
                                       .started = absl::FromUnixSeconds(9'000),
                                       .newest_policy = 7};
  const std::string all_states =
      "states: [SESSION_STATE_ACCEPTED, SESSION_STATE_HANDSHAKING, "
      "SESSION_STATE_VERIFICATION_FAILED, SESSION_STATE_CONNECTED, "
      "SESSION_STATE_PEER_CLOSED, SESSION_STATE_CLOSED, "
      "SESSION_STATE_FAILED] ";
  for (const std::string& filter :
       {std::string(), std::string("min_age { }"), std::string("min_idle { }"),
        std::string("max_age { seconds: 1000 }"), std::string("min_bytes: 0"),
        std::string("fingerprint: \":::\""),
        std::string("policy_version_below: 8"), all_states,
        all_states + "min_age { } fingerprint: \":\" max_age { seconds: "
                     "100000 }"}) {
    EXPECT_TRUE(Compile(filter).ExcludesNothing(bounds)) << filter;
  }
  for (const std::string filter :
       {"states: SESSION_STATE_CONNECTED", "listener: \"a\"",
        "peer_prefix: \"0.0.0.0/0\"", "peer_name: \"a\"", "fingerprint: \"a\"",
        "min_age { nanos: 1 }", "max_age { seconds: 999 }",
        "min_idle { nanos: 1 }", "min_bytes: 1", "resumed: false",
        "policy_version_below: 7", "min_age { } resumed: true"}) {
    EXPECT_FALSE(Compile(filter).ExcludesNothing(bounds)) << filter;
  }
}

TEST(SessionQueryTest, AnEmptyFilterIsEverySession) {
  EXPECT_TRUE(Compile("").matches_all());
  EXPECT_TRUE(SessionQuery().matches_all());
  EXPECT_TRUE(Matches("", RowOf({})));
  for (const char* filter :
       {"states: SESSION_STATE_CONNECTED", "listener: \"a\"",
        "peer_prefix: \"::/0\"", "peer_name: \"a\"", "fingerprint: \"a\"",
        "min_age { }", "max_age { }", "min_idle { }", "min_bytes: 1",
        "resumed: false", "policy_version_below: 1"}) {
    EXPECT_FALSE(Compile(filter).matches_all()) << filter;
  }
}

TEST(SessionQueryTest, ByState) {
  constexpr std::pair<EngineState, const char*> kStates[] = {
      {EngineState::kNotStarted, "SESSION_STATE_ACCEPTED"},
      {EngineState::kHandshaking, "SESSION_STATE_HANDSHAKING"},
      {EngineState::kVerificationFailed, "SESSION_STATE_VERIFICATION_FAILED"},
      {EngineState::kConnected, "SESSION_STATE_CONNECTED"},
      {EngineState::kPeerClosed, "SESSION_STATE_PEER_CLOSED"},
      {EngineState::kClosed, "SESSION_STATE_CLOSED"},
      {EngineState::kFailed, "SESSION_STATE_FAILED"},
  };
  for (const auto& [state, name] : kStates) {
    const SessionRow row = RowOf({.state = state});
    for (const auto& [other, other_name] : kStates) {
      EXPECT_EQ(Matches(absl::StrCat("states: ", other_name), row),
                state == other)
          << name << " " << other_name;
    }
  }
  const std::string two =
      "states: SESSION_STATE_CONNECTED states: SESSION_STATE_FAILED";
  EXPECT_TRUE(Matches(two, RowOf({.state = EngineState::kFailed})));
  EXPECT_FALSE(Matches(two, RowOf({.state = EngineState::kClosed})));
  ExpectRefused("states: SESSION_STATE_CONNECTED states: 0",
                "filter.states[1]: 0 ");
  ExpectRefused("states: 8", "filter.states[0]: 8 ");
  ExpectRefused("states: -1", "filter.states[0]: -1 ");
}

TEST(SessionQueryTest, ByListener) {
  EXPECT_TRUE(Matches("listener: \"public\"", RowOf({}, "public")));
  EXPECT_FALSE(Matches("listener: \"public\"", RowOf({}, "public2")));
  EXPECT_FALSE(Matches("listener: \"Public\"", RowOf({}, "public")));
  EXPECT_EQ(Compile("listener: \"public\"").listener(), "public");
  EXPECT_EQ(Compile("").listener(), "");
}

TEST(SessionQueryTest, ByPrefixesOfEveryLengthOfIpv4) {
  CheckPrefixes<4>({10, 0x5a, 0xff, 0},
                   [](const auto& a) { return net::Endpoint::V4(a, 5684); });
}

TEST(SessionQueryTest, ByPrefixesOfEveryLengthOfIpv6) {
  CheckPrefixes<16>(
      {0x20, 0x01, 0x0d, 0xb8, 0, 0xff, 0x5a, 0xa5, 1, 2, 3, 4, 5, 6, 7, 0xfe},
      [](const auto& a) { return net::Endpoint::V6(a, 5684); });
}

TEST(SessionQueryTest, ByAddress) {
  EXPECT_TRUE(PrefixMatches("10.1.2.3", From("10.1.2.3")));
  EXPECT_FALSE(PrefixMatches("10.1.2.3", From("10.1.2.2")));
  EXPECT_TRUE(PrefixMatches("::1", From("::1")));
  EXPECT_FALSE(PrefixMatches("::1", From("::2")));
  // Bits behind the prefix do not count.
  EXPECT_TRUE(PrefixMatches("10.1.2.3/16", From("10.1.255.255")));
  // Neither family is the other, not even where it has no bits to compare.
  EXPECT_FALSE(PrefixMatches("0.0.0.0/0", From("::")));
  EXPECT_FALSE(PrefixMatches("::/0", From("0.0.0.0")));
}

TEST(SessionQueryTest, BadPrefixesAreRefused) {
  for (const char* prefix :
       {"home", "/8", "10.0.0/8", "10.0.0.0:5684", "[::1]", ":::/64"}) {
    ExpectRefused(
        absl::StrCat("peer_prefix: \"", prefix, "\""),
        absl::StrCat("filter.peer_prefix: \"", prefix, "\": say an address"));
  }
  for (const char* prefix :
       {"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8/8",
        "10.0.0.0/8x", "10.0.0.0/99999999999"}) {
    ExpectRefused(absl::StrCat("peer_prefix: \"", prefix, "\""),
                  absl::StrCat("filter.peer_prefix: \"", prefix,
                               "\": the length must be from 0 to 32"));
  }
  ExpectRefused("peer_prefix: \"::/129\"",
                "filter.peer_prefix: \"::/129\": the length must be from 0 to "
                "128");
}

TEST(SessionQueryTest, ByAge) {
  const SessionRow row = RowOf({.opened = kNow - absl::Seconds(10)});
  EXPECT_TRUE(Matches("min_age { seconds: 10 }", row));
  EXPECT_FALSE(Matches("min_age { seconds: 10 nanos: 1 }", row));
  EXPECT_TRUE(Matches("max_age { seconds: 10 }", row));
  EXPECT_FALSE(Matches("max_age { seconds: 9 nanos: 999999999 }", row));
  EXPECT_TRUE(Matches("min_age { seconds: 9 } max_age { seconds: 11 }", row));
  EXPECT_TRUE(Matches("min_age { }", row));
  EXPECT_FALSE(Matches("max_age { }", row));
  EXPECT_TRUE(Matches("max_age { seconds: 315576000000 }", row));
}

TEST(SessionQueryTest, ByIdleness) {
  const SessionRow row = RowOf({.opened = kNow - absl::Hours(1),
                                .last_activity = kNow - absl::Seconds(10)});
  EXPECT_TRUE(Matches("min_idle { seconds: 10 }", row));
  EXPECT_FALSE(Matches("min_idle { seconds: 11 }", row));
}

TEST(SessionQueryTest, BadTimesAreRefused) {
  for (const char* field : {"min_age", "max_age", "min_idle"}) {
    for (const char* time : {"seconds: -1", "nanos: -1", "nanos: 1000000000",
                             "seconds: 315576000001"}) {
      ExpectRefused(absl::StrCat(field, " { ", time, " }"),
                    absl::StrCat("filter.", field, ": "));
    }
  }
}

TEST(SessionQueryTest, ByTrafficOfBothWays) {
  const SessionRow row =
      RowOf({.statistics = {.bytes_received = 60, .bytes_sent = 40}});
  EXPECT_TRUE(Matches("min_bytes: 100", row));
  EXPECT_FALSE(Matches("min_bytes: 101", row));
}

TEST(SessionQueryTest, ByResumption) {
  const SessionRow resumed = RowOf({.info = {.resumed = true}});
  EXPECT_TRUE(Matches("resumed: true", resumed));
  EXPECT_FALSE(Matches("resumed: false", resumed));
  EXPECT_FALSE(Matches("resumed: true", RowOf({})));
  EXPECT_TRUE(Matches("resumed: false", RowOf({})));
}

TEST(SessionQueryTest, ByPolicyVersion) {
  const SessionRow row = RowOf({.info = {.policy_version = 3}});
  EXPECT_FALSE(Matches("policy_version_below: 3", row));
  EXPECT_TRUE(Matches("policy_version_below: 4", row));
  EXPECT_TRUE(Matches("policy_version_below: 1", RowOf({})));
}

SessionRow WithCertificate() {
  static const testing::TestAuthority authority("Query CA");
  const Certificate certificate =
      authority.Issue({.common_name = "The Robot",
                       .dns_names = {"first.example.org", "Second.Example.org"},
                       .ip_addresses = {"192.0.2.7"},
                       .uris = {"spiffe://example.org/robot"}});
  const std::string der =
      Context::Server({.certificates = {certificate}})->OwnCertificates()[0];
  SessionSnapshot session;
  session.chain.reset(sk_CRYPTO_BUFFER_new_null());
  bssl::PushToStack(
      session.chain.get(),
      bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(
          reinterpret_cast<const uint8_t*>(der.data()), der.size(), nullptr)));
  return RowOf(std::move(session));
}

TEST(SessionQueryTest, ByNamesOfTheCertificateInAnyCase) {
  const SessionRow row = WithCertificate();
  for (const char* name :
       {"first.example.org", "SECOND.example", "192.0.2.7", "the robot",
        "spiffe://Example.org/robot", "robot", "."}) {
    EXPECT_TRUE(Matches(absl::StrCat("peer_name: \"", name, "\""), row))
        << name;
  }
  for (const char* name :
       {"third.example.org", "192.0.2.77", "Query CA", "*"}) {
    EXPECT_FALSE(Matches(absl::StrCat("peer_name: \"", name, "\""), row))
        << name;
  }
}

TEST(SessionQueryTest, ByPskIdentity) {
  const SessionRow row = RowOf({.info = {.psk_identity = "Sensor-17"}});
  EXPECT_TRUE(Matches("peer_name: \"sensor-1\"", row));
  EXPECT_FALSE(Matches("peer_name: \"sensor-2\"", row));
  EXPECT_FALSE(Matches("peer_name: \"sensor\"", RowOf({})));
}

TEST(SessionQueryTest, ByTheFirstDigitsOfTheFingerprint) {
  const SessionRow row = WithCertificate();
  const std::string whole = row.identity().fingerprint;
  ASSERT_EQ(whole.size(), 64U);
  const auto matches = [&](const std::string& digits) {
    return Matches(absl::StrCat("fingerprint: \"", digits, "\""), row);
  };
  EXPECT_TRUE(matches(whole));
  EXPECT_TRUE(matches(absl::AsciiStrToUpper(whole)));
  EXPECT_TRUE(matches(whole.substr(0, 1)));
  EXPECT_TRUE(
      matches(absl::StrCat(whole.substr(0, 2), ":", whole.substr(2, 2), ":")));
  std::string other = whole;
  other[63] = other[63] == '0' ? '1' : '0';
  EXPECT_FALSE(matches(other));
  EXPECT_FALSE(Matches(absl::StrCat("fingerprint: \"", whole, "\""),
                       RowOf({.info = {.psk_identity = whole}})));
  ExpectRefused(absl::StrCat("fingerprint: \"", whole, "0\""),
                "filter.fingerprint: ");
  ExpectRefused("fingerprint: \"0g\"", "filter.fingerprint: \"0g\": ");
}

TEST(SessionQueryTest, AllThatIsSetMustBeFulfilled) {
  const SessionRow row =
      RowOf({.peer = *net::Endpoint::ParseAddress("10.1.2.3", 5684),
             .state = EngineState::kConnected,
             .info = {.psk_identity = "sensor"},
             .opened = kNow - absl::Seconds(10)});
  const std::string all =
      "states: SESSION_STATE_CONNECTED peer_prefix: \"10.0.0.0/8\" "
      "peer_name: \"sensor\" min_age { seconds: 5 } ";
  EXPECT_TRUE(Matches(all, row));
  EXPECT_FALSE(Matches(all + "min_bytes: 1", row));
  EXPECT_FALSE(Matches(all + "listener: \"other\"", row));
}

}  // namespace
}  // namespace cordon::dtls::control
