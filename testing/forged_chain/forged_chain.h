// Certificates as a stranger makes them: of any size, and of names that are
// somebody else's.
//
//   std::vector<std::string> chain =
//       ForgedChain(12, {.dns_names = 1020, .excluded_subtrees = 1020});
#ifndef CORDON_TESTING_FORGED_CHAIN_FORGED_CHAIN_H_
#define CORDON_TESTING_FORGED_CHAIN_FORGED_CHAIN_H_

#include <openssl/evp.h>
#include <openssl/pool.h>
#include <openssl/stack.h>

#include <cstddef>
#include <string>
#include <vector>

#include "cordon/dtls/credentials.h"

namespace cordon::testing {

struct ForgedSpec {
  std::string common_name = "forged";
  // Others than the common name.
  size_t subject_attributes = 0;
  size_t dns_names = 0;
  std::vector<std::string> more_dns_names = {};
  std::vector<std::string> uris = {};
  size_t permitted_subtrees = 0;
  size_t excluded_subtrees = 0;
  size_t policies = 0;
  // Others than those that it has for the above.
  size_t extensions = 0;
  // Bytes in an extension that means nothing.
  size_t padding = 0;
  bool authority = true;
  bool signed_badly = false;
  // The key that it is for, instead of one of P-256.
  EVP_PKEY* key = nullptr;
};

// In DER; valid as those of testing/certs are. `issuer_key` signs it.
std::string Forge(const ForgedSpec& spec, const std::string& issuer_name,
                  EVP_PKEY* key, EVP_PKEY* issuer_key);

// `count` certificates, each issued by the next one, the last by itself, or, if
// `issuer_name` is not empty, as if by somebody of this common name. In DER,
// the lowest first, which is no authority. All are as `spec` says, with a
// number after its common name.
std::vector<std::string> ForgedChain(size_t count, const ForgedSpec& spec,
                                     const std::string& issuer_name = "");

// The key of the lowest certificate of all chains, and the same with the chain
// as PEM.
EVP_PKEY* ForgersKey();
dtls::Certificate ForUse(const std::vector<std::string>& chain);

// A public RSA key of so many bits that nobody has the other half of.
bssl::UniquePtr<EVP_PKEY> RsaKeyOfNobody(unsigned bits);

bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> BuffersOf(
    const std::vector<std::string>& chain);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FORGED_CHAIN_FORGED_CHAIN_H_
