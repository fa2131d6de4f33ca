#include "cordon/dtls/internal/chain_limits.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/verification.h"
#include "cordon/testing/forged_chain/forged_chain.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using ::cordon::testing::BuffersOf;
using ::cordon::testing::Forge;
using ::cordon::testing::ForgedChain;
using ::cordon::testing::ForgedSpec;
using ::cordon::testing::ForgersKey;
using ::cordon::testing::RsaKeyOfNobody;

std::string Alone(const ForgedSpec& spec) {
  return Forge(spec, "", ForgersKey(), ForgersKey());
}

// "1: max_names 600 of 512".
std::string Exceeded(const std::vector<std::string>& chain,
                     const CertificateLimits& limits = {}, int depth = 10) {
  const std::optional<ExceededLimit> found =
      FindExceededLimit(BuffersOf(chain).get(), depth, limits);
  if (!found.has_value()) return "";
  return absl::StrCat(found->depth, ": ", found->name, " ", found->found,
                      " of ", found->allowed);
}

TEST(ChainLimitsTest, SizesAreThoseOfTheCertificate) {
  const bssl::UniquePtr<EVP_PKEY> key = RsaKeyOfNobody(3072);
  const std::string der = Alone({.subject_attributes = 3,
                                 .dns_names = 5,
                                 .uris = {"urn:a", "urn:b"},
                                 .permitted_subtrees = 7,
                                 .excluded_subtrees = 11,
                                 .policies = 13,
                                 .extensions = 17,
                                 .padding = 100,
                                 .key = key.get()});
  const std::optional<CertificateSizes> sizes = SizesOf(der);
  ASSERT_TRUE(sizes.has_value());
  EXPECT_EQ(sizes->bytes, der.size());
  EXPECT_EQ(sizes->names, 1U + 3U + 5U + 2U);
  EXPECT_EQ(sizes->name_constraints, 18U);
  EXPECT_EQ(sizes->policies, 13U);
  EXPECT_EQ(sizes->key_bits, 3072U);
  // Basic constraints, names, their constraints, policies, and the padding.
  EXPECT_EQ(sizes->extensions, 17U + 5U);
  EXPECT_EQ(SizesOf(Alone({}))->key_bits, 0U);
}

TEST(ChainLimitsTest, WhatIsNotBuiltAsACertificateHasNoSizes) {
  const std::string der = Alone({.dns_names = 3});
  EXPECT_FALSE(SizesOf("").has_value());
  EXPECT_FALSE(SizesOf("rubbish").has_value());
  EXPECT_FALSE(SizesOf(der + "x").has_value());
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_FALSE(SizesOf(der.substr(0, size)).has_value()) << size;
  }
  // Whatever a byte is changed to, it is read without harm.
  for (size_t i = 0; i < der.size(); ++i) {
    for (int change : {1, 0x20, 0x80, 0xff}) {
      std::string other = der;
      other[i] = static_cast<char>(other[i] ^ change);
      if (const std::optional<CertificateSizes> sizes = SizesOf(other)) {
        EXPECT_LE(sizes->names, other.size());
      }
    }
  }
}

