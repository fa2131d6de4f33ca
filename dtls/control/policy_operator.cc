#include "cordon/dtls/control/policy_operator.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cordon/dtls/control/listener_call.h"
#include "cordon/dtls/control/listener_names.h"
#include "cordon/dtls/control/policy_proto.h"
#include "cordon/dtls/control/session_cursor.h"
#include "cordon/dtls/control/session_proto.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/internal/compiled_policy.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;
using internal::CompiledPolicy;

// How long a reactor may take for one of its turns.
constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr int kFailingTold = 1000;
constexpr uint32_t kDefaultPage = 100;
// Trust anchors may be large.
constexpr size_t kMaxPageBytes = size_t{2} << 20;

// A message of `Policy`'s, which begins with a field of it.
absl::Status InPolicy(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return status;
  return absl::InvalidArgumentError(absl::StrCat("policy.", status.message()));
}

// A session that a policy judges, and what is wrong with it.
struct Failing {
  SessionRow row;
  std::vector<VerificationError> errors;
};

// Calls `failing` for each session that does not pass; returns how many there
// are.
absl::StatusOr<uint64_t> Judge(
    const CompiledPolicy& policy,
    const std::vector<std::shared_ptr<ListenerHandle>>& listeners,
    absl::FunctionRef<absl::Status(const Failing&)> failing) {
  SessionCursor cursor(listeners, 0, kPatience);
  uint64_t judged = 0;
  while (true) {
    absl::StatusOr<std::optional<SessionRow>> row = cursor.Next();
    if (!row.ok()) return row.status();
    if (!row->has_value()) return judged;
    const SessionSnapshot& session = *(*row)->session;
    // Those that are not complete yet are judged when they are.
    if (session.state != EngineState::kConnected) continue;
    ++judged;
    std::vector<VerificationError> errors =
        policy.JudgeSession(session.chain.get(), session.info.psk_identity,
                            absl::Now(), session.limits);
    if (errors.empty()) continue;
    absl::Status status = failing({**std::move(row), std::move(errors)});
    if (!status.ok()) return status;
  }
}

}  // namespace

std::vector<std::shared_ptr<ListenerHandle>> PolicyOperator::Followers(
    const std::string& name) const {
  std::vector<std::shared_ptr<ListenerHandle>> listeners =
      registry_->listeners(name);
  if (!name.empty()) return listeners;
  listeners.erase(
      std::remove_if(
          listeners.begin(), listeners.end(),
          [&](const std::shared_ptr<ListenerHandle>& listener) {
            return !registry_->policies().History(listener->name()).empty();
          }),
      listeners.end());
  return listeners;
}

absl::Status PolicyOperator::CheckListener(const std::string& name) const {
  // A listener that has ended, and may come back, keeps its policy.
  if (!registry_->policies().History(name).empty()) return absl::OkStatus();
  return ListenersOf(*registry_, name, "listener").status();
}

absl::Status PolicyOperator::Get(const v1::GetPolicyRequest& request,
                                 v1::PolicyVersion* response) const {
  if (absl::Status status = CheckListener(request.listener()); !status.ok()) {
    return status;
  }
  const PolicyVersion present =
      registry_->policies().Present(request.listener());
  if (request.version() == 0 || request.version() == present.version) {
    if (present.version == 0) {
      return absl::NotFoundError("listener: there is no policy yet");
    }
    *response = ToProto(present);
    response->set_current(true);
    return absl::OkStatus();
  }
  for (const PolicyVersion& version :
       registry_->policies().History(request.listener())) {
    if (version.version != request.version()) continue;
    *response = ToProto(version);
    return absl::OkStatus();
  }
  return absl::NotFoundError(
      absl::StrCat("version: there is no version ", request.version(), " for ",
                   DescribeListeners(request.listener())));
}

absl::Status PolicyOperator::List(
    const v1::ListPolicyVersionsRequest& request,
    v1::ListPolicyVersionsResponse* response) const {
  if (absl::Status status = CheckListener(request.listener()); !status.ok()) {
    return status;
  }
  const uint32_t size =
      request.page_size() == 0 ? kDefaultPage : request.page_size();
  const std::vector<PolicyVersion> history =
      registry_->policies().History(request.listener());
  size_t bytes = 0;
  for (size_t i = 0; i < history.size(); ++i) {
    if (request.before_version() != 0 &&
        history[i].version >= request.before_version()) {
      continue;
    }
    if (static_cast<uint32_t>(response->versions_size()) == size) break;
    v1::PolicyVersion version = ToProto(history[i]);
    version.set_current(i == 0);
    bytes += version.ByteSizeLong();
    if (response->versions_size() > 0 && bytes > kMaxPageBytes) break;
    *response->add_versions() = std::move(version);
  }
  return absl::OkStatus();
}

