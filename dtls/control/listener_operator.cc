#include "cordon/dtls/control/listener_operator.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cordon/dtls/control/listener_call.h"
#include "cordon/dtls/control/listener_names.h"
#include "cordon/dtls/control/session_cursor.h"
#include "cordon/dtls/control/session_proto.h"
#include "cordon/dtls/control/session_query.h"
#include "cordon/dtls/error.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;

constexpr int kIdsTold = 1000;
constexpr absl::Duration kMaxDrain = absl::Hours(24 * 365);

// What happens to sessions that are closed for `caller`.
absl::Status ClosedBy(const Caller& caller, const std::string& reason) {
  absl::Status status = absl::UnavailableError(
      absl::StrCat("closed by ", caller.name,
                   reason.empty() ? "" : absl::StrCat(": ", reason)));
  SetErrorDetail(&status, {.limit = "closed_by_admin"});
  return status;
}

// Closes sessions of one listener, or with `dry_run` only looks for them;
// returns those that are there.
absl::StatusOr<std::vector<uint64_t>> CloseOn(ListenerHandle& listener,
                                              const CallEnd& end,
                                              std::vector<uint64_t> ids,
                                              bool dry_run,
                                              const absl::Status& status) {
  using Ids = std::vector<uint64_t>;
  // Not shared with other threads.
  absl::Status own(status.code(), status.message());
  if (const auto detail = GetErrorDetail(status); detail.has_value()) {
    SetErrorDetail(&own, *detail);
  }
  absl::StatusOr<Ids> found = CallListener<Ids>(
      listener, end,
      [ids = std::move(ids), dry_run,
       status = std::move(own)](ListenerAdmin& admin) {
        Ids there;
        for (uint64_t id : ids) {
          if (dry_run ? admin.FindSession(id) != nullptr
                      : admin.CloseSession(id, status, SSL_AD_CLOSE_NOTIFY)) {
            there.push_back(id);
          }
        }
        return there;
      });
  if (absl::IsUnavailable(found.status())) return Ids();
  return found;
}

// The answer to a call that ended before all was done.
absl::Status Interrupted(const absl::Status& why, bool dry_run,
                         const v1::CloseSessionsResponse& response) {
  if (dry_run || response.closed() == 0) return why;
  return absl::Status(
      why.code(),
      absl::StrCat(response.closed(),
                   " sessions were closed, and then: ", why.message()));
}

// The version of the newest policy that is in force anywhere.
uint64_t NewestPolicy(const Registry& registry) {
  uint64_t newest = registry.policies().Present("").version;
  for (const std::shared_ptr<ListenerHandle>& listener : registry.listeners()) {
    newest =
        std::max(newest, registry.policies().Present(listener->name()).version);
  }
  return newest;
}

void Count(const std::vector<uint64_t>& ids,
           v1::CloseSessionsResponse* response) {
  response->set_closed(response->closed() + ids.size());
  for (uint64_t id : ids) {
    if (response->ids_size() < kIdsTold) response->add_ids(id);
  }
}

struct NamedLimit {
  const char* name;
  size_t ListenerLimits::* value;
};

constexpr NamedLimit kLimits[] = {
    {"max_sessions", &ListenerLimits::max_sessions},
    {"accept_backlog", &ListenerLimits::accept_backlog},
    {"max_half_open", &ListenerLimits::max_half_open},
    {"max_half_open_per_source", &ListenerLimits::max_half_open_per_source},
    {"handshake_rate_per_source", &ListenerLimits::handshake_rate_per_source},
    {"handshake_burst_per_source", &ListenerLimits::handshake_burst_per_source},
    {"half_open_before_cookies", &ListenerLimits::half_open_before_cookies},
    {"max_session_memory", &ListenerLimits::max_session_memory},
    {"max_reassembly_bytes", &ListenerLimits::max_reassembly_bytes},
    {"idle_timeout_seconds", &ListenerLimits::idle_timeout_seconds},
};

v1::ListenerLimits ToProto(const std::string& name,
                           const ListenerLimits& limits) {
  v1::ListenerLimits proto;
  proto.set_listener(name);
  for (const auto& [limit_name, value] : kLimits) {
    v1::Limit& limit = *proto.add_limits();
    limit.set_name(limit_name);
    limit.set_value(limits.*value);
  }
  return proto;
}

absl::Status SetLimit(const v1::Limit& limit, ListenerLimits* limits) {
  std::string names;
  for (const auto& [name, value] : kLimits) {
    if (limit.name() == name) {
      limits->*value = limit.value();
      return absl::OkStatus();
    }
    absl::StrAppend(&names, names.empty() ? "" : ", ", name);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "there is no limit \"", limit.name(), "\"; there is: ", names));
}