TEST(ChainLimitsTest, EachLimitHoldsAndIsNamed) {
  const std::vector<std::string> good =
      ForgedChain(3, {.dns_names = 10, .excluded_subtrees = 10});
  EXPECT_EQ(Exceeded(good), "");
  EXPECT_EQ(Exceeded({}), "");
  const CertificateLimits limits;
  EXPECT_EQ(Exceeded({Alone({.padding = limits.max_certificate_bytes})})
                .substr(0, 24),
            "0: max_certificate_bytes");
  EXPECT_EQ(Exceeded(ForgedChain(3, {.padding = 22'000})).substr(0, 18),
            "0: max_chain_bytes");
  EXPECT_EQ(Exceeded({Alone({.dns_names = limits.max_names - 1})}), "");
  EXPECT_EQ(Exceeded({Alone({.dns_names = limits.max_names})}),
            "0: max_names 513 of 512");
  EXPECT_EQ(Exceeded({Alone({.subject_attributes = limits.max_names})}),
            "0: max_names 513 of 512");
  EXPECT_EQ(Exceeded({good[0], Alone({.permitted_subtrees = 200,
                                      .excluded_subtrees = 57})}),
            "1: max_name_constraints 257 of 256");
  EXPECT_EQ(Exceeded({Alone({.policies = 65})}), "0: max_policies 65 of 64");
  EXPECT_EQ(Exceeded({Alone({.extensions = 64})}),
            "0: max_extensions 65 of 64");
  const bssl::UniquePtr<EVP_PKEY> large = RsaKeyOfNobody(16'384);
  EXPECT_EQ(Exceeded({Alone({.key = large.get()})}),
            "0: max_key_bits 16384 of 8192");
  const bssl::UniquePtr<EVP_PKEY> fits = RsaKeyOfNobody(8'192);
  EXPECT_EQ(Exceeded({Alone({.key = fits.get()})}), "");
}

TEST(ChainLimitsTest, NamesTimesConstraintsAreOfTheWholeChain) {
  CertificateLimits limits;
  limits.max_name_checks = 1000;
  // Eleven names in each, with the common name; none is checked against its own
  // certificate's constraints.
  EXPECT_EQ(
      Exceeded({Alone({.dns_names = 10, .excluded_subtrees = 200})}, limits),
      "");
  EXPECT_EQ(Exceeded(ForgedChain(2, {.dns_names = 10, .excluded_subtrees = 45}),
                     limits),
            "");
  EXPECT_EQ(Exceeded(ForgedChain(2, {.dns_names = 10, .excluded_subtrees = 46}),
                     limits),
            "1: max_name_checks 1012 of 1000");
  // In whichever order they were sent.
  const std::string names = Alone({.dns_names = 99});
  const std::string constraints = Alone({.excluded_subtrees = 10});
  EXPECT_EQ(Exceeded({names, constraints}, limits), "");
  limits.max_name_checks = 999;
  EXPECT_EQ(Exceeded({names, constraints}, limits),
            "1: max_name_checks 1000 of 999");
  EXPECT_EQ(Exceeded({constraints, names}, limits),
            "1: max_name_checks 1000 of 999");
}

TEST(ChainLimitsTest, CertificatesThatAreNotLookedAtCountInBytesOnly) {
  std::vector<std::string> chain = ForgedChain(3, {});
  chain.push_back(Alone({.dns_names = 1000}));
  EXPECT_EQ(Exceeded(chain, {}, 1), "");
  EXPECT_EQ(Exceeded(chain, {}, 2), "3: max_names 1001 of 512");
  EXPECT_EQ(MaxCertificates(0), 2U);
  EXPECT_EQ(MaxCertificates(10), 12U);
}

// A decoder that is less strict must not find more than was counted.
TEST(ChainLimitsTest, WhatIsNoDerIsCountedByItsBytes) {
  const std::string der = Alone({.dns_names = 100});
  // The sequence of names has a length in two bytes (0x81 or 0x82), which
  // becomes an indefinite one.
  const std::string oid("\x06\x03\x55\x1d\x11\x04", 6);
  const size_t at = der.find(oid);
  ASSERT_NE(at, std::string::npos);
  const size_t sequence = der.find('\x30', at + oid.size());
  ASSERT_NE(sequence, std::string::npos);
  std::string other = der;
  other[sequence + 1] = '\x80';
  const std::optional<CertificateSizes> sizes = SizesOf(other);
  ASSERT_TRUE(sizes.has_value());
  EXPECT_GE(sizes->names, 100U);
}

TEST(ChainLimitsTest, ALimitOfZeroIsRefused) {
  EXPECT_TRUE(CheckLimits({}).ok());
  EXPECT_TRUE(CheckLimits({.max_unanchored_signatures = 0}).ok());
  const absl::Status status = CheckLimits({.max_names = 0});
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(
      absl::StrContains(status.message(), "verification.limits.max_names"));
}

}  // namespace
}  // namespace cordon::dtls::internal
