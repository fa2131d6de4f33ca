// Whatever a session or a listener lets wait may be stopped, timed out or
// destroyed at any moment, on both sides.
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/testing/life/interrupter.h"
#include "cordon/testing/life/reactors.h"
#include "cordon/testing/life/session_scenarios.h"
#include "cordon/testing/life/sessions.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

class SessionLifeTest : public ::testing::TestWithParam<
                            std::tuple<SessionScenario, ReactorKind>> {
 protected:
  static Outcome Run(Interruption interruption) {
    const auto& [scenario, kind] = GetParam();
    Outcome outcome;
    const std::unique_ptr<net::Reactor> reactor = kind.make();
    if (reactor == nullptr) return outcome;
    Sessions sessions(*reactor, kind.simulated);
    EXPECT_EQ(reactor->Run(sessions.Live(scenario, interruption, &outcome)),
              absl::OkStatus());
    EXPECT_EQ(reactor->executor().timers().NextDeadline(),
              absl::InfiniteFuture());
    return outcome;
  }
};

// ACCEPTANCE: HE1, HE2
TEST_P(SessionLifeTest, MayBeInterruptedAtEachStep) {
  const Outcome whole = Run({});
  ASSERT_FALSE(HasFailure());
  ASSERT_FALSE(whole.steps.empty());
  for (Interruption::Kind kind :
       {Interruption::kStop, Interruption::kTimeout, Interruption::kDestroy,
        Interruption::kDestroyOwner}) {
    for (size_t step = 0; step < whole.steps.size(); ++step) {
      SCOPED_TRACE(absl::StrCat(NameOf(kind), " at step ", step, " of ",
                                whole.steps.size()));
      Run({kind, step, whole.steps[step]});
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, SessionLifeTest,
    ::testing::Combine(::testing::ValuesIn(SessionScenarios()),
                       ::testing::ValuesIn(ReactorKinds())),
    [](const auto& param) {
      return absl::StrCat(std::get<0>(param.param).name, "On",
                          std::get<1>(param.param).name);
    });

}  // namespace
}  // namespace cordon::testing
