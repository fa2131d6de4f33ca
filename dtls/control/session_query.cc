#include "cordon/dtls/control/session_query.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;

absl::Status Wrong(absl::string_view field, absl::string_view value,
                   absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("filter.", field, ": \"", value, "\": ", what));
}

bool Contains(const std::string& text, const std::string& part) {
  return absl::StrContains(absl::AsciiStrToLower(text), part);
}

}  // namespace

absl::StatusOr<SessionQuery> SessionQuery::Compile(
    const v1::SessionFilter& filter) {
  SessionQuery query;
  query.filter_ = filter;
  query.matches_all_ = google::protobuf::util::MessageDifferencer::Equals(
      filter, v1::SessionFilter());
  for (int i = 0; i < filter.states_size(); ++i) {
    if (filter.states(i) == v1::SESSION_STATE_UNSPECIFIED ||
        !v1::SessionState_IsValid(filter.states(i))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "filter.states[", i, "]: ", static_cast<int>(filter.states(i)),
          " is no state"));
    }
  }
  if (!filter.peer_prefix().empty()) {
    const std::string& text = filter.peer_prefix();
    const size_t slash = text.find('/');
    absl::StatusOr<net::Endpoint> address =
        net::Endpoint::ParseAddress(absl::string_view(text).substr(0, slash));
    if (!address.ok()) {
      return Wrong("peer_prefix", text,
                   "say an address or a prefix, as in \"10.1.0.0/16\"");
    }
    const absl::Span<const uint8_t> bytes = address->address_bytes();
    const int most = static_cast<int>(bytes.size()) * 8;
    int bits = most;
    if (slash != std::string::npos &&
        (!absl::SimpleAtoi(absl::string_view(text).substr(slash + 1), &bits) ||
         bits < 0 || bits > most)) {
      return Wrong("peer_prefix", text,
                   absl::StrCat("the length must be from 0 to ", most));
    }
    std::copy(bytes.begin(), bytes.end(), query.prefix_.begin());
    query.prefix_bytes_ = bytes.size();
    query.prefix_bits_ = bits;
  }
  query.name_ = absl::AsciiStrToLower(filter.peer_name());
  query.fingerprint_ = absl::StrReplaceAll(
      absl::AsciiStrToLower(filter.fingerprint()), {{":", ""}});
  if (query.fingerprint_.size() > 64 ||
      !std::all_of(query.fingerprint_.begin(), query.fingerprint_.end(),
                   [](char c) {
                     return absl::ascii_isxdigit(static_cast<unsigned char>(c));
                   })) {
    return Wrong("fingerprint", filter.fingerprint(),
                 "say up to 64 hexadecimal digits");
  }
  if (filter.has_min_age()) {
    absl::StatusOr<absl::Duration> age =
        FromProto(filter.min_age(), "filter.min_age");
    if (!age.ok()) return age.status();
    query.min_age_ = *age;
  }
  if (filter.has_max_age()) {
    absl::StatusOr<absl::Duration> age =
        FromProto(filter.max_age(), "filter.max_age");
    if (!age.ok()) return age.status();
    query.max_age_ = *age;
  }
  if (filter.has_min_idle()) {
    absl::StatusOr<absl::Duration> idle =
        FromProto(filter.min_idle(), "filter.min_idle");
    if (!idle.ok()) return idle.status();
    query.min_idle_ = *idle;
  }
  return query;
}

bool SessionQuery::ExcludesNothing(const Bounds& bounds) const {
  if (matches_all_) return true;
  const bool all_states = [&] {
    if (filter_.states().empty()) return true;
    for (int state = v1::SessionState_MIN; state <= v1::SessionState_MAX;
         ++state) {
      if (state == v1::SESSION_STATE_UNSPECIFIED ||
          !v1::SessionState_IsValid(state)) {
        continue;
      }
      if (std::find(filter_.states().begin(), filter_.states().end(), state) ==
          filter_.states().end()) {
        return false;
      }
    }
    return true;
  }();
  return all_states && filter_.listener().empty() && prefix_bits_ < 0 &&
         name_.empty() && fingerprint_.empty() &&
         min_age_ <= absl::ZeroDuration() &&
         max_age_ >= bounds.now - bounds.started &&
         min_idle_ <= absl::ZeroDuration() && filter_.min_bytes() == 0 &&
         !filter_.has_resumed() &&
         (filter_.policy_version_below() == 0 ||
          filter_.policy_version_below() > bounds.newest_policy);
}

bool SessionQuery::NameMatches(const SessionRow& row) const {
  if (Contains(row.session->info.psk_identity, name_)) return true;
  if (row.session->chain == nullptr) return false;
  const PeerIdentity& peer = row.identity();
  if (Contains(peer.subject, name_)) return true;
  for (const auto* names : {&peer.dns_names, &peer.ip_addresses, &peer.uris}) {
    for (const std::string& name : *names) {
      if (Contains(name, name_)) return true;
    }
  }
  return false;
}

// What costs most comes last.
bool SessionQuery::Matches(const SessionRow& row, absl::Time now) const {
  if (matches_all_) return true;
  const SessionSnapshot& s = *row.session;
  if (!filter_.listener().empty() &&
      row.listener->name() != filter_.listener()) {
    return false;
  }
  if (!filter_.states().empty() &&
      std::find(filter_.states().begin(), filter_.states().end(),
                ToProto(s.state)) == filter_.states().end()) {
    return false;
  }
  if (filter_.has_resumed() && filter_.resumed() != s.info.resumed) {
    return false;
  }
  if (filter_.policy_version_below() != 0 &&
      s.info.policy_version >= filter_.policy_version_below()) {
    return false;
  }
  if (s.statistics.bytes_received + s.statistics.bytes_sent <
      filter_.min_bytes()) {
    return false;
  }
  if (now - s.opened < min_age_ || now - s.opened > max_age_ ||
      now - s.last_activity < min_idle_) {
    return false;
  }
  if (prefix_bits_ >= 0) {
    const absl::Span<const uint8_t> bytes = s.peer.address_bytes();
    if (bytes.size() != prefix_bytes_) return false;
    for (int bit = 0; bit < prefix_bits_; bit += 8) {
      const size_t i = static_cast<size_t>(bit) / 8;
      const int left = std::min(8, prefix_bits_ - bit);
      const int mask = (0xff00 >> left) & 0xff;
      if (((bytes[i] ^ prefix_[i]) & mask) != 0) return false;
    }
  }
  if (!fingerprint_.empty() &&
      (s.chain == nullptr ||
       !absl::StartsWith(row.identity().fingerprint, fingerprint_))) {
    return false;
  }
  return name_.empty() || NameMatches(row);
}

}  // namespace cordon::dtls::control
