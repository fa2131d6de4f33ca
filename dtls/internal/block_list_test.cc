// Which certificates a block list covers, in whatever form they come.
#include "cordon/dtls/internal/block_list.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/pool.h>
#include <openssl/stack.h>
#include <openssl/x509.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/internal/peer_identity.h"
#include "cordon/dtls/internal/peer_verifier.h"
#include "cordon/testing/certs/certs.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using ::cordon::testing::KeyType;
using ::cordon::testing::SelfSigned;
using ::cordon::testing::TestAuthority;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);

bssl::UniquePtr<X509> Parse(const std::string& pem) {
  return std::move(ParseCertificates(pem, "test")->front());
}

std::string DerOf(X509* certificate) {
  uint8_t* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  EXPECT_GT(size, 0);
  bssl::UniquePtr<uint8_t> owner(der);
  return {reinterpret_cast<const char*>(der), static_cast<size_t>(size)};
}

// The same certificate with n - s instead of s in its issuer's signature.
bssl::UniquePtr<X509> TwinOf(const std::string& pem, int curve) {
  bssl::UniquePtr<X509> twin = Parse(pem);
  const ASN1_BIT_STRING* signature = nullptr;
  X509_get0_signature(&signature, nullptr, twin.get());
  bssl::UniquePtr<ECDSA_SIG> sig(
      ECDSA_SIG_from_bytes(ASN1_STRING_get0_data(signature),
                           static_cast<size_t>(ASN1_STRING_length(signature))));
  bssl::UniquePtr<EC_GROUP> group(EC_GROUP_new_by_curve_name(curve));
  bssl::UniquePtr<BIGNUM> r(BN_dup(ECDSA_SIG_get0_r(sig.get())));
  bssl::UniquePtr<BIGNUM> s(BN_new());
  EXPECT_EQ(BN_sub(s.get(), EC_GROUP_get0_order(group.get()),
                   ECDSA_SIG_get0_s(sig.get())),
            1);
  EXPECT_EQ(ECDSA_SIG_set0(sig.get(), r.release(), s.release()), 1);
  uint8_t* der = nullptr;
  size_t size = 0;
  EXPECT_EQ(ECDSA_SIG_to_bytes(&der, &size, sig.get()), 1);
  bssl::UniquePtr<uint8_t> owner(der);
  EXPECT_EQ(X509_set1_signature_value(twin.get(), der, size), 1);
  return twin;
}

// A certificate with the same key, whose point is compressed.
bssl::UniquePtr<X509> Compressed(const std::string& pem) {
  const bssl::UniquePtr<X509> certificate = Parse(pem);
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(certificate.get()));
  const EC_KEY* ec = EVP_PKEY_get0_EC_KEY(key.get());
  uint8_t* point = nullptr;
  const size_t size =
      EC_KEY_key2buf(ec, POINT_CONVERSION_COMPRESSED, &point, nullptr);
  EXPECT_EQ(size, 33U);
  EXPECT_EQ(
      X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(certificate.get()),
                             OBJ_nid2obj(NID_X9_62_id_ecPublicKey),
                             V_ASN1_OBJECT, OBJ_nid2obj(NID_X9_62_prime256v1),
                             point, static_cast<int>(size)),
      1);
  // What it was read from is no longer what it says.
  uint8_t* signed_part = nullptr;
  EXPECT_GT(i2d_re_X509_tbs(certificate.get(), &signed_part), 0);
  OPENSSL_free(signed_part);
  const std::string der = DerOf(certificate.get());
  const auto* bytes = reinterpret_cast<const uint8_t*>(der.data());
  return bssl::UniquePtr<X509>(
      d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
}

BlockList ListOf(const std::vector<std::string>& entries) {
  BlockList list;
  for (const std::string& entry : entries) {
    EXPECT_EQ(list.Add(entry), absl::OkStatus()) << entry;
  }
  EXPECT_FALSE(list.empty());
  return list;
}

