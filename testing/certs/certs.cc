#include "cordon/testing/certs/certs.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/curve25519.h>
#include <openssl/digest.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace cordon::testing {
namespace {

void Require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "cannot make a test certificate: %s\n", what);
  std::abort();
}

bssl::UniquePtr<EVP_PKEY> MakeKey(KeyType type) {
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (type == KeyType::kEd25519) {
    std::array<uint8_t, 32> seed;
    RAND_bytes(seed.data(), seed.size());
    key.reset(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr,
                                           seed.data(), seed.size()));
  } else if (type == KeyType::kRsa2048 || type == KeyType::kRsa1024) {
    bssl::UniquePtr<RSA> rsa(RSA_new());
    bssl::UniquePtr<BIGNUM> e(BN_new());
    Require(BN_set_word(e.get(), RSA_F4) == 1 &&
                RSA_generate_key_ex(rsa.get(),
                                    type == KeyType::kRsa2048 ? 2048 : 1024,
                                    e.get(), nullptr) == 1 &&
                EVP_PKEY_set1_RSA(key.get(), rsa.get()) == 1,
            "RSA key");
  } else {
    bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(
        type == KeyType::kEcdsaP256 ? NID_X9_62_prime256v1 : NID_secp384r1));
    Require(EC_KEY_generate_key(ec.get()) == 1 &&
                EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) == 1,
            "EC key");
  }
  Require(key != nullptr, "key");
  return key;
}

void AddExtension(X509* certificate, X509* issuer, int nid,
                  const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  bssl::UniquePtr<X509_EXTENSION> extension(
      X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  Require(extension != nullptr, value.c_str());
  Require(X509_add_ext(certificate, extension.get(), -1) == 1, value.c_str());
}

bssl::UniquePtr<X509> MakeCertificate(const CertificateSpec& spec,
                                      EVP_PKEY* key, X509* issuer,
                                      EVP_PKEY* issuer_key) {
  bssl::UniquePtr<X509> certificate(X509_new());
  X509* c = certificate.get();
  X509_set_version(c, 2);
  std::array<uint8_t, 8> serial;
  RAND_bytes(serial.data(), serial.size());
  serial[0] &= 0x7f;
  bssl::UniquePtr<BIGNUM> number(
      BN_bin2bn(serial.data(), serial.size(), nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(c));
  ASN1_TIME_set(X509_getm_notBefore(c), absl::ToTimeT(spec.not_before));
  ASN1_TIME_set(X509_getm_notAfter(c), absl::ToTimeT(spec.not_after));
  X509_NAME* subject = X509_get_subject_name(c);
  X509_NAME_add_entry_by_txt(
      subject, "CN", MBSTRING_UTF8,
      reinterpret_cast<const uint8_t*>(spec.common_name.c_str()), -1, -1, 0);
  X509* signer = issuer == nullptr ? c : issuer;
  X509_set_issuer_name(c, X509_get_subject_name(signer));
  X509_set_pubkey(c, key);

  AddExtension(c, signer, NID_basic_constraints,
               spec.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  AddExtension(c, signer, NID_subject_key_identifier, "hash");
  if (spec.authority) {
    AddExtension(c, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else if (!spec.usage.empty()) {
    AddExtension(c, signer, NID_ext_key_usage, spec.usage);
  }
  std::vector<std::string> names;
  names.reserve(spec.dns_names.size());
  for (const std::string& name : spec.dns_names) {
    names.push_back(absl::StrCat("DNS:", name));
  }
  for (const std::string& address : spec.ip_addresses) {
    names.push_back(absl::StrCat("IP:", address));
  }
  for (const std::string& uri : spec.uris) {
    names.push_back(absl::StrCat("URI:", uri));
  }
  if (!names.empty()) {
    AddExtension(c, signer, NID_subject_alt_name, absl::StrJoin(names, ","));
  }
  if (spec.padding > 0) {
    AddExtension(c, signer, NID_netscape_comment,
                 std::string(spec.padding, 'p'));
  }
  const bool ed25519 = EVP_PKEY_id(issuer_key) == EVP_PKEY_ED25519;
  const EVP_MD* digest = spec.sha1 ? EVP_sha1() : EVP_sha256();
  Require(X509_sign(c, issuer_key, ed25519 ? nullptr : digest) > 0,
          "signature");
  return certificate;
}

std::string BioText(BIO* bio) {
  const uint8_t* text = nullptr;
  size_t size = 0;
  BIO_mem_contents(bio, &text, &size);
  return {reinterpret_cast<const char*>(text), size};
}

std::string CertificatePem(X509* certificate) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_X509(bio.get(), certificate) == 1, "PEM");
  return BioText(bio.get());
}

std::string KeyPem(EVP_PKEY* key) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0,
                                        nullptr, nullptr) == 1,
          "key PEM");
  return BioText(bio.get());
}

}  // namespace

