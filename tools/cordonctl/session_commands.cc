#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cordon/tools/cordonctl/command.h"
#include "cordon/tools/cordonctl/connection.h"
#include "cordon/tools/cordonctl/output.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/question.h"
#include "cordon/tools/cordonctl/session_filter.h"
#include "cordon/tools/cordonctl/session_view.h"
#include "cordon/tools/cordonctl/shared_flags.h"
#include "cordon/tools/cordonctl/style.h"
#include "cordon/tools/cordonctl/units.h"

namespace cordon::control::v1 {

bool AbslParseFlag(absl::string_view text, SessionOrder* order,
                   std::string* error) {
  if (SessionOrder_Parse(
          absl::StrCat("SESSION_ORDER_", absl::AsciiStrToUpper(text)), order)) {
    return true;
  }
  *error = "is not id, age, traffic, idle or peer";
  return false;
}

std::string AbslUnparseFlag(SessionOrder order) {
  return absl::AsciiStrToLower(
      SessionOrder_Name(order).substr(sizeof("SESSION_ORDER_") - 1));
}

}  // namespace cordon::control::v1

ABSL_FLAG(
    cordon::control::v1::SessionOrder, order,
    cordon::control::v1::SESSION_ORDER_ID,
    "id (the oldest first), age (the youngest first), traffic (most bytes "
    "first), idle (longest idle first) or peer (by address).");
ABSL_FLAG(std::string, page_token, "",
          "Go on where a list with --limit ended; it said how.");
ABSL_FLAG(bool, skip_present, false,
          "Only what happens from now on, not what is there already.");
ABSL_FLAG(bool, dry_run, false, "Only say which sessions would be closed.");
ABSL_FLAG(std::string, reason, "",
          "Why; goes into the log of the service, and to its code.");

