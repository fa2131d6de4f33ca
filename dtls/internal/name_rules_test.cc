#include "cordon/dtls/internal/name_rules.h"

#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cordon/dtls/internal/name_pattern.h"
#include "cordon/dtls/verification.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

NameRules RulesOf(const std::vector<std::string>& texts) {
  NameRules rules;
  for (const std::string& text : texts) rules.Add(*NamePattern::Parse(text));
  return rules;
}

// One after the other.
template <typename Fits>
std::optional<size_t> First(const std::vector<std::string>& texts, Fits fits) {
  for (size_t i = 0; i < texts.size(); ++i) {
    if (fits(*NamePattern::Parse(texts[i]))) return i;
  }
  return std::nullopt;
}

TEST(NameRulesTest, AnswerAsEachPatternDoes) {
  const std::vector<std::string> patterns = {
      "a.example.com", "*.example.com", "b.example.com.",   "*.b.example.com",
      "A.a",           "*.a",           "uri:spiffe://a/b", "spiffe://a/*",
      "spiffe://A/**", "spiffe://a/b*", "spiffe://*/b",     "uri:urn:a",
      "uri:urn:*",
  };
  const std::vector<std::string> dns = {"a.example.com",
                                        "A.Example.com.",
                                        "b.example.com",
                                        "*.example.com",
                                        "example.com",
                                        ".example.com",
                                        "*.b.example.com",
                                        "c.b.example.com",
                                        "a",
                                        "a.a",
                                        "*.a",
                                        "*",
                                        "",
                                        "*.",
                                        "."};
  const std::vector<std::string> uris = {"spiffe://a/b",
                                         "SPIFFE://A/b",
                                         "spiffe://a/B",
                                         "spiffe://a/",
                                         "spiffe://b/b",
                                         "spiffe://a/bc",
                                         "spiffe://a/c/d",
                                         "urn:a",
                                         "urn:b",
                                         "",
                                         std::string(3000, 'u')};
  std::mt19937 random(1);
  const auto any = [&random](size_t below) { return random() % below; };
  size_t allowed = 0;
  size_t denied = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::string> texts(any(6));
    for (std::string& text : texts) text = patterns[any(patterns.size())];
    PeerIdentity peer;
    for (size_t i = any(3); i > 0; --i) {
      peer.dns_names.push_back(dns[any(dns.size())]);
    }
    for (size_t i = any(3); i > 0; --i) {
      peer.uris.push_back(uris[any(uris.size())]);
    }
    const NameRules rules = RulesOf(texts);
    EXPECT_EQ(rules.empty(), texts.empty());
    const std::optional<size_t> allows =
        First(texts, [&](const NamePattern& p) { return p.Allows(peer); });
    const std::optional<size_t> denies =
        First(texts, [&](const NamePattern& p) { return p.Denies(peer); });
    ASSERT_EQ(rules.Allowing(peer), allows) << round;
    ASSERT_EQ(rules.Denying(peer), denies) << round;
    allowed += allows.has_value() ? 1 : 0;
    denied += denies.has_value() ? 1 : 0;
  }
  EXPECT_GT(allowed, 1000U);
  EXPECT_GT(denied, allowed);
}

TEST(NameRulesTest, ManyPatternsCostNoMoreThanFew) {
  NameRules rules;
  for (int i = 0; i < 10'000; ++i) {
    rules.Add(*NamePattern::Parse(absl::StrCat("a", i, ".example.com")));
    rules.Add(*NamePattern::Parse(absl::StrCat("*.b", i, ".example.com")));
    rules.Add(*NamePattern::Parse(absl::StrCat("spiffe://c", i, "/x")));
    rules.Add(*NamePattern::Parse(absl::StrCat("spiffe://d", i, "/*")));
  }
  PeerIdentity peer;
  for (int i = 0; i < 500; ++i) {
    peer.dns_names.push_back(absl::StrCat("x", i, ".example.com"));
    peer.uris.push_back(absl::StrCat("spiffe://d", i, "/a/b"));
  }
  EXPECT_EQ(rules.Allowing(peer), std::nullopt);
  // One by one it would be 20,000 for each.
  EXPECT_EQ(rules.ComparisonsFor(peer), 500U);
  peer.uris.emplace_back("spiffe://d9999/a");
  EXPECT_EQ(rules.Allowing(peer), 39'999U);
  EXPECT_EQ(rules.Denying(peer), 39'999U);
}

}  // namespace
}  // namespace cordon::dtls::internal
