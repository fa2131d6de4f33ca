// How errors are told.
//
// Every operation returns an `absl::Status` with one of these codes:
//
//   kCancelled           stop was requested
//   kDeadlineExceeded    a time limit passed, that of the handshake included
//   kOutOfRange          the peer closed the session (`IsClosed`)
//   kUnauthenticated     the peer could not be verified
//   kPermissionDenied    the peer, or a policy, refuses us
//   kUnavailable         the network or the peer is gone, or no handshake is
//                        possible with it
//   kResourceExhausted   a limit
//   kInvalidArgument     bad options, or a message that is too large
//   kFailedPrecondition  calls in the wrong order
//   kInternal            a bug of this library
//
// and, where there is more to say, an `ErrorDetail`:
//
//   absl::Status status = co_await connection.Handshake();
//   if (auto detail = dtls::GetErrorDetail(status)) {
//     for (const auto& error : detail->verification_errors) Log(error.message);
//   }
#ifndef CORDON_DTLS_ERROR_H_
#define CORDON_DTLS_ERROR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/shared_bytes.h"

namespace cordon::dtls {

// What can be wrong with a certificate chain; the names follow X.509
// verification as OpenSSL and Qt's QSslError know it.
enum class VerificationErrorCode : uint8_t {
  kUnspecified = 0,
  kNoPeerCertificate,
  kUnableToGetIssuer,       // the chain ends at an unknown certificate
  kUnableToGetLocalIssuer,  // ... whose issuer we do not know
  kUnableToVerifyFirst,     // nothing but the peer's own, of an unknown issuer
  kSelfSigned,              // a self-signed certificate that is not trusted
  kSelfSignedInChain,       // the chain's root is not trusted
  kUnableToDecryptSignature,
  kUnableToDecodeIssuerKey,
  kSignatureInvalid,
  kNotYetValid,
  kExpired,
  kInvalidNotBefore,
  kInvalidNotAfter,
  kRevoked,
  kCrlUnavailable,  // revocation lists are used, but not its issuer's
  kCrlInvalid,      // its issuer's list is too old, or not by the issuer
  kInvalidCa,       // an issuer that may not issue
  kPathTooLong,     // more authorities than allowed
  kInvalidPurpose,  // not for servers, or not for clients
  kNotTrusted,
  kRejected,  // by the trust settings, or by the application
  kSubjectIssuerMismatch,
  kAuthorityKeyMismatch,
  kHostNameMismatch,
  kWeakKey,
  kWeakSignature,
  kBlocked,  // on the block list
  // By a `Policy`:
  kNotPinned,
  kNameNotAllowed,
  kNameDenied,
  kPskNotAllowed,
  // By `CertificateLimits`: it was not looked at, or not all of it.
  kLimitExceeded,
};
// The last of them.
inline constexpr VerificationErrorCode kLastVerificationErrorCode =
    VerificationErrorCode::kLimitExceeded;

// Errors that are told of one chain. If there are more, the last of these is
// `kLimitExceeded`, so that nobody takes them for all.
inline constexpr size_t kMaxVerificationErrors = 16;

// For people: "expired", "self-signed certificate", ...
absl::string_view VerificationErrorName(VerificationErrorCode code);
// For programs and flags: "expired", "self_signed", "host_name_mismatch", ...
absl::string_view VerificationErrorId(VerificationErrorCode code);
// The code of an id; kInvalidArgument lists the ids that there are.
absl::StatusOr<VerificationErrorCode> ParseVerificationErrorId(
    absl::string_view id);

// Whether with such an error nobody who is trusted vouches for what a
// certificate says, not even for its names: its issuer is unknown or may not
// issue it, its signature is wrong or can be forged, its key was given up.
bool BreaksTrust(VerificationErrorCode code);

struct VerificationError {
  VerificationErrorCode code = VerificationErrorCode::kUnspecified;
  // Where in the chain: 0 is the peer's own certificate.
  int depth = 0;
  // The subject of that certificate, printable (see `net::Printable`) and of at
  // most `net::kMaxNameBytes` bytes; and the certificate in DER.
  std::string subject = {};
  SharedBytes certificate = {};
  // A sentence for people, printable.
  std::string message = {};

  friend bool operator==(const VerificationError&,
                         const VerificationError&) = default;
};

// The particulars of a failure.
struct ErrorDetail {
  // The TLS alert that ended the session (RFC 5246 section 7.2), if there was
  // one, and which side sent it.
  std::optional<uint8_t> alert = {};
  bool alert_received = false;
  std::vector<VerificationError> verification_errors = {};
  // The name of the limit that was hit, or empty.
  std::string limit = {};
};

// What `errors` say, for the text of a status or a line of a log: the first
// few messages, and how many there are more.
std::string MessagesOf(const std::vector<VerificationError>& errors);

void SetErrorDetail(absl::Status* status, const ErrorDetail& detail);
std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status);

// True for the status that says that the peer closed the session in order, by
// a close_notify alert.
inline bool IsClosed(const absl::Status& status) {
  return absl::IsOutOfRange(status);
}

// "certificate_expired" for 45; "alert 200" for an unknown one.
std::string AlertName(uint8_t alert);

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_ERROR_H_
