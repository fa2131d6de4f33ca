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
const Figure kResident = [](const Sample& s) { return s.resident; };
const Figure kRate = [](const Sample& s) { return s.per_second; };

std::string Cell(double value, const char* unit, int digits) {
  if (std::isnan(value)) return "–";
  return absl::StrFormat("%.*f %s", digits, value, unit);
}

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// What is aimed at, and what was reached with either kind of peers; NaN where
// that was not measured.
struct Goal {
  std::string measure;
  double to_reach = 0;
  bool at_least = false;
  double singly = kNone;
  double trains = kNone;
};

std::string Digits(double value) {
  return absl::StrFormat("%.*f", value < 100 ? 2 : 0, value);
}

// Bold where it does not reach the goal.
std::string Judge(const Goal& goal, double measured) {
  if (std::isnan(measured)) return "–";
  const bool reached =
      goal.at_least ? measured >= goal.to_reach : measured <= goal.to_reach;
  const std::string text = Digits(measured);
  return reached ? text : absl::StrCat("**", text, "**");
}

std::string GoalRow(const Goal& goal) {
  if (std::isnan(goal.singly) && std::isnan(goal.trains)) return "";
  return absl::StrFormat("| %s | %s %s | %s | %s |\n", goal.measure,
                         goal.at_least ? "at least" : "at most",
                         Digits(goal.to_reach), Judge(goal, goal.singly),
                         Judge(goal, goal.trains));
}

// Of our server by one kind of peers to the best of `others`.
struct Ratio {
  std::string measure;
  double to_reach = 0;
  std::string load;
  std::vector<std::string> others;
  std::string load_of_others;
  Figure figure = kCpu;
  // The figure is better if it is smaller; tell how many times better it is.
  bool inverse = false;
};

double Of(const Samples& samples, const Ratio& ratio, const std::string& load,
          const std::string& load_of_others) {
  const double value = MedianRatio(samples, kCordon, load, ratio.others,
                                   load_of_others, ratio.figure);
  return ratio.inverse ? 1 / value : value;
}

// Of what does not depend on how datagrams travel.
Goal Once(const Samples& samples, const Ratio& ratio) {
  return {ratio.measure, ratio.to_reach, ratio.inverse,
          Of(samples, ratio, ratio.load, ratio.load_of_others)};
}

Goal ByBoth(const Samples& samples, const Ratio& ratio) {
  auto by = [&](const char* peers) {
    return Of(samples, ratio, By(peers, ratio.load),
              By(peers, ratio.load_of_others));
  };
  return {ratio.measure, ratio.to_reach, ratio.inverse, by(kSingly),
          by(kTrains)};
}

std::vector<Goal> Goals(const Samples& s, const Conditions& conditions) {
  const std::vector<std::string> openssl = {kOpensslConnected, kOpensslBatched};
  auto same = [&](const char* measure, double to_reach, const char* load,
                  const std::vector<std::string>& others,
                  const Figure& figure = kCpu, bool inverse = false) {
    return ByBoth(s, {measure, to_reach, load, others, load, figure, inverse});
  };
  // Of our server's echo to the same in the usual circumstances.
  auto among = [&](const std::string& measure, double to_reach,
                   const char* load) {
    return ByBoth(s, {measure, to_reach, load, {kCordon}, kEcho64});
  };
  Goal memory = {"memory per idle session, in KB", 8.0};
  memory.singly = Median(s, kCordon, kIdle, kBytes) / 1000;
  Goal crowd = {
      absl::StrFormat("resident set with %d sessions, in MB", conditions.crowd),
      900};
  crowd.singly =
      Median(s, kCordon, By(kSingly, kEchoInACrowd), kResident) / 1e6;
  return {
      same("CPU per 64 B echo, best OpenSSL", 0.5, kEcho64, openssl),
      same("CPU per 64 B echo, plain io_uring echo", 0.8, kEcho64, {kUdpUring}),
      same("CPU per 1200 B echo, best OpenSSL", 0.55, kEcho1200, openssl),
      same("CPU per 1200 B echo, plain io_uring echo", 1.1, kEcho1200,
           {kUdpUring}),
      Once(s, {"CPU per full handshake, best OpenSSL", 0.45, kHandshake,
               openssl, kHandshake}),
      Once(s, {"CPU per resumed handshake, best OpenSSL's full one", 0.15,
               kResume, openssl, kHandshake}),
      Once(s, {"CPU per refused hello, best OpenSSL (`DTLSv1_listen`)", 0.5,
               kHello, openssl, kHello}),
      same("CPU per echo at the paced rate, best OpenSSL", 0.9, kPaced,
           openssl),
      same("p99 latency at the paced rate, best OpenSSL", 1.0, kPaced, openssl,
           kP99),
      same("bulk: throughput, best OpenSSL", 3.0, kBulk, openssl, kSecondsEach,
           true),
      same("bulk: messages for the same CPU time, best OpenSSL", 3.0, kBulk,
           openssl, kCpu, true),
      among(absl::StrFormat("CPU per echo among %d idle sessions, without them",
                            conditions.idle_sessions),
            1.15, kEchoAmongMany),
      among(absl::StrFormat("CPU per echo among %d idle sessions, without them",
                            conditions.crowd),
            1.3, kEchoInACrowd),
      among("CPU per echo with two reactors, with one", 1.05, kEchoTwoReactors),
      among("CPU per echo while an operator watches, unwatched", 1.02,
            kEchoWatched),
      memory,
      crowd,
  };
}

