#include "cordon/dtls/internal/name_rules.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace cordon::dtls::internal {
namespace {

void Lower(std::optional<size_t>* least, size_t number) {
  if (!least->has_value() || number < **least) *least = number;
}

void LookUp(const absl::flat_hash_map<std::string, size_t>& map,
            absl::string_view text, std::optional<size_t>* least) {
  if (auto at = map.find(text); at != map.end()) Lower(least, at->second);
}

// "example.com" of "a.example.com"; empty if there is none.
absl::string_view ParentOf(absl::string_view name) {
  const size_t dot = name.find('.');
  if (dot == absl::string_view::npos || dot == 0) return "";
  return name.substr(dot + 1);
}

}  // namespace

void NameRules::Add(NamePattern pattern) {
  const size_t number = patterns_.size();
  const std::string& text = pattern.text();
  if (!pattern.is_uri()) {
    dns_.try_emplace(text, number);
    if (const absl::string_view parent = ParentOf(text);
        !parent.empty() && !absl::StartsWith(text, "*.")) {
      dns_parents_.try_emplace(std::string(parent), number);
    }
  } else {
    if (!first_uri_.has_value()) first_uri_ = number;
    const size_t star = text.find('*');
    if (star == std::string::npos) {
      uris_.try_emplace(text, number);
    } else {
      uri_prefixes_[text.substr(0, star)].push_back(number);
      const auto at = std::lower_bound(prefix_lengths_.begin(),
                                       prefix_lengths_.end(), star);
      if (at == prefix_lengths_.end() || *at != star) {
        prefix_lengths_.insert(at, star);
      }
    }
  }
  patterns_.push_back(std::move(pattern));
}

template <typename Visit>
void NameRules::ForEachCandidate(absl::string_view canonical_uri,
                                 Visit visit) const {
  for (const size_t length : prefix_lengths_) {
    if (length > canonical_uri.size()) return;
    const auto at = uri_prefixes_.find(canonical_uri.substr(0, length));
    if (at == uri_prefixes_.end()) continue;
    for (const size_t number : at->second) {
      if (!visit(number)) break;
    }
  }
}

std::optional<size_t> NameRules::Fitting(const PeerIdentity& peer,
                                         NamePattern::Sense sense) const {
  std::optional<size_t> least;
  for (const std::string& name : peer.dns_names) {
    const std::string canonical = NamePattern::CanonicalDns(name);
    LookUp(dns_, canonical, &least);
    if (const absl::string_view parent = ParentOf(canonical);
        !parent.empty() && (sense == NamePattern::Sense::kDenied ||
                            NamePattern::StarMayStandIn(canonical))) {
      LookUp(dns_, absl::StrCat("*.", parent), &least);
    }
  }
  for (const std::string& uri : peer.uris) {
    if (uri.size() > NamePattern::kMaxUriBytes) continue;
    const std::string canonical = NamePattern::CanonicalUri(uri);
    LookUp(uris_, canonical, &least);
    ForEachCandidate(canonical, [&](size_t number) {
      if (least.has_value() && *least < number) return false;
      if (!patterns_[number].FitsUri(canonical, sense)) return true;
      Lower(&least, number);
      return false;
    });
  }
  return least;
}

std::optional<size_t> NameRules::Allowing(const PeerIdentity& peer) const {
  return Fitting(peer, NamePattern::Sense::kAllowed);
}

std::optional<size_t> NameRules::Denying(const PeerIdentity& peer) const {
  std::optional<size_t> least = Fitting(peer, NamePattern::Sense::kDenied);
  for (const std::string& name : peer.dns_names) {
    // A wildcard that covers a pattern.
    const std::string canonical = NamePattern::CanonicalDns(name);
    if (!absl::StartsWith(canonical, "*.")) continue;
    LookUp(dns_parents_, absl::string_view(canonical).substr(2), &least);
  }
  for (const std::string& uri : peer.uris) {
    if (uri.size() > NamePattern::kMaxUriBytes && first_uri_.has_value()) {
      Lower(&least, *first_uri_);
    }
  }
  return least;
}

size_t NameRules::ComparisonsFor(const PeerIdentity& peer) const {
  size_t count = 0;
  for (const std::string& uri : peer.uris) {
    if (uri.size() > NamePattern::kMaxUriBytes) continue;
    ForEachCandidate(NamePattern::CanonicalUri(uri), [&](size_t) {
      ++count;
      return true;
    });
  }
  return count;
}

}  // namespace cordon::dtls::internal