// What is another now: "max_sessions 1 -> 2, accept_backlog 3 -> 4".
std::string Describe(const ListenerLimits& before,
                     const ListenerLimits& after) {
  std::string text;
  for (const auto& [name, value] : kLimits) {
    if (before.*value == after.*value) continue;
    absl::StrAppend(&text, text.empty() ? "" : ", ", name, " ", before.*value,
                    " -> ", after.*value);
  }
  return text;
}

}  // namespace

absl::Status ListenerOperator::ListListeners(
    const CallEnd& end, v1::ListListenersResponse* response) const {
  for (const std::shared_ptr<ListenerHandle>& handle : registry_->listeners()) {
    using State = std::pair<size_t, bool>;
    absl::StatusOr<State> state =
        CallListener<State>(*handle, end, [](ListenerAdmin& admin) {
          return State(admin.statistics().sessions, admin.draining());
        });
    if (absl::IsUnavailable(state.status())) continue;
    if (!state.ok()) return state.status();
    v1::Listener* listener = response->add_listeners();
    listener->set_name(handle->name());
    listener->set_reactor(handle->reactor_index());
    listener->set_local_address(handle->local_endpoint().ToString());
    listener->set_backend(handle->backend());
    listener->set_sessions(state->first);
    listener->set_draining(state->second);
  }
  return absl::OkStatus();
}

absl::Status ListenerOperator::GetSession(const v1::GetSessionRequest& request,
                                          const CallEnd& end,
                                          v1::Session* response) const {
  for (const std::shared_ptr<ListenerHandle>& handle : registry_->listeners()) {
    auto session = std::make_shared<SessionSnapshot>();
    absl::StatusOr<bool> found = CallListener<bool>(
        *handle, end, [id = request.id(), session](ListenerAdmin& admin) {
          return admin.ReadSession(id, *session);
        });
    if (!found.ok() && !absl::IsUnavailable(found.status())) {
      return found.status();
    }
    if (!found.value_or(false)) continue;
    SessionRow row;
    row.listener = handle;
    row.session = std::move(session);
    *response = control::ToProto(row);
    return absl::OkStatus();
  }
  return absl::NotFoundError(
      absl::StrCat("id: there is no session ", request.id()));
}

absl::Status ListenerOperator::CloseSessions(
    const v1::CloseSessionsRequest& request, const Caller& caller,
    const CallEnd& end, v1::CloseSessionsResponse* response) {
  absl::StatusOr<SessionQuery> query = SessionQuery::Compile(request.filter());
  if (!query.ok()) return query.status();
  if (request.ids().empty() &&
      query->ExcludesNothing({.now = absl::Now(),
                              .started = registry_->started(),
                              .newest_policy = NewestPolicy(*registry_)})) {
    return absl::InvalidArgumentError(absl::StrCat(
        "filter: ", query->matches_all() ? "" : "it excludes no session: ",
        "say which sessions, by ids or by a filter; a peer_prefix of "
        "0.0.0.0/0 or ::/0 is all"));
  }
  if (!request.ids().empty() && !query->matches_all()) {
    return absl::InvalidArgumentError(
        "filter: say ids or a filter, but not both");
  }
  auto listeners =
      ListenersOf(*registry_, query->listener(), "filter.listener");
  if (!listeners.ok()) return listeners.status();
  const absl::Status status = ClosedBy(caller, request.reason());
  const bool dry_run = request.dry_run();
  if (!request.ids().empty()) {
    absl::flat_hash_set<uint64_t> left(request.ids().begin(),
                                       request.ids().end());
    for (const std::shared_ptr<ListenerHandle>& listener : *listeners) {
      std::vector<uint64_t> ids(left.begin(), left.end());
      std::sort(ids.begin(), ids.end());
      for (size_t at = 0; at < ids.size(); at += SessionCursor::kChunk) {
        const size_t next = std::min(at + SessionCursor::kChunk, ids.size());
        absl::StatusOr<std::vector<uint64_t>> there =
            CloseOn(*listener, end,
                    {ids.begin() + static_cast<ptrdiff_t>(at),
                     ids.begin() + static_cast<ptrdiff_t>(next)},
                    dry_run, status);
        if (!there.ok()) return Interrupted(there.status(), dry_run, *response);
        Count(*there, response);
        for (uint64_t id : *there) left.erase(id);
      }
    }
    std::vector<uint64_t> missing(left.begin(), left.end());
    std::sort(missing.begin(), missing.end());
    for (uint64_t id : missing) response->add_not_found(id);
  } else {
    const absl::Time now = absl::Now();
    for (const std::shared_ptr<ListenerHandle>& listener : *listeners) {
      SessionCursor cursor({listener}, 0, kListenerPatience, end);
      std::vector<uint64_t> ids;
      bool more = true;
      while (more) {
        absl::StatusOr<std::optional<SessionRow>> row = cursor.Next();
        if (!row.ok()) return Interrupted(row.status(), dry_run, *response);
        more = row->has_value();
        if (more) response->set_sessions(response->sessions() + 1);
        if (more && query->Matches(**row, now)) {
          ids.push_back((*row)->session->id);
        }
        if (ids.size() < SessionCursor::kChunk && (more || ids.empty())) {
          continue;
        }
        absl::StatusOr<std::vector<uint64_t>> there =
            CloseOn(*listener, end, std::exchange(ids, {}), dry_run, status);
        if (!there.ok()) return Interrupted(there.status(), dry_run, *response);
        Count(*there, response);
      }
    }
  }
  if (!dry_run) {
    log_->Write(
        LogLevel::kInfo,
        absl::StrCat(caller.name, " closes ", response->closed(), " sessions",
                     request.reason().empty()
                         ? ""
                         : absl::StrCat(": ", request.reason())));
  }
  return absl::OkStatus();
}

