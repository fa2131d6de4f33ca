// Which cipher suites may be used.
#ifndef CORDON_DTLS_INTERNAL_CIPHER_LIST_H_
#define CORDON_DTLS_INTERNAL_CIPHER_LIST_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cordon::dtls::internal {

// The list for BoringSSL. `names` are OpenSSL names with ":" or "," between
// them; empty: the default, which has the AEAD suites for certificates and, if
// `psk`, ECDHE-PSK-CHACHA20-POLY1305 last. The PSK suites with CBC are used
// only when named; other suites without AEAD are refused. kInvalidArgument
// names what is wrong and what there is.
absl::StatusOr<std::string> CipherList(absl::string_view names,
                                       bool certificates, bool psk);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_CIPHER_LIST_H_
