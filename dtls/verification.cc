#include "cordon/dtls/verification.h"

#include <algorithm>
#include <string>

namespace cordon::dtls {

absl::string_view PeerVerificationName(PeerVerification mode) {
  switch (mode) {
    case PeerVerification::kAuto:
      return "auto";
    case PeerVerification::kNone:
      return "none";
    case PeerVerification::kQuery:
      return "query";
    case PeerVerification::kVerifyIfGiven:
      return "verify_if_given";
    case PeerVerification::kVerify:
      return "verify";
  }
  return "auto";
}

std::vector<IgnoredError> IgnoreExactly(
    absl::Span<const VerificationError> errors) {
  std::vector<IgnoredError> ignored;
  ignored.reserve(errors.size());
  for (const VerificationError& error : errors) {
    ignored.push_back({error.code, std::string(error.certificate.view())});
  }
  return ignored;
}

std::vector<IgnoredError> IgnoreCodes(
    absl::Span<const VerificationErrorCode> codes) {
  std::vector<IgnoredError> ignored;
  ignored.reserve(codes.size());
  for (VerificationErrorCode code : codes) ignored.push_back({code, ""});
  return ignored;
}

std::vector<VerificationError> NotIgnored(
    absl::Span<const VerificationError> errors,
    absl::Span<const IgnoredError> ignored) {
  std::vector<VerificationError> left;
  for (const VerificationError& error : errors) {
    if (std::none_of(ignored.begin(), ignored.end(),
                     [&](const IgnoredError& i) { return i.Covers(error); })) {
      left.push_back(error);
    }
  }
  return left;
}

}  // namespace cordon::dtls
