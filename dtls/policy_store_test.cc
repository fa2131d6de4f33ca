// Versions of policies, and who may set them.
#include "cordon/dtls/policy_store.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "cordon/dtls/internal/compiled_policy.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

// Policies that can be told apart.
Policy Denying(const std::string& name) {
  Policy policy;
  policy.denied_names = {name};
  return policy;
}

absl::StatusOr<uint64_t> Set(PolicyStore& store, const std::string& name,
                             uint64_t expected,
                             const std::string& listener = "",
                             bool apply = false) {
  return store.Set({.listener = listener,
                    .policy = Denying(name),
                    .expected_version = expected,
                    .author = "alice",
                    .comment = absl::StrCat("denies ", name),
                    .apply_to_sessions = apply});
}

std::string InForce(const PolicyStore& store, const std::string& listener) {
  const auto compiled = store.ForHandshake(listener);
  if (compiled == nullptr) return "none";
  // Both ways to ask must agree.
  EXPECT_EQ(store.Present(listener).version, compiled->version());
  return compiled->policy().denied_names.front();
}

TEST(PolicyStoreTest, IsEmptyAtFirst) {
  PolicyStore store;
  EXPECT_EQ(store.Present("a").version, 0U);
  EXPECT_EQ(store.ForHandshake("a"), nullptr);
  EXPECT_TRUE(store.History("").empty());
}

TEST(PolicyStoreTest, KeepsWhoSetWhatAndWhy) {
  PolicyStore store;
  EXPECT_EQ(*Set(store, "a.test", 0), 1U);
  EXPECT_EQ(*Set(store, "b.test", 1, "", /*apply=*/true), 2U);
  const PolicyVersion present = store.Present("any");
  EXPECT_EQ(present.version, 2U);
  EXPECT_EQ(present.policy(), Denying("b.test"));
  EXPECT_EQ(present.listener, "");
  EXPECT_EQ(present.author, "alice");
  EXPECT_EQ(present.comment, "denies b.test");
  EXPECT_TRUE(present.apply_to_sessions);
  EXPECT_FALSE(present.configured);
  EXPECT_EQ(present.rolled_back_to, 0U);
  const std::vector<PolicyVersion> history = store.History("");
  ASSERT_EQ(history.size(), 2U);
  EXPECT_EQ(history[0].version, 2U);
  EXPECT_EQ(history[1].version, 1U);
  EXPECT_EQ(history[1].policy(), Denying("a.test"));
  EXPECT_LE(history[1].time, history[0].time);
}

TEST(PolicyStoreTest, AnotherVersionThanExpectedIsAborted) {
  PolicyStore store;
  const absl::Status early = Set(store, "a.test", 3).status();
  EXPECT_TRUE(absl::IsAborted(early)) << early;
  EXPECT_TRUE(absl::StrContains(early.message(), "expect version 0")) << early;
  ASSERT_TRUE(Set(store, "a.test", 0).ok());
  for (uint64_t expected : {0, 2}) {
    const absl::Status status = Set(store, "b.test", expected).status();
    EXPECT_TRUE(absl::IsAborted(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "version 1 by alice"));
  }
  EXPECT_EQ(InForce(store, "x"), "a.test");
  EXPECT_EQ(store.History("").size(), 1U);
}

TEST(PolicyStoreTest, ABadPolicyChangesNothingAndUsesUpNoVersion) {
  PolicyStore store;
  ASSERT_TRUE(Set(store, "a.test", 0).ok());
  // What is wrong with it is said even if the version is wrong, too.
  for (uint64_t expected : {1, 7}) {
    const absl::Status status = Set(store, "a b", expected).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_TRUE(absl::StartsWith(status.message(), "denied_names[0]: "));
  }
  EXPECT_EQ(InForce(store, "x"), "a.test");
  EXPECT_EQ(*Set(store, "b.test", 1), 2U);
}

TEST(PolicyStoreTest, OfTwoOperatorsAtOnceExactlyOneWins) {
  PolicyStore store;
  constexpr uint64_t kRounds = 50;
  constexpr size_t kOperators = 4;
  for (uint64_t round = 0; round < kRounds; ++round) {
    absl::Notification go;
    std::array<absl::Status, kOperators> results;
    std::vector<std::thread> operators;
    operators.reserve(kOperators);
    for (size_t i = 0; i < kOperators; ++i) {
      operators.emplace_back([&, i] {
        go.WaitForNotification();
        results[i] = Set(store, absl::StrCat("o", i, ".test"), round).status();
      });
    }
    go.Notify();
    for (std::thread& one : operators) one.join();
    size_t winner = kOperators;
    for (size_t i = 0; i < kOperators; ++i) {
      if (results[i].ok()) {
        EXPECT_EQ(winner, kOperators) << "two have won";
        winner = i;
      } else {
        EXPECT_TRUE(absl::IsAborted(results[i])) << results[i];
      }
    }
    ASSERT_LT(winner, kOperators);
    EXPECT_EQ(InForce(store, "x"), absl::StrCat("o", winner, ".test"));
    EXPECT_EQ(store.Present("x").version, round + 1);
  }
}