TEST(BlockListTest, ATwinIsBlockedByTheFingerprintOfEither) {
  for (const auto& [key, curve] :
       {std::pair(KeyType::kEcdsaP256, NID_X9_62_prime256v1),
        {KeyType::kEcdsaP384, NID_secp384r1}}) {
    const TestAuthority authority("Test CA", key);
    const std::string pem = authority.Issue({}).chain_pem;
    const bssl::UniquePtr<X509> original = Parse(pem);
    const bssl::UniquePtr<X509> twin = TwinOf(pem, curve);
    // It is as good, and looks like another.
    const bssl::UniquePtr<X509> issuer = Parse(authority.certificate_pem());
    bssl::UniquePtr<EVP_PKEY> issuer_key(X509_get_pubkey(issuer.get()));
    EXPECT_EQ(X509_verify(twin.get(), issuer_key.get()), 1);
    const std::string of_twin = *dtls::FingerprintOf(DerOf(twin.get()));
    const std::string of_original = *dtls::FingerprintOf(pem);
    EXPECT_NE(of_twin, of_original);
    for (const std::string& entry : {of_original, of_twin}) {
      const BlockList list = ListOf({entry});
      EXPECT_TRUE(list.Blocks(original.get()));
      EXPECT_TRUE(list.Blocks(twin.get()));
      EXPECT_FALSE(list.Blocks(issuer.get()));
      EXPECT_FALSE(list.Blocks(Parse(authority.Issue({}).chain_pem).get()));
    }
  }
}

// What stands outside of the signed part says nothing of its own, and nobody
// has signed it.
TEST(BlockListTest, TheUnsignedPartMayBeWrittenInAnyWay) {
  const TestAuthority authority("Test CA");
  const std::string pem = authority.Issue({}).chain_pem;
  const std::string der = DerOf(Parse(pem).get());
  // The outer name of the algorithm, the last of the two, gets a parameter.
  const std::string name("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
                         12);
  const size_t at = der.rfind(name);
  ASSERT_NE(at, std::string::npos);
  ASSERT_NE(at, der.find(name));
  std::string changed = der;
  changed.replace(
      at, name.size(),
      std::string("\x30\x0c", 2) + name.substr(2) + std::string("\x05\x00", 2));
  ASSERT_EQ(static_cast<uint8_t>(changed[1]), 0x82);
  const size_t size = changed.size() - 4;
  changed[2] = static_cast<char>(size >> 8);
  changed[3] = static_cast<char>(size);
  const auto* bytes = reinterpret_cast<const uint8_t*>(changed.data());
  const bssl::UniquePtr<X509> other(
      d2i_X509(nullptr, &bytes, static_cast<long>(changed.size())));
  ASSERT_NE(other, nullptr);
  EXPECT_NE(*dtls::FingerprintOf(changed), *dtls::FingerprintOf(pem));
  EXPECT_TRUE(ListOf({*dtls::FingerprintOf(pem)}).Blocks(other.get()));
}

TEST(BlockListTest, OtherSignaturesHaveNoTwins) {
  for (const KeyType key : {KeyType::kRsa2048, KeyType::kEd25519}) {
    const TestAuthority authority("Test CA", key);
    const std::string pem = authority.Issue({}).chain_pem;
    const BlockList list = ListOf({*dtls::FingerprintOf(pem)});
    EXPECT_TRUE(list.Blocks(Parse(pem).get()));
    EXPECT_FALSE(list.Blocks(Parse(authority.Issue({}).chain_pem).get()));
    EXPECT_FALSE(list.Blocks(Parse(authority.certificate_pem()).get()));
  }
}

TEST(BlockListTest, AKeyIsBlockedInAllItsCertificates) {
  const TestAuthority authority("Test CA");
  const std::string pem = authority.Issue({}).chain_pem;
  const BlockList list = ListOf({absl::StrCat(
      "spki:", absl::AsciiStrToUpper(*dtls::SpkiFingerprintOf(pem)))});
  EXPECT_TRUE(list.Blocks(Parse(pem).get()));
  EXPECT_TRUE(list.Blocks(TwinOf(pem, NID_X9_62_prime256v1).get()));
  EXPECT_FALSE(list.Blocks(Parse(authority.Issue({}).chain_pem).get()));
  // Also where its point is compressed.
  const bssl::UniquePtr<X509> again = Compressed(pem);
  EXPECT_NE(SpkiFingerprintOf(again.get()),
            SpkiFingerprintOf(Parse(pem).get()));
  EXPECT_TRUE(list.Blocks(again.get()));
}

