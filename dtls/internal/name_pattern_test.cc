// Which names patterns fit, and which patterns there may be.
#include "cordon/dtls/internal/name_pattern.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

NamePattern Pattern(const std::string& text) {
  absl::StatusOr<NamePattern> pattern = NamePattern::Parse(text);
  EXPECT_TRUE(pattern.ok()) << text << ": " << pattern.status();
  return *pattern;
}

PeerIdentity Dns(const std::string& name) {
  PeerIdentity peer;
  peer.dns_names = {name};
  return peer;
}

PeerIdentity Uri(const std::string& uri) {
  PeerIdentity peer;
  peer.uris = {uri};
  return peer;
}

struct Case {
  std::string pattern;
  std::string name;
  bool fits = false;
};

TEST(NamePatternTest, DnsNamesFitWholeOrByTheirFirstLabel) {
  const std::vector<Case> cases = {
      {"a.example.com", "a.example.com", true},
      {"dns:a.example.com", "a.example.com", true},
      {"a.example.com", "b.example.com", false},
      {"a.example.com", "example.com", false},
      {"example.com", "a.example.com", false},
      // RFC 9525 section 6.3: one label, no more and no less.
      {"*.example.com", "a.example.com", true},
      {"*.example.com", "example.com", false},
      {"*.example.com", ".example.com", false},
      {"*.example.com", "a.b.example.com", false},
      {"*.example.com", "aexample.com", false},
      {"*.example.com", "a.example.com.evil.net", false},
      // Case and the root's dot say nothing.
      {"A.Example.COM", "a.example.com", true},
      {"a.example.com", "A.EXAMPLE.Com", true},
      {"a.example.com.", "a.example.com", true},
      {"a.example.com", "a.example.com.", true},
      {"*.Example.com.", "A.example.COM.", true},
      // A-labels are labels like others.
      {"xn--bcher-kva.example", "xn--bcher-kva.example", true},
      {"xn--bcher-kva.example", "XN--BCHER-KVA.example", true},
      {"xn--bcher-kva.example", "bucher.example", false},
      {"*.example", "xn--bcher-kva.example", true},
      {"_dtls.example.com", "_dtls.example.com", true},
      // A NUL hides nothing.
      {"good.example", std::string("good.example\0.evil.net", 22), false},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Pattern(c.pattern).Allows(Dns(c.name)), c.fits)
        << c.pattern << " " << c.name;
    EXPECT_EQ(Pattern(c.pattern).Denies(Dns(c.name)), c.fits)
        << c.pattern << " " << c.name;
  }
}

TEST(NamePatternTest, StarsInUrisStopAtSlashesAndDoubleStarsDoNot) {
  const std::vector<Case> cases = {
      {"uri:spiffe://example.org/web", "spiffe://example.org/web", true},
      {"spiffe://example.org/web", "spiffe://example.org/web", true},
      {"uri:spiffe://example.org/web", "spiffe://example.org/web/2", false},
      {"uri:spiffe://example.org/web", "spiffe://example.org/we", false},
      {"uri:spiffe://example.org/*", "spiffe://example.org/web", true},
      {"uri:spiffe://example.org/*", "spiffe://example.org/", true},
      {"uri:spiffe://example.org/*", "spiffe://example.org/ns/web", false},
      {"uri:spiffe://example.org/**", "spiffe://example.org/ns/web", true},
      {"uri:spiffe://example.org/**", "spiffe://example.org", false},
      {"uri:spiffe://example.org/ns/*/sa/web",
       "spiffe://example.org/ns/prod/sa/web", true},
      {"uri:spiffe://example.org/ns/*/sa/web",
       "spiffe://example.org/ns/a/b/sa/web", false},
      {"uri:spiffe://example.org/ns/**/sa/web",
       "spiffe://example.org/ns/a/b/sa/web", true},
      {"uri:spiffe://*/web", "spiffe://example.org/web", true},
      {"uri:spiffe://*/web", "spiffe://example.org/a/web", false},
      {"uri:urn:device:*", "urn:device:17", true},
      {"uri:urn:device:*", "urn:devices:17", false},
      // Stars that have to give back what they took.
      {"uri:x:*ab*/c", "x:aabab/c", true},
      {"uri:x:*ab*/c", "x:aabab/d", false},
      {"uri:x:**/a*c/d", "x:1/abc/2/abcc/d", true},
      {"uri:x:**/a*c/d", "x:1/abc/2/abcd/d", false},
      {"uri:x:***z", "x:a/b/z", true},
      {"uri:x:a*", "x:a", true},
      {"uri:x:a**", "x:a", true},
      // Scheme and host have no case, the path has.
      {"uri:SPIFFE://Example.org/Web", "spiffe://example.ORG/Web", true},
      {"uri:spiffe://example.org/Web", "spiffe://example.org/web", false},
      {"uri:spiffe://example.org/*", "Spiffe://EXAMPLE.org/web", true},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Pattern(c.pattern).Allows(Uri(c.name)), c.fits)
        << c.pattern << " " << c.name;
    EXPECT_EQ(Pattern(c.pattern).Denies(Uri(c.name)), c.fits)
        << c.pattern << " " << c.name;
  }
}

