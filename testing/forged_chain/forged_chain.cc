#include "cordon/testing/forged_chain/forged_chain.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cordon::testing {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

const uint8_t* Bytes(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

GENERAL_NAME* NameOf(int type, const std::string& text) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  name->type = type;
  name->d.ia5 = ASN1_IA5STRING_new();
  Require(ASN1_STRING_set(name->d.ia5, text.data(),
                          static_cast<ossl_ssize_t>(text.size())) == 1);
  return name;
}

void AddNames(const ForgedSpec& spec, X509* certificate) {
  bssl::UniquePtr<GENERAL_NAMES> names(GENERAL_NAMES_new());
  for (size_t i = 0; i < spec.dns_names; ++i) {
    sk_GENERAL_NAME_push(names.get(), NameOf(GEN_DNS, absl::StrCat("n", i)));
  }
  for (const std::string& name : spec.more_dns_names) {
    sk_GENERAL_NAME_push(names.get(), NameOf(GEN_DNS, name));
  }
  for (const std::string& uri : spec.uris) {
    sk_GENERAL_NAME_push(names.get(), NameOf(GEN_URI, uri));
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return;
  Require(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0,
                            0) == 1);
}

STACK_OF(GENERAL_SUBTREE) * Subtrees(size_t count) {
  if (count == 0) return nullptr;
  STACK_OF(GENERAL_SUBTREE)* subtrees = sk_GENERAL_SUBTREE_new_null();
  for (size_t i = 0; i < count; ++i) {
    GENERAL_SUBTREE* subtree = GENERAL_SUBTREE_new();
    GENERAL_NAME_free(subtree->base);
    subtree->base = NameOf(GEN_DNS, absl::StrCat("x", i));
    sk_GENERAL_SUBTREE_push(subtrees, subtree);
  }
  return subtrees;
}

void AddConstraints(const ForgedSpec& spec, X509* certificate) {
  if (spec.permitted_subtrees + spec.excluded_subtrees == 0) return;
  bssl::UniquePtr<NAME_CONSTRAINTS> constraints(NAME_CONSTRAINTS_new());
  constraints->permittedSubtrees = Subtrees(spec.permitted_subtrees);
  constraints->excludedSubtrees = Subtrees(spec.excluded_subtrees);
  Require(X509_add1_ext_i2d(certificate, NID_name_constraints,
                            constraints.get(), 1, 0) == 1);
}

void AddPolicies(const ForgedSpec& spec, X509* certificate) {
  if (spec.policies == 0) return;
  CERTIFICATEPOLICIES* policies = CERTIFICATEPOLICIES_new();
  for (size_t i = 0; i < spec.policies; ++i) {
    POLICYINFO* policy = POLICYINFO_new();
    policy->policyid =
        OBJ_txt2obj(absl::StrCat("1.3.6.1.4.1.1.", i).c_str(), 1);
    sk_POLICYINFO_push(policies, policy);
  }
  Require(X509_add1_ext_i2d(certificate, NID_certificate_policies, policies, 0,
                            0) == 1);
  CERTIFICATEPOLICIES_free(policies);
}

void AddOther(X509* certificate, size_t number, const std::string& content) {
  bssl::UniquePtr<ASN1_OBJECT> oid(
      OBJ_txt2obj(absl::StrCat("1.3.6.1.4.1.2.", number).c_str(), 1));
  bssl::UniquePtr<ASN1_OCTET_STRING> value(ASN1_OCTET_STRING_new());
  Require(ASN1_OCTET_STRING_set(value.get(), Bytes(content),
                                static_cast<int>(content.size())) == 1);
  bssl::UniquePtr<X509_EXTENSION> extension(
      X509_EXTENSION_create_by_OBJ(nullptr, oid.get(), 0, value.get()));
  Require(X509_add_ext(certificate, extension.get(), -1) == 1);
}

void AddCommonName(X509_NAME* name, const std::string& text) {
  Require(X509_NAME_add_entry_by_NID(
              // Not MBSTRING_UTF8, which allows for 64 characters.
              name, NID_commonName, V_ASN1_UTF8STRING,
              const_cast<uint8_t*>(Bytes(text)),
              static_cast<ossl_ssize_t>(text.size()), -1, 0) == 1);
}

bssl::UniquePtr<EVP_PKEY> NewKey() {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  Require(EC_KEY_generate_key(ec.get()) == 1 &&
          EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) == 1);
  return key;
}

}  // namespace