namespace cordon::tools::ctl {
namespace {

absl::StatusOr<uint64_t> ParseId(const std::string& text) {
  uint64_t id = 0;
  if (!absl::SimpleAtoi(text, &id) || id == 0) {
    return UsageError(absl::StrCat("\"", Printable(text),
                                   "\" is not the id of a session, a number"));
  }
  return id;
}

absl::Status ListSessions(const Arguments& /*arguments*/) {
  auto filter = FilterFromFlags();
  if (!filter.ok()) return filter.status();
  Remaining remaining;
  if (remaining.none()) return UsageError("--limit must be at least 1");
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  pb::ListSessionsRequest request;
  *request.mutable_filter() = *filter;
  request.set_order(absl::GetFlag(FLAGS_order));
  request.set_page_token(absl::GetFlag(FLAGS_page_token));
  pb::ListSessionsResponse all;
  do {
    request.set_page_size(remaining.PageSize());
    auto page = connection->Call(&Stub::ListSessions, request);
    if (!page.ok()) return page.status();
    remaining.Take(static_cast<uint64_t>(page->sessions_size()));
    all.set_next_page_token(page->next_page_token());
    request.set_page_token(page->next_page_token());
    page->clear_next_page_token();
    for (pb::Session& session : *page->mutable_sessions()) {
      *all.add_sessions() = std::move(session);
    }
  } while (!remaining.none() && !all.next_page_token().empty());
  if (JsonWanted()) {
    PrintJson(all);
    return absl::OkStatus();
  }
  const std::vector<pb::Session> sessions(all.sessions().begin(),
                                          all.sessions().end());
  Print(SessionTable(sessions, absl::Now(), StyleOf(1)));
  if (!all.next_page_token().empty()) {
    PrintNote(absl::StrCat(
        "There are more: --all, --limit=N, or go on with --page_token=",
        Printable(all.next_page_token())));
  }
  return absl::OkStatus();
}

absl::Status GetSession(const Arguments& arguments) {
  absl::StatusOr<uint64_t> id = ParseId(arguments[0]);
  if (!id.ok()) return id.status();
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  pb::GetSessionRequest request;
  request.set_id(*id);
  auto session = connection->Call(&Stub::GetSession, request);
  if (!session.ok()) return session.status();
  if (JsonWanted()) {
    PrintJson(*session);
  } else {
    Print(SessionDetails(*session, absl::Now(), StyleOf(1)));
  }
  return absl::OkStatus();
}

absl::Status WatchSessions(const Arguments& /*arguments*/) {
  auto filter = FilterFromFlags();
  if (!filter.ok()) return filter.status();
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  pb::WatchSessionsRequest request;
  *request.mutable_filter() = *filter;
  request.set_skip_present(absl::GetFlag(FLAGS_skip_present));
  const Style style = StyleOf(1);
  uint64_t count = 0;
  const auto print = [&](const pb::SessionEvent& event) {
    if (JsonWanted()) {
      PrintJsonLine(event);
    } else {
      Print(EventLine(event, style));
      std::fflush(stdout);
    }
    // Nobody reads any more.
    if (std::ferror(stdout) != 0) return false;
    return ++count != absl::GetFlag(FLAGS_count);
  };
  grpc::ClientContext context;
  return connection->Watch<pb::WatchSessionsRequest, pb::SessionEvent>(
      &Stub::WatchSessions, request, &context, print);
}

absl::StatusOr<pb::CloseSessionsRequest> WhatToClose(
    const Arguments& arguments) {
  auto filter = FilterFromFlags();
  if (!filter.ok()) return filter.status();
  if (arguments.empty() == IsEmpty(*filter)) {
    return UsageError(
        arguments.empty()
            ? "which sessions? give ids, or flags that choose them"
            : "give either ids, or flags that choose sessions, not both");
  }
  if (arguments.empty() && ExcludesNothing(*filter)) {
    return UsageError(
        "these flags leave out no session: give others, or --peer=0.0.0.0/0 or "
        "--peer=::/0 if all are meant");
  }
  pb::CloseSessionsRequest request;
  if (arguments.empty()) *request.mutable_filter() = *filter;
  for (const std::string& argument : arguments) {
    absl::StatusOr<uint64_t> id = ParseId(argument);
    if (!id.ok()) return id.status();
    request.add_ids(*id);
  }
  request.set_reason(absl::GetFlag(FLAGS_reason));
  return request;
}

absl::Status ToldNotFound(const pb::CloseSessionsResponse& response) {
  if (response.not_found().empty()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(
      "there is no session ", absl::StrJoin(response.not_found(), ", ")));
}

std::string SessionCount(uint64_t count) {
  return absl::StrCat(FormatCount(count),
                      count == 1 ? " session" : " sessions");
}

// By a filter that fits more than was thought, much can be lost.
absl::Status AskToClose(const pb::CloseSessionsRequest& request,
                        Connection* connection) {
  if (absl::Status status = CheckCanAsk(); !status.ok()) return status;
  pb::CloseSessionsRequest trial = request;
  trial.set_dry_run(true);
  auto would = connection->Call(&Stub::CloseSessions, trial);
  if (!would.ok()) return would.status();
  if (would->closed() == 0) {
    return absl::NotFoundError("there is no such session");
  }
  const bool all = would->closed() > 1 && would->closed() == would->sessions();
  return Ask(absl::StrCat("Close ", all ? "all " : "",
                          SessionCount(would->closed()), "?"));
}

absl::Status CloseSessions(const Arguments& arguments) {
  auto request = WhatToClose(arguments);
  if (!request.ok()) return request.status();
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  const bool dry_run = absl::GetFlag(FLAGS_dry_run);
  if (request->has_filter() && !dry_run) {
    if (!absl::GetFlag(FLAGS_yes)) {
      absl::Status status = AskToClose(*request, &*connection);
      if (!status.ok()) return status;
    }
  }
  request->set_dry_run(dry_run);
  auto response = connection->Call(&Stub::CloseSessions, *request);
  if (!response.ok()) return response.status();
  if (JsonWanted()) {
    PrintJson(*response);
    return ToldNotFound(*response);
  }
  Print(absl::StrCat(SessionCount(response->closed()),
                     dry_run ? " would be closed" : " closed"));
  if (dry_run && response->ids_size() > 0) {
    const bool more =
        response->closed() > static_cast<uint64_t>(response->ids_size());
    Print(absl::StrCat(": ", absl::StrJoin(response->ids(), " "),
                       more ? " ..." : ""));
  }
  Print("\n");
  return ToldNotFound(*response);
}

// `FilterFlags` and some more.
std::vector<absl::string_view> WithFilter(
    std::vector<absl::string_view> flags) {
  for (const absl::string_view flag : FilterFlags()) flags.push_back(flag);
  return flags;
}

}  // namespace

std::vector<Command> SessionCommands() {
  return {
      {
          .path = "sessions list",
          .summary = "Lists sessions",
          .description =
              "Sessions that fulfil all of the flags. IN and OUT are the bytes "
              "of UDP datagrams, IDLE is how long ago something came or went, "
              "POLICY the version of the policy that let the peer pass.",
          .flags = WithFilter({"order", "limit", "all", "page_token"}),
          .examples = {"sessions list --state=connected --order=traffic",
                       "sessions list --peer=10.1.0.0/16 --min_idle=5m --all",
                       "sessions list --output=json | jq '.sessions[].id'"},
          .run = &ListSessions,
      },
      {
          .path = "sessions get",
          .synopsis = "ID",
          .summary = "Shows all there is to know about a session",
          .examples = {"sessions get 42"},
          .min_arguments = 1,
          .max_arguments = 1,
          .run = &GetSession,
      },
      {
          .path = "sessions watch",
          .summary = "Shows sessions as they open, change and close",
          .description =
              "First those that are there (PRESENT), up to SYNCED, then what "
              "happens. MISSED: the service had more to tell than was read; "
              "what is present is told anew. With --output=json each line is "
              "one JSON object.",
          .flags = WithFilter({"skip_present", "count"}),
          .examples = {"sessions watch",
                       "sessions watch --skip_present --name=printer"},
          .run = &WatchSessions,
      },
      {
          .path = "sessions close",
          .synopsis = "[ID...]",
          .summary = "Closes sessions, by their ids or by flags",
          .description =
              "The peers get an alert. When sessions are chosen by flags, "
              "their "
              "number is shown and has to be confirmed, unless --yes is given.",
          .flags = WithFilter({"dry_run", "reason", "yes"}),
          .examples = {"sessions close 42 43 --reason=\"maintenance\"",
                       "sessions close --policy_version_below=7 --dry_run",
                       "sessions close --peer=192.0.2.0/24 --yes"},
          .max_arguments = kAnyNumber,
          .run = &CloseSessions,
      }};
}

}  // namespace cordon::tools::ctl