TEST(PolicyStoreTest, AListenersOwnPolicyCountsInsteadOfTheOneForAll) {
  PolicyStore store;
  ASSERT_TRUE(Set(store, "all.test", 0).ok());
  EXPECT_EQ(*Set(store, "own.test", 0, "a"), 2U);
  EXPECT_EQ(InForce(store, "a"), "own.test");
  EXPECT_EQ(InForce(store, "b"), "all.test");
  EXPECT_EQ(*Set(store, "all2.test", 1), 3U);
  EXPECT_EQ(InForce(store, "a"), "own.test");
  EXPECT_EQ(InForce(store, "b"), "all2.test");
  // Each has its own expectations and its own history.
  EXPECT_TRUE(absl::IsAborted(Set(store, "x.test", 3, "a").status()));
  EXPECT_EQ(*Set(store, "own2.test", 2, "a"), 4U);
  EXPECT_EQ(store.History("a").size(), 2U);
  EXPECT_EQ(store.History("").size(), 2U);
  EXPECT_TRUE(store.History("b").empty());
}

TEST(PolicyStoreTest, TheOldestVersionsAreForgotten) {
  PolicyStore store;
  constexpr uint64_t kVersions = PolicyStore::kMaxVersions + 5;
  for (uint64_t i = 0; i < kVersions; ++i) {
    ASSERT_EQ(*Set(store, absl::StrCat("v", i + 1, ".test"), i), i + 1);
  }
  const std::vector<PolicyVersion> history = store.History("");
  ASSERT_EQ(history.size(), PolicyStore::kMaxVersions);
  EXPECT_EQ(history.front().version, kVersions);
  EXPECT_EQ(history.back().version, 6U);
  EXPECT_TRUE(
      absl::IsNotFound(store.RollBack("", 5, kVersions, "bob", "").status()));
  EXPECT_EQ(*store.RollBack("", 6, kVersions, "bob", ""), kVersions + 1);
  EXPECT_EQ(InForce(store, "x"), "v6.test");
}

TEST(PolicyStoreTest, RollingBackBringsAnEarlierPolicyBackAsANewVersion) {
  PolicyStore store;
  ASSERT_TRUE(Set(store, "a.test", 0).ok());
  ASSERT_TRUE(Set(store, "b.test", 1).ok());
  ASSERT_TRUE(Set(store, "own.test", 0, "a").ok());
  EXPECT_TRUE(absl::IsAborted(store.RollBack("", 1, 1, "bob", "").status()));
  // Not one of another listener.
  const absl::Status other = store.RollBack("", 3, 2, "bob", "").status();
  EXPECT_TRUE(absl::IsNotFound(other)) << other;
  EXPECT_TRUE(absl::StrContains(other.message(), "version 3"));
  EXPECT_TRUE(absl::IsNotFound(store.RollBack("b", 1, 0, "bob", "").status()));
  EXPECT_EQ(InForce(store, "x"), "b.test");

  EXPECT_EQ(*store.RollBack("", 1, 2, "bob", "b was wrong", true), 4U);
  EXPECT_EQ(InForce(store, "x"), "a.test");
  const PolicyVersion present = store.Present("x");
  EXPECT_EQ(present.rolled_back_to, 1U);
  EXPECT_EQ(present.author, "bob");
  EXPECT_EQ(present.comment, "b was wrong");
  EXPECT_TRUE(present.apply_to_sessions);
  EXPECT_EQ(store.History("").size(), 3U);
}

