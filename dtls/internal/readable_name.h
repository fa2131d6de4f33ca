// Names in certificates, for people.
#ifndef CORDON_DTLS_INTERNAL_READABLE_NAME_H_
#define CORDON_DTLS_INTERNAL_READABLE_NAME_H_

#include <openssl/base.h>

#include <string>

#include "absl/strings/string_view.h"

namespace cordon::dtls::internal {

// "CN=device 7, O=Example", in UTF-8. What a terminal or a reader of logs could
// take for something else is written as "\9B": the name is a stranger's.
std::string ReadableName(X509_NAME* name);

// Writes the control characters beyond ASCII of a text in UTF-8, and those that
// turn the direction of writing, as "\9B".
std::string EscapeControls(absl::string_view text);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_READABLE_NAME_H_
