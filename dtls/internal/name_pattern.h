// Patterns for the names of peers, see `Policy::allowed_names`.
#ifndef CORDON_DTLS_INTERNAL_NAME_PATTERN_H_
#define CORDON_DTLS_INTERNAL_NAME_PATTERN_H_

#include <string>

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

 private:
  enum class Kind { kDns, kUri };
  NamePattern(Kind kind, std::string pattern)
      : kind_(kind), pattern_(std::move(pattern)) {}
  // Whether the peer has a URI that fits, in which "*" stands for nothing with
  // one of `star_ends`.
  bool UriIn(const PeerIdentity& peer, absl::string_view star_ends) const;

  Kind kind_;
  std::string pattern_;  // in lower case, but for a URI's path
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_NAME_PATTERN_H_
