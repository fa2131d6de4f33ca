// Runs the soak and the flood for as long as is asked, and writes a page of
// what was seen.
//
//   bazel run //testing/soak --
//   --page=$PWD/testing/soak/RESULTS.md
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/soak/flood.h"
#include "cordon/testing/soak/soak.h"

ABSL_FLAG(uint32_t, clients, 500, "Sessions at a time.");
ABSL_FLAG(absl::Duration, duration, absl::Minutes(3), "How long they last.");
ABSL_FLAG(absl::Duration, flood, absl::Seconds(15),
          "How long hellos are poured in.");
ABSL_FLAG(absl::Duration, restart_reactor, absl::ZeroDuration(),
          "The server has two reactors, of which one runs for so long, does "
          "not run for half as long, and so on; 0: one that runs.");
ABSL_FLAG(std::string, page, "", "Where the page is written, too.");

namespace cordon::testing {
namespace {

// Rows of a table.
class Table {
 public:
  explicit Table(std::string* text) : text_(text) {
    absl::StrAppend(text_, "| | |\n|---|---|\n");
  }
  template <typename Value>
  void Row(absl::string_view name, const Value& value) {
    absl::StrAppend(text_, "| ", name, " | ", value, " |\n");
  }
  void Rows(absl::string_view prefix,
            const std::map<std::string, uint64_t>& rows) {
    for (const auto& [name, count] : rows) {
      Row(absl::StrCat(prefix, name), count);
    }
  }

 private:
  std::string* const text_;
};

std::string Megabytes(uint64_t bytes) {
  return absl::StrCat(bytes >> 20, ".", (bytes >> 10 & 1023) * 10 / 1024,
                      " MB");
}

std::string PageOf(const SoakOptions& options, const SoakReport& soak,
                   const FloodOptions& flood_options,
                   const FloodReport& flood) {
  std::string text = absl::StrCat(
      "# What was seen under load\n\n"
      "Written by `bazel run //testing/soak`; do not edit.\n\n"
      "## ",
      options.clients, " clients for ", absl::FormatDuration(options.duration),
      "\n\nBehind a network that loses ", options.network.loss * 100,
      " % of the datagrams each way, repeats ", options.network.duplicate * 100,
      " % and delays ", options.network.delay * 100,
      " %, while an operator is at work",
      options.server_flags.empty()
          ? ""
          : ", and one of two reactors is stopped and started",
      ".\n\n");
  {
    Table table(&text);
    table.Row("sessions", soak.sessions);
    table.Row("of these, resumed", soak.sessions_resumed);
    table.Row("clients that crashed", soak.crashes);
    table.Row("of these, came back from the same port", soak.same_port);
    table.Rows("handshakes that failed: ", soak.failed);
    table.Row("messages sent", soak.messages);
    table.Row("messages echoed", soak.echoed);
    table.Rows("messages not echoed: ", soak.lost);
    table.Row("messages without account", soak.unaccounted);
    table.Row("messages that came twice", soak.repeated);
    table.Row("messages that came changed", soak.wrong);
    table.Rows("", soak.acts);
    table.Row("acts that were refused", soak.refused_acts.size());
    table.Row("server's memory before, without sessions",
              Megabytes(soak.resident_before));
    table.Row("server's memory at most", Megabytes(soak.resident_most));
    table.Row("server's memory after, without sessions",
              Megabytes(soak.resident_after));
    table.Row("server's processor time", absl::StrCat(soak.cpu_seconds, " s"));
    table.Row("sessions left", soak.sessions_left);
    table.Row("server's exit code", soak.exit_code);
    table.Row("server's last words", soak.last_line);
  }
  absl::StrAppend(&text, "\n## Hellos from ", flood_options.addresses,
                  " addresses for ",
                  absl::FormatDuration(flood_options.duration), "\n\n");
  Table table(&text);
  table.Row("hellos sent", flood.hellos);
  table.Row("hellos that were answered with a cookie", flood.cookies);
  table.Row("server's processor time for each of these",
            absl::FormatDuration(flood.cpu_per_hello));
  table.Row("server's memory before", Megabytes(flood.resident_before));
  table.Row("server's memory after", Megabytes(flood.resident_after));
  table.Row("sessions at most", flood.sessions_most);
  table.Row("honest clients that got in",
            absl::StrCat(flood.connected, " of ", flood_options.clients));
  table.Row("retransmissions that one needed, at most",
            flood.retransmissions_most);
  table.Row("time that one needed, at most",
            absl::FormatDuration(flood.handshake_most));
  return text;
}

int Main() {
  SoakOptions options;
  options.clients = absl::GetFlag(FLAGS_clients);
  options.duration = absl::GetFlag(FLAGS_duration);
  const absl::Duration restart = absl::GetFlag(FLAGS_restart_reactor);
  std::string server = Runfile("tools/echo_server");
  if (restart > absl::ZeroDuration()) {
    server = Runfile("testing/soak/restarting_server");
    options.server_flags = {
        absl::StrCat("--restart_reactor=", absl::FormatDuration(restart))};
  }
  const absl::StatusOr<SoakReport> soak = RunSoak(server, options);
  if (!soak.ok()) {
    std::fprintf(stderr, "soak: %s\n", soak.status().ToString().c_str());
    return 1;
  }
  for (const std::string& act : soak->refused_acts) {
    std::fprintf(stderr, "soak: %s\n", act.c_str());
  }
  FloodOptions flood_options;
  flood_options.duration = absl::GetFlag(FLAGS_flood);
  flood_options.server_flags = options.server_flags;
  const absl::StatusOr<FloodReport> flood = RunFlood(server, flood_options);
  if (!flood.ok()) {
    std::fprintf(stderr, "soak: %s\n", flood.status().ToString().c_str());
    return 1;
  }
  const std::string text = PageOf(options, *soak, flood_options, *flood);
  std::fputs(text.c_str(), stdout);
  const std::string page = absl::GetFlag(FLAGS_page);
  if (page.empty()) return 0;
  std::ofstream file(page);
  file << text;
  file.close();
  if (file.fail()) {
    std::fprintf(stderr, "soak: cannot write %s\n", page.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace cordon::testing

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Loads an echo_server and tells what was seen.");
  absl::ParseCommandLine(argc, argv);
  return cordon::testing::Main();
}
