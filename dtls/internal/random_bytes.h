// Random bytes for keys, secrets and tokens.
#ifndef CORDON_DTLS_INTERNAL_RANDOM_BYTES_H_
#define CORDON_DTLS_INTERNAL_RANDOM_BYTES_H_

#include <openssl/rand.h>

#include <cstdint>
#include <cstdlib>

#include "absl/types/span.h"

namespace cordon::dtls::internal {

// BoringSSL ends the process where the system gives no random bytes. A version
// that says so instead must not leave a secret that anybody can guess.
inline void FillWithRandom(absl::Span<uint8_t> bytes) {
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) std::abort();
}

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_RANDOM_BYTES_H_
