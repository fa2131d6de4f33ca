#include "cordon/dtls/internal/name_pattern.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cordon::dtls::internal {
namespace {

constexpr size_t kMaxPatternBytes = 2048;

// A trailing dot says nothing new.
std::string Canonical(absl::string_view dns_name) {
  return absl::AsciiStrToLower(absl::StripSuffix(dns_name, "."));
}

// Schemes and hosts have no case (RFC 3986 section 6.2.2.1), paths have.
std::string LowerCaseAuthority(absl::string_view uri) {
  std::string canonical(uri);
  size_t end = uri.find(':');
  if (end == absl::string_view::npos) return canonical;
  if (absl::StartsWith(uri.substr(end), "://")) {
    end = std::min(uri.find_first_of("/?#", end + 3), uri.size());
  }
  for (size_t i = 0; i < end; ++i) {
    canonical[i] = absl::ascii_tolower(static_cast<unsigned char>(uri[i]));
  }
  return canonical;
}

bool IsDnsLabel(absl::string_view label) {
  return !label.empty() && label.size() <= 63 &&
         std::all_of(label.begin(), label.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_';
         });
}

// "*.example.com" covers "a.example.com", but not "a.b.example.com".
bool DnsFits(absl::string_view pattern, absl::string_view name) {
  if (!absl::ConsumePrefix(&pattern, "*.")) return pattern == name;
  const size_t dot = name.find('.');
  return dot != absl::string_view::npos && dot > 0 &&
         name.substr(dot + 1) == pattern;
}

// What "*" does not stand for: what divides a URI (RFC 3986 section 3). Where a
// name is denied it is better to deny too much.
constexpr absl::string_view kAllowedStarEnds = "/?#@";
constexpr absl::string_view kDeniedStarEnds = "/";

// "*" is anything without one of `star_ends`, "**" is anything. Going back to
// the last star is enough for one kind of star; with two, the outer one must be
// remembered, too.
bool UriFits(absl::string_view pattern, absl::string_view uri,
             absl::string_view star_ends) {
  size_t p = 0;
  size_t u = 0;
  struct Back {
    size_t pattern = absl::string_view::npos;
    size_t uri = 0;
  };
  Back one;
  Back any;
  while (u < uri.size()) {
    if (absl::StartsWith(pattern.substr(p), "**")) {
      p += 2;
      any = {p, u};
      one = {};
    } else if (p < pattern.size() && pattern[p] == '*') {
      p += 1;
      one = {p, u};
    } else if (p < pattern.size() && pattern[p] == uri[u]) {
      ++p;
      ++u;
    } else if (one.pattern != absl::string_view::npos &&
               !absl::StrContains(star_ends, uri[one.uri])) {
      p = one.pattern;
      u = ++one.uri;
    } else if (any.pattern != absl::string_view::npos) {
      p = any.pattern;
      u = ++any.uri;
      one = {};
    } else {
      return false;
    }
  }
  return pattern.substr(p).find_first_not_of('*') == absl::string_view::npos;
}

absl::Status CheckDns(absl::string_view pattern) {
  absl::string_view rest = pattern;
  absl::ConsumePrefix(&rest, "*.");
  const bool ascii = std::all_of(pattern.begin(), pattern.end(), [](char c) {
    return absl::ascii_isascii(static_cast<unsigned char>(c));
  });
  if (!ascii) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::CHexEscape(pattern),
                     "\" is no DNS name: write labels that are not ASCII as in "
                     "\"xn--bcher-kva\""));
  }
  const std::vector<absl::string_view> labels = absl::StrSplit(rest, '.');
  for (absl::string_view label : labels) {
    if (!IsDnsLabel(label)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", absl::CHexEscape(pattern),
          "\" is no DNS name; \"*\" may only stand for the whole first label"));
    }
  }
  // No name ends in a number (RFC 1123 section 2.1).
  if (std::all_of(labels.back().begin(), labels.back().end(),
                  [](unsigned char c) { return absl::ascii_isdigit(c); })) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", pattern, "\" is no DNS name: patterns are not for IP addresses"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<NamePattern> NamePattern::Parse(absl::string_view text) {
  if (text.size() > kMaxPatternBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the pattern has ", text.size(), " bytes; at most ",
                     kMaxPatternBytes, " are allowed"));
  }
  absl::string_view rest = text;
  const bool dns = absl::ConsumePrefix(&rest, "dns:");
  const bool uri = !dns && (absl::ConsumePrefix(&rest, "uri:") ||
                            absl::StrContains(rest, "://"));
  if (uri) {
    const size_t colon = rest.find(':');
    if (colon == 0 || colon == absl::string_view::npos ||
        rest.substr(0, colon).find('*') != absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", absl::CHexEscape(text),
                       "\" is no URI: it needs a scheme, as in \"spiffe://\""));
    }
    return NamePattern(Kind::kUri, CanonicalUri(rest));
  }
  std::string pattern = Canonical(rest);
  if (absl::Status status = CheckDns(pattern); !status.ok()) return status;
  return NamePattern(Kind::kDns, std::move(pattern));
}

bool NamePattern::UriIn(const PeerIdentity& peer, Sense sense) const {
  return std::any_of(
      peer.uris.begin(), peer.uris.end(), [&](const std::string& uri) {
        return uri.size() <= kMaxUriBytes && FitsUri(CanonicalUri(uri), sense);
      });
}

bool NamePattern::FitsUri(absl::string_view canonical_uri, Sense sense) const {
  switch (sense) {
    case Sense::kAllowed:
      return UriFits(pattern_, canonical_uri, kAllowedStarEnds);
    case Sense::kDenied:
      break;
  }
  return UriFits(pattern_, canonical_uri, kDeniedStarEnds);
}

bool NamePattern::StarMayStandIn(absl::string_view canonical_dns) {
  const absl::string_view first =
      canonical_dns.substr(0, canonical_dns.find('.'));
  return first == "*" || IsDnsLabel(first);
}

std::string NamePattern::CanonicalDns(absl::string_view name) {
  return Canonical(name);
}

std::string NamePattern::CanonicalUri(absl::string_view uri) {
  return LowerCaseAuthority(uri);
}

bool NamePattern::Allows(const PeerIdentity& peer) const {
  if (kind_ == Kind::kUri) return UriIn(peer, Sense::kAllowed);
  return std::any_of(peer.dns_names.begin(), peer.dns_names.end(),
                     [&](const std::string& text) {
                       const std::string name = Canonical(text);
                       return DnsFits(pattern_, name) && StarMayStandIn(name);
                     });
}

bool NamePattern::Denies(const PeerIdentity& peer) const {
  if (kind_ == Kind::kUri) {
    return UriIn(peer, Sense::kDenied) ||
           std::any_of(peer.uris.begin(), peer.uris.end(),
                       [](const std::string& uri) {
                         return uri.size() > kMaxUriBytes;
                       });
  }
  return std::any_of(peer.dns_names.begin(), peer.dns_names.end(),
                     [&](const std::string& text) {
                       const std::string name = Canonical(text);
                       return DnsFits(pattern_, name) ||
                              DnsFits(name, pattern_);
                     });
}

}  // namespace cordon::dtls::internal
