#include "cordon/dtls/control/policy_proto.h"

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A policy in which every field says something.
Policy Full() {
  Policy policy;
  policy.client_certificate = PeerVerification::kVerify;
  policy.trust = {.pem = "-----BEGIN CERTIFICATE-----\nroots\n",
                  .system = true,
                  .crl_pem = "-----BEGIN X509 CRL-----\nlists\n"};
  policy.max_chain_depth = 3;
  policy.blocked = {"aa", "bb"};
  policy.tolerated = {
      {.error = VerificationErrorCode::kExpired},
      {.error = VerificationErrorCode::kSelfSigned, .fingerprint = "cc"},
      {.error = VerificationErrorCode::kExpired, .name = "*.example.org"},
      {.error = VerificationErrorCode::kRevoked, .spki = "ff"}};
  policy.pins = {{.kind = Pin::Kind::kSpki, .sha256 = "dd"},
                 {.kind = Pin::Kind::kCertificate, .sha256 = "ee"}};
  policy.allowed_names = {"*.example.org", "uri:spiffe://example.org/**"};
  policy.denied_names = {"bad.example.org"};
  policy.psk_disabled = true;
  policy.psk_enabled_identities = {"one", "two"};
  policy.psk_disabled_identities = {"three"};
  policy.min_version = "DTLSv1.2";
  return policy;
}

v1::Policy Parse(const std::string& text) {
  v1::Policy proto;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &proto));
  return proto;
}

void ExpectRefused(const std::string& text, const std::string& message) {
  const absl::Status status = FromProto(Parse(text)).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
  EXPECT_THAT(std::string(status.message()), StartsWith(message));
}

TEST(PolicyProtoTest, EveryFieldComesBack) {
  const v1::Policy proto = ToProto(Full());
  // A field that is new must be in `Full`, too.
  const google::protobuf::Descriptor& fields = *v1::Policy::descriptor();
  for (int i = 0; i < fields.field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = fields.field(i);
    EXPECT_TRUE(field->is_repeated()
                    ? proto.GetReflection()->FieldSize(proto, field) > 0
                    : proto.GetReflection()->HasField(proto, field))
        << field->name();
  }
  const absl::StatusOr<Policy> back = FromProto(proto);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE(*back == Full()) << Differences(Full(), *back);
}

TEST(PolicyProtoTest, WhatIsNotSaidIsAsInAPolicyThatSaysNothing) {
  const absl::StatusOr<Policy> policy =
      FromProto(Parse("client_certificate: NONE"));
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_TRUE(*policy == Policy()) << Differences(Policy(), *policy);
  const v1::Policy proto = ToProto(*policy);
  EXPECT_FALSE(proto.has_trust());
  EXPECT_FALSE(proto.has_psk());
  EXPECT_EQ(proto.max_chain_depth(), 10U);
}

TEST(PolicyProtoTest, EachModeComesBack) {
  for (const PeerVerification mode :
       {PeerVerification::kNone, PeerVerification::kQuery,
        PeerVerification::kVerifyIfGiven, PeerVerification::kVerify}) {
    Policy policy;
    policy.client_certificate = mode;
    const absl::StatusOr<Policy> back = FromProto(ToProto(policy));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->client_certificate, mode);
  }
  Policy automatic;
  automatic.client_certificate = PeerVerification::kAuto;
  EXPECT_EQ(ToProto(automatic).client_certificate(),
            v1::Policy::CLIENT_CERTIFICATE_UNSPECIFIED);
}

TEST(PolicyProtoTest, DepthsFromNoneOn) {
  for (const int depth : {0, 1, 100}) {
    const absl::StatusOr<Policy> policy = FromProto(Parse(
        absl::StrCat("client_certificate: NONE max_chain_depth: ", depth)));
    ASSERT_TRUE(policy.ok()) << policy.status();
    EXPECT_EQ(policy->max_chain_depth, depth);
    EXPECT_EQ(ToProto(*policy).max_chain_depth(), static_cast<uint32_t>(depth));
  }
}

