// What judging a chain costs, in signatures, and what it tells.
#include "cordon/dtls/internal/peer_verifier.h"

#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/peer_identity.h"
#include "cordon/dtls/options.h"
#include "cordon/dtls/verification.h"
#include "cordon/net/base/printable.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/forged_chain/forged_chain.h"
#include "cordon/testing/signature_checks/signature_checks.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using ::cordon::testing::BuffersOf;
using ::cordon::testing::Forge;
using ::cordon::testing::ForgedChain;
using ::cordon::testing::ForgedSpec;
using ::cordon::testing::ForgersKey;
using ::cordon::testing::RsaKeyOfNobody;
using ::cordon::testing::SignatureChecks;
using ::cordon::testing::TestAuthority;
using Code = VerificationErrorCode;
using Codes = std::vector<Code>;

const TestAuthority& Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}

// The DER of each certificate of a PEM text.
std::vector<std::string> DersOf(const std::string& pem) {
  std::vector<std::string> ders;
  auto certificates = ParseCertificates(pem, "the test's");
  for (const bssl::UniquePtr<X509>& certificate : *certificates) {
    uint8_t* der = nullptr;
    const int size = i2d_X509(certificate.get(), &der);
    ders.emplace_back(reinterpret_cast<char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
  }
  return ders;
}

struct Verdict {
  std::vector<VerificationError> errors;
  size_t signatures = 0;

  Codes codes() const {
    Codes codes;
    for (const VerificationError& e : errors) codes.push_back(e.code);
    return codes;
  }
};

bool Has(const Verdict& verdict, Code code) {
  const Codes codes = verdict.codes();
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

Verdict Judge(const std::vector<std::string>& chain,
              const CertificateLimits& limits = {}, int depth = 10,
              const TrustAnchors& trust = Authority().trust()) {
  absl::StatusOr<PeerVerifier> verifier =
      PeerVerifier::Create(trust, {}, PeerVerifier::Peer::kClient);
  EXPECT_TRUE(verifier.ok()) << verifier.status();
  const size_t before = SignatureChecks();
  Verdict verdict;
  verdict.errors = verifier->Verify(
      BuffersOf(chain).get(), {.max_chain_depth = depth,
                               .now = absl::FromUnixSeconds(2'000'000'000),
                               .limits = limits});
  verdict.signatures = SignatureChecks() - before;
  return verdict;
}

TEST(PeerVerifierTest, AGoodChainCostsASignatureEach) {
  const Certificate good =
      Authority().IssueAuthority("Middle").IssueAuthority("Low").Issue({});
  const Verdict verdict = Judge(DersOf(good.chain_pem));
  EXPECT_TRUE(verdict.errors.empty()) << MessagesOf(verdict.errors);
  EXPECT_EQ(verdict.signatures, 3U);
}

// 97 KB, and 70 million comparisons of a name with a constraint.
TEST(PeerVerifierTest, AStrangersLargestChainIsNotLookedAt) {
  for (const std::string& issuer : {std::string(), std::string("Test CA")}) {
    const std::vector<std::string> chain =
        ForgedChain(12, {.dns_names = 1020, .excluded_subtrees = 1020}, issuer);
    const Verdict verdict = Judge(chain);
    EXPECT_EQ(verdict.codes(), Codes{Code::kLimitExceeded});
    EXPECT_TRUE(
        absl::StrContains(verdict.errors[0].message, "max_chain_bytes"));
    EXPECT_EQ(verdict.signatures, 0U);
    // An exception for it is one for it alone.
    EXPECT_EQ(verdict.errors[0].certificate.view(), chain[0]);
  }
}

TEST(PeerVerifierTest, WithoutAnAnchorFewSignaturesAreChecked) {
  const CertificateLimits limits;
  for (size_t count = 1; count <= 12; ++count) {
    const Verdict verdict = Judge(ForgedChain(count, {}));
    EXPECT_LE(verdict.signatures, limits.max_unanchored_signatures);
    const bool whole = count - 1 <= limits.max_unanchored_signatures;
    const Code code = count == 1 ? Code::kSelfSigned : Code::kSelfSignedInChain;
    if (whole) {
      EXPECT_EQ(verdict.codes(), Codes{code}) << count;
      EXPECT_EQ(verdict.signatures, count - 1);
    } else {
      // Who trusts the last certificate does not trust the first by that.
      EXPECT_EQ(verdict.codes(), (Codes{code, Code::kUnableToVerifyFirst}))
          << count;
      EXPECT_EQ(verdict.signatures, 0U);
      EXPECT_EQ(verdict.errors[1].depth, 0);
    }
  }
  EXPECT_EQ(Judge(ForgedChain(2, {}), {.max_unanchored_signatures = 0}).codes(),
            (Codes{Code::kSelfSignedInChain, Code::kUnableToVerifyFirst}));
}

TEST(PeerVerifierTest, AnAnchorsNameIsNoAnchor) {
  const CertificateLimits limits;
  for (size_t count = 1; count <= 12; ++count) {
    const std::vector<std::string> chain = ForgedChain(count, {}, "Test CA");
    const Verdict verdict = Judge(chain);
    EXPECT_LE(verdict.signatures, limits.max_unanchored_signatures + 1);
    ASSERT_FALSE(verdict.errors.empty());
    EXPECT_EQ(verdict.errors[0].code, Code::kSignatureInvalid);
    EXPECT_EQ(verdict.errors[0].depth, static_cast<int>(count) - 1);
    EXPECT_EQ(Has(verdict, Code::kUnableToVerifyFirst),
              count - 1 > limits.max_unanchored_signatures);
  }
}

// Somebody who has seen a certificate of a good authority puts others below it.
TEST(PeerVerifierTest, BelowAForgedCertificateAGoodOneHelpsNothing) {
  std::vector<std::string> chain = ForgedChain(9, {}, "Middle");
  const std::string middle =
      DersOf(Authority().IssueAuthority("Middle").Issue({}).chain_pem)[1];
  chain.push_back(middle);
  const Verdict verdict = Judge(chain);
  EXPECT_EQ(verdict.errors[0].code, Code::kSignatureInvalid);
  EXPECT_EQ(verdict.errors[0].depth, 8);
  EXPECT_EQ(verdict.errors[1].code, Code::kUnableToVerifyFirst);
  // The good one's, and the first that is not.
  EXPECT_EQ(verdict.signatures, 2U);
}

TEST(PeerVerifierTest, ManyCertificatesOfOneNameCostNoMore) {
  std::vector<std::string> chain = {
      Forge({.common_name = "leaf", .authority = false}, "twin", ForgersKey(),
            ForgersKey())};
  while (chain.size() < 12) {
    chain.push_back(Forge({.common_name = "twin", .dns_names = chain.size()},
                          "twin", ForgersKey(), ForgersKey()));
  }
  EXPECT_LE(Judge(chain).signatures, 4U);
  chain.resize(1);
  while (chain.size() < 12) {
    chain.push_back(Forge({.common_name = "twin", .dns_names = chain.size()},
                          "Test CA", ForgersKey(), ForgersKey()));
  }
  EXPECT_LE(Judge(chain).signatures, 4U);
}

// The worst that passes all limits, and what is left of it to do.
TEST(PeerVerifierTest, NamesAndConstraintsWithinTheLimitsAreFewInAll) {
  const CertificateLimits limits;
  size_t fits = 0;
  for (size_t subtrees = 0; subtrees <= 256; subtrees += 8) {
    const Verdict verdict = Judge(
        ForgedChain(4, {.dns_names = 100, .excluded_subtrees = subtrees}));
    if (verdict.codes() == Codes{Code::kLimitExceeded}) continue;
    fits = subtrees;
    EXPECT_LE(verdict.signatures, 3U);
  }
  // 101 names of each of four, and the constraints of the three others.
  EXPECT_LE(fits * 101 * 4 * 3, limits.max_name_checks);
  EXPECT_GT(fits, 0U);
}

TEST(PeerVerifierTest, AHugeKeyIsNotUsed) {
  const bssl::UniquePtr<EVP_PKEY> huge = RsaKeyOfNobody(16'384);
  const Verdict verdict =
      Judge({Forge({.common_name = "leaf"}, "huge", ForgersKey(), ForgersKey()),
             Forge({.common_name = "huge", .key = huge.get()}, "Test CA",
                   ForgersKey(), ForgersKey())});
  EXPECT_EQ(verdict.codes(), Codes{Code::kLimitExceeded});
  EXPECT_EQ(verdict.errors[0].depth, 1);
  EXPECT_EQ(verdict.signatures, 0U);
}

// Such as certificates of a root's other names.
TEST(PeerVerifierTest, MoreCertificatesThanAreNeededDoNotHarm) {
  std::vector<std::string> chain =
      DersOf(Authority().IssueAuthority("Middle").Issue({}).chain_pem);
  for (const std::string& other : ForgedChain(20, {})) chain.push_back(other);
  const Verdict verdict = Judge(chain, {}, 1);
  EXPECT_TRUE(verdict.errors.empty()) << MessagesOf(verdict.errors);
  EXPECT_EQ(verdict.signatures, 2U);
}

TEST(PeerVerifierTest, ATooLongChainSaysSo) {
  TestAuthority low = Authority().IssueAuthority("CA 1");
  for (int i = 2; i <= 5; ++i) {
    low = low.IssueAuthority(absl::StrCat("CA ", i));
  }
  const std::vector<std::string> chain = DersOf(low.Issue({}).chain_pem);
  ASSERT_EQ(chain.size(), 6U);
  EXPECT_TRUE(Judge(chain, {}, 5).errors.empty());
  EXPECT_EQ(Judge(chain, {}, 4).codes(), Codes{Code::kPathTooLong});
  EXPECT_TRUE(Has(Judge(chain, {}, 2), Code::kPathTooLong));
  EXPECT_TRUE(Has(Judge(chain, {}, 2), Code::kUnableToGetLocalIssuer));
}

TEST(PeerVerifierTest, RevocationListsAreNotReadForStrangers) {
  const TestAuthority middle = Authority().IssueAuthority("Middle");
  TrustAnchors trust = Authority().trust();
  trust.crl_pem = absl::StrCat(Authority().Crl({}), middle.Crl({}));
  const Verdict good = Judge(DersOf(middle.Issue({}).chain_pem), {}, 10, trust);
  EXPECT_TRUE(good.errors.empty()) << MessagesOf(good.errors);
  // Certificates that have the name of the list's issuer.
  std::vector<std::string> chain = ForgedChain(12, {}, "Test CA");
  const Verdict verdict = Judge(chain, {}, 10, trust);
  EXPECT_LE(verdict.signatures, 1U);
  for (Code code : verdict.codes()) {
    EXPECT_NE(code, Code::kCrlInvalid);
    EXPECT_NE(code, Code::kCrlUnavailable);
  }
  // And who is revoked is revoked.
  const Certificate revoked = middle.Issue({});
  trust.crl_pem = absl::StrCat(Authority().Crl({}), middle.Crl({revoked}));
  EXPECT_EQ(Judge(DersOf(revoked.chain_pem), {}, 10, trust).codes(),
            Codes{Code::kRevoked});
}

TEST(PeerVerifierTest, ErrorsShareTheCertificateWithTheChain) {
  const std::vector<std::string> chain =
      ForgedChain(3, {.padding = 10'000, .signed_badly = true});
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> buffers = BuffersOf(chain);
  std::vector<VerificationError> errors;
  {
    PeerVerifier verifier = *PeerVerifier::Create(Authority().trust(), {},
                                                  PeerVerifier::Peer::kServer);
    errors = verifier.Verify(
        buffers.get(), {.name = "other.test", .now = absl::InfiniteFuture()});
  }
  ASSERT_GE(errors.size(), 4U);
  std::set<const void*> held;
  for (size_t i = 0; i < chain.size(); ++i) {
    held.insert(CRYPTO_BUFFER_data(sk_CRYPTO_BUFFER_value(buffers.get(), i)));
  }
  for (const VerificationError& error : errors) {
    EXPECT_TRUE(held.contains(error.certificate.view().data()));
    EXPECT_EQ(error.certificate.view(),
              chain[static_cast<size_t>(error.depth)]);
  }
  // They stay when the chain has gone; so do copies of copies.
  buffers.reset();
  const std::vector<VerificationError> copies = errors;
  errors.clear();
  EXPECT_EQ(copies[0].certificate.view(),
            chain[static_cast<size_t>(copies[0].depth)]);
}

TEST(PeerVerifierTest, ErrorsHaveALimitThatCannotBeIgnoredWithThem) {
  // Too old, of no authority, with weak signatures, ...: three of each at
  // least.
  CertificateLimits limits;
  limits.max_unanchored_signatures = 100;
  const bssl::UniquePtr<EVP_PKEY> weak = RsaKeyOfNobody(1024);
  std::vector<std::string> chain;
  for (int i = 0; i < 11; ++i) {
    chain.push_back(Forge({.common_name = absl::StrCat("f ", i),
                           .authority = false,
                           .key = weak.get()},
                          absl::StrCat("f ", i + 1), ForgersKey(),
                          ForgersKey()));
  }
  const Verdict verdict = Judge(chain, limits);
  ASSERT_EQ(verdict.errors.size(), kMaxVerificationErrors);
  EXPECT_EQ(verdict.errors.back().code, Code::kLimitExceeded);
  Codes codes = verdict.codes();
  codes.pop_back();
  EXPECT_EQ(NotIgnored(verdict.errors, IgnoreCodes(codes)).size(), 1U);
  EXPECT_LE(MessagesOf(verdict.errors).size(), 4096U);
}

TEST(PeerVerifierTest, NamesInMessagesAreEscapedAndCut) {
  const std::string hostile = "a\x1b]0;owned\x07\n\u009b31m\u202e\u200b\x7f";
  for (const std::string& name : {hostile, hostile + std::string(20'000, 'n'),
                                  std::string(20'000, '\x1b')}) {
    const Verdict verdict =
        Judge({Forge({.common_name = name}, "", ForgersKey(), ForgersKey())});
    ASSERT_FALSE(verdict.errors.empty());
    for (const VerificationError& error : verdict.errors) {
      EXPECT_LE(error.subject.size(), net::kMaxNameBytes);
      EXPECT_LE(error.message.size(), 4 * net::kMaxNameBytes);
      EXPECT_EQ(net::PrintableText(error.subject), error.subject);
      EXPECT_EQ(net::PrintableText(error.message), error.message);
      EXPECT_TRUE(absl::StrContains(error.message, error.subject));
    }
    const PeerIdentity identity =
        IdentityOf(BuffersOf({Forge({.common_name = name}, name, ForgersKey(),
                                    ForgersKey())})
                       .get());
    EXPECT_LE(identity.issuer.size(), net::kMaxNameBytes);
    EXPECT_EQ(net::PrintableText(identity.issuer), identity.issuer);
  }
}

TEST(PeerVerifierTest, OfACertificateBeyondALimitOnlyTheFingerprintIsKnown) {
  bool whole = true;
  const std::string der =
      Forge({.dns_names = 1000}, "", ForgersKey(), ForgersKey());
  const PeerIdentity identity = IdentityOf(BuffersOf({der}).get(), &whole);
  EXPECT_FALSE(whole);
  EXPECT_EQ(identity.subject, "");
  EXPECT_TRUE(identity.dns_names.empty());
  EXPECT_EQ(identity.fingerprint.size(), 64U);
  whole = true;
  EXPECT_EQ(IdentityOf(BuffersOf({der}).get(), &whole, {.max_names = 2000})
                .dns_names.size(),
            1000U);
  EXPECT_TRUE(whole);
}

}  // namespace
}  // namespace cordon::dtls::internal