// A part of the authority, a query or a fragment is no name in the path.
TEST(NamePatternTest, StarsInAllowedUrisStopAtWhatDividesUris) {
  const std::vector<Case> cases = {
      {"uri:spiffe://example.org/ns/*/sa/web",
       "spiffe://example.org/ns/a?b/sa/web", false},
      {"uri:spiffe://example.org/ns/*/sa/web",
       "spiffe://example.org/ns/a#b/sa/web", false},
      {"uri:spiffe://example.org/*", "spiffe://example.org/web?admin", false},
      {"uri:spiffe://example.org/*", "spiffe://example.org/web#admin", false},
      {"uri:spiffe://example.org/*", "spiffe://example.org/?", false},
      {"uri:spiffe://*/web", "spiffe://evil.net?/web", false},
      {"uri:spiffe://*.example.org/web", "spiffe://evil.net?.example.org/web",
       false},
      {"uri:spiffe://*.example.org/web", "spiffe://evil.net#.example.org/web",
       false},
      {"uri:https://example.org*/web", "https://example.org@evil.net/web",
       false},
      {"uri:https://*/web", "https://me@evil.net/web", false},
      // Where the pattern names them, they fit.
      {"uri:https://*@example.org/*", "https://me@example.org/web", true},
      {"uri:https://example.org/*?*", "https://example.org/web?a=b", true},
      {"uri:https://example.org/*#*", "https://example.org/web#a", true},
      // "**" is what it was.
      {"uri:https://example.org/**", "https://example.org/a/b?c#d@e", true},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Pattern(c.pattern).Allows(Uri(c.name)), c.fits)
        << c.pattern << " " << c.name;
    // Whoever is denied cannot evade it by them.
    EXPECT_TRUE(Pattern(c.pattern).Denies(Uri(c.name)))
        << c.pattern << " " << c.name;
  }
}

TEST(NamePatternTest, WhatAStarIsInAnAllowedDnsNameIsALabel) {
  for (const std::string& label :
       {std::string("evil/.."), std::string("me@evil"), std::string("a?"),
        std::string("a b"), std::string("a:1"), std::string("a*"),
        std::string("a\0b", 3), std::string(64, 'a')}) {
    const PeerIdentity peer = Dns(label + ".example.com");
    EXPECT_FALSE(Pattern("*.example.com").Allows(peer)) << label;
    EXPECT_EQ(Pattern("*.example.com").Denies(peer),
              label.find('.') == std::string::npos)
        << label;
  }
  EXPECT_TRUE(Pattern("*.example.com").Allows(Dns("*.example.com")));
  EXPECT_TRUE(Pattern("*.example.com").Allows(Dns("_a-1.example.com")));
}

