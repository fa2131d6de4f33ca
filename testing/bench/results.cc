#include "cordon/testing/bench/results.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

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

struct Goal {
  std::string measure;
  double measured = 0;
  double to_reach = 0;
  bool at_least = false;
};

std::string GoalRow(const Goal& goal) {
  if (std::isnan(goal.measured)) return "";
  const bool reached = goal.at_least ? goal.measured >= goal.to_reach
                                     : goal.measured <= goal.to_reach;
  return absl::StrFormat("| %s | %s %.2f | %.2f | %s |\n", goal.measure,
                         goal.at_least ? "at least" : "at most", goal.to_reach,
                         goal.measured, reached ? "yes" : "**no**");
}

std::vector<Goal> Goals(const Samples& s) {
  const std::vector<std::string> openssl = {kOpensslConnected, kOpensslBatched};
  auto against = [&](const char* load, const std::vector<std::string>& others,
                     const Figure& figure) {
    return MedianRatio(s, kCordon, load, others, load, figure);
  };
  return {
      {"CPU per 64 B echo, best OpenSSL", against(kEcho64, openssl, kCpu), 0.5},
      {"CPU per 64 B echo, plain io_uring echo",
       against(kEcho64, {kUdpUring}, kCpu), 0.8},
      {"CPU per 1200 B echo, best OpenSSL", against(kEcho1200, openssl, kCpu),
       0.55},
      {"CPU per 1200 B echo, plain io_uring echo",
       against(kEcho1200, {kUdpUring}, kCpu), 1.1},
      {"CPU per full handshake, best OpenSSL",
       against(kHandshake, openssl, kCpu), 0.45},
      {"CPU per resumed handshake, full handshake of the best OpenSSL",
       MedianRatio(s, kCordon, kResume, openssl, kHandshake, kCpu), 0.15},
      {"CPU per echo at the paced rate, best OpenSSL",
       against(kPaced, openssl, kCpu), 0.9},
      {"p99 latency at the paced rate, best OpenSSL",
       against(kPaced, openssl, kP99), 1.0},
      {"bulk: throughput, best OpenSSL",
       1 / against(kBulk, openssl, kSecondsEach), 3.0, true},
      {"bulk: throughput by the CPU time each message takes, best OpenSSL",
       1 / against(kBulk, openssl, kCpu), 3.0, true},
      {"CPU per echo among many idle sessions, without them",
       MedianRatio(s, kCordon, kEchoAmongMany, {kCordon}, kEcho64, kCpu), 1.15},
      {"memory per idle session, in KB",
       Median(s, kCordon, kIdle, kBytes) / 1000, 8.0},
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
      "Written by `bazel run --config=opt //testing/bench:compare`; do not "
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
      "1200 B by one peer with 64 under way; idle: %d sessions, by the growth "
      "of the resident set.\n\n",
      conditions.idle_sessions);
  page +=
      "| Cordon, as a ratio | to reach | measured | reached |\n"
      "|---|---|---|---|\n";
  for (const Goal& goal : Goals(samples)) page += GoalRow(goal);
  return page;
}

}  // namespace cordon::bench
