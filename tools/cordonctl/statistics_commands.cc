#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/tools/cordonctl/command.h"
#include "cordon/tools/cordonctl/connection.h"
#include "cordon/tools/cordonctl/live_statistics.h"
#include "cordon/tools/cordonctl/output.h"
#include "cordon/tools/cordonctl/rates.h"
#include "cordon/tools/cordonctl/shared_flags.h"
#include "cordon/tools/cordonctl/statistics_view.h"
#include "cordon/tools/cordonctl/style.h"
#include "cordon/tools/cordonctl/units.h"

ABSL_FLAG(std::optional<absl::Duration>, watch, std::nullopt,
          "Look again and again, each second or at another interval of at "
          "least 100ms: --watch=5s.");

namespace cordon::tools::ctl {
namespace {

absl::Status ShowOnce(Connection* connection) {
  pb::GetStatisticsRequest request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  auto statistics = connection->Call(&Stub::GetStatistics, request);
  if (!statistics.ok()) return statistics.status();
  if (JsonWanted()) {
    PrintJson(*statistics);
  } else {
    Print(StatisticsText(*statistics, StyleOf(STDOUT_FILENO)));
  }
  return absl::OkStatus();
}

// For scripts and files.
absl::Status PrintLines(const pb::WatchStatisticsRequest& request,
                        Connection* connection) {
  History history;
  uint64_t count = 0;
  const auto print = [&](const pb::Statistics& statistics) {
    history.Add(statistics);
    if (JsonWanted()) {
      PrintJsonLine(statistics);
    } else {
      if (count == 0) Print(StatisticsHeading(StyleOf(STDOUT_FILENO)));
      Print(StatisticsLine(history));
      std::fflush(stdout);
    }
    // Nobody reads any more.
    if (std::ferror(stdout) != 0) return false;
    return ++count != absl::GetFlag(FLAGS_count);
  };
  grpc::ClientContext context;
  return connection->Watch<pb::WatchStatisticsRequest, pb::Statistics>(
      &Stub::WatchStatistics, request, &context, print);
}

// Whether the standard output is a terminal whose cursor can be moved.
bool CanDrawAgain() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets variables here.
  const char* terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) != 0 && terminal != nullptr &&
         absl::string_view(terminal) != "dumb";
}

absl::Status ShowStatistics(const Arguments& /*arguments*/) {
  const std::optional<absl::Duration> interval = absl::GetFlag(FLAGS_watch);
  if (!interval.has_value() && absl::GetFlag(FLAGS_count) > 0) {
    return UsageError("--count is for --watch");
  }
  if (interval.has_value() &&
      (*interval < absl::Milliseconds(100) || *interval > absl::Hours(24))) {
    return UsageError(absl::StrCat("--watch=", absl::FormatDuration(*interval),
                                   " is not between 100ms and 24h"));
  }
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  if (!interval.has_value()) return ShowOnce(&*connection);
  pb::WatchStatisticsRequest request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  *request.mutable_interval() = ToProto(*interval);
  if (JsonWanted() || !CanDrawAgain()) {
    return PrintLines(request, &*connection);
  }
  return ShowLiveStatistics(request, absl::GetFlag(FLAGS_count), &*connection);
}

}  // namespace

std::vector<Command> StatisticsCommands() {
  return {{
      .path = "stats",
      .summary = "Shows what the listeners do, once or as it goes on",
      .description =
          "With --watch on a terminal, a view with rates and graphs that is "
          "drawn again in place: q or Ctrl-C ends it. Elsewhere, one line for "
          "each look. P50 and P99 are the times below which half, and 99 of "
          "100, of the handshakes took.",
      .flags = {"listener", "watch", "count"},
      .examples = {"stats", "stats --watch", "stats --watch=5s --count=12",
                   "stats --watch --output=json | jq .total.sessions"},
      .run = &ShowStatistics,
  }};
}

}  // namespace cordon::tools::ctl