TestAuthority::TestAuthority(const std::string& name, KeyType key) {
  key_ = MakeKey(key);
  CertificateSpec spec;
  spec.common_name = name;
  spec.authority = true;
  certificate_ = MakeCertificate(spec, key_.get(), nullptr, key_.get());
  certificate_pem_ = CertificatePem(certificate_.get());
}

dtls::Certificate TestAuthority::Issue(const CertificateSpec& spec) const {
  bssl::UniquePtr<EVP_PKEY> key = MakeKey(spec.key);
  bssl::UniquePtr<X509> certificate =
      MakeCertificate(spec, key.get(), certificate_.get(), key_.get());
  return {CertificatePem(certificate.get()) + chain_pem_, KeyPem(key.get())};
}

std::string TestAuthority::Crl(const std::vector<dtls::Certificate>& revoked,
                               absl::Time next_update) const {
  bssl::UniquePtr<X509_CRL> crl(X509_CRL_new());
  bssl::UniquePtr<ASN1_TIME> begin(
      ASN1_TIME_set(nullptr, absl::ToTimeT(CertificateSpec().not_before)));
  bssl::UniquePtr<ASN1_TIME> end(
      ASN1_TIME_set(nullptr, absl::ToTimeT(next_update)));
  Require(X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2) == 1 &&
              X509_CRL_set_issuer_name(
                  crl.get(), X509_get_subject_name(certificate_.get())) == 1 &&
              X509_CRL_set1_lastUpdate(crl.get(), begin.get()) == 1 &&
              X509_CRL_set1_nextUpdate(crl.get(), end.get()) == 1,
          "revocation list");
  for (const dtls::Certificate& one : revoked) {
    bssl::UniquePtr<BIO> bio(BIO_new_mem_buf(
        one.chain_pem.data(), static_cast<ossl_ssize_t>(one.chain_pem.size())));
    bssl::UniquePtr<X509> certificate(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    bssl::UniquePtr<X509_REVOKED> entry(X509_REVOKED_new());
    Require(
        certificate != nullptr &&
            X509_REVOKED_set_serialNumber(
                entry.get(), X509_get_serialNumber(certificate.get())) == 1 &&
            X509_REVOKED_set_revocationDate(entry.get(), begin.get()) == 1,
        "revoked certificate");
    Require(X509_CRL_add0_revoked(crl.get(), entry.release()) == 1, "entry");
  }
  Require(X509_CRL_sort(crl.get()) == 1, "order");
  Require(X509_CRL_sign(crl.get(), key_.get(), EVP_sha256()) > 0, "signature");
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_X509_CRL(bio.get(), crl.get()) == 1, "PEM");
  return BioText(bio.get());
}

TestAuthority TestAuthority::IssueAuthority(const std::string& name,
                                            size_t padding, KeyType key) const {
  TestAuthority authority;
  authority.key_ = MakeKey(key);
  CertificateSpec spec;
  spec.common_name = name;
  spec.authority = true;
  spec.padding = padding;
  authority.certificate_ = MakeCertificate(spec, authority.key_.get(),
                                           certificate_.get(), key_.get());
  authority.certificate_pem_ = CertificatePem(authority.certificate_.get());
  authority.chain_pem_ = authority.certificate_pem_ + chain_pem_;
  return authority;
}

dtls::Certificate SelfSigned(const CertificateSpec& spec) {
  bssl::UniquePtr<EVP_PKEY> key = MakeKey(spec.key);
  bssl::UniquePtr<X509> certificate =
      MakeCertificate(spec, key.get(), nullptr, key.get());
  return {CertificatePem(certificate.get()), KeyPem(key.get())};
}

dtls::Certificate IssuedByALeaf(const TestAuthority& root) {
  TestAuthority leaf;
  leaf.key_ = MakeKey(KeyType::kEcdsaP256);
  CertificateSpec spec;
  spec.common_name = "no authority";
  leaf.certificate_ = MakeCertificate(spec, leaf.key_.get(),
                                      root.certificate_.get(), root.key_.get());
  leaf.certificate_pem_ = CertificatePem(leaf.certificate_.get());
  leaf.chain_pem_ = leaf.certificate_pem_;
  return leaf.Issue({.dns_names = {"localhost"}});
}

}  // namespace cordon::testing
