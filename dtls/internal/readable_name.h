// Names in certificates, for people.
#ifndef CORDON_DTLS_INTERNAL_READABLE_NAME_H_
#define CORDON_DTLS_INTERNAL_READABLE_NAME_H_

#include <openssl/base.h>

#include <string>

namespace cordon::dtls::internal {

// "CN=device 7, O=Example", as `net::PrintableText` writes it, and cut after
// `net::kMaxNameBytes`: the name is a stranger's.
std::string ReadableName(X509_NAME* name);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_READABLE_NAME_H_
