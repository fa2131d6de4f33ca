// What a certificate says of its holder.
#ifndef CORDON_DTLS_INTERNAL_PEER_IDENTITY_H_
#define CORDON_DTLS_INTERNAL_PEER_IDENTITY_H_

#include <openssl/base.h>
#include <openssl/pool.h>
#include <openssl/stack.h>
#include <openssl/x509.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls::internal {

// Who the chain says that the peer is, without `errors`. `*whole`, if it is
// given, becomes false if something of the peer's own certificate cannot be
// read, or there is no memory for it, or it is beyond one of `limits`: only its
// fingerprint is known then.
PeerIdentity IdentityOf(const STACK_OF(CRYPTO_BUFFER) * chain,
                        bool* whole = nullptr,
                        const CertificateLimits& limits = {});

// The certificate's subject, for people; what is beyond `limits` is not read.
std::string SubjectOf(const CRYPTO_BUFFER* certificate,
                      const CertificateLimits& limits);

// "CN=device1, O=Example".
std::string SubjectOf(const X509* certificate);

// SHA-256 of the certificate, and of its SubjectPublicKeyInfo, binary; empty if
// it cannot be read.
std::string FingerprintOf(const X509* certificate);
std::string SpkiFingerprintOf(const X509* certificate);

// A SHA-256 fingerprint in hexadecimal, colons allowed, to binary.
absl::StatusOr<std::string> ParseFingerprint(absl::string_view text);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_PEER_IDENTITY_H_