std::string Forge(const ForgedSpec& spec, const std::string& issuer_name,
                  EVP_PKEY* key, EVP_PKEY* issuer_key) {
  bssl::UniquePtr<X509> certificate(X509_new());
  X509* c = certificate.get();
  Require(X509_set_version(c, 2) == 1 &&
          ASN1_INTEGER_set(X509_get_serialNumber(c), 7) == 1 &&
          ASN1_TIME_set(X509_getm_notBefore(c), 1'600'000'000) != nullptr &&
          ASN1_TIME_set(X509_getm_notAfter(c), 2'500'000'000) != nullptr);
  X509_NAME* subject = X509_get_subject_name(c);
  AddCommonName(subject, spec.common_name);
  for (size_t i = 0; i < spec.subject_attributes; ++i) {
    const std::string unit = absl::StrCat("u", i);
    Require(X509_NAME_add_entry_by_NID(
                subject, NID_organizationalUnitName, MBSTRING_UTF8,
                const_cast<uint8_t*>(Bytes(unit)),
                static_cast<ossl_ssize_t>(unit.size()), -1, 0) == 1);
  }
  if (issuer_name.empty()) {
    Require(X509_set_issuer_name(c, subject) == 1);
  } else {
    bssl::UniquePtr<X509_NAME> issuer(X509_NAME_new());
    AddCommonName(issuer.get(), issuer_name);
    Require(X509_set_issuer_name(c, issuer.get()) == 1);
  }
  Require(X509_set_pubkey(c, spec.key == nullptr ? key : spec.key) == 1);
  bssl::UniquePtr<BASIC_CONSTRAINTS> basic(BASIC_CONSTRAINTS_new());
  basic->ca = spec.authority ? 0xff : 0;
  Require(X509_add1_ext_i2d(c, NID_basic_constraints, basic.get(), 1, 0) == 1);
  AddNames(spec, c);
  AddConstraints(spec, c);
  AddPolicies(spec, c);
  for (size_t i = 0; i < spec.extensions; ++i) AddOther(c, i + 1, "");
  if (spec.padding > 0) AddOther(c, 0, std::string(spec.padding, 'p'));
  Require(X509_sign(c, issuer_key, EVP_sha256()) > 0);
  uint8_t* der = nullptr;
  const int size = i2d_X509(c, &der);
  Require(size > 0);
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  // Still a signature, but not of this.
  if (spec.signed_badly) text.back() = static_cast<char>(text.back() ^ 1);
  return text;
}

EVP_PKEY* ForgersKey() {
  static EVP_PKEY* const key = NewKey().release();
  return key;
}

std::vector<std::string> ForgedChain(size_t count, const ForgedSpec& spec,
                                     const std::string& issuer_name) {
  std::vector<std::string> chain;
  for (size_t i = 0; i < count; ++i) {
    ForgedSpec one = spec;
    one.common_name = absl::StrCat(spec.common_name, " ", i);
    one.authority = spec.authority && i > 0;
    const std::string issuer = i + 1 < count
                                   ? absl::StrCat(spec.common_name, " ", i + 1)
                                   : issuer_name;
    chain.push_back(Forge(one, issuer, ForgersKey(), ForgersKey()));
  }
  return chain;
}

dtls::Certificate ForUse(const std::vector<std::string>& chain) {
  bssl::UniquePtr<BIO> pem(BIO_new(BIO_s_mem()));
  for (const std::string& der : chain) {
    Require(PEM_write_bio(pem.get(), PEM_STRING_X509, "", Bytes(der),
                          static_cast<long>(der.size())) > 0);
  }
  bssl::UniquePtr<BIO> key(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_PKCS8PrivateKey(key.get(), ForgersKey(), nullptr,
                                        nullptr, 0, nullptr, nullptr) == 1);
  const auto text = [](BIO* bio) {
    const uint8_t* bytes = nullptr;
    size_t size = 0;
    Require(BIO_mem_contents(bio, &bytes, &size) == 1);
    return std::string(reinterpret_cast<const char*>(bytes), size);
  };
  return {.chain_pem = text(pem.get()), .key_pem = text(key.get())};
}

bssl::UniquePtr<EVP_PKEY> RsaKeyOfNobody(unsigned bits) {
  bssl::UniquePtr<BIGNUM> n(BN_new());
  bssl::UniquePtr<BIGNUM> e(BN_new());
  Require(BN_rand(n.get(), static_cast<int>(bits), BN_RAND_TOP_ONE,
                  BN_RAND_BOTTOM_ODD) == 1 &&
          BN_set_word(e.get(), RSA_F4) == 1);
  bssl::UniquePtr<RSA> rsa(RSA_new());
  Require(RSA_set0_key(rsa.get(), n.get(), e.get(), nullptr) == 1);
  static_cast<void>(n.release());
  static_cast<void>(e.release());
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  Require(EVP_PKEY_set1_RSA(key.get(), rsa.get()) == 1);
  return key;
}

bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> BuffersOf(
    const std::vector<std::string>& chain) {
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> buffers(sk_CRYPTO_BUFFER_new_null());
  for (const std::string& der : chain) {
    Require(bssl::PushToStack(buffers.get(),
                              bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(
                                  Bytes(der), der.size(), nullptr))));
  }
  return buffers;
}

}  // namespace cordon::testing
