#include "cordon/dtls/error.h"

#include <openssl/bytestring.h>
#include <openssl/mem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace cordon::dtls {
namespace {

constexpr absl::string_view kTypeUrl = "type.cordon/dtls.ErrorDetail";
constexpr uint8_t kNoAlert = 0;
constexpr uint8_t kAlertSent = 1;
constexpr uint8_t kAlertReceived = 2;

// Messages of a status's text.
constexpr size_t kMaxMessages = 4;

// What three bytes can count.
constexpr size_t kMaxStringBytes = 0xffffff;

// Not BoringSSL's CBB, which may get no memory.
void AddInteger(std::string* out, uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) {
    out->push_back(static_cast<char>(value >> (8 * i)));
  }
}

void AddString(std::string* out, absl::string_view text) {
  text = text.substr(0, kMaxStringBytes);
  AddInteger(out, text.size(), 3);
  out->append(text.data(), text.size());
}

bool GetString(CBS* cbs, std::string* text) {
  CBS child;
  if (!CBS_get_u24_length_prefixed(cbs, &child)) return false;
  text->assign(reinterpret_cast<const char*>(CBS_data(&child)),
               CBS_len(&child));
  return true;
}

struct CodeText {
  VerificationErrorCode code;
  absl::string_view id;
  absl::string_view name;
};

using Code = VerificationErrorCode;

// In the order of the codes.
constexpr std::array<CodeText, 33> kCodeTexts = {{
    {Code::kUnspecified, "unspecified", "verification failed"},
    {Code::kNoPeerCertificate, "no_peer_certificate", "no certificate"},
    {Code::kUnableToGetIssuer, "unable_to_get_issuer", "unknown issuer"},
    {Code::kUnableToGetLocalIssuer, "unable_to_get_local_issuer",
     "unknown issuer"},
    {Code::kUnableToVerifyFirst, "unable_to_verify_first", "incomplete chain"},
    {Code::kSelfSigned, "self_signed", "self-signed certificate"},
    {Code::kSelfSignedInChain, "self_signed_in_chain",
     "untrusted root certificate"},
    {Code::kUnableToDecryptSignature, "unable_to_decrypt_signature",
     "unreadable signature"},
    {Code::kUnableToDecodeIssuerKey, "unable_to_decode_issuer_key",
     "unreadable key of the issuer"},
    {Code::kSignatureInvalid, "signature_invalid", "invalid signature"},
    {Code::kNotYetValid, "not_yet_valid", "not yet valid"},
    {Code::kExpired, "expired", "expired"},
    {Code::kInvalidNotBefore, "invalid_not_before",
     "unreadable begin of validity"},
    {Code::kInvalidNotAfter, "invalid_not_after", "unreadable end of validity"},
    {Code::kRevoked, "revoked", "revoked"},
    {Code::kCrlUnavailable, "crl_unavailable", "no revocation list"},
    {Code::kCrlInvalid, "crl_invalid", "invalid revocation list"},
    {Code::kInvalidCa, "invalid_ca", "issuer is no certificate authority"},
    {Code::kPathTooLong, "path_too_long", "chain too long"},
    {Code::kInvalidPurpose, "invalid_purpose", "wrong usage"},
    {Code::kNotTrusted, "not_trusted", "not trusted"},
    {Code::kRejected, "rejected", "rejected"},
    {Code::kSubjectIssuerMismatch, "subject_issuer_mismatch", "another issuer"},
    {Code::kAuthorityKeyMismatch, "authority_key_mismatch",
     "another key of the issuer"},
    {Code::kHostNameMismatch, "host_name_mismatch", "name mismatch"},
    {Code::kWeakKey, "weak_key", "weak key"},
    {Code::kWeakSignature, "weak_signature", "weak signature"},
    {Code::kBlocked, "blocked", "blocked"},
    {Code::kNotPinned, "not_pinned", "not a pinned certificate"},
    {Code::kNameNotAllowed, "name_not_allowed", "no allowed name"},
    {Code::kNameDenied, "name_denied", "denied name"},
    {Code::kPskNotAllowed, "psk_not_allowed", "pre-shared key not allowed"},
    {Code::kLimitExceeded, "limit_exceeded", "beyond a limit"},
}};
static_assert(kCodeTexts.size() ==
              static_cast<size_t>(kLastVerificationErrorCode) + 1);

const CodeText& TextOf(VerificationErrorCode code) {
  const auto index = static_cast<size_t>(code);
  return kCodeTexts[index < kCodeTexts.size() ? index : 0];
}

}  // namespace

absl::string_view VerificationErrorName(VerificationErrorCode code) {
  return TextOf(code).name;
}

absl::string_view VerificationErrorId(VerificationErrorCode code) {
  return TextOf(code).id;
}

absl::StatusOr<VerificationErrorCode> ParseVerificationErrorId(
    absl::string_view id) {
  for (const CodeText& text : kCodeTexts) {
    if (text.id == id) return text.code;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "there is no verification error \"", id, "\"; choose from ",
      absl::StrJoin(kCodeTexts, ", ", [](std::string* out, const CodeText& t) {
        absl::StrAppend(out, t.id);
      })));
}

