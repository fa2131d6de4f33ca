#include "cordon/dtls/control/policy_proto.h"

#include <google/protobuf/util/message_differencer.h>
#include <openssl/sha.h>

#include <array>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/time_proto.h"
#include "cordon/dtls/error.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;

absl::StatusOr<PeerVerification> ModeOf(v1::Policy::ClientCertificate mode) {
  // A client of another version may send any number.
  switch (static_cast<int>(mode)) {
    case v1::Policy::NONE:
      return PeerVerification::kNone;
    case v1::Policy::QUERY:
      return PeerVerification::kQuery;
    case v1::Policy::REQUEST:
      return PeerVerification::kVerifyIfGiven;
    case v1::Policy::REQUIRE:
      return PeerVerification::kVerify;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("client_certificate: ", static_cast<int>(mode),
                       ": say NONE, QUERY, REQUEST or REQUIRE"));
  }
}

v1::Policy::ClientCertificate ModeOf(PeerVerification mode) {
  switch (mode) {
    case PeerVerification::kNone:
      return v1::Policy::NONE;
    case PeerVerification::kQuery:
      return v1::Policy::QUERY;
    case PeerVerification::kVerifyIfGiven:
      return v1::Policy::REQUEST;
    case PeerVerification::kVerify:
      return v1::Policy::REQUIRE;
    case PeerVerification::kAuto:
      break;
  }
  return v1::Policy::CLIENT_CERTIFICATE_UNSPECIFIED;
}

template <typename Repeated>
std::vector<std::string> Strings(const Repeated& field) {
  return {field.begin(), field.end()};
}

// A PEM text by what it has, for people.
std::string Digest(const std::string& pem) {
  if (pem.empty()) return "";
  size_t count = 0;
  for (size_t at = pem.find("-----BEGIN"); at != std::string::npos;
       at = pem.find("-----BEGIN", at + 1)) {
    ++count;
  }
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const uint8_t*>(pem.data()), pem.size(),
         digest.data());
  return absl::StrCat(count, " of SHA-256 ",
                      absl::BytesToHexString(
                          {reinterpret_cast<const char*>(digest.data()), 8}));
}

v1::Policy Summary(const Policy& policy) {
  v1::Policy summary = ToProto(policy);
  if (!summary.has_trust()) return summary;
  for (std::string* pem : {summary.mutable_trust()->mutable_pem(),
                           summary.mutable_trust()->mutable_crl_pem()}) {
    *pem = Digest(*pem);
  }
  return summary;
}

}  // namespace

absl::StatusOr<Policy> FromProto(const v1::Policy& proto) {
  Policy policy;
  absl::StatusOr<PeerVerification> mode = ModeOf(proto.client_certificate());
  if (!mode.ok()) return mode.status();
  policy.client_certificate = *mode;
  policy.trust.pem = proto.trust().pem();
  policy.trust.system = proto.trust().system();
  policy.trust.crl_pem = proto.trust().crl_pem();
  if (proto.has_max_chain_depth()) {
    if (proto.max_chain_depth() > 100) {
      return absl::InvalidArgumentError(
          absl::StrCat("max_chain_depth: ", proto.max_chain_depth(),
                       ": it must be from 0 to 100"));
    }
    policy.max_chain_depth = static_cast<int>(proto.max_chain_depth());
  }
  for (int i = 0; i < proto.tolerated_size(); ++i) {
    const v1::Tolerance& tolerance = proto.tolerated(i);
    absl::StatusOr<VerificationErrorCode> code =
        ParseVerificationErrorId(tolerance.error());
    if (!code.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tolerated[", i, "].error: ", code.status().message()));
    }
    policy.tolerated.push_back(
        {*code, tolerance.fingerprint(), tolerance.name(), tolerance.spki()});
  }
  for (int i = 0; i < proto.pins_size(); ++i) {
    const v1::Pin& pin = proto.pins(i);
    if (pin.kind() != v1::Pin::SPKI && pin.kind() != v1::Pin::CERTIFICATE) {
      return absl::InvalidArgumentError(
          absl::StrCat("pins[", i, "].kind: ", static_cast<int>(pin.kind()),
                       ": say SPKI or CERTIFICATE"));
    }
    policy.pins.push_back({pin.kind() == v1::Pin::SPKI
                               ? Pin::Kind::kSpki
                               : Pin::Kind::kCertificate,
                           pin.sha256()});
  }
  policy.allowed_names = Strings(proto.allowed_names());
  policy.denied_names = Strings(proto.denied_names());
  policy.blocked = Strings(proto.blocked());
  policy.psk_disabled = proto.psk().disabled();
  policy.psk_enabled_identities = Strings(proto.psk().enabled_identities());
  policy.psk_disabled_identities = Strings(proto.psk().disabled_identities());
  policy.min_version = proto.min_version();
  return policy;
}

