// Histograms, rates, the live view, and policies as text.
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/tools/cordonctl/histogram.h"
#include "cordon/tools/cordonctl/live_view.h"
#include "cordon/tools/cordonctl/policy_file.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/rates.h"
#include "cordon/tools/cordonctl/units.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

control::v1::Histogram MakeHistogram(const std::vector<uint64_t>& counts) {
  control::v1::Histogram histogram;
  for (const int ms : {10, 20, 40}) {
    *histogram.add_bounds() = ToProto(absl::Milliseconds(ms));
  }
  for (const uint64_t count : counts) histogram.add_counts(count);
  return histogram;
}

TEST(HistogramTest, InterpolatesWithinABucket) {
  const auto histogram = MakeHistogram({10, 10, 0, 0});
  EXPECT_EQ(Quantile(histogram, 0.25), absl::Milliseconds(5));
  EXPECT_EQ(Quantile(histogram, 0.5), absl::Milliseconds(10));
  EXPECT_EQ(Quantile(histogram, 0.75), absl::Milliseconds(15));
  EXPECT_EQ(Quantile(histogram, 1), absl::Milliseconds(20));
}

TEST(HistogramTest, AboveAllBoundsItIsAtLeastTheLast) {
  EXPECT_EQ(Quantile(MakeHistogram({0, 0, 0, 5}), 0.5), absl::Milliseconds(40));
}

TEST(HistogramTest, WithoutCountsThereIsNoQuantile) {
  EXPECT_EQ(Quantile(MakeHistogram({0, 0, 0, 0}), 0.5), std::nullopt);
  EXPECT_EQ(Quantile({}, 0.5), std::nullopt);
}

TEST(HistogramTest, BetweenIsTheDifference) {
  const auto between =
      Between(MakeHistogram({1, 2, 3, 4}), MakeHistogram({1, 5, 3, 6}));
  EXPECT_THAT(between.counts(), ::testing::ElementsAre(0, 3, 0, 2));
  // One that began anew.
  EXPECT_THAT(Between(MakeHistogram({9, 0, 0, 0}), MakeHistogram({1, 0, 0, 0}))
                  .counts(),
              ::testing::ElementsAre(1, 0, 0, 0));
}

// At `second`, with so many handshakes done, and failed for a reason.
control::v1::Statistics Look(int second, uint64_t done, uint64_t failed) {
  control::v1::Statistics look;
  look.mutable_time()->set_seconds(1'000'000 + second);
  look.mutable_started()->set_seconds(1'000'000 - 3600);
  auto* total = look.mutable_total();
  total->set_sessions(done);
  total->set_handshakes_completed(done);
  (*total->mutable_handshakes_failed())["no_answer"] = failed;
  total->mutable_traffic()->set_bytes_received(1024 * done);
  *total->mutable_handshake_time() = MakeHistogram({done, 0, 0, 0});
  look.mutable_process()->set_cpu_seconds(0.5 * second);
  return look;
}

TEST(RatesTest, ArePerSecond) {
  History history;
  history.Add(Look(0, 100, 0));
  EXPECT_FALSE(history.has_rates());
  history.Add(Look(2, 140, 3));
  ASSERT_TRUE(history.has_rates());
  EXPECT_DOUBLE_EQ(history.rates().handshakes, 20);
  EXPECT_DOUBLE_EQ(history.rates().failed, 1.5);
  EXPECT_DOUBLE_EQ(history.rates().bytes_in, 20 * 1024);
  EXPECT_DOUBLE_EQ(history.FailureRate("no_answer"), 1.5);
  EXPECT_DOUBLE_EQ(history.FailureRate("deadline"), 0);
  EXPECT_DOUBLE_EQ(history.cpu(), 0.5);
  EXPECT_EQ(CountOf(history.HandshakeTimes()), 40U);
}

TEST(RatesTest, ACounterThatWentBackHasBegunAnew) {
  History history;
  history.Add(Look(0, 100, 0));
  history.Add(Look(1, 5, 0));
  EXPECT_DOUBLE_EQ(history.rates().handshakes, 5);
}

TEST(RatesTest, TwoLooksAtOneTimeMakeNoRate) {
  History history;
  history.Add(Look(0, 1, 0));
  history.Add(Look(0, 2, 0));
  EXPECT_FALSE(history.has_rates());
}

TEST(RatesTest, KeepsOnlyTheLast) {
  History history(3);
  for (uint64_t i = 0; i < 10; ++i) {
    history.Add(Look(static_cast<int>(i), i * i, 0));
  }
  EXPECT_THAT(history.Series(&Rates::handshakes),
              ::testing::ElementsAre(13, 15, 17));
}

History SomeHistory() {
  History history;
  for (uint64_t i = 0; i < 30; ++i) {
    control::v1::Statistics look = Look(static_cast<int>(i), 100 * i, i);
    for (const char* name : {"public", "inner\x1b[2J"}) {
      auto* listener = look.add_listeners();
      *listener = look.total();
      listener->set_listener(name);
    }
    history.Add(look);
  }
  return history;
}

