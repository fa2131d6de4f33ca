// Who we are and whom we trust: certificates, keys, trust anchors, revocation
// lists, pre-shared keys. Plain values; they are checked when a `Context` is
// made from them.
//
//   absl::StatusOr<dtls::Certificate> ours =
//       dtls::LoadCertificate("server.pem", "server.key");
//   absl::StatusOr<dtls::TrustAnchors> trust =
//       dtls::LoadTrustAnchors("/etc/ssl/devices");
#ifndef CORDON_DTLS_CREDENTIALS_H_
#define CORDON_DTLS_CREDENTIALS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cordon::dtls {

// A certificate with its chain, and its private key, both as PEM texts. The
// chain begins with our own certificate; the root may be left out. Keys are
// ECDSA (P-256, P-384, P-521), RSA or Ed25519; of RSA, peers take 2048 bits and
// more.
struct Certificate {
  std::string chain_pem = {};
  std::string key_pem = {};
  // Of a key that is encrypted.
  std::string key_password = {};

  bool empty() const { return chain_pem.empty() && key_pem.empty(); }
};

// Reads both from files, each in PEM or DER form; a chain needs PEM. The error
// names the file.
absl::StatusOr<Certificate> LoadCertificate(absl::string_view chain_path,
                                            absl::string_view key_path,
                                            absl::string_view password = "");

// Reads a PKCS#12 file (.p12, .pfx): key, certificate, and what else it has of
// the chain. kInvalidArgument: the password is wrong, or something is missing.
absl::StatusOr<Certificate> LoadPkcs12(absl::string_view path,
                                       absl::string_view password);
// The same from memory; `what` names it in errors.
absl::StatusOr<Certificate> ParsePkcs12(absl::string_view bytes,
                                        absl::string_view password,
                                        absl::string_view what = "PKCS#12");

// Certificates of authorities (or of single peers) that we trust.
struct TrustAnchors {
  // PEM, any number of certificates.
  std::string pem = {};
  // The operating system's trust store, as well.
  bool system = false;
  // Revocation lists (RFC 5280), PEM. If there are any, the issuer of a peer's
  // own certificate must have one; those of other issuers are heeded, too.
  std::string crl_pem = {};

  bool empty() const { return pem.empty() && !system; }
};

// Reads certificates in PEM or DER form from a file, or from all files of a
// folder that have one. The error names the path.
absl::StatusOr<TrustAnchors> LoadTrustAnchors(absl::string_view path);

// Reads revocation lists in PEM or DER form from a file, for
// `TrustAnchors::crl_pem`. The error names the file.
absl::StatusOr<std::string> LoadCrls(absl::string_view path);

// The SHA-256 fingerprint of a certificate in PEM or DER form, in lower-case
// hexadecimal, as block lists have it.
absl::StatusOr<std::string> FingerprintOf(absl::string_view certificate);
// That of its SubjectPublicKeyInfo, as pins have it.
absl::StatusOr<std::string> SpkiFingerprintOf(absl::string_view certificate);
// "SERIAL@ISSUER", as block lists have it behind "serial:".
absl::StatusOr<std::string> IssuerAndSerialOf(absl::string_view certificate);

// A key that both sides know (RFC 4279).
struct PreSharedKey {
  std::string identity = {};
  std::vector<uint8_t> key = {};
};

// Reads "IDENTITY:HEX"; the identity may contain colons. The error does not
// repeat the key.
absl::StatusOr<PreSharedKey> ParsePreSharedKey(absl::string_view text);

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_CREDENTIALS_H_
