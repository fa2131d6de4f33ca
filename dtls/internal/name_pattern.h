// Patterns for the names of peers, see `Policy::allowed_names`.
#ifndef CORDON_DTLS_INTERNAL_NAME_PATTERN_H_
#define CORDON_DTLS_INTERNAL_NAME_PATTERN_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls::internal {

class NamePattern {
 public:
  // kInvalidArgument says what is wrong with `text`.
  static absl::StatusOr<NamePattern> Parse(absl::string_view text);

  // Whether the peer has a name that fits.
  bool Allows(const PeerIdentity& peer) const;
  // Whether the peer has a name that fits, in the widest sense, or a wildcard
  // that covers the pattern.
  bool Denies(const PeerIdentity& peer) const;

  // For `NameRules`, which looks patterns up by their text.
  bool is_uri() const { return kind_ == Kind::kUri; }
  const std::string& text() const { return pattern_; }
  // What a name is looked up for: where it is denied, "*" stands for more.
  enum class Sense { kAllowed, kDenied };
  // Of a pattern for URIs.
  bool FitsUri(absl::string_view canonical_uri, Sense sense) const;
  // Whether the first label of a name may be what "*" of an allowed pattern
  // stands for: a label, or a wildcard for any.
  static bool StarMayStandIn(absl::string_view canonical_dns);
  // As names are compared.
  static std::string CanonicalDns(absl::string_view name);
  static std::string CanonicalUri(absl::string_view uri);
  // SPIFFE ids have no more. A longer URI fits no allowed pattern, and every
  // denied one.
  static constexpr size_t kMaxUriBytes = 2048;

 private:
  enum class Kind { kDns, kUri };
  NamePattern(Kind kind, std::string pattern)
      : kind_(kind), pattern_(std::move(pattern)) {}
  // Whether the peer has a URI that fits.
  bool UriIn(const PeerIdentity& peer, Sense sense) const;

  Kind kind_;
  std::string pattern_;  // in lower case, but for a URI's path
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_NAME_PATTERN_H_