TEST(LiveViewTest, ShowsRatesGraphsCausesAndListeners) {
  const std::string frame =
      absl::StrJoin(DrawFrame(SomeHistory(), "unix:/s", {100, 50}, {}), "\n");
  EXPECT_THAT(frame, HasSubstr("unix:/s  up 1h00m"));
  EXPECT_THAT(frame, HasSubstr("100/s"));
  EXPECT_THAT(frame, HasSubstr("100.0 KiB/s"));
  EXPECT_THAT(frame, HasSubstr("████"));
  EXPECT_THAT(frame, HasSubstr("cpu 50%"));
  EXPECT_THAT(frame, HasSubstr("now p50 5.00ms p99 9.90ms"));
  EXPECT_THAT(frame, HasSubstr("no_answer"));
  EXPECT_THAT(frame, HasSubstr("public"));
  EXPECT_THAT(frame, HasSubstr("inner\\x1b[2J"));
  EXPECT_THAT(frame, Not(HasSubstr("\x1b")));
}

TEST(LiveViewTest, FitsIntoAnyTerminal) {
  const History history = SomeHistory();
  for (size_t columns : {1, 5, 20, 40, 60, 80, 132, 300}) {
    for (size_t rows : {1, 3, 10, 24, 100}) {
      const auto lines =
          DrawFrame(history, "unix:/some/where", {columns, rows}, {});
      EXPECT_LE(lines.size(), rows);
      for (const std::string& line : lines) {
        EXPECT_LE(DisplayWidth(line), columns) << line;
      }
    }
  }
}

TEST(LiveViewTest, ALongTargetIsShortened) {
  const auto lines =
      DrawFrame(SomeHistory(), "unix:" + std::string(200, 'x'), {60, 24}, {});
  EXPECT_THAT(lines[0], HasSubstr("xx…  up 1h00m"));
  EXPECT_THAT(lines[0], ::testing::EndsWith("q quits"));
}

TEST(LiveViewTest, HasNoRatesAtFirst) {
  History history;
  history.Add(Look(0, 100, 0));
  const std::string frame =
      absl::StrJoin(DrawFrame(history, "t", {80, 24}, {}), "\n");
  EXPECT_THAT(frame, HasSubstr("sessions 100"));
  EXPECT_THAT(frame, Not(HasSubstr("/s")));
}

control::v1::Policy SomePolicy() {
  control::v1::Policy policy;
  policy.set_client_certificate(control::v1::Policy::REQUIRE);
  policy.mutable_trust()->set_pem(
      "-----BEGIN CERTIFICATE-----\nMIIB\"\\\n-----END CERTIFICATE-----\n");
  policy.add_allowed_names("*.example.com");
  policy.add_pins()->set_sha256("00ff");
  policy.set_max_chain_depth(0);
  return policy;
}

TEST(PolicyFileTest, ReadsWhatItPrints) {
  const std::string text = PolicyText(SomePolicy());
  EXPECT_THAT(text, HasSubstr("\"-----BEGIN CERTIFICATE-----\\n\"\n"));
  auto again = ParsePolicy(text, "p");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(
      google::protobuf::util::MessageDifferencer::Equals(*again, SomePolicy()))
      << text;
}

TEST(PolicyFileTest, ReadsTextWithComments) {
  auto policy = ParsePolicy("# mine\nclient_certificate: QUERY\n", "p");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->client_certificate(), control::v1::Policy::QUERY);
}

TEST(PolicyFileTest, ReadsJsonOfAPolicyOrOfAVersion) {
  for (const char* json :
       {R"({"client_certificate": "REQUIRE", "max_chain_depth": 3})",
        R"({"clientCertificate": "REQUIRE", "maxChainDepth": 3})",
        R"( {"version": "7", "policy":
            {"client_certificate": "REQUIRE", "max_chain_depth": 3}})"}) {
    auto policy = ParsePolicy(json, "p");
    ASSERT_TRUE(policy.ok()) << policy.status();
    EXPECT_EQ(policy->client_certificate(), control::v1::Policy::REQUIRE);
    EXPECT_EQ(policy->max_chain_depth(), 3U);
  }
}

TEST(PolicyFileTest, ErrorsSayWhere) {
  struct Bad {
    const char* text;
    const char* error;
  };
  for (const Bad& bad :
       {Bad{"client_certificate: REQUIRE\n  pinned: 1\n", "p:2:"},
        Bad{"client_certificate: SOMETIMES", "SOMETIMES"},
        Bad{"{\"pinned\": 1}", "pinned"}, Bad{"{\"trust\": ", "p: "},
        Bad{"", "p is empty"}, Bad{" \n", "p is empty"}}) {
    auto policy = ParsePolicy(bad.text, "p");
    EXPECT_TRUE(absl::IsInvalidArgument(policy.status())) << bad.text;
    EXPECT_THAT(policy.status().message(), HasSubstr(bad.error));
    EXPECT_THAT(policy.status().message(), Not(HasSubstr("\n")));
  }
}

}  // namespace
}  // namespace cordon::tools::ctl
