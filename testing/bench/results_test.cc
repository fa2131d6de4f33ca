#include "cordon/testing/bench/results.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace cordon::bench {
namespace {

std::string PageOf(const Samples& samples) {
  const Conditions conditions = {
      .rounds = 1, .seconds = 1, .idle_sessions = 10'000, .crowd = 100'000};
  return ResultsPage(samples, {kCordon, kOpensslBatched, kGnutls}, conditions);
}

// The cells of the row that begins with `first`, without it; empty if there is
// no such row, or more than one.
std::vector<std::string> Row(const std::string& page,
                             const std::string& first) {
  const std::string begin = absl::StrCat("| ", first, " | ");
  std::vector<std::string> cells;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(page, '\n'))) {
    if (!absl::StartsWith(line, begin)) continue;
    if (!cells.empty()) return {};
    cells = absl::StrSplit(
        line.substr(begin.size(), line.size() - begin.size() - 2), " | ");
  }
  return cells;
}

using Cells = std::vector<std::string>;

TEST(ResultsTest, EachKindOfPeersHasItsColumn) {
  Samples samples;
  samples[kCordon][By(kSingly, kEcho64)] = {{.cpu_us = 3}};
  samples[kCordon][By(kTrains, kEcho64)] = {{.cpu_us = 1}};
  samples[kOpensslBatched][By(kSingly, kEcho64)] = {{.cpu_us = 4}};
  samples[kOpensslBatched][By(kTrains, kEcho64)] = {{.cpu_us = 5}};
  // The best of OpenSSL's counts, and GnuTLS does not.
  samples[kOpensslConnected][By(kSingly, kEcho64)] = {{.cpu_us = 9}};
  samples[kGnutls][By(kSingly, kEcho64)] = {{.cpu_us = 1}};
  EXPECT_EQ(Row(PageOf(samples), "CPU per 64 B echo, best OpenSSL"),
            (Cells{"at most 0.50", "**0.75**", "0.20"}));
}

TEST(ResultsTest, WhatIsAimedAtCanBeALeastFigure) {
  Samples samples;
  samples[kCordon][By(kSingly, kBulk)] = {{.cpu_us = 2, .per_second = 400}};
  samples[kOpensslBatched][By(kSingly, kBulk)] = {
      {.cpu_us = 4, .per_second = 100}};
  const std::string page = PageOf(samples);
  EXPECT_EQ(Row(page, "bulk: throughput, best OpenSSL"),
            (Cells{"at least 3.00", "4.00", "–"}));
  EXPECT_EQ(Row(page, "bulk: messages for the same CPU time, best OpenSSL"),
            (Cells{"at least 3.00", "**2.00**", "–"}));
}

TEST(ResultsTest, WhatDoesNotDependOnThePeersStandsOnce) {
  Samples samples;
  samples[kCordon][kHello] = {{.cpu_us = 1}};
  samples[kOpensslBatched][kHello] = {{.cpu_us = 4}};
  samples[kCordon][kIdle] = {{.bytes = 8100}};
  const std::string page = PageOf(samples);
  EXPECT_EQ(Row(page, "CPU per refused hello, best OpenSSL (`DTLSv1_listen`)"),
            (Cells{"at most 0.50", "0.25", "–"}));
  EXPECT_EQ(Row(page, "memory per idle session, in KB"),
            (Cells{"at most 8.00", "**8.10**", "–"}));
}

// Our server in other circumstances, to itself in the usual ones.
TEST(ResultsTest, CircumstancesAreComparedWithTheUsualOnes) {
  Samples samples;
  samples[kCordon][By(kTrains, kEcho64)] = {{.cpu_us = 10}};
  samples[kCordon][By(kTrains, kEchoAmongMany)] = {{.cpu_us = 11}};
  samples[kCordon][By(kTrains, kEchoInACrowd)] = {{.cpu_us = 14}};
  samples[kCordon][By(kSingly, kEchoInACrowd)] = {
      {.cpu_us = 14, .resident = 850e6}};
  samples[kCordon][By(kTrains, kEchoTwoReactors)] = {{.cpu_us = 10.4}};
  samples[kCordon][By(kTrains, kEchoWatched)] = {{.cpu_us = 10.3}};
  const std::string page = PageOf(samples);
  EXPECT_EQ(Row(page, "CPU per echo among 10000 idle sessions, without them"),
            (Cells{"at most 1.15", "–", "1.10"}));
  EXPECT_EQ(Row(page, "CPU per echo among 100000 idle sessions, without them"),
            (Cells{"at most 1.30", "–", "**1.40**"}));
  EXPECT_EQ(Row(page, "CPU per echo with two reactors, with one"),
            (Cells{"at most 1.05", "–", "1.04"}));
  EXPECT_EQ(Row(page, "CPU per echo while an operator watches, unwatched"),
            (Cells{"at most 1.02", "–", "**1.03**"}));
  EXPECT_EQ(Row(page, "resident set with 100000 sessions, in MB"),
            (Cells{"at most 900", "850", "–"}));
}

TEST(ResultsTest, WhatWasNotMeasuredHasNoRow) {
  Samples samples;
  samples[kCordon][kHandshake] = {{.cpu_us = 150}};
  const std::string page = PageOf(samples);
  EXPECT_EQ(Row(page, kCordon), (Cells{"150 µs", "–", "–", "–"}));
  EXPECT_FALSE(absl::StrContains(page, "GnuTLS")) << page;
  EXPECT_FALSE(absl::StrContains(page, "| CPU per")) << page;
}

}  // namespace
}  // namespace cordon::bench