TEST(NamePatternTest, EachKindLooksAtItsOwnNames) {
  PeerIdentity peer;
  peer.subject = "CN=a.example.com";
  peer.ip_addresses = {"10.0.0.1"};
  EXPECT_FALSE(Pattern("a.example.com").Allows(peer));
  EXPECT_FALSE(Pattern("*.example.com").Denies(peer));
  EXPECT_FALSE(Pattern("uri:a:**").Allows(peer));
  EXPECT_FALSE(Pattern("a.example.com").Allows(Uri("a.example.com")));
  EXPECT_FALSE(Pattern("uri:a:b").Allows(Dns("a:b")));
  // One of several is enough.
  peer.dns_names = {"x.net", "a.example.com", "y.net"};
  EXPECT_TRUE(Pattern("*.example.com").Allows(peer));
  EXPECT_TRUE(Pattern("*.example.com").Denies(peer));
}

// Such a certificate may pretend to be any of the names that it covers: that is
// no permission, but reason enough to refuse.
TEST(NamePatternTest, AWildcardCertificateHasTheDeniedNamesThatItCovers) {
  EXPECT_TRUE(Pattern("a.example.com").Denies(Dns("*.example.com")));
  EXPECT_TRUE(Pattern("a.example.com").Denies(Dns("*.EXAMPLE.com.")));
  EXPECT_FALSE(Pattern("a.example.com").Allows(Dns("*.example.com")));
  EXPECT_FALSE(Pattern("a.b.example.com").Denies(Dns("*.example.com")));
  EXPECT_FALSE(Pattern("example.com").Denies(Dns("*.example.com")));
  EXPECT_FALSE(Pattern("a.example.com").Denies(Dns("*.example.net")));
  // Wildcards on both sides.
  EXPECT_TRUE(Pattern("*.example.com").Allows(Dns("*.example.com")));
  EXPECT_TRUE(Pattern("*.example.com").Denies(Dns("*.example.com")));
  EXPECT_FALSE(Pattern("*.example.com").Denies(Dns("*.com")));
  EXPECT_FALSE(Pattern("*.com").Denies(Dns("*.example.com")));
}

TEST(NamePatternTest, AUriThatIsTooLongToBeLookedAtIsNeverGood) {
  const std::string longest = absl::StrCat("x:", std::string(2046, 'a'));
  EXPECT_TRUE(Pattern("uri:x:*").Allows(Uri(longest)));
  EXPECT_FALSE(Pattern("uri:x:*").Allows(Uri(longest + "a")));
  EXPECT_FALSE(Pattern("uri:y:z").Denies(Uri(longest)));
  EXPECT_TRUE(Pattern("uri:y:z").Denies(Uri(longest + "a")));
}

TEST(NamePatternTest, BadPatternsAreToldWhatIsWrong) {
  struct Bad {
    std::string pattern;
    std::string says;
  };
  const std::vector<Bad> cases = {
      {"", "no DNS name"},
      {"dns:", "no DNS name"},
      {"*", "whole first label"},
      {"*.", "whole first label"},
      {"a.*.example.com", "whole first label"},
      {"a*.example.com", "whole first label"},
      {"*a.example.com", "whole first label"},
      {"xn--*.example", "whole first label"},
      {"**.example.com", "whole first label"},
      {"a..example.com", "no DNS name"},
      {"a b.example.com", "no DNS name"},
      {absl::StrCat(std::string(64, 'a'), ".com"), "no DNS name"},
      {"b\xc3\xbc"
       "cher.example",
       "xn--"},
      {"10.0.0.1", "IP addresses"},
      {"2001:db8::1", "no DNS name"},
      {"uri:", "scheme"},
      {"uri:web", "scheme"},
      {"uri:://web", "scheme"},
      {"uri:*://web", "scheme"},
      {"*://example.org/web", "scheme"},
      {std::string(2049, 'a'), "2049 bytes"},
  };
  for (const Bad& bad : cases) {
    const absl::Status status = NamePattern::Parse(bad.pattern).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad.pattern << status;
    EXPECT_TRUE(absl::StrContains(status.message(), bad.says))
        << bad.pattern << ": " << status.message();
    for (char c : status.message()) EXPECT_LT(static_cast<uint8_t>(c), 0x80);
  }
}

}  // namespace
}  // namespace cordon::dtls::internal
