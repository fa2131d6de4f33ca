// What it takes to judge certificates, found before any of them is decoded.
#ifndef CORDON_DTLS_INTERNAL_CHAIN_LIMITS_H_
#define CORDON_DTLS_INTERNAL_CHAIN_LIMITS_H_

#include <openssl/base.h>
#include <openssl/pool.h>
#include <openssl/stack.h>

#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls::internal {

// The sizes of one certificate, as in `CertificateLimits`.
struct CertificateSizes {
  size_t bytes = 0;
  size_t extensions = 0;
  size_t names = 0;
  size_t name_constraints = 0;
  size_t policies = 0;
  size_t key_bits = 0;  // 0: neither RSA nor DSA
};

// Reads one certificate in DER from begin to end once, and allocates nothing.
// Counts nothing too low, whatever a decoder makes of it. Empty: it is not
// built as a certificate (RFC 5280 section 4.1).
std::optional<CertificateSizes> SizesOf(absl::string_view der);

// The first limit that a chain is beyond; or, if `name` is empty, certificate
// `depth` is not built as one.
struct ExceededLimit {
  size_t depth = 0;
  absl::string_view name = {};  // "max_names"
  size_t found = 0;
  size_t allowed = 0;
};

// Of the first certificates of `chain`, the peer's own first: those that are
// looked at with `max_chain_depth`. `max_chain_bytes` is of all. Takes time in
// proportion to the bytes that are allowed.
std::optional<ExceededLimit> FindExceededLimit(const STACK_OF(CRYPTO_BUFFER) *
                                                   chain,
                                               int max_chain_depth,
                                               const CertificateLimits& limits);

// The certificates of a chain that are looked at, at most.
size_t MaxCertificates(int max_chain_depth);

// kInvalidArgument names the field that is 0.
absl::Status CheckLimits(const CertificateLimits& limits);

// Whether a chain with such an error may have been made by anybody, so that
// what it says is not looked at before somebody accepts it.
bool LeavesPeerUnknown(VerificationErrorCode code);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_CHAIN_LIMITS_H_
