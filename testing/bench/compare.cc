// Runs our echo server and others under the same loads, one after the other,
// and writes down what that cost each of them.
//
//   bazel build --config=opt //testing/bench:compare
//   bazel-bin/testing/bench/compare --output=testing/bench/RESULTS.md
//
// Run from the root of the workspace.
#include <csignal>
#include <cstdio>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/testing/bench/results.h"
#include "cordon/testing/bench/sample.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"

ABSL_FLAG(int, rounds, 5, "How often each load is measured.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(2),
          "How long each load is measured.");
ABSL_FLAG(int, idle_sessions, 10'000, "How many idle sessions there are.");
ABSL_FLAG(std::string, only, "", "Only the loads whose names contain this.");
ABSL_FLAG(std::string, output, "",
          "The file that the results are written to; they are printed, too.");

namespace cordon::bench {
namespace {

using testing::Process;
using testing::Runfile;

struct Server {
  std::string name;
  std::vector<std::string> command;
  bool plain = false;
  bool trains = false;
};

struct LoadKind {
  std::string name;
  std::vector<std::string> flags;
  bool plain = false;  // Servers without DTLS take it, too.
  bool others = true;  // Not of interest to us alone.
  bool fresh = false;  // Wants a server that has just been started.
};

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "compare: %s\n", what.c_str());
  std::exit(1);
}

std::vector<std::string> On(const char* core,
                            std::vector<std::string> command) {
  std::vector<std::string> pinned = {"taskset", "-c", core};
  pinned.insert(pinned.end(), command.begin(), command.end());
  return pinned;
}

// A server that runs until it is destroyed.
class Running {
 public:
  explicit Running(const Server& server) : process_(On("0", server.command)) {
    constexpr char kAnnouncement[] = "listening on ";
    if (!process_.WaitForOutput(kAnnouncement) ||
        !process_.WaitForOutput("\n")) {
      Die(absl::StrCat(server.name, " does not start: ", process_.output()));
    }
    const std::string& output = process_.output();
    const size_t begin =
        output.rfind(kAnnouncement) + sizeof(kAnnouncement) - 1;
    address_ = output.substr(begin, output.find('\n', begin) - begin);
  }

  const std::string& address() const { return address_; }
  pid_t pid() const { return process_.pid(); }

 private:
  Process process_;
  std::string address_;
};

Sample Measure(const Running& running, const Server& server,
               const LoadKind& load) {
  std::vector<std::string> command = {
      Runfile("tools/bench/bench"),
      running.address(),
      "--json",
      "--noprogress",
      "--warmup=300ms",
      absl::StrCat("--duration=",
                   absl::FormatDuration(absl::GetFlag(FLAGS_duration))),
      absl::StrCat("--server_pid=", running.pid()),
      "--ciphers=ECDHE-ECDSA-AES128-GCM-SHA256",
      "--groups=P-256"};
  command.insert(command.end(), load.flags.begin(), load.flags.end());
  if (server.trains) command.emplace_back("--gro");
  if (server.plain) command.emplace_back("--plain");
  Process bench(On("1", std::move(command)));
  bench.CloseInput();
  const int code = bench.Wait();
  const absl::StatusOr<Sample> sample = ParseSample(bench.output());
  if (code != 0 || !sample.ok()) {
    // The others go on: this takes some minutes.
    std::fprintf(stderr, "compare: %s, %s: %s\n", server.name.c_str(),
                 load.name.c_str(), bench.output().c_str());
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    return {kNone, kNone, kNone, kNone, kNone};
  }
  std::fprintf(stderr,
               "%-16s %-44s %8.2f us %9.0f /s  p99 %7.0f us  %.4f lost\n",
               load.name.c_str(), server.name.c_str(), sample->cpu_us,
               sample->per_second, sample->p99_us, sample->lost);
  return *sample;
}

std::vector<Server> Servers(const testing::TemporaryFolder& folder) {
  const testing::TestAuthority authority("Benchmark CA");
  const dtls::Certificate certificate =
      authority.Issue({.common_name = "server", .dns_names = {"localhost"}});
  const std::string cert = folder.Write("cert.pem", certificate.chain_pem);
  const std::string key = folder.Write("key.pem", certificate.key_pem);
  auto peer = [](const char* name) {
    return Runfile(absl::StrCat("testing/bench/peers/", name));
  };
  const std::vector<std::string> ours = {
      Runfile("tools/echo_server"), "--listen=127.0.0.1:0",
      absl::StrCat("--cert=", cert), absl::StrCat("--key=", key)};
  std::vector<std::string> trains = ours;
  trains.emplace_back("--gro");
  return {
      {kCordon, ours},
      {.name = kCordonTrains, .command = trains, .trains = true},
      {kOpensslConnected, {peer("openssl_connected"), cert, key}},
      {kOpensslBatched, {peer("openssl_batched"), cert, key}},
      {kGnutls, {peer("gnutls_batched"), cert, key}},
      {kUdpBatched, {peer("udp_batched")}, true},
      {kUdpUring, {peer("udp_uring")}, true},
  };
}

std::vector<LoadKind> Loads() {
  const std::string idle = absl::StrCat(absl::GetFlag(FLAGS_idle_sessions));
  return {
      {.name = kHandshake, .flags = {"--load=handshake", "--connections=16"}},
      {.name = kResume, .flags = {"--load=resume", "--connections=16"}},
      {.name = kEcho64, .flags = {"--load=echo", "--size=64"}, .plain = true},
      {.name = kEcho1200,
       .flags = {"--load=echo", "--size=1200"},
       .plain = true},
      {.name = kPaced, .flags = {"--load=paced"}, .plain = true},
      {.name = kBulk, .flags = {"--load=bulk"}, .plain = true},
      {.name = kEchoAmongMany,
       .flags = {"--load=echo", "--size=64",
                 absl::StrCat("--idle_sessions=", idle)},
       .others = false},
      {.name = kIdle,
       .flags = {"--load=idle", absl::StrCat("--connections=", idle)},
       .fresh = true},
  };
}

int Main() {
  const testing::TemporaryFolder folder("/tmp");
  const std::vector<Server> servers = Servers(folder);
  std::vector<std::unique_ptr<Running>> running;
  std::vector<std::string> names;
  for (const Server& server : servers) {
    running.push_back(std::make_unique<Running>(server));
    names.push_back(server.name);
  }
  Samples samples;
  Conditions conditions;
  conditions.machine = DescribeMachine();
  conditions.rounds = absl::GetFlag(FLAGS_rounds);
  conditions.seconds = absl::ToDoubleSeconds(absl::GetFlag(FLAGS_duration));
  conditions.idle_sessions = absl::GetFlag(FLAGS_idle_sessions);
  for (int round = 0; round < conditions.rounds; ++round) {
    for (const LoadKind& load : Loads()) {
      if (load.name.find(absl::GetFlag(FLAGS_only)) == std::string::npos) {
        continue;
      }
      for (size_t i = 0; i < servers.size(); ++i) {
        if ((servers[i].plain && !load.plain) || (i > 0 && !load.others) ||
            (servers[i].trains && !load.plain)) {
          continue;
        }
        std::unique_ptr<Running> fresh;
        if (load.fresh) fresh = std::make_unique<Running>(servers[i]);
        samples[servers[i].name][load.name].push_back(
            Measure(fresh != nullptr ? *fresh : *running[i], servers[i], load));
      }
    }
  }
  const std::string page = ResultsPage(samples, names, conditions);
  std::fputs(page.c_str(), stdout);
  if (const std::string path = absl::GetFlag(FLAGS_output); !path.empty()) {
    std::ofstream file(path);
    file << page;
    file.close();
    if (!file) Die(absl::StrCat("cannot write ", path));
  }
  return 0;
}

}  // namespace
}  // namespace cordon::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Compares the cost of our echo server with that of others.");
  absl::ParseCommandLine(argc, argv);
  return cordon::bench::Main();
}