// One row for each server that has any of these figures.
struct Column {
  const char* title;
  std::string load;
  Figure figure;
  double divisor = 1;
  const char* unit = "µs";
  int digits = 0;
};

std::string TableOf(const Samples& samples,
                    const std::vector<std::string>& servers,
                    const std::vector<Column>& columns) {
  std::string table = "| server |";
  for (const Column& column : columns) {
    absl::StrAppend(&table, " ", column.title, " |");
  }
  table += "\n|---|";
  for (size_t i = 0; i < columns.size(); ++i) table += "---|";
  table += "\n";
  for (const std::string& server : servers) {
    std::string row;
    bool any = false;
    for (const Column& column : columns) {
      const double value = Median(samples, server, column.load, column.figure);
      any = any || !std::isnan(value);
      absl::StrAppend(&row, " ",
                      Cell(value / column.divisor, column.unit, column.digits),
                      " |");
    }
    if (any) absl::StrAppend(&table, "| ", server, " |", row, "\n");
  }
  return table;
}

std::string EchoTable(const Samples& samples,
                      const std::vector<std::string>& servers,
                      const char* peers) {
  return TableOf(samples, servers,
                 {{"64 B echo", By(peers, kEcho64), kCpu, 1, "µs", 2},
                  {"1200 B echo", By(peers, kEcho1200), kCpu, 1, "µs", 2},
                  {"paced echo", By(peers, kPaced), kCpu, 1, "µs", 2},
                  {"its p99", By(peers, kPaced), kP99},
                  {"bulk", By(peers, kBulk), kRate, 1000, "k/s"},
                  {"its CPU", By(peers, kBulk), kCpu, 1, "µs", 2}});
}

}  // namespace

std::string By(absl::string_view peers, absl::string_view load) {
  return absl::StrCat(load, ", ", peers);
}

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
      "is user and system time of the server's process. Cordon is "
      "`echo_server` with its defaults.\n\n"
      "Absolute figures depend on the machine and on what else it does. The "
      "ratios are taken within a round, and their median is shown.\n\n",
      conditions.machine, conditions.rounds, conditions.seconds);
  absl::StrAppendFormat(
      &page,
      "## Handshakes, strangers and idle sessions\n\n%s\n"
      "Handshakes are made by 16 peers at once. A refused hello is one without "
      "a cookie, which is answered by a HelloVerifyRequest: 64 sockets with 8 "
      "under way each. Idle: %d sessions, by the growth of the resident set, "
      "measured once.\n\n",
      TableOf(samples, servers,
              {{"full handshake", kHandshake, kCpu},
               {"resumed", kResume, kCpu},
               {"refused hello", kHello, kCpu, 1, "µs", 2},
               {"idle session", kIdle, kBytes, 1000, "KB", 1}}),
      conditions.idle_sessions);
  absl::StrAppend(
      &page,
      "## Echoes\n\n"
      "By 64 peers with 8 messages under way each; paced: 20,000 per second by "
      "64 peers; bulk: 1200 B by one peer, 256 under way.\n\n"
      "Peers that send and receive each datagram by itself. A train that the "
      "server sends them is cut to pieces at the server's expense, which most "
      "network cards would spare it:\n\n",
      EchoTable(samples, servers, kSingly),
      "\nPeers that send trains, and receive them whole:\n\n",
      EchoTable(samples, servers, kTrains));
  absl::StrAppendFormat(
      &page,
      "\n## Ratios\n\n"
      "Figures in bold miss what is to be reached. What does not depend on how "
      "datagrams travel stands in the first column alone.\n\n"
      "Idle sessions: %d and %d of them say nothing while 64 others echo. Two "
      "reactors: on cores 0 and 1, with 64 peers for each, and the generator "
      "on core 2, or on core 1 where there is no other. Watched: `cordonctl "
      "sessions watch` and `cordonctl stats --watch` are attached, which run "
      "on core 1. Each of them is measured right after the same echo without "
      "it.\n\n"
      "| Cordon, as a ratio to | to reach | peers that send singly | peers "
      "that send trains |\n"
      "|---|---|---|---|\n",
      conditions.idle_sessions, conditions.crowd);
  for (const Goal& goal : Goals(samples, conditions)) page += GoalRow(goal);
  return page;
}

}  // namespace cordon::bench
