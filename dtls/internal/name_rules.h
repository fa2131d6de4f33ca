// Many patterns for the names of peers, looked up in time that does not grow
// with their number where they are exact or stand for one label.
#ifndef CORDON_DTLS_INTERNAL_NAME_RULES_H_
#define CORDON_DTLS_INTERNAL_NAME_RULES_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/internal/name_pattern.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls::internal {

// Answers as each pattern of the list does by itself. A DNS name costs two
// look-ups, whatever the number of patterns, and so does a URI; in addition it
// is compared with the patterns that have "*" and begin as it does up to there.
// Immutable after `Add`; shared by all threads.
class NameRules {
 public:
  void Add(NamePattern pattern);

  bool empty() const { return patterns_.empty(); }
  // The first pattern, by its number, that allows, or denies, the peer.
  std::optional<size_t> Allowing(const PeerIdentity& peer) const;
  std::optional<size_t> Denying(const PeerIdentity& peer) const;

  // Comparisons with single patterns that `Allowing` or `Denying` of this peer
  // takes, for tests.
  size_t ComparisonsFor(const PeerIdentity& peer) const;

 private:
  using Numbers = std::vector<size_t>;

  // Calls `visit(number)` for each pattern that may be one for the URI.
  template <typename Visit>
  void ForEachCandidate(absl::string_view canonical_uri, Visit visit) const;
  std::optional<size_t> Fitting(const PeerIdentity& peer,
                                NamePattern::Sense sense) const;

  std::vector<NamePattern> patterns_;
  // The lowest number of each text: DNS patterns as they are; those without
  // "*." by what follows their first label; URIs without "*".
  absl::flat_hash_map<std::string, size_t> dns_;
  absl::flat_hash_map<std::string, size_t> dns_parents_;
  absl::flat_hash_map<std::string, size_t> uris_;
  // URIs with "*", by what is before it, and the lengths that this has.
  absl::flat_hash_map<std::string, Numbers> uri_prefixes_;
  std::vector<size_t> prefix_lengths_;
  // The first pattern for URIs.
  std::optional<size_t> first_uri_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_NAME_RULES_H_
