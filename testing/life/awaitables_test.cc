// No public coroutine has been forgotten.
#include "cordon/testing/life/awaitables.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "cordon/testing/documents/declarations.h"
#include "cordon/testing/life/net_scenarios.h"
#include "cordon/testing/life/session_scenarios.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

namespace fs = std::filesystem;

using ::testing::Contains;
using ::testing::ElementsAre;

TEST(AwaitablesTest, AreFunctionsFunctionTypesAndAwaiters) {
  EXPECT_THAT(AwaitablesOf(R"(
#include <x>
namespace a {
// net::Task<absl::Status> Comment();
net::Task<absl::StatusOr<Connection>> Connect(net::Reactor& reactor,
                                              Endpoint server);
using Hook = std::function<net::Task<Verdict>(const Peer& peer)>;
class Outer {
 public:
  struct Inner {
    void await_suspend(std::coroutine_handle<>) {}
  };
  Task<T> Wait() { return {}; }
  void Spawn(Task<void> task);
 private:
  Task<void> Hidden();
};
template <typename T>
class [[nodiscard]] Last : public Base<T>, private Timer {
 public:
  virtual Task<absl::Status> Close() = 0;
};
}  // namespace a
)"),
              ElementsAre("Connect", "Hook", "Last::Close", "Outer::Inner",
                          "Outer::Wait"));
}

// ACCEPTANCE: HE1
TEST(AwaitablesTest, AllOfOurHeadersAreInterruptedInAScenario) {
  std::set<std::string> covered = {
      // These are the ends of all tasks, and no rest.
      "PromiseBase::Awaiter"};
  for (const NetScenario& scenario : NetScenarios()) {
    covered.insert(scenario.covers.begin(), scenario.covers.end());
  }
  for (const SessionScenario& scenario : SessionScenarios()) {
    covered.insert(scenario.covers.begin(), scenario.covers.end());
  }
  const fs::path root =
      fs::canonical(Runfile("testing/life/awaitables_test.cc"))
          .parent_path()
          .parent_path()
          .parent_path();
  std::set<std::string> found;
  for (const char* folder : {"net", "dtls"}) {
    for (const fs::path& header : HeadersBelow(root / folder)) {
      for (const std::string& name : AwaitablesOf(ReadText(header))) {
        EXPECT_THAT(covered, Contains(name)) << header;
        found.insert(name);
      }
    }
  }
  // And nothing is covered that there is not.
  covered.erase("PromiseBase::Awaiter");
  for (const std::string& name : covered) EXPECT_THAT(found, Contains(name));
}

TEST(AwaitablesTest, AllThatWaitForAnObjectAreOutlivedByTheWaiter) {
  std::set<std::string> covered = {
      // They wait for no object, but for time, a turn, or what they own.
      "PromiseBase::Awaiter", "Sleep", "StopTokenAwaiter", "Task::Awaiter",
      "YieldAwaiter"};
  for (const NetScenario& scenario : NetScenarios()) {
    if (scenario.destroy == nullptr) continue;
    covered.insert(scenario.covers.begin(), scenario.covers.end());
  }
  const fs::path root =
      fs::canonical(Runfile("testing/life/awaitables_test.cc"))
          .parent_path()
          .parent_path()
          .parent_path();
  for (const fs::path& header : HeadersBelow(root / "net" / "task")) {
    for (const std::string& name : AwaitablesOf(ReadText(header))) {
      EXPECT_THAT(covered, Contains(name)) << header;
    }
  }
}

}  // namespace
}  // namespace cordon::testing