TEST(PolicyProtoTest, WhatIsWrongIsToldByTheNameOfItsField) {
  ExpectRefused("", "client_certificate: 0: say NONE, QUERY, ");
  ExpectRefused("client_certificate: 9", "client_certificate: 9: ");
  ExpectRefused("client_certificate: NONE max_chain_depth: 101",
                "max_chain_depth: 101: ");
  ExpectRefused("client_certificate: NONE max_chain_depth: 4294967295",
                "max_chain_depth: 4294967295: ");
  ExpectRefused(
      "client_certificate: NONE tolerated { error: \"expired\" } "
      "tolerated { error: \"old\" }",
      "tolerated[1].error: ");
  ExpectRefused("client_certificate: NONE tolerated { }",
                "tolerated[0].error: ");
  ExpectRefused("client_certificate: NONE pins { kind: 7 sha256: \"aa\" }",
                "pins[0].kind: 7: ");
}

TEST(PolicyProtoTest, AVersionIsToldWithWhoMadeItAndWhen) {
  PolicyStore store;
  PolicyStore::Change change;
  change.listener = "public";
  change.policy.denied_names = {"bad.example.org"};
  change.author = "alice";
  change.comment = "one bad name";
  ASSERT_EQ(store.Set(change).value_or(0), 1U);
  ASSERT_EQ(store.RollBack("public", 1, 1, "bob", "again").value_or(0), 2U);

  PolicyVersion version = store.Present("public");
  version.time = absl::FromUnixMicros(1'700'000'000'123'456);
  const v1::PolicyVersion proto = ToProto(version);
  EXPECT_EQ(proto.version(), 2U);
  EXPECT_EQ(proto.listener(), "public");
  EXPECT_EQ(proto.policy().denied_names(0), "bad.example.org");
  EXPECT_EQ(proto.author(), "bob");
  EXPECT_EQ(proto.comment(), "again");
  EXPECT_EQ(proto.rolled_back_to(), 1U);
  EXPECT_EQ(proto.time().seconds(), 1'700'000'000);
  EXPECT_EQ(proto.time().nanos(), 123'456'000);
  EXPECT_FALSE(proto.current());
}

TEST(DifferencesTest, AreNoneBetweenEqualPolicies) {
  EXPECT_EQ(Differences(Policy(), Policy()), "no difference");
  EXPECT_EQ(Differences(Full(), Full()), "no difference");
}

TEST(DifferencesTest, AreToldOnOneLine) {
  Policy after = Full();
  after.max_chain_depth = 4;
  after.allowed_names.push_back("new.example.org");
  after.psk_disabled = false;
  const std::string told = Differences(Full(), after);
  EXPECT_EQ(std::count(told.begin(), told.end(), ';'), 2) << told;
  EXPECT_THAT(told, Not(HasSubstr("\n")));
  EXPECT_THAT(told, HasSubstr("max_chain_depth: 3 -> 4"));
  EXPECT_THAT(told, HasSubstr("allowed_names[2]: \"new.example.org\""));
  EXPECT_THAT(told, HasSubstr("psk.disabled: true"));
}

TEST(DifferencesTest, CertificatesAndRevocationListsAreToldByTheirDigest) {
  Policy after = Full();
  after.trust.pem =
      "-----BEGIN CERTIFICATE-----\nsecret place\n"
      "-----BEGIN CERTIFICATE-----\nanother\n";
  after.trust.crl_pem = "";
  const std::string told = Differences(Full(), after);
  EXPECT_EQ(std::count(told.begin(), told.end(), ';'), 1) << told;
  EXPECT_THAT(told, HasSubstr("trust.pem: \"1 of SHA-256 "));
  EXPECT_THAT(told, HasSubstr(" -> \"2 of SHA-256 "));
  EXPECT_THAT(told, HasSubstr("trust.crl_pem: \"1 of SHA-256 "));
  EXPECT_THAT(told, Not(HasSubstr("BEGIN")));
  EXPECT_THAT(told, Not(HasSubstr("secret place")));
  EXPECT_THAT(told, Not(HasSubstr("lists")));

  // Also where there was no trust at all.
  const std::string first = Differences(Policy(), after);
  EXPECT_THAT(first, HasSubstr("2 of SHA-256 "));
  EXPECT_THAT(first, Not(HasSubstr("secret place")));
}

}  // namespace
}  // namespace cordon::dtls::control