absl::Status ListenerOperator::GetLimits(
    const v1::GetLimitsRequest& request, const CallEnd& end,
    v1::GetLimitsResponse* response) const {
  auto listeners = ListenersOf(*registry_, request.listener(), "listener");
  if (!listeners.ok()) return listeners.status();
  std::map<std::string, v1::ListenerLimits> by_name;
  for (const std::shared_ptr<ListenerHandle>& listener : *listeners) {
    absl::StatusOr<ListenerLimits> limits = CallListener<ListenerLimits>(
        *listener, end, [](ListenerAdmin& admin) { return admin.limits(); });
    if (absl::IsUnavailable(limits.status())) continue;
    if (!limits.ok()) return limits.status();
    by_name[listener->name()] = ToProto(listener->name(), *limits);
  }
  for (auto& [name, limits] : by_name) {
    *response->add_listeners() = std::move(limits);
  }
  return absl::OkStatus();
}

absl::Status ListenerOperator::SetLimits(const v1::SetLimitsRequest& request,
                                         const Caller& caller,
                                         const CallEnd& end,
                                         v1::GetLimitsResponse* response) {
  if (request.limits().empty()) {
    return absl::InvalidArgumentError("limits: say at least one");
  }
  for (int i = 0; i < request.limits_size(); ++i) {
    ListenerLimits scratch;
    absl::Status status = SetLimit(request.limits(i), &scratch);
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("limits[", i, "].name: ", status.message()));
    }
  }
  auto listeners = ListenersOf(*registry_, request.listener(), "listener");
  if (!listeners.ok()) return listeners.status();
  // The reactors of a listener have one set of limits: what the first changes
  // is changed for all. Listeners of one name on several addresses have their
  // own, but often the same.
  std::set<std::string> told;
  for (const std::shared_ptr<ListenerHandle>& listener : *listeners) {
    using BeforeAndAfter = std::pair<ListenerLimits, ListenerLimits>;
    absl::StatusOr<BeforeAndAfter> set = CallListener<BeforeAndAfter>(
        *listener, end,
        [limits = std::vector<v1::Limit>(request.limits().begin(),
                                         request.limits().end())](
            ListenerAdmin& admin) {
          BeforeAndAfter result(admin.limits(), admin.limits());
          for (const v1::Limit& limit : limits) {
            (void)SetLimit(limit, &result.second);
          }
          admin.SetLimits(result.second);
          return result;
        });
    if (absl::IsUnavailable(set.status())) continue;
    if (!set.ok()) return set.status();
    if (set->first == set->second) continue;
    std::string line = absl::StrCat(caller.name, " sets limits of listener \"",
                                    listener->name(),
                                    "\": ", Describe(set->first, set->second));
    if (told.insert(line).second) log_->Write(LogLevel::kInfo, line);
  }
  v1::GetLimitsRequest now;
  now.set_listener(request.listener());
  return GetLimits(now, end, response);
}

absl::Status ListenerOperator::Drain(const v1::DrainRequest& request,
                                     const Caller& caller, const CallEnd& end,
                                     v1::DrainResponse* response) {
  absl::StatusOr<absl::Duration> within =
      FromProto(request.deadline(), "deadline");
  if (!within.ok()) return within.status();
  if (*within > kMaxDrain) {
    return absl::InvalidArgumentError(absl::StrCat(
        "deadline: ", absl::FormatDuration(*within),
        ": it must not be more than ", absl::FormatDuration(kMaxDrain)));
  }
  auto listeners = ListenersOf(*registry_, request.listener(), "listener");
  if (!listeners.ok()) return listeners.status();
  log_->Write(LogLevel::kInfo,
              absl::StrCat(caller.name, " drains ",
                           DescribeListeners(request.listener()), " within ",
                           absl::FormatDuration(*within)));
  for (const std::shared_ptr<ListenerHandle>& listener : *listeners) {
    absl::StatusOr<size_t> left = CallListener<size_t>(
        *listener, end, [within = *within](ListenerAdmin& admin) {
          admin.Drain(within);
          return admin.statistics().sessions;
        });
    if (absl::IsUnavailable(left.status())) continue;
    if (!left.ok()) return left.status();
    response->set_sessions(response->sessions() + *left);
  }
  return absl::OkStatus();
}

}  // namespace cordon::dtls::control
