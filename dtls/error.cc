#include "cordon/dtls/error.h"

#include <openssl/bytestring.h>
#include <openssl/mem.h>
#include <openssl/ssl.h>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace cordon::dtls {
namespace {

constexpr absl::string_view kTypeUrl = "type.cordon/dtls.ErrorDetail";
constexpr uint8_t kNoAlert = 0;
constexpr uint8_t kAlertSent = 1;
constexpr uint8_t kAlertReceived = 2;

bool AddString(CBB* cbb, const std::string& text) {
  CBB child;
  return CBB_add_u24_length_prefixed(cbb, &child) &&
         CBB_add_bytes(&child, reinterpret_cast<const uint8_t*>(text.data()),
                       text.size()) &&
         CBB_flush(cbb);
}

bool GetString(CBS* cbs, std::string* text) {
  CBS child;
  if (!CBS_get_u24_length_prefixed(cbs, &child)) return false;
  text->assign(reinterpret_cast<const char*>(CBS_data(&child)),
               CBS_len(&child));
  return true;
}

}  // namespace

absl::string_view VerificationErrorName(VerificationErrorCode code) {
  switch (code) {
    case VerificationErrorCode::kUnspecified:
      return "verification failed";
    case VerificationErrorCode::kNoPeerCertificate:
      return "no certificate";
    case VerificationErrorCode::kUnableToGetIssuer:
      return "unknown issuer";
    case VerificationErrorCode::kSelfSigned:
      return "self-signed certificate";
    case VerificationErrorCode::kSelfSignedInChain:
      return "untrusted root certificate";
    case VerificationErrorCode::kUnableToVerifyFirst:
      return "incomplete chain";
    case VerificationErrorCode::kSignatureInvalid:
      return "invalid signature";
    case VerificationErrorCode::kNotYetValid:
      return "not yet valid";
    case VerificationErrorCode::kExpired:
      return "expired";
    case VerificationErrorCode::kInvalidDates:
      return "invalid dates";
    case VerificationErrorCode::kRevoked:
      return "revoked";
    case VerificationErrorCode::kInvalidCa:
      return "issuer is no certificate authority";
    case VerificationErrorCode::kPathTooLong:
      return "chain too long";
    case VerificationErrorCode::kInvalidPurpose:
      return "wrong usage";
    case VerificationErrorCode::kNotTrusted:
      return "not trusted";
    case VerificationErrorCode::kRejected:
      return "rejected";
    case VerificationErrorCode::kHostNameMismatch:
      return "name mismatch";
    case VerificationErrorCode::kWeakKeyOrSignature:
      return "weak key or signature";
  }
  return "verification failed";
}

void SetErrorDetail(absl::Status* status, const ErrorDetail& detail) {
  bssl::ScopedCBB cbb;
  CBB_init(cbb.get(), 256);
  CBB_add_u8(cbb.get(), !detail.alert.has_value() ? kNoAlert
                        : detail.alert_received   ? kAlertReceived
                                                  : kAlertSent);
  CBB_add_u8(cbb.get(), detail.alert.value_or(0));
  AddString(cbb.get(), detail.limit);
  CBB_add_u16(cbb.get(),
              static_cast<uint16_t>(detail.verification_errors.size()));
  for (const VerificationError& error : detail.verification_errors) {
    CBB_add_u8(cbb.get(), static_cast<uint8_t>(error.code));
    CBB_add_u16(cbb.get(), static_cast<uint16_t>(error.depth));
    AddString(cbb.get(), error.subject);
    AddString(cbb.get(), error.certificate);
    AddString(cbb.get(), error.message);
  }
  status->SetPayload(kTypeUrl,
                     absl::Cord(absl::string_view(
                         reinterpret_cast<const char*>(CBB_data(cbb.get())),
                         CBB_len(cbb.get()))));
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
  for (uint16_t i = 0; i < count; ++i) {
    VerificationError error;
    uint8_t code = 0;
    uint16_t depth = 0;
    if (!CBS_get_u8(&cbs, &code) || !CBS_get_u16(&cbs, &depth) ||
        !GetString(&cbs, &error.subject) ||
        !GetString(&cbs, &error.certificate) ||
        !GetString(&cbs, &error.message)) {
      return std::nullopt;
    }
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
