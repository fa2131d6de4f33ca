// Runs our echo server and others under the same loads, one after the other,
// and writes down what that cost each of them.
//
//   bazel build --config=opt //testing/bench:compare
//   bazel-bin/testing/bench/compare --output=testing/bench/RESULTS.md
//
// `bench --compare` does the same.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
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
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/testing/bench/results.h"
#include "cordon/testing/bench/sample.h"
#include "cordon/testing/bench/server_process.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"

ABSL_FLAG(int, rounds, 5, "How often each load is measured.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(1),
          "How long each load is measured.");
ABSL_FLAG(int, idle_sessions, 10'000, "How many idle sessions there are.");
ABSL_FLAG(int, crowd, 100'000,
          "How many idle sessions there are in the largest crowd.");
ABSL_FLAG(std::string, only, "", "Only the loads whose names contain this.");
ABSL_FLAG(std::string, output, "",
          "The file that the results are written to; they are printed, too.");

namespace cordon::bench {
namespace {

using testing::Process;
using testing::Runfile;
using Words = std::vector<std::string>;

struct Server {
  std::string name;
  Words command;
  bool plain = false;
  std::string cores = "0";
  // Sessions that are open beside the load.
  int idle_sessions = 0;
  // Programs that run beside it.
  std::vector<Words> guests = {};
};

// One measurement of each round.
struct Step {
  const Server* server = nullptr;
  std::string load;  // by the name that `Samples` has for it
  Words flags = {};
  std::string cores = "1";  // the generator's
  // In the first round only, with a server that has just been started.
  bool once = false;
};

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "compare: %s\n", what.c_str());
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): no other threads
}

// One address has ports for some 28,000 sessions; the crowd needs more, and
// what it leaves must do for all others.
Words Generator() {
  return {Runfile("tools/bench/bench"),
          "--ciphers=ECDHE-ECDSA-AES128-GCM-SHA256", "--groups=P-256",
          "--source_addresses=16"};
}

Words With(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// The servers of a comparison, each of which is started when it is first
// needed.
class Cast {
 public:
  // Null if it does not work, which is told.
  ServerProcess* Of(const Server& server) {
    auto [at, first] = running_.try_emplace(&server, nullptr);
    if (first) at->second = Start(server);
    ServerProcess* process = at->second.get();
    if (process == nullptr) return nullptr;
    if (const absl::Status status = process->Tend(); !status.ok()) {
      Tell(server, status);
      return nullptr;
    }
    return process;
  }

  static std::unique_ptr<ServerProcess> Start(const Server& server) {
    absl::StatusOr<std::unique_ptr<ServerProcess>> process =
        ServerProcess::Start(server.cores, server.command);
    absl::Status status = process.status();
    if (status.ok() && server.idle_sessions > 0) {
      status = (*process)->OpenIdle(server.idle_sessions, On("1", Generator()));
    }
    for (const Words& guest : server.guests) {
      if (status.ok()) status = (*process)->Attach(On("1", guest));
    }
    if (status.ok()) return *std::move(process);
    Tell(server, status);
    return nullptr;
  }

 private:
  // The others go on: this takes some minutes.
  static void Tell(const Server& server, const absl::Status& status) {
    std::fprintf(stderr, "compare: %s: %s\n", server.name.c_str(),
                 std::string(status.message()).c_str());
  }

  std::map<const Server*, std::unique_ptr<ServerProcess>> running_;
};

Sample Measure(const ServerProcess* running, const Step& step) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  constexpr Sample kNothing = {kNone, kNone, kNone, kNone, kNone, kNone};
  if (running == nullptr) return kNothing;
  const Server& server = *step.server;
  Words command =
      With(Generator(),
           {running->address(), "--json", "--noprogress", "--warmup=200ms",
            absl::StrCat("--duration=",
                         absl::FormatDuration(absl::GetFlag(FLAGS_duration))),
            absl::StrCat("--server_pid=", running->pid())});
  command = With(std::move(command), step.flags);
  if (server.plain) command.emplace_back("--plain");
  Process bench(On(step.cores, std::move(command)));
  bench.CloseInput();
  const int code = bench.Wait();
  const absl::StatusOr<Sample> sample = ParseSample(bench.output());
  if (code != 0 || !sample.ok()) {
    std::fprintf(stderr, "compare: %s, %s: %s\n", server.name.c_str(),
                 step.load.c_str(), bench.output().c_str());
    return kNothing;
  }
  std::fprintf(stderr,
               "%-26s %-44s %8.2f us %9.0f /s  p99 %7.0f us  %.4f lost\n",
               step.load.c_str(), server.name.c_str(), sample->cpu_us,
               sample->per_second, sample->p99_us, sample->lost);
  return *sample;
}

// All servers of the tables, and ours in other circumstances.
struct Servers {
  std::vector<Server> all;
  Server among_many;
  Server in_a_crowd;
  Server two_reactors;
  Server watched;
};