TEST(PolicyStoreTest, AJournalThatRefusesKeepsThePolicyAsItWas) {
  PolicyStore store;
  ASSERT_TRUE(Set(store, "a.test", 0).ok());
  absl::Status answer = absl::UnavailableError("the disk is full");
  std::vector<uint64_t> seen;
  store.SetJournal([&](const PolicyVersion& version) {
    seen.push_back(version.version);
    // Nobody sees it yet.
    EXPECT_EQ(InForce(store, "x"), "a.test");
    EXPECT_NE(version.policy(), Denying("a.test"));
    return answer;
  });
  EXPECT_EQ(Set(store, "b.test", 1).status(), answer);
  EXPECT_EQ(store.RollBack("", 1, 9, "bob", "").status().code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(InForce(store, "x"), "a.test");
  EXPECT_EQ(store.History("").size(), 1U);
  answer = absl::OkStatus();
  EXPECT_EQ(*Set(store, "b.test", 1), 2U);
  EXPECT_EQ(InForce(store, "x"), "b.test");
  // What is wrong, or too late, is not written.
  EXPECT_FALSE(Set(store, "a b", 2).ok());
  EXPECT_FALSE(Set(store, "c.test", 1).ok());
  EXPECT_EQ(seen, (std::vector<uint64_t>{2, 2}));
  store.SetJournal(nullptr);
  EXPECT_TRUE(Set(store, "c.test", 2).ok());
}

// A disk may be slow: handshakes do not wait for it.
TEST(PolicyStoreTest, ReadersDoNotWaitForTheJournal) {
  PolicyStore store;
  ASSERT_TRUE(Set(store, "a.test", 0).ok());
  absl::Notification writing;
  absl::Notification go_on;
  store.SetJournal([&](const PolicyVersion&) {
    writing.Notify();
    go_on.WaitForNotification();
    return absl::OkStatus();
  });
  std::thread setter([&] { EXPECT_TRUE(Set(store, "b.test", 1).ok()); });
  writing.WaitForNotification();
  EXPECT_EQ(InForce(store, "x"), "a.test");
  EXPECT_EQ(store.History("").size(), 1U);
  go_on.Notify();
  setter.join();
  EXPECT_EQ(InForce(store, "x"), "b.test");
}

TEST(PolicyStoreTest, AConfigurationIsThePolicyUntilSomebodySetsOne) {
  PolicyStore store;
  bool written = false;
  store.SetJournal([&](const PolicyVersion&) {
    written = true;
    return absl::OkStatus();
  });
  ASSERT_TRUE(store.EnsurePolicy("a", Denying("a.test")).ok());
  EXPECT_FALSE(written);
  EXPECT_EQ(InForce(store, "a"), "a.test");
  EXPECT_EQ(InForce(store, "b"), "a.test");
  const PolicyVersion first = store.Present("a");
  EXPECT_TRUE(first.configured);
  EXPECT_EQ(first.listener, "");
  // Others of the same configuration add nothing.
  ASSERT_TRUE(store.EnsurePolicy("a", Denying("a.test")).ok());
  ASSERT_TRUE(store.EnsurePolicy("b", Denying("a.test")).ok());
  EXPECT_TRUE(store.History("b").empty());
  // One of another has its own.
  ASSERT_TRUE(store.EnsurePolicy("c", Denying("c.test")).ok());
  ASSERT_TRUE(store.EnsurePolicy("c", Denying("c2.test")).ok());
  EXPECT_EQ(InForce(store, "c"), "c.test");
  EXPECT_EQ(InForce(store, "a"), "a.test");
  // What somebody sets for all is for all.
  ASSERT_TRUE(Set(store, "new.test", first.version).ok());
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_EQ(InForce(store, name), "new.test") << name;
  }
  ASSERT_TRUE(
      Set(store, "c3.test", store.History("c").front().version, "c").ok());
  EXPECT_EQ(InForce(store, "c"), "c3.test");
  EXPECT_EQ(InForce(store, "a"), "new.test");
}

TEST(PolicyStoreTest, APolicyThatWasSetBeforeOutweighsAConfiguration) {
  PolicyStore store;
  ASSERT_TRUE(Set(store, "set.test", 0).ok());
  ASSERT_TRUE(store.EnsurePolicy("a", Denying("a.test")).ok());
  EXPECT_EQ(InForce(store, "a"), "set.test");
  EXPECT_EQ(store.History("").size(), 1U);
}

// Which listeners a policy for all is for: those on which it would be in force.
TEST(PolicyStoreTest, ListenersFollowWhatIsInForceOnThem) {
  PolicyStore store;
  ASSERT_TRUE(store.EnsurePolicy("a", Denying("a.test")).ok());
  ASSERT_TRUE(store.EnsurePolicy("b", Denying("b.test")).ok());
  ASSERT_TRUE(Set(store, "c.test", 0, "c").ok());
  EXPECT_TRUE(store.Follows("a", ""));
  // It has a history, but nobody has asked for it.
  EXPECT_FALSE(store.History("b").empty());
  EXPECT_TRUE(store.Follows("b", ""));
  EXPECT_FALSE(store.Follows("c", ""));
  EXPECT_TRUE(store.Follows("unknown", ""));
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_TRUE(store.Follows(name, name));
    EXPECT_FALSE(store.Follows(name, "d"));
  }
  ASSERT_TRUE(
      Set(store, "b2.test", store.History("b").front().version, "b").ok());
  EXPECT_FALSE(store.Follows("b", ""));
}

