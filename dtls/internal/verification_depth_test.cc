// At which certificate of a chain an error is.
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/digest.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/pool.h>
#include <openssl/stack.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/internal/peer_verifier.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);

struct Issued {
  bssl::UniquePtr<EVP_PKEY> key;
  bssl::UniquePtr<X509> certificate;
};

void Extend(const Issued& issuer, X509* certificate, int nid,
            const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer.certificate.get(), certificate, nullptr,
                 nullptr, 0);
  bssl::UniquePtr<X509_EXTENSION> extension(
      X509V3_EXT_nconf_nid(nullptr, &context, nid, value));
  ASSERT_NE(extension, nullptr) << value;
  ASSERT_EQ(X509_add_ext(certificate, extension.get(), -1), 1);
}

// An authority with constraints for names, or what it issues.
Issued Issue(const char* common_name, const Issued* issuer) {
  Issued made = {bssl::UniquePtr<EVP_PKEY>(EVP_PKEY_new()),
                 bssl::UniquePtr<X509>(X509_new())};
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  EXPECT_EQ(EC_KEY_generate_key(ec.get()), 1);
  EXPECT_EQ(EVP_PKEY_set1_EC_KEY(made.key.get(), ec.get()), 1);
  X509* c = made.certificate.get();
  X509_set_version(c, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(c), 7);
  ASN1_TIME_set(X509_getm_notBefore(c), absl::ToTimeT(kNow) - 1000);
  ASN1_TIME_set(X509_getm_notAfter(c), absl::ToTimeT(kNow) + 1000);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const uint8_t*>(common_name), -1,
                             -1, 0);
  const Issued& by = issuer == nullptr ? made : *issuer;
  X509_set_issuer_name(c, X509_get_subject_name(by.certificate.get()));
  X509_set_pubkey(c, made.key.get());
  if (issuer == nullptr) {
    Extend(by, c, NID_basic_constraints, "critical,CA:TRUE");
    Extend(by, c, NID_name_constraints, "permitted;DNS:example.com");
  }
  EXPECT_GT(X509_sign(c, by.key.get(), EVP_sha256()), 0);
  return made;
}

// Names are constrained, and the only name may be one, but is not said to be.
TEST(VerificationDepthTest, IsThatOfACertificateInTheChain) {
  const Issued root = Issue("Constrained CA", nullptr);
  const Issued leaf = Issue("device.example.com", &root);
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  ASSERT_EQ(PEM_write_bio_X509(bio.get(), root.certificate.get()), 1);
  const uint8_t* text = nullptr;
  size_t size = 0;
  BIO_mem_contents(bio.get(), &text, &size);
  const PeerVerifier verifier = *PeerVerifier::Create(
      {.pem = {reinterpret_cast<const char*>(text), size}}, {},
      PeerVerifier::Peer::kClient);
  uint8_t* der = nullptr;
  const int der_size = i2d_X509(leaf.certificate.get(), &der);
  ASSERT_GT(der_size, 0);
  bssl::UniquePtr<uint8_t> owner(der);
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> chain(sk_CRYPTO_BUFFER_new_null());
  bssl::PushToStack(chain.get(),
                    bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(
                        der, static_cast<size_t>(der_size), nullptr)));
  PeerVerifier::Demands demands;
  demands.now = kNow;
  const std::vector<VerificationError> errors =
      verifier.Verify(chain.get(), demands);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].depth, 0);
  EXPECT_TRUE(absl::StrContains(errors[0].message, "certificate 0 "))
      << errors[0].message;
  EXPECT_FALSE(absl::StrContains(errors[0].message, "-1"));
}

}  // namespace
}  // namespace cordon::dtls::internal
