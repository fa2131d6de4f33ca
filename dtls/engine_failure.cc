// What a session has failed of, in words.
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/internal/peer_verifier.h"

namespace cordon::dtls {
namespace {

absl::StatusCode CodeOfReceivedAlert(int alert) {
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_UNKNOWN_PSK_IDENTITY:
    case SSL_AD_CERTIFICATE_REQUIRED:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

// What the commonest of BoringSSL's reasons mean.
absl::string_view InWords(int reason) {
  switch (reason) {
    case SSL_R_NO_SHARED_CIPHER:
      return "there is no cipher suite that both have";
    case SSL_R_NO_SHARED_GROUP:
      return "there is no group that both have";
    case SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS:
      return "there is no signature algorithm that both have";
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return "there is no application protocol that both have";
    case SSL_R_BAD_ECC_CERT:
      return "the curve of the peer's key is not one of our groups";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_VERSION_NUMBER:
      return "there is no version of DTLS that both have";
    default:
      return "";
  }
}

// `error` is of BoringSSL's queue; 0 if it had none.
std::string ReasonOf(uint32_t error, int alert_sent) {
  const char* name = error == 0 ? nullptr : ERR_reason_error_string(error);
  if (name == nullptr) {
    return alert_sent < 0
               ? std::string("no reason is known")
               : absl::StrCat("the peer was told ",
                              AlertName(static_cast<uint8_t>(alert_sent)));
  }
  const absl::string_view words =
      ERR_GET_LIB(error) == ERR_LIB_SSL ? InWords(ERR_GET_REASON(error)) : "";
  return words.empty() ? std::string(name)
                       : absl::StrCat(words, " (", name, ")");
}

}  // namespace

// An alert that does not leave is lost as any datagram may be: the session is
// over for us either way, so neither result changes anything.
void Engine::SendFatalAlert(uint8_t alert) {
  (void)SSL_send_fatal_alert(ssl_.get(), alert);
}

void Engine::SendCloseNotify() { (void)SSL_shutdown(ssl_.get()); }

absl::Status Engine::FailureStatus() {
  const uint32_t error = ERR_peek_last_error();
  const int reason =
      ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  ERR_clear_error();

  ErrorDetail detail;
  absl::Status status;
  if (notes_.verdict == internal::Verdict::kRejected) {
    status = RefusalStatus();
    detail.verification_errors = notes_.errors;
  } else if (!notes_.psk_error.ok()) {
    status = absl::Status(
        notes_.psk_error.code(),
        absl::StrCat("no pre-shared key: ", notes_.psk_error.message()));
  } else if (notes_.alert_received >= 0) {
    status = absl::Status(
        CodeOfReceivedAlert(notes_.alert_received),
        absl::StrCat("the peer ended the session with the alert ",
                     AlertName(static_cast<uint8_t>(notes_.alert_received))));
  } else if (reason == SSL_R_READ_TIMEOUT_EXPIRED) {
    status = absl::UnavailableError("the peer does not answer");
  } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    VerificationError missing = internal::NoCertificateError();
    status = absl::UnauthenticatedError(missing.message);
    detail.verification_errors.push_back(std::move(missing));
  } else if (finished_ && reason == SSL_R_UNEXPECTED_RECORD) {
    status = absl::UnavailableError(
        "the peer sent what does not belong into a session, or asked for a "
        "renegotiation, which is never done");
  } else {
    status = absl::UnavailableError(absl::StrCat(
        finished_ ? "the session failed: " : "the handshake failed: ",
        ReasonOf(error, notes_.alert_sent)));
  }
  if (notes_.alert_received >= 0) {
    detail.alert = static_cast<uint8_t>(notes_.alert_received);
    detail.alert_received = true;
  } else if (notes_.alert_sent >= 0) {
    detail.alert = static_cast<uint8_t>(notes_.alert_sent);
  }
  SetErrorDetail(&status, detail);
  return status;
}

}  // namespace cordon::dtls
