#include "cordon/testing/bench/results.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace cordon::bench {
namespace {

const Figure kCpu = [](const Sample& s) { return s.cpu_us; };
const Figure kP99 = [](const Sample& s) { return s.p99_us; };
const Figure kBytes = [](const Sample& s) { return s.bytes; };
const Figure kSecondsEach = [](const Sample& s) { return 1 / s.per_second; };
const Figure kRate = [](const Sample& s) { return s.per_second; };

std::string Cell(double value, const char* unit, int digits) {
  if (std::isnan(value)) return "–";
  return absl::StrFormat("%.*f %s", digits, value, unit);
}

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

struct Goal {
  std::string measure;
  double to_reach = 0;
  bool at_least = false;
  double plain = kNone;
  double trains = kNone;
};

// Bold where it does not reach the goal.
std::string Judge(const Goal& goal, double measured) {
  if (std::isnan(measured)) return "–";
  const bool reached =
      goal.at_least ? measured >= goal.to_reach : measured <= goal.to_reach;
  const std::string text = absl::StrFormat("%.2f", measured);
  return reached ? text : absl::StrCat("**", text, "**");
}

// What the two forms of our server reach.
std::string GoalRow(const Goal& goal) {
  if (std::isnan(goal.plain) && std::isnan(goal.trains)) return "";
  return absl::StrFormat("| %s | %s %.2f | %s | %s |\n", goal.measure,
                         goal.at_least ? "at least" : "at most", goal.to_reach,
                         Judge(goal, goal.plain), Judge(goal, goal.trains));
}

std::vector<Goal> Goals(const Samples& s) {
  const std::vector<std::string> openssl = {kOpensslConnected, kOpensslBatched};
  auto ratio = [&](const std::string& measure, double to_reach,
                   const char* load, const std::vector<std::string>& others,
                   const char* load_of_others, const Figure& figure,
                   bool inverse = false) {
    Goal goal = {measure, to_reach, inverse};
    for (auto [server, value] : {std::pair{kCordon, &goal.plain},
                                 std::pair{kCordonTrains, &goal.trains}}) {
      const double of =
          MedianRatio(s, server, load, others, load_of_others, figure);
      *value = inverse ? 1 / of : of;
    }
    return goal;
  };
  auto same = [&](const std::string& measure, double to_reach, const char* load,
                  const std::vector<std::string>& others,
                  const Figure& figure = kCpu, bool inverse = false) {
    return ratio(measure, to_reach, load, others, load, figure, inverse);
  };
  Goal memory = {"memory per idle session, in KB", 8.0};
  memory.plain = Median(s, kCordon, kIdle, kBytes) / 1000;
  Goal among_many = {"CPU per echo among many idle sessions, without them",
                     1.15};
  among_many.plain =
      MedianRatio(s, kCordon, kEchoAmongMany, {kCordon}, kEcho64, kCpu);
  return {
      same("CPU per 64 B echo, best OpenSSL", 0.5, kEcho64, openssl),
      same("CPU per 64 B echo, plain io_uring echo", 0.8, kEcho64, {kUdpUring}),
      same("CPU per 1200 B echo, best OpenSSL", 0.55, kEcho1200, openssl),
      same("CPU per 1200 B echo, plain io_uring echo", 1.1, kEcho1200,
           {kUdpUring}),
      same("CPU per full handshake, best OpenSSL", 0.45, kHandshake, openssl),
      ratio("CPU per resumed handshake, best OpenSSL's full one", 0.15, kResume,
            openssl, kHandshake, kCpu),
      same("CPU per echo at the paced rate, best OpenSSL", 0.9, kPaced,
           openssl),
      same("p99 latency at the paced rate, best OpenSSL", 1.0, kPaced, openssl,
           kP99),
      same("bulk: throughput, best OpenSSL", 3.0, kBulk, openssl, kSecondsEach,
           true),
      same("bulk: messages for the same CPU time, best OpenSSL", 3.0, kBulk,
           openssl, kCpu, true),
      among_many,
      memory,
  };
}

}  // namespace

std::string DescribeMachine() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string processor = "unknown processor";
  for (std::string line; std::getline(cpuinfo, line);) {
    if (!absl::StartsWith(line, "model name")) continue;
    processor = line.substr(line.find(": ") + 2);
    break;
  }
  constexpr double kGigabyte = 1e9;
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
                        static_cast<double>(sysconf(_SC_PAGESIZE)) / kGigabyte;
  utsname system = {};
  uname(&system);
  return absl::StrFormat("%s, %d cores, %.0f GB, Linux %s", processor,
                         sysconf(_SC_NPROCESSORS_ONLN), memory, system.release);
}

std::string ResultsPage(const Samples& samples,
                        const std::vector<std::string>& servers,
                        const Conditions& conditions) {
  std::string page = absl::StrFormat(
      "# Cordon beside others\n\n"
      "Written by `//testing/bench:compare`; do not "
      "edit.\n\n"
      "%s. Loopback; the server on core 0, the load generator on core 1; DTLS "
      "1.2 with cookies, ECDHE-ECDSA-AES128-GCM-SHA256, P-256. Medians of %d "
      "rounds of %.1f s each, in each of which every server had its turn. CPU "
      "is user and system time of the server's process.\n\n"
      "Absolute figures depend on the machine and on what else it does. The "
      "ratios are taken within a round, and their median is shown.\n\n",
      conditions.machine, conditions.rounds, conditions.seconds);
  page +=
      "| server | full handshake | resumed | 64 B echo | 1200 B echo | paced "
      "echo | its p99 | bulk | idle session |\n"
      "|---|---|---|---|---|---|---|---|---|\n";
  for (const std::string& server : servers) {
    auto median = [&](const char* load, const Figure& figure) {
      return Median(samples, server, load, figure);
    };
    absl::StrAppend(&page, "| ", server, " | ",
                    Cell(median(kHandshake, kCpu), "µs", 0), " | ",
                    Cell(median(kResume, kCpu), "µs", 0), " | ",
                    Cell(median(kEcho64, kCpu), "µs", 2), " | ",
                    Cell(median(kEcho1200, kCpu), "µs", 2), " | ",
                    Cell(median(kPaced, kCpu), "µs", 2), " | ",
                    Cell(median(kPaced, kP99), "µs", 0), " | ",
                    Cell(median(kBulk, kRate) / 1000, "k/s", 0), " | ",
                    Cell(median(kIdle, kBytes) / 1000, "KB", 1), " |\n");
  }
  absl::StrAppendFormat(
      &page,
      "\nHandshakes are made by 16 peers at once; echoes by 64 peers with 8 "
      "messages under way each; paced: 20,000 per second by 64 peers; bulk: "
      "1200 B by one peer, 256 under way; idle: %d sessions, by the growth "
      "of the resident set.\n\n",
      conditions.idle_sessions);
  page +=
      "\"Trains both ways\" is `echo_server --gro` with peers that receive "
      "trains whole, too. Otherwise the server pays, on loopback, for cutting "
      "each train that it sends to pieces: with most network cards the truth "
      "lies between the two columns. Figures in bold miss what is to be "
      "reached.\n\n";
  page +=
      "| Cordon, as a ratio to | to reach | Cordon | trains both ways |\n"
      "|---|---|---|---|\n";
  for (const Goal& goal : Goals(samples)) page += GoalRow(goal);
  return page;
}

}  // namespace cordon::bench
