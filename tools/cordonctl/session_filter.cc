#include "cordon/tools/cordonctl/session_filter.h"

#include <cstdint>
#include <optional>
#include <set>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "cordon/tools/command_line.h"
#include "cordon/tools/cordonctl/exit_code.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/shared_flags.h"
#include "cordon/tools/cordonctl/suggestion.h"
#include "cordon/tools/cordonctl/units.h"

ABSL_FLAG(cordon::tools::RepeatedFlag, state, {},
          "Sessions in these states, with commas between them: accepted, "
          "handshaking, verification_failed, connected, peer_closed, closed, "
          "failed.");
ABSL_FLAG(std::string, peer, "",
          "Sessions with peers in this network: 10.1.0.0/16, 2001:db8::/32, or "
          "one address.");
ABSL_FLAG(std::string, name, "",
          "Sessions with peers of which a DNS name, IP address, URI, subject "
          "or PSK identity contains this, no matter the case.");
ABSL_FLAG(std::string, fingerprint, "",
          "Sessions with the peer that has this certificate: SHA-256, or its "
          "first digits.");
ABSL_FLAG(absl::Duration, min_age, absl::ZeroDuration(),
          "Sessions of at least this age, such as 5m.");
ABSL_FLAG(absl::Duration, max_age, absl::ZeroDuration(),
          "Sessions of at most this age.");
ABSL_FLAG(absl::Duration, min_idle, absl::ZeroDuration(),
          "Sessions in which nothing has happened for so long.");
ABSL_FLAG(cordon::tools::ctl::ByteCount, min_bytes, {},
          "Sessions with so many bytes received and sent, such as 64K or "
          "1.5M.");
ABSL_FLAG(std::optional<bool>, resumed, std::nullopt,
          "Sessions that were resumed; --noresumed: that were not.");
ABSL_FLAG(uint64_t, policy_version_below, 0,
          "Sessions that an older policy than this version let pass.");

namespace cordon::tools::ctl {
namespace {

constexpr absl::string_view kPrefix = "SESSION_STATE_";

absl::Status AddStates(const std::string& list,
                       control::v1::SessionFilter* filter) {
  for (const absl::string_view name :
       absl::StrSplit(list, ',', absl::SkipWhitespace())) {
    control::v1::SessionState state;
    if (!control::v1::SessionState_Parse(
            absl::StrCat(kPrefix, absl::AsciiStrToUpper(name)), &state) ||
        state == control::v1::SESSION_STATE_UNSPECIFIED) {
      const std::string nearest = Nearest(name, StateNames());
      return UsageError(absl::StrCat(
          "--state=", Printable(name), " is none of ",
          absl::StrJoin(StateNames(), ", "),
          nearest.empty() ? ""
                          : absl::StrCat("; did you mean ", nearest, "?")));
    }
    filter->add_states(state);
  }
  return absl::OkStatus();
}

absl::Status SetDuration(
    absl::string_view flag, absl::Duration value,
    google::protobuf::Duration* (control::v1::SessionFilter::*field)(),
    control::v1::SessionFilter* filter) {
  if (value == absl::ZeroDuration()) return absl::OkStatus();
  // Seven hundred years are for ever.
  if (value < absl::ZeroDuration() || value > absl::Hours(24 * 365 * 700)) {
    return UsageError(absl::StrCat("--", flag, "=", absl::FormatDuration(value),
                                   " is not a length of time such as 5m"));
  }
  *(filter->*field)() = ToProto(value);
  return absl::OkStatus();
}

}  // namespace

std::vector<absl::string_view> FilterFlags() {
  return {"state",
          "listener",
          "peer",
          "name",
          "fingerprint",
          "min_age",
          "max_age",
          "min_idle",
          "min_bytes",
          "resumed",
          "policy_version_below"};
}

absl::StatusOr<control::v1::SessionFilter> FilterFromFlags() {
  control::v1::SessionFilter filter;
  for (const std::string& list : absl::GetFlag(FLAGS_state).values) {
    if (absl::Status status = AddStates(list, &filter); !status.ok()) {
      return status;
    }
  }
  filter.set_listener(absl::GetFlag(FLAGS_listener));
  filter.set_peer_prefix(absl::GetFlag(FLAGS_peer));
  filter.set_peer_name(absl::GetFlag(FLAGS_name));
  filter.set_fingerprint(absl::GetFlag(FLAGS_fingerprint));
  using Filter = control::v1::SessionFilter;
  absl::Status status = SetDuration("min_age", absl::GetFlag(FLAGS_min_age),
                                    &Filter::mutable_min_age, &filter);
  status.Update(SetDuration("max_age", absl::GetFlag(FLAGS_max_age),
                            &Filter::mutable_max_age, &filter));
  status.Update(SetDuration("min_idle", absl::GetFlag(FLAGS_min_idle),
                            &Filter::mutable_min_idle, &filter));
  if (!status.ok()) return status;
  filter.set_min_bytes(absl::GetFlag(FLAGS_min_bytes).bytes);
  if (const std::optional<bool> resumed = absl::GetFlag(FLAGS_resumed)) {
    filter.set_resumed(*resumed);
  }
  filter.set_policy_version_below(absl::GetFlag(FLAGS_policy_version_below));
  return filter;
}

bool IsEmpty(const control::v1::SessionFilter& filter) {
  return filter.ByteSizeLong() == 0;
}

bool ExcludesNothing(const control::v1::SessionFilter& filter) {
  control::v1::SessionFilter rest = filter;
  if (absl::StrReplaceAll(filter.fingerprint(), {{":", ""}}).empty()) {
    rest.clear_fingerprint();
  }
  std::set<int> states(filter.states().begin(), filter.states().end());
  if (states.size() == StateNames().size()) rest.clear_states();
  return IsEmpty(rest);
}

std::string StateName(control::v1::SessionState state) {
  const std::string& name = control::v1::SessionState_Name(state);
  // A state that this program does not know yet.
  if (name.empty()) return absl::StrCat("state ", static_cast<int>(state));
  return absl::AsciiStrToLower(absl::StripPrefix(name, kPrefix));
}

std::vector<std::string> StateNames() {
  std::vector<std::string> names;
  for (int state = 1; control::v1::SessionState_IsValid(state); ++state) {
    names.push_back(StateName(static_cast<control::v1::SessionState>(state)));
  }
  return names;
}

}  // namespace cordon::tools::ctl