// Whoever asks what is in force is told of the policy for all.
TEST(PolicyStoreTest, AConfigurationThatIsNotInForceNeedNotBeExpected) {
  PolicyStore store;
  ASSERT_TRUE(store.EnsurePolicy("a", Denying("a.test")).ok());
  ASSERT_TRUE(store.EnsurePolicy("b", Denying("b.test")).ok());
  EXPECT_TRUE(absl::IsAborted(Set(store, "b2.test", 0, "b").status()));
  ASSERT_TRUE(Set(store, "all.test", 1).ok());
  EXPECT_EQ(store.Present("b").listener, "");
  EXPECT_TRUE(Set(store, "b2.test", 0, "b").ok());
  EXPECT_EQ(InForce(store, "b"), "b2.test");
  EXPECT_TRUE(absl::IsAborted(Set(store, "b3.test", 0, "b").status()));
}

TEST(PolicyStoreTest, ANameIsSharedByThoseWhoSayTheSame) {
  PolicyStore store;
  PolicyStore::Claim first = *store.ClaimName("a", Denying("a.test"));
  PolicyStore::Claim second = *store.ClaimName("a", Denying("a.test"));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      store.ClaimName("a", Denying("other.test")).status()));
  EXPECT_TRUE(store.ClaimName("b", Denying("other.test")).ok());
  first.reset();
  EXPECT_FALSE(store.ClaimName("a", Denying("other.test")).ok());
  second.reset();
  first = *store.ClaimName("a", Denying("other.test"));
  EXPECT_FALSE(store.ClaimName("a", Denying("a.test")).ok());
}

TEST(PolicyStoreTest, OfTwoWhoClaimANameAtOnceOneHasIt) {
  PolicyStore store;
  for (int round = 0; round < 50; ++round) {
    absl::Notification go;
    std::array<absl::StatusOr<PolicyStore::Claim>, 2> claims = {
        absl::UnknownError(""), absl::UnknownError("")};
    std::vector<std::thread> listeners;
    for (size_t i = 0; i < claims.size(); ++i) {
      listeners.emplace_back([&, i] {
        go.WaitForNotification();
        claims[i] = store.ClaimName("a", Denying(absl::StrCat(i, ".test")));
      });
    }
    go.Notify();
    for (std::thread& one : listeners) one.join();
    EXPECT_NE(claims[0].ok(), claims[1].ok());
  }
}

TEST(PolicyStoreTest, ABadConfigurationIsToldAndForgotten) {
  PolicyStore store;
  EXPECT_TRUE(absl::IsInvalidArgument(store.EnsurePolicy("a", Denying("a b"))));
  EXPECT_EQ(InForce(store, "a"), "none");
}

// A session that was begun before a policy that is to judge those that are
// there is judged even if others were set since.
TEST(PolicyStoreTest, ThatSessionsAreJudgedIsNotForgottenByLaterVersions) {
  PolicyStore store;
  ASSERT_TRUE(Set(store, "v1.test", 0).ok());
  EXPECT_EQ(store.ForHandshake("a")->judges_before(), 0U);
  ASSERT_TRUE(Set(store, "v2.test", 1, "", /*apply=*/true).ok());
  EXPECT_EQ(store.ForHandshake("a")->judges_before(), 2U);
  ASSERT_TRUE(Set(store, "v3.test", 2).ok());
  EXPECT_EQ(store.ForHandshake("a")->judges_before(), 2U);
  // Also by one of its own.
  ASSERT_TRUE(Set(store, "v4.test", 0, "a").ok());
  EXPECT_EQ(store.ForHandshake("a")->judges_before(), 2U);
  ASSERT_TRUE(Set(store, "v5.test", 4, "a", /*apply=*/true).ok());
  EXPECT_EQ(store.ForHandshake("a")->judges_before(), 5U);
  EXPECT_EQ(store.ForHandshake("b")->judges_before(), 2U);
}

TEST(PolicyStoreTest, ReadersSeeWholeVersionsWhileOthersSet) {
  PolicyStore store;
  ASSERT_TRUE(Set(store, "v1.test", 0).ok());
  std::atomic<bool> done = false;
  std::thread reader([&] {
    uint64_t last = 0;
    while (!done) {
      const auto compiled = store.ForHandshake("a");
      EXPECT_GE(compiled->version(), last);
      last = compiled->version();
      EXPECT_EQ(compiled->policy().denied_names.front(),
                absl::StrCat("v", last, ".test"));
    }
  });
  for (uint64_t i = 1; i < 300; ++i) {
    ASSERT_TRUE(Set(store, absl::StrCat("v", i + 1, ".test"), i).ok());
  }
  done = true;
  reader.join();
}

}  // namespace
}  // namespace cordon::dtls
