#include "cordon/tools/cordonctl/policy_change.h"

#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "cordon/tools/cordonctl/line_diff.h"
#include "cordon/tools/cordonctl/output.h"
#include "cordon/tools/cordonctl/policy_file.h"
#include "cordon/tools/cordonctl/question.h"
#include "cordon/tools/cordonctl/shared_flags.h"
#include "cordon/tools/cordonctl/style.h"
#include "cordon/tools/cordonctl/units.h"

ABSL_FLAG(
    std::optional<uint64_t>, expected_version, std::nullopt,
    "The version that must be in force before, 0 for none of the "
    "listener's own. By default the one that the difference is shown to.");
ABSL_FLAG(std::string, comment, "", "Why; is kept with the version.");
ABSL_FLAG(bool, apply_to_sessions, false,
          "Judge the sessions that are there, too, and close those that fail.");

namespace cordon::tools::ctl {
namespace {

struct Present {
  // That the listener follows; possibly not its own.
  pb::Policy policy;
  // 0: it has none of its own.
  uint64_t version = 0;
};

absl::StatusOr<Present> FetchPresent(Connection* connection) {
  const std::string listener = absl::GetFlag(FLAGS_listener);
  pb::GetPolicyRequest request;
  request.set_listener(listener);
  auto version = connection->Call(&Stub::GetPolicy, request);
  // None yet; a listener that does not exist is told by the next call.
  if (absl::IsNotFound(version.status())) return Present();
  if (!version.ok()) return version.status();
  return Present{version->policy(),
                 version->listener() == listener ? version->version() : 0};
}

// What the change means for those that are connected; empty without sessions.
absl::StatusOr<std::string> Consequence(const pb::Policy& policy,
                                        Connection* connection) {
  pb::ValidatePolicyRequest request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  *request.mutable_policy() = policy;
  auto verdict = connection->Call(&Stub::ValidatePolicy, request);
  if (!verdict.ok()) return verdict.status();
  if (verdict->sessions_judged() == 0) return std::string();
  std::string text =
      absl::StrCat(FormatCount(verdict->sessions_failing()), " of ",
                   FormatCount(verdict->sessions_judged()),
                   " present sessions would not pass");
  if (verdict->sessions_failing() > 0) {
    absl::StrAppend(&text, absl::GetFlag(FLAGS_apply_to_sessions)
                               ? " and will be closed"
                               : " but stay");
  }
  return text + ".";
}

template <class Request>
void SetCommon(uint64_t expected, Request* request) {
  request->set_listener(absl::GetFlag(FLAGS_listener));
  request->set_expected_version(expected);
  request->set_comment(absl::GetFlag(FLAGS_comment));
  request->set_apply_to_sessions(absl::GetFlag(FLAGS_apply_to_sessions));
}

absl::StatusOr<pb::SetPolicyResponse> Send(const PolicyChange& change,
                                           uint64_t expected,
                                           Connection* connection) {
  if (change.version > 0) {
    pb::RollBackPolicyRequest request;
    SetCommon(expected, &request);
    request.set_version(change.version);
    return connection->Call(&Stub::RollBackPolicy, request);
  }
  pb::SetPolicyRequest request;
  SetCommon(expected, &request);
  *request.mutable_policy() = change.policy;
  return connection->Call(&Stub::SetPolicy, request);
}

}  // namespace

absl::Status ChangePolicy(const PolicyChange& change, Connection* connection) {
  if (absl::Status status = CheckCanAsk(); !status.ok()) return status;
  absl::StatusOr<Present> present = FetchPresent(connection);
  if (!present.ok()) return present.status();
  const uint64_t expected =
      absl::GetFlag(FLAGS_expected_version).value_or(present->version);

  const std::string difference =
      LineDiff(PolicyText(present->policy), PolicyText(change.policy),
               StyleOf(STDERR_FILENO));
  std::fputs(difference.c_str(), stderr);
  if (difference.empty() && present->version == expected && expected > 0 &&
      !absl::GetFlag(FLAGS_apply_to_sessions)) {
    PrintNote("The policy is in force already.");
    if (JsonWanted()) {
      pb::SetPolicyResponse response;
      response.set_version(present->version);
      PrintJson(response);
    }
    return absl::OkStatus();
  }
  if (!absl::GetFlag(FLAGS_yes)) {
    auto consequence = Consequence(change.policy, connection);
    if (!consequence.ok()) return consequence.status();
    if (!consequence->empty()) PrintNote(*consequence);
    absl::Status answer = Ask(
        absl::StrCat(expected == 0 ? absl::StrCat("Set a first policy")
                                   : absl::StrCat("Replace version ", expected),
                     " for ", WhichListeners(), "?"));
    if (!answer.ok()) return answer;
  }
  auto response = Send(change, expected, connection);
  if (!response.ok()) return response.status();
  if (JsonWanted()) {
    PrintJson(*response);
    return absl::OkStatus();
  }
  Print(absl::StrCat(
      "Version ", response->version(), " is in force for ", WhichListeners(),
      "; ", FormatCount(response->sessions_closed()), " sessions closed.\n"));
  return absl::OkStatus();
}

}  // namespace cordon::tools::ctl
