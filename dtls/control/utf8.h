// Certificates and peers may say anything, but a string of a message must be
// UTF-8 (RFC 3629).
#ifndef CORDON_DTLS_CONTROL_UTF8_H_
#define CORDON_DTLS_CONTROL_UTF8_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cordon::dtls::control {

// `text`, with a question mark for each byte that is no part of a character.
std::string ToUtf8(absl::string_view text);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_UTF8_H_
