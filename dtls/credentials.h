// Who we are and whom we trust: certificates, keys, trust anchors, pre-shared
// keys. Plain values; they are checked when a `Context` is made from them.
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
// ECDSA (P-256, P-384, P-521), RSA (2048 bits and more) or Ed25519.
struct Certificate {
  std::string chain_pem = {};
  std::string key_pem = {};
};

// Reads both from files. The error names the file.
absl::StatusOr<Certificate> LoadCertificate(absl::string_view chain_path,
                                            absl::string_view key_path);

// Certificates of authorities (or of single peers) that we trust.
struct TrustAnchors {
  // PEM, any number of certificates.
  std::string pem = {};
  // The operating system's trust store, as well.
  bool system = false;

  bool empty() const { return pem.empty() && !system; }
};

// Reads a PEM file. The error names the file.
absl::StatusOr<TrustAnchors> LoadTrustAnchors(absl::string_view path);

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