v1::Policy ToProto(const Policy& policy) {
  v1::Policy proto;
  proto.set_client_certificate(ModeOf(policy.client_certificate));
  if (!policy.trust.pem.empty() || policy.trust.system ||
      !policy.trust.crl_pem.empty()) {
    proto.mutable_trust()->set_pem(policy.trust.pem);
    proto.mutable_trust()->set_system(policy.trust.system);
    proto.mutable_trust()->set_crl_pem(policy.trust.crl_pem);
  }
  proto.set_max_chain_depth(static_cast<uint32_t>(policy.max_chain_depth));
  for (const Tolerance& tolerance : policy.tolerated) {
    v1::Tolerance* to = proto.add_tolerated();
    to->set_error(std::string(VerificationErrorId(tolerance.error)));
    to->set_fingerprint(tolerance.fingerprint);
    to->set_name(tolerance.name);
    to->set_spki(tolerance.spki);
  }
  for (const Pin& pin : policy.pins) {
    v1::Pin* to = proto.add_pins();
    to->set_kind(pin.kind == Pin::Kind::kSpki ? v1::Pin::SPKI
                                              : v1::Pin::CERTIFICATE);
    to->set_sha256(pin.sha256);
  }
  proto.mutable_allowed_names()->Assign(policy.allowed_names.begin(),
                                        policy.allowed_names.end());
  proto.mutable_denied_names()->Assign(policy.denied_names.begin(),
                                       policy.denied_names.end());
  proto.mutable_blocked()->Assign(policy.blocked.begin(), policy.blocked.end());
  if (policy.psk_disabled || !policy.psk_enabled_identities.empty() ||
      !policy.psk_disabled_identities.empty()) {
    v1::PskPolicy* psk = proto.mutable_psk();
    psk->set_disabled(policy.psk_disabled);
    psk->mutable_enabled_identities()->Assign(
        policy.psk_enabled_identities.begin(),
        policy.psk_enabled_identities.end());
    psk->mutable_disabled_identities()->Assign(
        policy.psk_disabled_identities.begin(),
        policy.psk_disabled_identities.end());
  }
  proto.set_min_version(policy.min_version);
  return proto;
}

v1::PolicyVersion ToProto(const PolicyVersion& version) {
  v1::PolicyVersion proto;
  proto.set_version(version.version);
  proto.set_listener(version.listener);
  *proto.mutable_policy() = ToProto(version.policy());
  proto.set_author(version.author);
  proto.set_comment(version.comment);
  *proto.mutable_time() = ToTimestamp(version.time);
  proto.set_rolled_back_to(version.rolled_back_to);
  return proto;
}

std::string Differences(const Policy& before, const Policy& after) {
  google::protobuf::util::MessageDifferencer differencer;
  std::string report;
  differencer.ReportDifferencesToString(&report);
  if (differencer.Compare(Summary(before), Summary(after))) {
    return "no difference";
  }
  absl::StripTrailingAsciiWhitespace(&report);
  return absl::StrReplaceAll(report, {{"\n", "; "}});
}

}  // namespace cordon::dtls::control
