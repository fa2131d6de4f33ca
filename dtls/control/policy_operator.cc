#include "cordon/dtls/control/policy_operator.h"

#include <algorithm>
#include <optional>
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

using PolicyPtr = std::shared_ptr<const CompiledPolicy>;
using Listeners = std::vector<std::shared_ptr<ListenerHandle>>;

// A session, the policy that judges it, and what is wrong with it.
struct Failing {
  SessionRow row;
  PolicyPtr policy;
  std::vector<VerificationError> errors;
};

// Calls `failing` for each session that does not pass by the policy of its
// listener's name; returns how many sessions there are.
absl::StatusOr<uint64_t> Judge(
    absl::FunctionRef<PolicyPtr(const std::string&)> policy_of,
    const Listeners& listeners, const CallEnd& end,
    absl::FunctionRef<absl::Status(const Failing&)> failing) {
  SessionCursor cursor(listeners, 0, kPatience, end);
  uint64_t judged = 0;
  while (true) {
    absl::StatusOr<std::optional<SessionRow>> row = cursor.Next();
    if (!row.ok()) return row.status();
    if (!row->has_value()) return judged;
    const SessionSnapshot& session = *(*row)->session;
    // Those that are not complete yet are judged when they are.
    if (session.state != EngineState::kConnected) continue;
    const PolicyPtr policy = policy_of((*row)->listener->name());
    if (policy == nullptr) continue;
    ++judged;
    std::vector<VerificationError> errors = policy->JudgeSession(
        session.chain.get(),
        session.info.psk
            ? std::make_optional<absl::string_view>(session.info.psk_identity)
            : std::nullopt,
        absl::Now(), session.limits);
    if (errors.empty()) continue;
    absl::Status status =
        failing({**std::move(row), policy, std::move(errors)});
    if (!status.ok()) return status;
  }
}

}  // namespace

template <typename Predicate>
std::vector<std::shared_ptr<ListenerHandle>> PolicyOperator::ListenersWhose(
    const Predicate& name_fulfils) const {
  std::vector<std::shared_ptr<ListenerHandle>> listeners =
      registry_->listeners();
  listeners.erase(
      std::remove_if(listeners.begin(), listeners.end(),
                     [&](const std::shared_ptr<ListenerHandle>& listener) {
                       return !name_fulfils(listener->name());
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
  // Its own need not be in force.
  const uint64_t present =
      registry_->policies().Present(request.listener()).version;
  size_t bytes = 0;
  for (size_t i = 0; i < history.size(); ++i) {
    if (request.before_version() != 0 &&
        history[i].version >= request.before_version()) {
      continue;
    }
    if (static_cast<uint32_t>(response->versions_size()) == size) break;
    v1::PolicyVersion version = ToProto(history[i]);
    version.set_current(history[i].version == present);
    bytes += version.ByteSizeLong();
    if (response->versions_size() > 0 && bytes > kMaxPageBytes) break;
    *response->add_versions() = std::move(version);
  }
  return absl::OkStatus();
}

absl::Status PolicyOperator::Validate(
    const v1::ValidatePolicyRequest& request, const CallEnd& end,
    v1::ValidatePolicyResponse* response) const {
  absl::StatusOr<Policy> policy = FromProto(request.policy());
  if (!policy.ok()) return InPolicy(policy.status());
  absl::StatusOr<std::shared_ptr<const CompiledPolicy>> compiled =
      CompiledPolicy::Compile(*policy, 0);
  if (!compiled.ok()) return InPolicy(compiled.status());
  if (absl::Status status = CheckListener(request.listener()); !status.ok()) {
    return status;
  }
  const PolicyStore& store = registry_->policies();
  size_t bytes = 0;
  absl::StatusOr<uint64_t> judged = Judge(
      [&](const std::string&) { return *compiled; },
      ListenersWhose([&](const std::string& name) {
        return store.Follows(name, request.listener());
      }),
      end,
      [&](const Failing& failing) {
        response->set_sessions_failing(response->sessions_failing() + 1);
        if (response->failing_size() >= kFailingTold || bytes > kMaxPageBytes) {
          return absl::OkStatus();
        }
        v1::SessionVerdict verdict;
        verdict.set_session(failing.row.session->id);
        verdict.set_peer_address(failing.row.session->peer.ToString());
        verdict.set_peer_name(NameOf(failing.row));
        for (const VerificationError& error : failing.errors) {
          *verdict.add_errors() = ToProto(error);
        }
        bytes += verdict.ByteSizeLong();
        if (bytes <= kMaxPageBytes || response->failing_size() == 0) {
          *response->add_failing() = std::move(verdict);
        }
        return absl::OkStatus();
      });
  if (!judged.ok()) return judged.status();
  response->set_sessions_judged(*judged);
  response->set_present_version(store.Present(request.listener()).version);
  return absl::OkStatus();
}

absl::Status PolicyOperator::Set(const v1::SetPolicyRequest& request,
                                 const Caller& caller, const CallEnd& service,
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
  return Finish(request.listener(), before, caller, service, response);
}

absl::Status PolicyOperator::RollBack(const v1::RollBackPolicyRequest& request,
                                      const Caller& caller,
                                      const CallEnd& service,
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
  return Finish(request.listener(), before, caller, service, response);
}

absl::Status PolicyOperator::Finish(const std::string& listener,
                                    const PolicyVersion& before,
                                    const Caller& caller,
                                    const CallEnd& service,
                                    v1::SetPolicyResponse* response) {
  const PolicyStore& store = registry_->policies();
  const uint64_t number = response->version();
  // Others may have come meanwhile, even so many that this one is forgotten.
  const std::vector<PolicyVersion> history = store.History(listener);
  const auto set = std::find_if(
      history.begin(), history.end(),
      [&](const PolicyVersion& version) { return version.version == number; });
  if (set == history.end()) return absl::OkStatus();
  log_->Write(
      LogLevel::kInfo,
      absl::StrCat(
          caller.name, " sets policy version ", number, " for ",
          DescribeListeners(listener),
          set->rolled_back_to == 0
              ? ""
              : absl::StrCat(", again version ", set->rolled_back_to),
          set->comment.empty() ? "" : absl::StrCat(" (", set->comment, ")"),
          ": ",
          before.version == 0 ? "the first one"
                              : Differences(before.policy(), set->policy())));
  if (!set->apply_to_sessions) return absl::OkStatus();
  const CallEnd end = service.NoLaterThan(absl::Now() + kMaxApply);
  // A later policy may be in force by now, whose caller does not ask that
  // sessions are judged: they are judged by what is in force, as those are
  // whose handshakes were going on.
  absl::StatusOr<uint64_t> judged =
      Judge([&](const std::string& name) { return store.ForHandshake(name); },
            ListenersWhose([&](const std::string& name) {
              const PolicyPtr policy = store.ForHandshake(name);
              return policy != nullptr && policy->judges_before() >= number;
            }),
            end,
            [&](const Failing& failing) {
              absl::Status refusal = failing.policy->Refusal(failing.errors);
              const uint8_t alert = GetErrorDetail(refusal)->alert.value_or(0);
              absl::StatusOr<bool> closed = CallListener<bool>(
                  *failing.row.listener, end,
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
        absl::StrCat("version ", number,
                     " is in force, but not all sessions were judged by it: ",
                     judged.status().message()));
  }
  log_->Write(
      LogLevel::kInfo,
      absl::StrCat("policy version ", number, " closed ",
                   response->sessions_closed(), " of ", *judged, " sessions"));
  return absl::OkStatus();
}

}  // namespace cordon::dtls::control
