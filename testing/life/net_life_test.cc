// Whatever in net/ waits may be stopped, timed out or destroyed at any moment.
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/life/interrupter.h"
#include "cordon/testing/life/net_scenarios.h"
#include "cordon/testing/life/reactors.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

class NetLifeTest
    : public ::testing::TestWithParam<std::tuple<NetScenario, ReactorKind>> {
 protected:
  const NetScenario& scenario() const { return std::get<0>(GetParam()); }

  net::Task<absl::Status> Live(net::Reactor& reactor, Interruption interruption,
                               Outcome* outcome) {
    NetWorld world(reactor);
    if (scenario().prepare != nullptr) {
      CO_RETURN_IF_ERROR(co_await scenario().prepare(world));
    }
    Interrupter interrupter(
        reactor, std::get<1>(GetParam()).simulated
                     ? std::function<uint64_t()>()
                     : [&reactor] { return reactor.statistics().resumptions; });
    net::TaskScope beside;
    net::Task<Outcome> run =
        interrupter.Run(scenario().act(world), interruption);
    if (scenario().beside != nullptr) beside.Spawn(Later(world));
    *outcome = co_await std::move(run);
    CO_RETURN_IF_ERROR(
        co_await net::WithTimeout(Interrupter::kPatience, beside.Join()));
    EXPECT_TRUE(Fits(interruption.kind, *outcome)) << outcome->status;
    EXPECT_EQ(world.alive, 0);
    if (scenario().check != nullptr) {
      CO_RETURN_IF_ERROR(scenario().check(world, *outcome));
    }
    co_return absl::OkStatus();
  }
  // The one that is interrupted begins to wait first.
  net::Task<absl::Status> Later(NetWorld& world) {
    co_await net::Yield();
    co_await net::Yield();
    co_return co_await scenario().beside(world);
  }

  Outcome Run(Interruption interruption) {
    Outcome outcome;
    const std::unique_ptr<net::Reactor> reactor =
        std::get<1>(GetParam()).make();
    if (reactor == nullptr) return outcome;
    EXPECT_EQ(reactor->Run(Live(*reactor, interruption, &outcome)),
              absl::OkStatus());
    EXPECT_EQ(reactor->executor().timers().NextDeadline(),
              absl::InfiniteFuture());
    return outcome;
  }
};

// ACCEPTANCE: HE1, HE2
TEST_P(NetLifeTest, MayBeInterruptedAtEachStep) {
  const Outcome whole = Run({});
  ASSERT_FALSE(whole.steps.empty());
  for (Interruption::Kind kind :
       {Interruption::kStop, Interruption::kTimeout, Interruption::kDestroy}) {
    for (size_t step = 0; step < whole.steps.size(); ++step) {
      SCOPED_TRACE(absl::StrCat(NameOf(kind), " at step ", step, " of ",
                                whole.steps.size()));
      Run({kind, step, whole.steps[step]});
      if (HasFailure()) return;
    }
  }
}

// Begins to wait; what it waits for is closed or destroyed; it ends.
net::Task<absl::Status> EndUnder(net::Reactor& reactor,
                                 const NetScenario& scenario,
                                 void (*end)(NetWorld&)) {
  NetWorld world(reactor);
  if (scenario.prepare != nullptr) {
    CO_RETURN_IF_ERROR(co_await scenario.prepare(world));
  }
  absl::Status ended;
  net::TaskScope waiting;
  waiting.Spawn(
      [](net::Task<absl::Status> act, absl::Status* out) -> net::Task<void> {
        *out = co_await std::move(act);
      }(scenario.act(world), &ended));
  CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(20)));
  EXPECT_EQ(waiting.size(), 1U);
  end(world);
  const absl::Status joined =
      co_await net::WithTimeout(Interrupter::kPatience, waiting.Join());
  EXPECT_TRUE(joined.ok()) << joined;
  // Not as if nothing had been, nor as if somebody had stopped it.
  EXPECT_FALSE(ended.ok());
  EXPECT_FALSE(absl::IsCancelled(ended)) << ended;
  EXPECT_EQ(world.alive, 0);
  co_return absl::OkStatus();
}

TEST_P(NetLifeTest, EndsWithWhatItWaitsFor) {
  for (auto* end : {scenario().close, scenario().destroy}) {
    if (end == nullptr) continue;
    SCOPED_TRACE(end == scenario().close ? "closed" : "destroyed");
    const std::unique_ptr<net::Reactor> reactor =
        std::get<1>(GetParam()).make();
    ASSERT_NE(reactor, nullptr);
    EXPECT_EQ(reactor->Run(EndUnder(*reactor, scenario(), end)),
              absl::OkStatus());
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, NetLifeTest,
    ::testing::Combine(::testing::ValuesIn(NetScenarios()),
                       ::testing::ValuesIn(ReactorKinds())),
    [](const auto& param) {
      return absl::StrCat(std::get<0>(param.param).name, "On",
                          std::get<1>(param.param).name);
    });

}  // namespace
}  // namespace cordon::testing
