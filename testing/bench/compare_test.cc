// The comparison, with crowds of a few and loads of a moment.
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/testing/bench/results.h"
#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::bench {
namespace {

using testing::Process;
using testing::Runfile;

TEST(CompareTest, MeasuresEachServerAndCircumstance) {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "it needs two cores";
  Process compare({Runfile("tools/bench/bench"), "--compare", "--rounds=1",
                   "--duration=500ms", "--idle_sessions=20", "--crowd=30",
                   "--only=singly"});
  compare.CloseInput();
  // Each step may take its time.
  for (const char* load : {kEcho64, kEchoWatched, kEchoAmongMany, kEchoInACrowd,
                           kEchoTwoReactors, kEcho1200, kPaced, kBulk}) {
    EXPECT_TRUE(compare.WaitForOutput(By(kSingly, load))) << compare.output();
  }
  EXPECT_EQ(compare.Wait(), 0);
  const std::string& page = compare.output();
  EXPECT_FALSE(absl::StrContains(page, "compare: ")) << page;
  for (const char* server : {kCordon, kOpensslConnected, kOpensslBatched,
                             kGnutls, kUdpBatched, kUdpUring}) {
    EXPECT_TRUE(absl::StrContains(page, absl::StrCat("| ", server, " | ")))
        << page;
  }
  for (const char* measure :
       {"with two reactors", "an operator watches", "among 20 idle sessions",
        "among 30 idle sessions", "resident set with 30 sessions"}) {
    EXPECT_TRUE(absl::StrContains(page, measure)) << measure << ":\n" << page;
  }
}

}  // namespace
}  // namespace cordon::bench
