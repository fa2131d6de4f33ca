// Judges a certificate chain, and finds everything that is wrong with it.
#ifndef CORDON_DTLS_INTERNAL_PEER_VERIFIER_H_
#define CORDON_DTLS_INTERNAL_PEER_VERIFIER_H_

#include <openssl/base.h>
#include <openssl/pool.h>
#include <openssl/stack.h>
#include <openssl/x509.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/error.h"

namespace cordon::dtls::internal {

// Immutable; shared by all sessions of a context.
class PeerVerifier {
 public:
  enum class Peer { kServer, kClient };

  // kInvalidArgument: an anchor is not a certificate, or there is none.
  static absl::StatusOr<PeerVerifier> Create(const TrustAnchors& anchors,
                                             Peer peer);

  // The errors of `chain`, the peer's own certificate first; none if it is
  // good at `now`. `name`, a DNS name or an IP address, must stand in the
  // certificate's subject alternative names; empty: no name is demanded.
  std::vector<VerificationError> Verify(const STACK_OF(CRYPTO_BUFFER) * chain,
                                        absl::string_view name,
                                        absl::Time now) const;

  // The names of the anchors in DER, to be sent to clients.
  const std::vector<std::string>& anchor_names() const { return anchor_names_; }

 private:
  explicit PeerVerifier(Peer peer) : peer_(peer) {}

  Peer peer_;
  bssl::UniquePtr<X509_STORE> store_;
  std::vector<std::string> anchor_names_;
};

// The alert that tells the peer what is wrong (RFC 5246 section 7.2.2).
uint8_t AlertFor(const VerificationError& error);

// Parses all certificates of a PEM text; `what` names it in errors.
absl::StatusOr<std::vector<bssl::UniquePtr<X509>>> ParseCertificates(
    absl::string_view pem, absl::string_view what);

// "CN=device1, O=Example".
std::string SubjectOf(const X509* certificate);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_PEER_VERIFIER_H_