bool BreaksTrust(VerificationErrorCode code) {
  switch (code) {
    case Code::kUnableToGetIssuer:
    case Code::kUnableToGetLocalIssuer:
    case Code::kUnableToVerifyFirst:
    case Code::kSelfSigned:
    case Code::kSelfSignedInChain:
    case Code::kUnableToDecryptSignature:
    case Code::kUnableToDecodeIssuerKey:
    case Code::kSignatureInvalid:
    case Code::kRevoked:
    case Code::kInvalidCa:
    case Code::kPathTooLong:
    case Code::kNotTrusted:
    case Code::kRejected:
    case Code::kSubjectIssuerMismatch:
    case Code::kAuthorityKeyMismatch:
    case Code::kWeakKey:
    case Code::kWeakSignature:
    case Code::kBlocked:
    // It may be any of these.
    case Code::kUnspecified:
    case Code::kLimitExceeded:
      return true;
    case Code::kNoPeerCertificate:
    case Code::kNotYetValid:
    case Code::kExpired:
    case Code::kInvalidNotBefore:
    case Code::kInvalidNotAfter:
    case Code::kCrlUnavailable:
    case Code::kCrlInvalid:
    case Code::kInvalidPurpose:
    case Code::kHostNameMismatch:
    // What the policy itself demands.
    case Code::kNotPinned:
    case Code::kNameNotAllowed:
    case Code::kNameDenied:
    case Code::kPskNotAllowed:
      return false;
  }
  return true;
}

std::string MessagesOf(const std::vector<VerificationError>& errors) {
  std::string text;
  for (size_t i = 0; i < std::min(errors.size(), kMaxMessages); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : "; ", errors[i].message);
  }
  if (errors.size() > kMaxMessages) {
    absl::StrAppend(&text, "; and ", errors.size() - kMaxMessages, " more");
  }
  return text;
}

void SetErrorDetail(absl::Status* status, const ErrorDetail& detail) {
  std::string out;
  AddInteger(&out,
             !detail.alert.has_value() ? kNoAlert
             : detail.alert_received   ? kAlertReceived
                                       : kAlertSent,
             1);
  AddInteger(&out, detail.alert.value_or(0), 1);
  AddString(&out, detail.limit);
  const size_t count =
      std::min<size_t>(detail.verification_errors.size(), UINT16_MAX);
  AddInteger(&out, count, 2);
  // Many errors are of one certificate, which is written once.
  absl::flat_hash_map<absl::string_view, size_t> certificates;
  for (size_t i = 0; i < count; ++i) {
    const VerificationError& error = detail.verification_errors[i];
    const auto [at, is_new] =
        certificates.try_emplace(error.certificate, certificates.size());
    AddInteger(&out, static_cast<uint8_t>(error.code), 1);
    AddInteger(&out, static_cast<uint16_t>(error.depth), 2);
    AddString(&out, error.subject);
    AddInteger(&out, at->second, 2);
    if (is_new) AddString(&out, error.certificate);
    AddString(&out, error.message);
  }
  status->SetPayload(kTypeUrl, absl::Cord(absl::string_view(out)));
}

std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status) {
  const auto payload = status.GetPayload(kTypeUrl);
  if (!payload.has_value()) return std::nullopt;
  const std::string bytes(*payload);
  CBS cbs;
  CBS_init(&cbs, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  ErrorDetail detail;
  uint8_t direction = 0;
  uint8_t alert = 0;
  uint16_t count = 0;
  if (!CBS_get_u8(&cbs, &direction) || !CBS_get_u8(&cbs, &alert) ||
      !GetString(&cbs, &detail.limit) || !CBS_get_u16(&cbs, &count)) {
    return std::nullopt;
  }
  if (direction != kNoAlert) detail.alert = alert;
  detail.alert_received = direction == kAlertReceived;
  std::vector<SharedBytes> certificates;
  for (uint16_t i = 0; i < count; ++i) {
    VerificationError error;
    uint8_t code = 0;
    uint16_t depth = 0;
    uint16_t certificate = 0;
    std::string der;
    if (!CBS_get_u8(&cbs, &code) || !CBS_get_u16(&cbs, &depth) ||
        !GetString(&cbs, &error.subject) || !CBS_get_u16(&cbs, &certificate) ||
        certificate > certificates.size() ||
        (certificate == certificates.size() && !GetString(&cbs, &der)) ||
        !GetString(&cbs, &error.message)) {
      return std::nullopt;
    }
    if (certificate == certificates.size()) {
      certificates.emplace_back(std::move(der));
    }
    error.certificate = certificates[certificate];
    error.code = static_cast<VerificationErrorCode>(code);
    error.depth = depth;
    detail.verification_errors.push_back(std::move(error));
  }
  return detail;
}

std::string AlertName(uint8_t alert) {
  const absl::string_view text = SSL_alert_desc_string_long(alert);
  if (text.empty() || text == "unknown") return absl::StrCat("alert ", alert);
  return absl::AsciiStrToLower(absl::StrReplaceAll(text, {{" ", "_"}}));
}

}  // namespace cordon::dtls
