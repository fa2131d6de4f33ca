// Certificates made in the process, for tests: an authority and what it issues,
// valid around `VirtualClock::Epoch()` and around now.
//
//   TestAuthority ca("Test CA");
//   dtls::Certificate server = ca.Issue({.dns_names = {"localhost"}});
//   dtls::TrustAnchors trust = ca.trust();
#ifndef CORDON_TESTING_CERTS_CERTS_H_
#define CORDON_TESTING_CERTS_CERTS_H_

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cordon/dtls/credentials.h"

namespace cordon::testing {

enum class KeyType { kEcdsaP256, kEcdsaP384, kRsa2048, kRsa1024, kEd25519 };

struct CertificateSpec {
  std::string common_name = "test";
  std::vector<std::string> dns_names = {};
  std::vector<std::string> ip_addresses = {};
  std::vector<std::string> uris = {};
  KeyType key = KeyType::kEcdsaP256;
  // extendedKeyUsage; empty: none.
  std::string usage = "serverAuth,clientAuth";
  absl::Time not_before = absl::FromUnixSeconds(1'600'000'000);
  absl::Time not_after = absl::FromUnixSeconds(2'500'000'000);
  // A comment of so many bytes in the certificate, to make it large.
  size_t padding = 0;
  bool authority = false;
  // Signed with SHA-1 instead of SHA-256.
  bool sha1 = false;
};

class TestAuthority {
 public:
  // A root of its own.
  explicit TestAuthority(const std::string& name,
                         KeyType key = KeyType::kEcdsaP256);

  // A certificate with its chain (without the root) and key, as PEM.
  dtls::Certificate Issue(const CertificateSpec& spec) const;
  // An authority below this one. Its certificate may be padded.
  TestAuthority IssueAuthority(const std::string& name, size_t padding = 0,
                               KeyType key = KeyType::kEcdsaP256) const;

  // A revocation list with these certificates, valid from `CertificateSpec`'s
  // `not_before` to `next_update`.
  std::string Crl(
      const std::vector<dtls::Certificate>& revoked,
      absl::Time next_update = absl::FromUnixSeconds(2'500'000'000)) const;

  const std::string& certificate_pem() const { return certificate_pem_; }
  dtls::TrustAnchors trust() const { return {.pem = certificate_pem_}; }

 private:
  friend dtls::Certificate IssuedByALeaf(const TestAuthority& root);
  TestAuthority() = default;

  bssl::UniquePtr<EVP_PKEY> key_;
  bssl::UniquePtr<X509> certificate_;
  std::string certificate_pem_;
  // Of the authorities between this one and the root, this one included.
  std::string chain_pem_;
};

// A certificate that vouches for itself.
dtls::Certificate SelfSigned(const CertificateSpec& spec);

// A certificate for "localhost" that was issued with a certificate of `root`'s
// which is no authority's.
dtls::Certificate IssuedByALeaf(const TestAuthority& root);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_CERTS_CERTS_H_
