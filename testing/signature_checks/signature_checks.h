// How many signatures of certificates were checked.
//
//   const size_t before = SignatureChecks();
//   ...
//   EXPECT_EQ(SignatureChecks() - before, 2U);
//
// The linker puts a function of ours before BoringSSL's X509_verify, in
// programs that depend on this.
#ifndef CORDON_TESTING_SIGNATURE_CHECKS_SIGNATURE_CHECKS_H_
#define CORDON_TESTING_SIGNATURE_CHECKS_SIGNATURE_CHECKS_H_

#include <cstddef>

namespace cordon::testing {

// By this thread, since it began.
size_t SignatureChecks();

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SIGNATURE_CHECKS_SIGNATURE_CHECKS_H_
