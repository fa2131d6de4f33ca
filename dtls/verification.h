// Whether a peer may pass: how strictly it is verified, which errors are
// tolerated, and verdicts that the application gives itself.
//
//   absl::Status status = co_await connection.Handshake();
//   if (connection.state() == dtls::EngineState::kVerificationFailed) {
//     for (const auto& error : connection.PeerVerificationErrors()) {
//       Show(error.message);
//     }
//     if (UserAgrees()) {
//       status = co_await connection.ResumeHandshake(
//           dtls::IgnoreExactly(connection.PeerVerificationErrors()));
//     } else {
//       status = co_await connection.AbortHandshake();
//     }
//   }
#ifndef CORDON_DTLS_VERIFICATION_H_
#define CORDON_DTLS_VERIFICATION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/error.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls {

// How a peer is verified. The first four are those of Qt's
// QSslSocket::PeerVerifyMode.
enum class PeerVerification : uint8_t {
  // A client: `kVerify`. A server: `kQuery` if it was told whom to trust
  // (`ServerOptions::client_trust`), otherwise `kNone`.
  kAuto,
  // A client accepts any server; a server asks for no certificate.
  kNone,
  // The certificate is asked for and judged, but what is wrong with it is only
  // told (`Connection::PeerVerificationErrors`): the handshake goes on.
  kQuery,
  // A server: no certificate is fine, but one that is sent must be good. A
  // client: `kVerify`.
  kVerifyIfGiven,
  // No session without a good certificate (or a pre-shared key).
  kVerify,
};

// "auto", "none", "query", "verify_if_given", "verify".
absl::string_view PeerVerificationName(PeerVerification mode);

// Whether what is wrong with a peer's certificate ends the handshake.
constexpr bool RefusesUnverified(PeerVerification mode) {
  switch (mode) {
    case PeerVerification::kVerifyIfGiven:
    case PeerVerification::kVerify:
      return true;
    case PeerVerification::kAuto:  // Of a context, it has become another.
    case PeerVerification::kNone:
    case PeerVerification::kQuery:
      break;
  }
  return false;
}

// What a peer's certificates may be at most. Anybody can make certificates that
// would take seconds to judge, so these limits are checked before anything of
// the certificates is decoded, by both roles. What is beyond one has the error
// `kLimitExceeded` and is not looked at any further: no signature, no name. The
// defaults are several times what authorities issue. Each is at least 1.
//
// How many certificates are looked at follows from `max_chain_depth`: so many
// authorities, the peer's own, and the trusted one, if the peer sends it. Of
// more than that the first count.
struct CertificateLimits {
  // Bytes of all certificates that the peer sends, and of one.
  size_t max_chain_bytes = 65'536;
  size_t max_certificate_bytes = 32'768;
  // Of one certificate: extensions; names, which are the subject alternative
  // names and the attributes of the subject; the subtrees that its name
  // constraints permit and exclude; policies and policy mappings.
  size_t max_extensions = 64;
  size_t max_names = 512;
  size_t max_name_constraints = 256;
  size_t max_policies = 64;
  // Of all: the names of each certificate, times the name constraints of the
  // others.
  size_t max_name_checks = 32'768;
  // Of an RSA or DSA key.
  size_t max_key_bits = 8'192;
  // If a chain comes to no trusted certificate, or a signature in it is wrong,
  // it cannot become good any more. What is left of it is judged only if there
  // are no more signatures than this to check, so that somebody who knows the
  // certificates may be told the rest. Else the peer's own has the error
  // `kUnableToVerifyFirst`. May be 0.
  size_t max_unanchored_signatures = 3;

  friend bool operator==(const CertificateLimits&,
                         const CertificateLimits&) = default;
};

// An error that does not count.
struct IgnoredError {
  VerificationErrorCode code = VerificationErrorCode::kUnspecified;
  // In DER: only for this certificate. Empty: for any.
  std::string certificate = {};

  bool Covers(const VerificationError& error) const {
    return code == error.code &&
           (certificate.empty() || error.certificate.view() == certificate);
  }
};

// These errors of these certificates, as Qt compares them.
std::vector<IgnoredError> IgnoreExactly(
    absl::Span<const VerificationError> errors);
// These errors, whichever certificate has them.
std::vector<IgnoredError> IgnoreCodes(
    absl::Span<const VerificationErrorCode> codes);
// The errors that no entry of `ignored` covers.
std::vector<VerificationError> NotIgnored(
    absl::Span<const VerificationError> errors,
    absl::Span<const IgnoredError> ignored);

// Who a peer is by its certificates, which have not been accepted yet: its
// names are claims as long as `errors` is not empty.
struct PeerIdentity {
  net::Endpoint endpoint = {};
  bool is_server = false;
  // The peer's certificates in DER, its own first.
  std::vector<std::string> chain = {};
  // Of its own certificate: readable names, which are printable and cut (see
  // `net::kMaxNameBytes`); the subject alternative names as they are; and the
  // serial number and the SHA-256 fingerprints of the certificate and of its
  // public key, in lower-case hexadecimal. Of a certificate that is beyond one
  // of the `CertificateLimits` only its fingerprint is known.
  std::string subject = {};
  std::string issuer = {};
  std::vector<std::string> dns_names = {};
  std::vector<std::string> ip_addresses = {};
  std::vector<std::string> uris = {};
  std::string serial = {};
  std::string fingerprint = {};
  std::string spki_fingerprint = {};
  absl::Time not_before = absl::InfinitePast();
  absl::Time not_after = absl::InfiniteFuture();
  // The name that it was expected to have, if any.
  std::string expected_name = {};
  // The session was begun earlier, with this certificate.
  bool resumed = false;
  // What the library found wrong, less what is ignored.
  std::vector<VerificationError> errors = {};
};

// What the application says of a `PeerIdentity`.
class VerificationVerdict {
 public:
  // It may pass, whatever `PeerIdentity::errors` says.
  static VerificationVerdict Accept() {
    return VerificationVerdict(Kind::kAccept);
  }
  // It may not. The status that the handshake ends with (kPermissionDenied)
  // says `reason`; the peer gets the TLS alert `alert`, by default
  // access_denied.
  static VerificationVerdict Reject(std::string reason, uint8_t alert = 49) {
    VerificationVerdict verdict(Kind::kReject);
    verdict.reason_ = std::move(reason);
    verdict.alert_ = alert;
    return verdict;
  }
  // As the library found: errors count as the mode says.
  static VerificationVerdict AsFound() {
    return VerificationVerdict(Kind::kAsFound);
  }

  enum class Kind : uint8_t { kAccept, kReject, kAsFound };
  Kind kind() const { return kind_; }
  bool accepts() const { return kind_ == Kind::kAccept; }
  bool rejects() const { return kind_ == Kind::kReject; }
  const std::string& reason() const { return reason_; }
  uint8_t alert() const { return alert_; }

 private:
  explicit VerificationVerdict(Kind kind) : kind_(kind) {}

  Kind kind_;
  uint8_t alert_ = 0;
  std::string reason_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_VERIFICATION_H_