Servers MakeServers(const testing::TemporaryFolder& folder) {
  const testing::TestAuthority authority("Benchmark CA");
  const dtls::Certificate certificate =
      authority.Issue({.common_name = "server", .dns_names = {"localhost"}});
  const std::string cert = folder.Write("cert.pem", certificate.chain_pem);
  const std::string key = folder.Write("key.pem", certificate.key_pem);
  auto peer = [](const char* name) {
    return Runfile(absl::StrCat("testing/bench/peers/", name));
  };
  const Words ours = {Runfile("tools/echo_server"), "--listen=127.0.0.1:0",
                      absl::StrCat("--cert=", cert),
                      absl::StrCat("--key=", key)};
  const std::string control = absl::StrCat("unix:", folder.path(), "/control");
  const Words cordonctl = {Runfile("tools/cordonctl/cordonctl"),
                           absl::StrCat("--target=", control)};
  return {
      .all = {{kCordon, ours},
              {kOpensslConnected, {peer("openssl_connected"), cert, key}},
              {kOpensslBatched, {peer("openssl_batched"), cert, key}},
              {kGnutls, {peer("gnutls_batched"), cert, key}},
              {kUdpBatched, {peer("udp_batched")}, true},
              {kUdpUring, {peer("udp_uring")}, true}},
      .among_many = {.name = kCordon,
                     .command = ours,
                     .idle_sessions = absl::GetFlag(FLAGS_idle_sessions)},
      .in_a_crowd = {.name = kCordon,
                     .command = ours,
                     .idle_sessions = absl::GetFlag(FLAGS_crowd)},
      .two_reactors = {.name = kCordon,
                       .command = With(ours, {"--reactors=2"}),
                       .cores = "0,1"},
      .watched = {.name = kCordon,
                  .command = With(ours, {absl::StrCat("--control=", control)}),
                  .guests = {With(cordonctl, {"sessions", "watch"}),
                             With(cordonctl, {"stats", "--watch"})}},
  };
}

std::vector<Step> StepsOfARound(const Servers& servers) {
  std::vector<Step> steps;
  auto add = [&](const std::string& load, const Words& flags, bool plain,
                 bool once = false) {
    for (const Server& server : servers.all) {
      if (server.plain && !plain) continue;
      steps.push_back(
          {.server = &server, .load = load, .flags = flags, .once = once});
    }
  };
  const std::string beside_two = sysconf(_SC_NPROCESSORS_ONLN) > 2 ? "2" : "1";
  for (const char* peers : {kSingly, kTrains}) {
    const Words how = absl::string_view(peers) == kSingly
                          ? Words{"--nogso", "--nogro"}
                          : Words{"--gso", "--gro"};
    const Words echo64 = With(how, {"--load=echo", "--size=64"});
    const Server& ours = servers.all.front();
    // Next to what they are compared with.
    steps.push_back({&ours, By(peers, kEcho64), echo64});
    steps.push_back({&servers.watched, By(peers, kEchoWatched), echo64});
    steps.push_back({&servers.among_many, By(peers, kEchoAmongMany), echo64});
    steps.push_back({&servers.in_a_crowd, By(peers, kEchoInACrowd), echo64});
    steps.push_back({&servers.two_reactors, By(peers, kEchoTwoReactors),
                     With(echo64, {"--connections=128"}), beside_two});
    for (const Server& server : servers.all) {
      if (&server == &ours) continue;
      steps.push_back({&server, By(peers, kEcho64), echo64});
    }
    add(By(peers, kEcho1200), With(how, {"--load=echo", "--size=1200"}), true);
    add(By(peers, kPaced), With(how, {"--load=paced"}), true);
    add(By(peers, kBulk), With(how, {"--load=bulk"}), true);
  }
  add(kHandshake, {"--load=handshake", "--connections=16"}, false);
  add(kResume, {"--load=resume", "--connections=16"}, false);
  add(kHello, {"--load=hello", "--nogso", "--nogro"}, false);
  add(kIdle,
      {"--load=idle",
       absl::StrCat("--connections=", absl::GetFlag(FLAGS_idle_sessions))},
      false, true);
  return steps;
}

void WritePage(const std::string& page) {
  std::fputs(page.c_str(), stdout);
  const std::string output = absl::GetFlag(FLAGS_output);
  if (output.empty()) return;
  // `bazel run` starts programs elsewhere, and says where it was started.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets variables here.
  const char* began = std::getenv("BUILD_WORKING_DIRECTORY");
  const std::filesystem::path path =
      std::filesystem::path(began == nullptr ? "" : began) / output;
  std::ofstream file(path);
  file << page;
  file.close();
  if (!file) Die(absl::StrCat("cannot write ", path.string()));
}

int Main() {
  const testing::TemporaryFolder folder("/tmp");
  const Servers servers = MakeServers(folder);
  std::vector<std::string> names;
  names.reserve(servers.all.size());
  for (const Server& server : servers.all) names.push_back(server.name);
  const Conditions conditions = {
      .machine = DescribeMachine(),
      .rounds = absl::GetFlag(FLAGS_rounds),
      .seconds = absl::ToDoubleSeconds(absl::GetFlag(FLAGS_duration)),
      .idle_sessions = absl::GetFlag(FLAGS_idle_sessions),
      .crowd = absl::GetFlag(FLAGS_crowd)};
  const std::vector<Step> steps = StepsOfARound(servers);
  Cast cast;
  Samples samples;
  for (int round = 0; round < conditions.rounds; ++round) {
    for (const Step& step : steps) {
      if ((step.once && round > 0) ||
          step.load.find(absl::GetFlag(FLAGS_only)) == std::string::npos) {
        continue;
      }
      std::unique_ptr<ServerProcess> fresh;
      if (step.once) fresh = Cast::Start(*step.server);
      samples[step.server->name][step.load].push_back(
          Measure(step.once ? fresh.get() : cast.Of(*step.server), step));
    }
  }
  WritePage(ResultsPage(samples, names, conditions));
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
