#include "cordon/dtls/control/session_proto.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "cordon/net/base/endpoint.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;

SessionRow RowOf(SessionSnapshot session) {
  SessionRow row;
  row.listener = std::make_shared<ListenerHandle>(
      "public", 3, net::Endpoint::LoopbackV4(4433), "simulated");
  row.session = std::make_shared<const SessionSnapshot>(std::move(session));
  return row;
}

TEST(SessionProtoTest, WhatPeersSayIsUtf8) {
  const v1::Session session =
      ToProto(RowOf({.info = {.alpn = "co\xff"
                                      "ap",
                              .server_name = "\x80",
                              .psk_identity = "sensor\xfe"}}));
  EXPECT_EQ(session.alpn(), "co?ap");
  EXPECT_EQ(session.server_name(), "?");
  EXPECT_EQ(session.psk_identity(), "sensor?");
  EXPECT_EQ(NameOf(RowOf({.info = {.psk_identity = "sensor\xfe"}})), "sensor?");
}

TEST(SessionProtoTest, AnEmptyPskIdentityIsOne) {
  const v1::Session without = ToProto(RowOf({}));
  EXPECT_FALSE(without.has_psk_identity());
  const v1::Session with = ToProto(RowOf({.info = {.psk = true}}));
  EXPECT_TRUE(with.has_psk_identity());
  EXPECT_EQ(with.psk_identity(), "");
  EXPECT_FALSE(with.has_peer_certificate());
}

TEST(SessionProtoTest, ASessionBeforeItsHandshakeHasNoPeerAndNoRoundTrip) {
  const SessionRow row = RowOf({.id = 7,
                                .peer = net::Endpoint::LoopbackV6(9),
                                .local = net::Endpoint::LoopbackV4(4433)});
  const v1::Session session = ToProto(row);
  EXPECT_EQ(session.id(), 7U);
  EXPECT_EQ(session.listener(), "public");
  EXPECT_EQ(session.reactor(), 3U);
  EXPECT_EQ(session.peer_address(), "[::1]:9");
  EXPECT_EQ(session.local_address(), "127.0.0.1:4433");
  EXPECT_EQ(session.state(), v1::SESSION_STATE_ACCEPTED);
  EXPECT_FALSE(session.has_peer_certificate());
  EXPECT_FALSE(session.has_round_trip());
  EXPECT_EQ(NameOf(row), "");
}

// Certificates may say so.
TEST(SessionProtoTest, TimesThatNoMessageCanHaveAreTheNearestThatItCan) {
  PeerIdentity identity;
  identity.not_before = absl::FromUnixSeconds(-62'167'219'200);  // the year 0
  identity.not_after = absl::FromUnixSeconds(253'402'300'800);   // 10000
  const v1::Certificate certificate = ToProto(identity);
  EXPECT_EQ(certificate.not_before().seconds(), -62'135'596'800);
  EXPECT_EQ(certificate.not_after().seconds(), 253'402'300'799);
}

TEST(SessionProtoTest, ErrorsThatCountAndThoseThatDoNotAreToldApart) {
  SessionSnapshot session;
  session.info.policy_version = 4;
  session.info.ignored_errors = {
      {.code = VerificationErrorCode::kExpired, .depth = 1}};
  session.errors = {{.code = VerificationErrorCode::kSelfSigned,
                     .subject = "CN=\xff",
                     .message = "nobody \xff knows it"}};
  const v1::Verification verification =
      ToProto(RowOf(std::move(session))).verification();
  EXPECT_FALSE(verification.verified());
  EXPECT_EQ(verification.policy_version(), 4U);
  ASSERT_EQ(verification.ignored_errors_size(), 1);
  EXPECT_EQ(verification.ignored_errors(0).code(), "expired");
  EXPECT_EQ(verification.ignored_errors(0).depth(), 1U);
  ASSERT_EQ(verification.errors_size(), 1);
  EXPECT_EQ(verification.errors(0).code(), "self_signed");
  EXPECT_EQ(verification.errors(0).subject(), "CN=?");
  EXPECT_EQ(verification.errors(0).message(), "nobody ? knows it");
}

TEST(SessionProtoTest, ADescriptionHasAnEnd) {
  PeerIdentity identity;
  for (int i = 0; i < 1000; ++i) {
    identity.dns_names.push_back("a" + std::to_string(i) + ".example.com");
    identity.uris.push_back(std::string(2000, 'u'));
  }
  identity.dns_names.push_back(std::string(100'000, 'd'));
  const v1::Certificate certificate = ToProto(identity);
  EXPECT_LE(certificate.ByteSizeLong(), kMaxNamesBytes + 4096);
  EXPECT_EQ(certificate.dns_names(0), "a0.example.com");
  EXPECT_EQ(static_cast<size_t>(certificate.dns_names_size()) +
                static_cast<size_t>(certificate.uris_size()) +
                certificate.names_left_out(),
            identity.dns_names.size() + identity.uris.size());
  EXPECT_GT(certificate.names_left_out(), 1000U);
  identity.dns_names.resize(10);
  identity.uris.clear();
  EXPECT_EQ(ToProto(identity).names_left_out(), 0U);
}

TEST(SessionProtoTest, BytesOfASnapshotAreThoseThatItKeeps) {
  SessionSnapshot session;
  const size_t alone = BytesOf(session);
  session.info.psk_identity = std::string(100, 'i');
  session.errors = {{.subject = std::string(200, 's'),
                     .certificate = std::string(50'000, 'c'),
                     .message = std::string(300, 'm')}};
  const size_t with_texts = BytesOf(session);
  EXPECT_GE(with_texts, alone + 600);
  // The certificate of an error is one of the chain.
  EXPECT_LT(with_texts, alone + 2000);
}

}  // namespace
}  // namespace cordon::dtls::control
