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
#include "cordon/dtls/internal/block_list.h"
#include "cordon/dtls/options.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls::internal {

// Immutable; shared by all sessions of a context.
class PeerVerifier {
 public:
  enum class Peer { kServer, kClient };

  // What one session asks of its peer.
  struct Demands {
    // A DNS name or an IP address that must stand in the certificate's subject
    // alternative names; empty: any.
    absl::string_view name = {};
    int max_chain_depth = 10;
    absl::Time now = absl::InfinitePast();
    CertificateLimits limits = {};
  };

  // kInvalidArgument: an anchor or a list cannot be read.
  static absl::StatusOr<PeerVerifier> Create(const TrustAnchors& anchors,
                                             const VerificationOptions& options,
                                             Peer peer);

  // The errors of `chain`, the peer's own certificate first, at most
  // `kMaxVerificationErrors`; none if it is good. What cannot become good any
  // more is not judged to the end, see `CertificateLimits`.
  std::vector<VerificationError> Verify(const STACK_OF(CRYPTO_BUFFER) * chain,
                                        const Demands& demands) const;

  // The names of the anchors in DER, to be sent to clients.
  const std::vector<std::string>& anchor_names() const { return anchor_names_; }

 private:
  // What is found while a chain is judged.
  class Findings;

  explicit PeerVerifier(Peer peer) : peer_(peer) {}

  static int Collect(int ok, X509_STORE_CTX* context);
  // Looks for a path to an anchor, and judges it. Null if there is no memory.
  bssl::UniquePtr<X509_STORE_CTX> Build(STACK_OF(X509) * certificates,
                                        const Demands& demands, bool with_crls,
                                        Findings* findings) const;
  // Weak or blocked certificates and too many of them, in the chain as it was
  // built, from the peer's own to the trusted one.
  void JudgeBuilt(const STACK_OF(X509) * chain, int max_depth,
                  Findings* findings) const;
  bool NameMatches(X509* certificate, absl::string_view name) const;

  Peer peer_;
  bool common_name_fallback_ = false;
  bool has_crls_ = false;
  bssl::UniquePtr<X509_STORE> store_;
  BlockList blocked_;
  std::vector<std::string> anchor_names_;
};

// The names in DER as BoringSSL takes them; null if there is no memory.
bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> NameStack(
    const std::vector<std::string>& names);

// kInvalidArgument unless `depth` is one for `Demands::max_chain_depth`.
absl::Status CheckChainDepth(int depth);

// The error of a peer that sent no certificate.
VerificationError NoCertificateError();

// The alert that tells the peer what is wrong (RFC 5246 section 7.2.2).
uint8_t AlertFor(const VerificationError& error);

// Parses all certificates of a PEM text; `what` names it in errors.
absl::StatusOr<std::vector<bssl::UniquePtr<X509>>> ParseCertificates(
    absl::string_view pem, absl::string_view what);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_PEER_VERIFIER_H_
