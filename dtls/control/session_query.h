// Which sessions a request is about.
#ifndef CORDON_DTLS_CONTROL_SESSION_QUERY_H_
#define CORDON_DTLS_CONTROL_SESSION_QUERY_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/session_proto.h"

namespace cordon::dtls::control {

// A `SessionFilter` that has been checked.
class SessionQuery {
 public:
  // kInvalidArgument: the message begins with the name of the field, as in
  // "filter.peer_prefix: ...".
  static absl::StatusOr<SessionQuery> Compile(
      const ::cordon::control::v1::SessionFilter& filter);

  bool Matches(const SessionRow& row, absl::Time now) const;

  // What is known of all sessions that there can be.
  struct Bounds {
    absl::Time now;
    // No session is older.
    absl::Time started;
    // No session was let pass by a newer one.
    uint64_t newest_policy = 0;
  };
  // No session can be other than it says, whatever it seems to say; such as one
  // with all states, or a `min_age` of zero. An address prefix, even of length
  // zero, is taken for what it says.
  bool ExcludesNothing(const Bounds& bounds) const;
  // Every session does.
  bool matches_all() const { return matches_all_; }
  // The listeners whose sessions can; empty: all.
  const std::string& listener() const { return filter_.listener(); }

 private:
  bool NameMatches(const SessionRow& row) const;

  ::cordon::control::v1::SessionFilter filter_;
  bool matches_all_ = true;
  // The bits of a prefix, and how many there are; none if -1.
  std::array<uint8_t, 16> prefix_ = {};
  size_t prefix_bytes_ = 0;
  int prefix_bits_ = -1;
  std::string name_;         // in lower case
  std::string fingerprint_;  // hexadecimal in lower case, no colons
  absl::Duration min_age_ = absl::ZeroDuration();
  absl::Duration max_age_ = absl::InfiniteDuration();
  absl::Duration min_idle_ = absl::ZeroDuration();
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_SESSION_QUERY_H_
