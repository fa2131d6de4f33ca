#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/session_bounds.h"
#include "cordon/tools/cordonctl/command.h"
#include "cordon/tools/cordonctl/connection.h"
#include "cordon/tools/cordonctl/output.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/question.h"
#include "cordon/tools/cordonctl/shared_flags.h"
#include "cordon/tools/cordonctl/style.h"
#include "cordon/tools/cordonctl/suggestion.h"
#include "cordon/tools/cordonctl/table.h"
#include "cordon/tools/cordonctl/units.h"

ABSL_FLAG(absl::Duration, deadline, absl::Seconds(30),
          "Sessions that are still there after this time are closed; 0s: at "
          "once.");

namespace cordon::tools::ctl {
namespace {

absl::Status Drain(const Arguments& /*arguments*/) {
  const absl::Duration deadline = absl::GetFlag(FLAGS_deadline);
  if (deadline < absl::ZeroDuration() || deadline == absl::InfiniteDuration()) {
    return UsageError(
        absl::StrCat("--deadline=", absl::FormatDuration(deadline),
                     " is not a length of time such as 30s"));
  }
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  pb::DrainRequest request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  *request.mutable_deadline() = ToProto(deadline);
  // A service may answer only when it is done.
  auto response = connection->Call(&Stub::Drain, request, deadline);
  if (!response.ok()) return response.status();
  if (JsonWanted()) {
    PrintJson(*response);
  } else {
    Print(absl::StrCat("No new sessions are accepted by ", WhichListeners(),
                       "; ", FormatCount(response->sessions()),
                       " are still there.\n"));
  }
  return absl::OkStatus();
}

absl::Status PrintLimits(const pb::GetLimitsResponse& response) {
  if (JsonWanted()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  Table table({{"LISTENER"}, {"LIMIT"}, {"VALUE", Align::kRight}});
  for (const pb::ListenerLimits& listener : response.listeners()) {
    for (const pb::Limit& limit : listener.limits()) {
      table.Add({Printable(listener.listener()), Printable(limit.name()),
                 absl::StrCat(limit.value())});
    }
  }
  Print(table.Render(StyleOf(1)));
  return absl::OkStatus();
}

absl::Status GetLimits(const Arguments& /*arguments*/) {
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  pb::GetLimitsRequest request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  auto response = connection->Call(&Stub::GetLimits, request);
  return response.ok() ? PrintLimits(*response) : response.status();
}

// With so little of one of these nobody is let in.
constexpr std::pair<absl::string_view, uint64_t> kLeast[] = {
    {"max_sessions", 1},
    {"max_session_memory", dtls::internal::kSessionBytes},
    {"accept_backlog", 1},
    {"max_half_open", 1},
    {"max_half_open_per_source", 1},
    {"handshake_rate_per_source", 1},
    {"handshake_burst_per_source", 1},
};

// Sessions that are there would stay, so that it might go unseen for long.
absl::Status AskToShutOut(const pb::SetLimitsRequest& request) {
  std::vector<std::string> limits;
  for (const pb::Limit& limit : request.limits()) {
    for (const auto& [name, least] : kLeast) {
      if (limit.name() == name && limit.value() < least) {
        limits.push_back(absl::StrCat(limit.name(), "=", limit.value()));
      }
    }
  }
  if (limits.empty()) return absl::OkStatus();
  if (absl::Status status = CheckCanAsk(); !status.ok()) return status;
  return Ask(absl::StrCat("With ", absl::StrJoin(limits, ", "),
                          ", nobody is let in by ", WhichListeners(),
                          ". Set it?"));
}

absl::Status SetLimits(const Arguments& arguments) {
  pb::SetLimitsRequest request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    uint64_t value = 0;
    if (equals == std::string::npos || equals == 0 ||
        !absl::SimpleAtoi(argument.substr(equals + 1), &value)) {
      return UsageError(
          absl::StrCat("\"", Printable(argument),
                       "\" is not NAME=VALUE, such as max_sessions=1000"));
    }
    pb::Limit* limit = request.add_limits();
    limit->set_name(argument.substr(0, equals));
    limit->set_value(value);
  }
  if (absl::Status status = AskToShutOut(request); !status.ok()) return status;
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  auto response = connection->Call(&Stub::SetLimits, request);
  return response.ok() ? PrintLimits(*response) : response.status();
}

absl::Status PrintLevel(const pb::GetLogLevelResponse& response) {
  if (JsonWanted()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  const std::string& name = pb::LogLevel_Name(response.level());
  Print(absl::StrCat(name.empty() ? absl::StrCat(response.level())
                                  : absl::AsciiStrToLower(name),
                     "\n"));
  return absl::OkStatus();
}

absl::Status GetLevel(const Arguments& /*arguments*/) {
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  auto response =
      connection->Call(&Stub::GetLogLevel, pb::GetLogLevelRequest());
  return response.ok() ? PrintLevel(*response) : response.status();
}

absl::Status SetLevel(const Arguments& arguments) {
  pb::LogLevel level;
  if (!pb::LogLevel_Parse(absl::AsciiStrToUpper(arguments[0]), &level) ||
      level == pb::LOG_LEVEL_UNSPECIFIED) {
    const std::string nearest = Nearest(absl::AsciiStrToLower(arguments[0]),
                                        {"error", "warning", "info", "debug"});
    return UsageError(absl::StrCat(
        "\"", Printable(arguments[0]),
        "\" is not error, warning, info or debug",
        nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?")));
  }
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  pb::SetLogLevelRequest request;
  request.set_level(level);
  auto response = connection->Call(&Stub::SetLogLevel, request);
  return response.ok() ? PrintLevel(*response) : response.status();
}

}  // namespace

std::vector<Command> OperationCommands() {
  return {
      {
          .path = "drain",
          .summary = "Stops accepting sessions, and closes them by a deadline",
          .flags = {"listener", "deadline"},
          .examples = {"drain --deadline=2m", "drain --listener=public"},
          .run = &Drain,
      },
      {
          .path = "limits get",
          .summary = "Shows the limits of listeners",
          .flags = {"listener"},
          .examples = {"limits get"},
          .run = &GetLimits,
      },
      {
          .path = "limits set",
          .synopsis = "NAME=VALUE...",
          .summary = "Changes limits; shows all as they are then",
          .description =
              "They hold for all reactors of a listener together. A limit by "
              "which nobody is let in, such as max_sessions=0, has to be "
              "confirmed, unless --yes is given.",
          .flags = {"listener", "yes"},
          .examples = {"limits set max_sessions=50000 accept_backlog=512",
                       "limits set max_sessions=0 --listener=public --yes"},
          .min_arguments = 1,
          .max_arguments = kAnyNumber,
          .argument_values = "max_sessions= accept_backlog= max_half_open= "
                             "max_half_open_per_source= "
                             "handshake_rate_per_source= "
                             "handshake_burst_per_source= "
                             "half_open_before_cookies= max_session_memory= "
                             "max_reassembly_bytes= idle_timeout_seconds=",
          .run = &SetLimits,
      },
      {
          .path = "log get",
          .summary = "Shows the log level",
          .examples = {"log get"},
          .run = &GetLevel,
      },
      {
          .path = "log set",
          .synopsis = "LEVEL",
          .summary = "Changes the log level: error, warning, info or debug",
          .examples = {"log set debug"},
          .min_arguments = 1,
          .max_arguments = 1,
          .argument_values = "error warning info debug",
          .run = &SetLevel,
      },
  };
}

}  // namespace cordon::tools::ctl
