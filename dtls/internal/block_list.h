// Certificates that nobody may have, see `VerificationOptions::blocked`.
#ifndef CORDON_DTLS_INTERNAL_BLOCK_LIST_H_
#define CORDON_DTLS_INTERNAL_BLOCK_LIST_H_

#include <openssl/base.h>
#include <openssl/x509.h>

#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cordon::dtls::internal {

class BlockList {
 public:
  // kInvalidArgument says what is wrong with `entry`.
  absl::Status Add(absl::string_view entry);

  bool empty() const {
    return fingerprints_.empty() && spkis_.empty() && serials_.empty();
  }

  // Also if there is no memory to tell.
  bool Blocks(X509* certificate) const;

 private:
  bool BlocksFingerprint(X509* certificate) const;
  bool BlocksSpki(X509* certificate) const;
  bool BlocksSerial(X509* certificate) const;

  // SHA-256, binary: of certificates, and of SubjectPublicKeyInfos.
  absl::flat_hash_set<std::string> fingerprints_;
  absl::flat_hash_set<std::string> spkis_;
  // "SERIAL@ISSUER", in the form that `SerialKey` gives it.
  absl::flat_hash_set<std::string> serials_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_BLOCK_LIST_H_
