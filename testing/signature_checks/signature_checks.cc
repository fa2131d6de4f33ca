#include "cordon/testing/signature_checks/signature_checks.h"

#include <openssl/x509.h>

namespace cordon::testing {
namespace {

constinit thread_local size_t checks = 0;

}  // namespace

size_t SignatureChecks() { return checks; }

}  // namespace cordon::testing

extern "C" {

int __real_X509_verify(X509* certificate, EVP_PKEY* key);
int __wrap_X509_verify(X509* certificate, EVP_PKEY* key);

int __wrap_X509_verify(X509* certificate, EVP_PKEY* key) {
  ++cordon::testing::checks;
  return __real_X509_verify(certificate, key);
}

}  // extern "C"