TEST(BlockListTest, ASerialNumberIsBlockedOfItsIssuer) {
  const TestAuthority authority("Test CA");
  const TestAuthority other("Other CA");
  const std::string pem = authority.Issue({}).chain_pem;
  const std::string name = *dtls::IssuerAndSerialOf(pem);
  EXPECT_TRUE(absl::EndsWith(name, "@CN=Test CA")) << name;
  const bssl::UniquePtr<X509> certificate = Parse(pem);
  for (const std::string& entry :
       {absl::StrCat("serial:", name),
        absl::StrCat("serial:00", absl::AsciiStrToUpper(name)),
        absl::StrCat("serial:", name.substr(0, 2), ":", name.substr(2)),
        absl::StrReplaceAll(absl::StrCat("serial:", name),
                            {{"CN=Test CA", " CN = Test CA"}})}) {
    const BlockList list = ListOf({entry});
    EXPECT_TRUE(list.Blocks(certificate.get())) << entry;
    EXPECT_TRUE(list.Blocks(TwinOf(pem, NID_X9_62_prime256v1).get()));
    EXPECT_FALSE(list.Blocks(Parse(authority.Issue({}).chain_pem).get()));
  }
  const std::string of_other =
      absl::StrReplaceAll(name, {{"Test CA", "Other CA"}});
  EXPECT_FALSE(
      ListOf({absl::StrCat("serial:", of_other)}).Blocks(certificate.get()));
}

// In a chain that is otherwise good.
TEST(BlockListTest, TheVerifierSeesTwinsThroughTheWholeChain) {
  const TestAuthority root("Root CA");
  const TestAuthority middle = root.IssueAuthority("Middle CA");
  const std::string pem = middle.Issue({}).chain_pem;
  std::vector<bssl::UniquePtr<X509>> chain =
      *ParseCertificates(pem, "the chain");
  ASSERT_EQ(chain.size(), 2U);
  for (size_t changed = 0; changed < 2; ++changed) {
    const std::string of_original =
        *dtls::FingerprintOf(DerOf(chain[changed].get()));
    bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> sent(sk_CRYPTO_BUFFER_new_null());
    for (size_t i = 0; i < 2; ++i) {
      bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
      ASSERT_EQ(PEM_write_bio_X509(bio.get(), chain[i].get()), 1);
      const uint8_t* text = nullptr;
      size_t size = 0;
      BIO_mem_contents(bio.get(), &text, &size);
      const std::string one(reinterpret_cast<const char*>(text), size);
      const std::string der =
          DerOf(i == changed ? TwinOf(one, NID_X9_62_prime256v1).get()
                             : chain[i].get());
      bssl::PushToStack(sent.get(),
                        bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(
                            reinterpret_cast<const uint8_t*>(der.data()),
                            der.size(), nullptr)));
    }
    for (const bool blocked : {false, true}) {
      VerificationOptions options;
      if (blocked) options.blocked = {of_original};
      const PeerVerifier verifier = *PeerVerifier::Create(
          root.trust(), options, PeerVerifier::Peer::kClient);
      PeerVerifier::Demands demands;
      demands.now = kNow;
      const std::vector<VerificationError> errors =
          verifier.Verify(sent.get(), demands);
      ASSERT_EQ(errors.size(), blocked ? 1U : 0U);
      if (!blocked) continue;
      EXPECT_EQ(errors[0].code, VerificationErrorCode::kBlocked);
      EXPECT_EQ(errors[0].depth, static_cast<int>(changed));
    }
  }
}

TEST(BlockListTest, WhatIsNoEntryIsToldWhatToWrite) {
  for (const std::string& entry :
       {std::string(""), std::string("zz"), std::string(63, 'a'),
        std::string("spki:"), std::string("spki:aa"), std::string("serial:"),
        std::string("serial:@CN=a"), std::string("serial:xy@CN=a"),
        std::string("serial:0a"), std::string("serial:0a@"),
        std::string("serial:0a@Example CA"),
        absl::StrCat("sha1:", std::string(40, 'a'))}) {
    BlockList list;
    const absl::Status status = list.Add(entry);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << entry << status;
    EXPECT_TRUE(list.empty());
  }
  BlockList list;
  EXPECT_TRUE(absl::StrContains(list.Add("serial:1").message(),
                                "serial:0a1b@CN=Example CA"));
}

}  // namespace
}  // namespace cordon::dtls::internal