absl::Status PolicyOperator::Validate(
    const v1::ValidatePolicyRequest& request,
    v1::ValidatePolicyResponse* response) const {
  absl::StatusOr<Policy> policy = FromProto(request.policy());
  if (!policy.ok()) return InPolicy(policy.status());
  absl::StatusOr<std::shared_ptr<const CompiledPolicy>> compiled =
      CompiledPolicy::Compile(*policy, 0);
  if (!compiled.ok()) return InPolicy(compiled.status());
  if (absl::Status status = CheckListener(request.listener()); !status.ok()) {
    return status;
  }
  absl::StatusOr<uint64_t> judged = Judge(
      **compiled, Followers(request.listener()), [&](const Failing& failing) {
        response->set_sessions_failing(response->sessions_failing() + 1);
        if (response->failing_size() >= kFailingTold) return absl::OkStatus();
        v1::SessionVerdict* verdict = response->add_failing();
        verdict->set_session(failing.row.session->id);
        verdict->set_peer_address(failing.row.session->peer.ToString());
        verdict->set_peer_name(NameOf(failing.row));
        for (const VerificationError& error : failing.errors) {
          *verdict->add_errors() = ToProto(error);
        }
        return absl::OkStatus();
      });
  if (!judged.ok()) return judged.status();
  response->set_sessions_judged(*judged);
  response->set_present_version(
      registry_->policies().Present(request.listener()).version);
  return absl::OkStatus();
}

absl::Status PolicyOperator::Set(const v1::SetPolicyRequest& request,
                                 const Caller& caller,
                                 v1::SetPolicyResponse* response) {
  absl::StatusOr<Policy> policy = FromProto(request.policy());
  if (!policy.ok()) return InPolicy(policy.status());
  if (absl::Status status = CheckListener(request.listener()); !status.ok()) {
    return status;
  }
  PolicyStore& store = registry_->policies();
  const PolicyVersion before = store.Present(request.listener());
  absl::StatusOr<uint64_t> version =
      store.Set({.listener = request.listener(),
                 .policy = *policy,
                 .expected_version = request.expected_version(),
                 .author = caller.name,
                 .comment = request.comment(),
                 .apply_to_sessions = request.apply_to_sessions()});
  if (!version.ok()) return InPolicy(version.status());
  response->set_version(*version);
  return Finish(before, store.Present(request.listener()), caller, response);
}

absl::Status PolicyOperator::RollBack(const v1::RollBackPolicyRequest& request,
                                      const Caller& caller,
                                      v1::SetPolicyResponse* response) {
  if (absl::Status status = CheckListener(request.listener()); !status.ok()) {
    return status;
  }
  PolicyStore& store = registry_->policies();
  const PolicyVersion before = store.Present(request.listener());
  absl::StatusOr<uint64_t> version = store.RollBack(
      request.listener(), request.version(), request.expected_version(),
      caller.name, request.comment(), request.apply_to_sessions());
  if (!version.ok()) return version.status();
  response->set_version(*version);
  return Finish(before, store.Present(request.listener()), caller, response);
}

absl::Status PolicyOperator::Finish(const PolicyVersion& before,
                                    const PolicyVersion& now,
                                    const Caller& caller,
                                    v1::SetPolicyResponse* response) {
  log_->Write(
      LogLevel::kInfo,
      absl::StrCat(
          caller.name, " sets policy version ", response->version(), " for ",
          DescribeListeners(now.listener),
          now.rolled_back_to == 0
              ? ""
              : absl::StrCat(", again version ", now.rolled_back_to),
          now.comment.empty() ? "" : absl::StrCat(" (", now.comment, ")"), ": ",
          before.version == 0 ? "the first one"
                              : Differences(before.policy(), now.policy())));
  // Another may have come meanwhile; that one's caller judges by it.
  if (!now.apply_to_sessions || now.version != response->version()) {
    return absl::OkStatus();
  }
  const CompiledPolicy& policy = *now.compiled;
  absl::StatusOr<uint64_t> judged =
      Judge(policy, Followers(now.listener), [&](const Failing& failing) {
        absl::Status refusal = policy.Refusal(failing.errors);
        const uint8_t alert = GetErrorDetail(refusal)->alert.value_or(0);
        absl::StatusOr<bool> closed =
            CallListener<bool>(*failing.row.listener, absl::Now() + kPatience,
                               [id = failing.row.session->id, refusal,
                                alert](ListenerAdmin& admin) {
                                 return admin.CloseSession(id, refusal, alert);
                               });
        if (closed.ok() && *closed) {
          response->set_sessions_closed(response->sessions_closed() + 1);
        }
        return absl::IsUnavailable(closed.status()) ? absl::OkStatus()
                                                    : closed.status();
      });
  if (!judged.ok()) {
    return absl::Status(
        judged.status().code(),
        absl::StrCat("version ", response->version(),
                     " is in force, but not all sessions were judged by it: ",
                     judged.status().message()));
  }
  log_->Write(
      LogLevel::kInfo,
      absl::StrCat("policy version ", response->version(), " closed ",
                   response->sessions_closed(), " of ", *judged, " sessions"));
  return absl::OkStatus();
}

}  // namespace cordon::dtls::control
