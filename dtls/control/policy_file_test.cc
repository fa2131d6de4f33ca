#include "cordon/dtls/control/policy_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::cordon::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class PolicyFileTest : public ::testing::Test {
 protected:
  // Begins as a process does.
  absl::Status Begin(PolicyStore& store) {
    return KeepPoliciesInFile(path_, store);
  }
  void Write(const std::string& text) { folder_.Write("policies", text); }
  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string Read() const { return Read(path_); }

  static absl::StatusOr<uint64_t> Deny(PolicyStore& store,
                                       const std::string& name,
                                       const std::string& listener = "") {
    PolicyStore::Change change;
    change.listener = listener;
    change.policy.denied_names = {name};
    const auto before = store.History(listener);
    change.expected_version = before.empty() ? 0 : before.front().version;
    change.author = "alice";
    change.comment = absl::StrCat("denies \"", name, "\"\n");
    return store.Set(change);
  }
  // The name that the policy for a listener denies.
  static std::string Denied(const PolicyStore& store,
                            const std::string& listener = "") {
    const PolicyVersion present = store.Present(listener);
    if (present.version == 0) return "no policy";
    const auto& names = present.policy().denied_names;
    return names.empty() ? "" : names.front();
  }

  // `text` in the file is an error, which says `what` after the file's name.
  template <typename Matcher>
  void ExpectRefused(const std::string& text, const Matcher& what) {
    Write(text);
    PolicyStore store;
    const absl::Status status = Begin(store);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text << status;
    const std::string begin = absl::StrCat("the policy file ", path_, ": ");
    const std::string message(status.message());
    ASSERT_THAT(message, StartsWith(begin));
    EXPECT_THAT(message.substr(begin.size()), what) << text;
    EXPECT_EQ(Read(), text);
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/policies";
  const std::string next_ = path_ + ".new";
};

TEST_F(PolicyFileTest, WithoutAFileThereIsNoPolicyAndTheFirstChangeMakesOne) {
  PolicyStore store;
  ASSERT_EQ(Begin(store), absl::OkStatus());
  EXPECT_EQ(store.Present("").version, 0U);
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
  EXPECT_EQ(Deny(store, "a").value_or(0), 1U);
  EXPECT_THAT(Read(), HasSubstr("denied_names: \"a\""));
  struct stat info = {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  EXPECT_NE(access(next_.c_str(), F_OK), 0);
}

TEST_F(PolicyFileTest, APolicyInTextFormIsForAllListeners) {
  Write(
      "# Who may pass.\n\nclient_certificate: NONE\n"
      "max_chain_depth: 3 denied_names: \"a\"\n");
  const timespec modified[2] = {{1'700'000'000, 0}, {1'700'000'000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), modified, 0), 0);
  PolicyStore store;
  ASSERT_EQ(Begin(store), absl::OkStatus());
  const PolicyVersion policy = store.Present("any");
  EXPECT_EQ(policy.version, 1U);
  EXPECT_EQ(policy.listener, "");
  EXPECT_EQ(policy.author, "file");
  EXPECT_EQ(policy.time, absl::FromUnixSeconds(1'700'000'000));
  EXPECT_FALSE(policy.configured);
  EXPECT_EQ(policy.policy().max_chain_depth, 3);
  EXPECT_EQ(Denied(store), "a");
}

TEST_F(PolicyFileTest, APolicyAsJsonIsForAllListeners) {
  Write(
      "\n {\"clientCertificate\": \"NONE\", \"maxChainDepth\": 2,\n"
      "\"deniedNames\": [\"a\"]}");
  PolicyStore store;
  ASSERT_EQ(Begin(store), absl::OkStatus());
  EXPECT_EQ(store.Present("any").policy().max_chain_depth, 2);
  EXPECT_EQ(Denied(store), "a");
}

TEST_F(PolicyFileTest, APolicyMaySpeakOfPolicies) {
  for (const std::string text :
       {"client_certificate: NONE denied_names: \"policies.example.org\"",
        "# Our policies.\nclient_certificate: NONE "
        "denied_names: \"policies.example.org\"",
        "{\"clientCertificate\": \"NONE\", "
        "\"deniedNames\": [\"policies.example.org\"]}"}) {
    Write(text);
    PolicyStore store;
    ASSERT_EQ(Begin(store), absl::OkStatus()) << text;
    EXPECT_EQ(Denied(store), "policies.example.org");
  }
}

TEST_F(PolicyFileTest, PoliciesComeBackAsTheyWere) {
  PolicyStore before;
  ASSERT_EQ(Begin(before), absl::OkStatus());
  ASSERT_EQ(Deny(before, "a").value_or(0), 1U);
  ASSERT_EQ(Deny(before, "b", "public").value_or(0), 2U);
  ASSERT_EQ(Deny(before, "c", "public").value_or(0), 3U);
  ASSERT_EQ(before.RollBack("public", 2, 3, "bob", "again").value_or(0), 4U);
  ASSERT_EQ(Deny(before, "d", "internal").value_or(0), 5U);

  PolicyStore after;
  ASSERT_EQ(Begin(after), absl::OkStatus());
  for (const std::string listener : {"", "public", "internal"}) {
    const PolicyVersion was = before.Present(listener);
    const PolicyVersion is = after.Present(listener);
    EXPECT_EQ(is.version, was.version);
    EXPECT_EQ(is.listener, listener);
    EXPECT_EQ(is.author, was.author);
    EXPECT_EQ(is.comment, was.comment);
    EXPECT_EQ(is.rolled_back_to, was.rolled_back_to);
    EXPECT_EQ(absl::ToUnixMicros(is.time), absl::ToUnixMicros(was.time));
    EXPECT_TRUE(is.policy() == was.policy());
    // What was in force before is not kept.
    EXPECT_EQ(after.History(listener).size(), 1U);
  }
  EXPECT_EQ(Denied(after, "public"), "b");
  EXPECT_EQ(after.Present("public").rolled_back_to, 2U);
}

TEST_F(PolicyFileTest, ATimeBeyondAllYearsHarmsNobody) {
  Write(
      "policies { version: 1 time { seconds: 9223372036854775807 } "
      "policy { client_certificate: NONE } }");
  PolicyStore store;
  ASSERT_EQ(Begin(store), absl::OkStatus());
  EXPECT_EQ(Deny(store, "a", "public").value_or(0), 2U);
  PolicyStore after;
  ASSERT_EQ(Begin(after), absl::OkStatus());
  EXPECT_EQ(after.Present("").version, 1U);
}

TEST_F(PolicyFileTest, VersionsGoOnAfterARestart) {
  {
    PolicyStore store;
    ASSERT_EQ(Begin(store), absl::OkStatus());
    ASSERT_TRUE(Deny(store, "a", "public").ok());
    ASSERT_TRUE(Deny(store, "b").ok());
    ASSERT_EQ(Deny(store, "c").value_or(0), 3U);
  }
  {
    PolicyStore store;
    ASSERT_EQ(Begin(store), absl::OkStatus());
    EXPECT_EQ(Deny(store, "d", "public").value_or(0), 4U);
  }
  PolicyStore store;
  ASSERT_EQ(Begin(store), absl::OkStatus());
  EXPECT_EQ(store.Present("public").version, 4U);
  EXPECT_EQ(store.Present("").version, 3U);
  EXPECT_EQ(Denied(store, "public"), "d");
  // What the process before kept is not lost with the first change.
  EXPECT_EQ(Denied(store), "c");
  EXPECT_EQ(Deny(store, "e", "third").value_or(0), 5U);
}

TEST_F(PolicyFileTest, AFileThatHoldsOnePolicyIsReplacedByTheFirstChange) {
  Write("client_certificate: NONE denied_names: \"a\"");
  {
    PolicyStore store;
    ASSERT_EQ(Begin(store), absl::OkStatus());
    EXPECT_EQ(Deny(store, "b", "public").value_or(0), 2U);
  }
  PolicyStore store;
  ASSERT_EQ(Begin(store), absl::OkStatus());
  EXPECT_EQ(Denied(store), "a");
  EXPECT_EQ(Denied(store, "public"), "b");
}

TEST_F(PolicyFileTest, ABrokenFileIsToldWithThePlace) {
  ExpectRefused("client_certificate: NONE\ncolour: 3\n",
                AllOf(StartsWith("line 2, column "), HasSubstr("colour")));
  ExpectRefused("client_certificate: SOMETIMES", HasSubstr("SOMETIMES"));
  ExpectRefused("{\"colour\": 3}", HasSubstr("colour"));
  ExpectRefused("{\"clientCertificate\": ", Not(StartsWith("line ")));
  ExpectRefused("policies { version: 1 ", StartsWith("line 1, column "));
  ExpectRefused("# Kept.\npolicies {\n  colour: 3\n}\n",
                AllOf(StartsWith("line 3, column "), HasSubstr("colour")));
  ExpectRefused(std::string("\0\0\0\0", 4), StartsWith("line 1, column 1: "));
}

TEST_F(PolicyFileTest, AFileThatSaysNothingIsBroken) {
  for (const char* text : {"", " \n", "# No policies yet.\n"}) {
    ExpectRefused(text, StartsWith("client_certificate: "));
  }
}

TEST_F(PolicyFileTest, APolicyThatCannotBeInForceIsToldByItsField) {
  ExpectRefused("client_certificate: NONE pins { sha256: \"12\" }",
                StartsWith("pins[0].sha256: "));
  ExpectRefused("policies { version: 1 policy { } }",
                StartsWith("client_certificate: "));
  ExpectRefused("policies { policy { client_certificate: NONE } }",
                HasSubstr("version 0"));
  ExpectRefused(
      "policies { version: 2 policy { client_certificate: NONE } }"
      "policies { version: 2 listener: \"public\""
      "  policy { client_certificate: NONE } }",
      HasSubstr("version 2 "));
}

TEST_F(PolicyFileTest, AFileThatCannotBeReadIsAnError) {
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  PolicyStore store;
  const absl::Status status = Begin(store);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
}

TEST_F(PolicyFileTest, AChangeThatCannotBeKeptIsRefused) {
  PolicyStore store;
  ASSERT_EQ(Begin(store), absl::OkStatus());
  ASSERT_EQ(Deny(store, "a").value_or(0), 1U);
  const std::string kept = Read();
  // Not even the superuser can write there.
  ASSERT_EQ(mkdir(next_.c_str(), 0700), 0);
  const absl::Status refused = Deny(store, "b").status();
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(
      std::string(refused.message()),
      AllOf(StartsWith("the policy cannot be kept: "), HasSubstr(next_)));
  EXPECT_FALSE(Deny(store, "b", "public").ok());
  EXPECT_EQ(Denied(store), "a");
  EXPECT_EQ(Denied(store, "public"), "a");
  EXPECT_EQ(store.History("").size(), 1U);
  EXPECT_EQ(Read(), kept);

  ASSERT_EQ(rmdir(next_.c_str()), 0);
  EXPECT_EQ(Deny(store, "c").value_or(0), 2U);
  PolicyStore after;
  ASSERT_EQ(Begin(after), absl::OkStatus());
  EXPECT_EQ(Denied(after), "c");
  EXPECT_TRUE(after.History("public").empty());
}

TEST_F(PolicyFileTest, AFolderThatHasGoneRefusesChanges) {
  const std::string folder = folder_.path() + "/mounted";
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  PolicyStore store;
  ASSERT_EQ(KeepPoliciesInFile(folder + "/policies", store), absl::OkStatus());
  ASSERT_EQ(rmdir(folder.c_str()), 0);
  EXPECT_FALSE(Deny(store, "a").ok());
  EXPECT_EQ(Denied(store), "no policy");
}

// Somebody who can write to the folder may have put it there.
TEST_F(PolicyFileTest, WhatStandsInTheWayIsNotWrittenTo) {
  PolicyStore store;
  ASSERT_EQ(Begin(store), absl::OkStatus());
  const std::string theirs = folder_.Write("theirs", "");
  ASSERT_EQ(link(theirs.c_str(), next_.c_str()), 0);
  ASSERT_TRUE(Deny(store, "a").ok());
  EXPECT_THAT(Read(), HasSubstr("denied_names: \"a\""));
  struct stat info = {};
  ASSERT_EQ(stat(theirs.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 0);
}

TEST_F(PolicyFileTest, WhatACrashHasLeftBehindIsNeitherReadNorInTheWay) {
  {
    PolicyStore store;
    ASSERT_EQ(Begin(store), absl::OkStatus());
    ASSERT_TRUE(Deny(store, "a").ok());
  }
  folder_.Write(
      "policies.new",
      "policies { version: 2 " + std::string(100'000, '#') + " half of a file");
  PolicyStore store;
  ASSERT_EQ(Begin(store), absl::OkStatus());
  EXPECT_EQ(Denied(store), "a");
  EXPECT_EQ(Deny(store, "b").value_or(0), 2U);
  EXPECT_THAT(Read(), Not(HasSubstr("half of a file")));
  EXPECT_NE(access(next_.c_str(), F_OK), 0);
  PolicyStore after;
  ASSERT_EQ(Begin(after), absl::OkStatus());
  EXPECT_EQ(Denied(after), "b");
}

TEST_F(PolicyFileTest, ALinkInThePlaceOfTheNextFileIsNotFollowed) {
  PolicyStore store;
  ASSERT_EQ(Begin(store), absl::OkStatus());
  const std::string victim = folder_.Write("victim", "precious");
  ASSERT_EQ(symlink(victim.c_str(), next_.c_str()), 0);
  EXPECT_FALSE(Deny(store, "a").ok());
  EXPECT_EQ(Read(victim), "precious");
  EXPECT_EQ(Denied(store), "no policy");
}

TEST(ParsePolicyTest, ReadsBothForms) {
  const auto text = ParsePolicy("client_certificate: REQUEST");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->client_certificate(), ::cordon::control::v1::Policy::REQUEST);
  const auto json = ParsePolicy("{\"client_certificate\": \"REQUEST\"}");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(json->SerializeAsString(), text->SerializeAsString());
}

TEST(ParsePolicyTest, TellsWhereItIsWrong) {
  const absl::Status text =
      ParsePolicy("client_certificate: NONE\n\n  colour: 3").status();
  EXPECT_TRUE(absl::IsInvalidArgument(text)) << text;
  EXPECT_THAT(std::string(text.message()), StartsWith("line 3, column "));
  const absl::Status json = ParsePolicy("{\"colour\": 3}").status();
  EXPECT_TRUE(absl::IsInvalidArgument(json)) << json;
  EXPECT_THAT(std::string(json.message()), HasSubstr("colour"));
}

}  // namespace
}  // namespace cordon::dtls::control
