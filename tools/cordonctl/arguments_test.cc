// Command lines: what they mean, and what they can be completed to.
#include "cordon/tools/cordonctl/arguments.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cordon/tools/cordonctl/completion.h"
#include "cordon/tools/cordonctl/exit_code.h"
#include "cordon/tools/cordonctl/help.h"
#include "cordon/tools/cordonctl/target.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

Invocation Parsed(const std::vector<std::string>& argv) {
  absl::StatusOr<Invocation> invocation = ParseArguments(argv);
  EXPECT_TRUE(invocation.ok()) << invocation.status();
  return invocation.ok() ? *invocation : Invocation();
}

std::string Refused(const std::vector<std::string>& argv) {
  absl::StatusOr<Invocation> invocation = ParseArguments(argv);
  EXPECT_FALSE(invocation.ok());
  EXPECT_EQ(ExitCodeOf(invocation.status()), kExitUsage);
  return std::string(invocation.status().message());
}

TEST(ArgumentsTest, FlagsMayStandAnywhere) {
  for (const std::vector<std::string>& argv :
       std::vector<std::vector<std::string>>{
           {"--target=t", "sessions", "get", "7"},
           {"sessions", "--target=t", "get", "7"},
           {"sessions", "get", "7", "--target=t"},
           {"sessions", "get", "--target", "t", "7"}}) {
    const Invocation invocation = Parsed(argv);
    ASSERT_NE(invocation.command, nullptr);
    EXPECT_EQ(invocation.command->path, "sessions get");
    EXPECT_THAT(invocation.arguments, ElementsAre("7"));
    EXPECT_THAT(invocation.flags, ElementsAre(Pair("target", "t")));
  }
}

TEST(ArgumentsTest, SomeFlagsNeedNoValue) {
  EXPECT_THAT(Parsed({"stats", "--watch"}).flags,
              ElementsAre(Pair("watch", "1s")));
  EXPECT_THAT(Parsed({"stats", "--watch=5s"}).flags,
              ElementsAre(Pair("watch", "5s")));
  EXPECT_THAT(Parsed({"sessions", "list", "--noresumed", "--all"}).flags,
              ElementsAre(Pair("resumed", "false"), Pair("all", "true")));
}

TEST(ArgumentsTest, DashesAreUnderscores) {
  EXPECT_THAT(Parsed({"sessions", "list", "--min-age=5m"}).flags,
              ElementsAre(Pair("min_age", "5m")));
}

TEST(ArgumentsTest, AKeyBelongsToTheCertificateBeforeIt) {
  EXPECT_THAT(Parsed({"--cert=c", "--key=k", "credentials", "reload",
                      "--chain=a", "--key=ak", "--chain=b", "--chain_key=bk"})
                  .flags,
              ElementsAre(Pair("cert", "c"), Pair("key", "k"),
                          Pair("chain", "a"), Pair("chain_key", "ak"),
                          Pair("chain", "b"), Pair("chain_key", "bk")));
}

TEST(ArgumentsTest, AfterTwoDashesThereAreNoFlags) {
  EXPECT_THAT(Parsed({"policy", "set", "--", "--odd-name"}).arguments,
              ElementsAre("--odd-name"));
  EXPECT_THAT(Parsed({"policy", "set", "-"}).arguments, ElementsAre("-"));
}

TEST(ArgumentsTest, SuggestsWhatIsNearest) {
  EXPECT_THAT(Refused({"sesions", "list"}),
              HasSubstr("did you mean sessions?"));
  EXPECT_THAT(Refused({"policy", "sett", "f"}),
              HasSubstr("did you mean policy set?"));
  EXPECT_THAT(Refused({"listeners", "--ouput=json"}),
              HasSubstr("did you mean --output?"));
  EXPECT_THAT(Refused({"xyzzy"}), Not(HasSubstr("did you mean")));
}

TEST(ArgumentsTest, RefusesWhatMakesNoSense) {
  EXPECT_THAT(Refused({}), HasSubstr("which command?"));
  EXPECT_THAT(Refused({"policy"}),
              HasSubstr("get, validate, set, history, rollback"));
  EXPECT_THAT(Refused({"listeners", "--reason=x"}),
              HasSubstr("listeners has no flag --reason"));
  EXPECT_THAT(Refused({"sessions", "get"}), HasSubstr("needs ID"));
  EXPECT_THAT(Refused({"listeners", "x"}), HasSubstr("takes no arguments"));
  EXPECT_THAT(Refused({"listeners", "--target"}), HasSubstr("needs a value"));
  EXPECT_THAT(Refused({"listeners", "--target=a", "--target=b"}),
              HasSubstr("given twice"));
  // A flag of some library is none of ours.
  EXPECT_THAT(Refused({"listeners", "--flagfile=x"}),
              HasSubstr("there is no flag --flagfile"));
  EXPECT_THAT(Refused({"ev\x1bil"}), Not(HasSubstr("\x1b")));
}

TEST(ArgumentsTest, HelpHasATopic) {
  EXPECT_EQ(Parsed({"help", "policy", "set"}).help_topic, "policy set");
  EXPECT_EQ(Parsed({"policy", "set", "--help"}).help_topic, "policy set");
  EXPECT_EQ(Parsed({"help", "policy"}).help_topic, "policy");
  EXPECT_EQ(Parsed({"--help"}).help_topic, "");
  EXPECT_EQ(Parsed({"help"}).command, nullptr);
  EXPECT_THAT(Refused({"help", "polcy"}), HasSubstr("did you mean policy?"));
}

TEST(HelpTest, EachCommandAndFlagIsExplained) {
  const std::string all = HelpText("");
  for (const Command& command : AllCommands()) {
    EXPECT_THAT(all, HasSubstr(absl::StrCat("  ", command.path, " ")));
    const std::string help = HelpText(command.path);
    EXPECT_THAT(help, HasSubstr("Examples:\n  cordonctl ")) << command.path;
    for (const absl::string_view flag : command.flags) {
      ASSERT_NE(FindFlag(flag), nullptr) << flag;
      EXPECT_THAT(help, HasSubstr(absl::StrCat("  --", flag)));
    }
  }
  for (const absl::string_view flag : CommonFlags()) {
    ASSERT_NE(FindFlag(flag), nullptr) << flag;
    EXPECT_THAT(all, HasSubstr(absl::StrCat("  --", flag)));
  }
}

TEST(TargetTest, KnowsBothForms) {
  EXPECT_EQ(ParseTarget("unix:/run/x")->uri, "unix:/run/x");
  EXPECT_EQ(ParseTarget("unix:///run/x")->uri, "unix:/run/x");
  EXPECT_EQ(ParseTarget("example.com:7443")->uri, "dns:///example.com:7443");
  EXPECT_EQ(ParseTarget("[2001:db8::1]:7443")->host, "2001:db8::1");
  EXPECT_TRUE(ParseTarget("127.1.2.3:1")->is_loopback);
  EXPECT_TRUE(ParseTarget("[::1]:1")->is_loopback);
  EXPECT_TRUE(ParseTarget("localhost:1")->is_loopback);
  EXPECT_FALSE(ParseTarget("127.0.0.1.example.com:1")->is_loopback);
  EXPECT_FALSE(ParseTarget("10.0.0.1:1")->is_loopback);
}

TEST(TargetTest, RefusesOthers) {
  for (const std::string& bad :
       {std::string("host"), std::string("host:"), std::string("host:0"),
        std::string("host:70000"), std::string("host:x"), std::string(":1"),
        std::string("::1:7443"), std::string("[::1:7443"), std::string("unix:"),
        std::string("http://host:1"), "unix:/" + std::string(200, 'x')}) {
    EXPECT_EQ(ExitCodeOf(ParseTarget(bad).status()), kExitUsage) << bad;
  }
}

std::vector<std::string> Completed(const std::vector<std::string>& words) {
  std::vector<std::string> texts;
  const Candidates candidates = CandidatesFor(words, [](const Flags& flags) {
    std::vector<std::string> names = {"public", "private"};
    for (const auto& [name, value] : flags) names.push_back(name + value);
    return names;
  });
  EXPECT_FALSE(candidates.files);
  texts.reserve(candidates.words.size());
  for (const Candidate& one : candidates.words) texts.push_back(one.text);
  return texts;
}

TEST(CandidatesTest, Commands) {
  EXPECT_THAT(Completed({"se"}), ElementsAre("sessions"));
  EXPECT_THAT(Completed({"sessions", ""}),
              ElementsAre("list", "get", "watch", "close"));
  EXPECT_THAT(Completed({"--output=json", "policy", "r"}),
              ElementsAre("rollback"));
  EXPECT_THAT(Completed({"--output", "json", "policy", "r"}),
              ElementsAre("rollback"));
  EXPECT_THAT(Completed({"help", "pol"}), ElementsAre("policy"));
  EXPECT_THAT(Completed({"help", "policy", "s"}), ElementsAre("set"));
  EXPECT_THAT(Completed({"log", "set", "d"}), ElementsAre("debug"));
  EXPECT_THAT(Completed({"nonsense", ""}), IsEmpty());
}

TEST(CandidatesTest, FlagsOfTheCommand) {
  EXPECT_THAT(Completed({"sessions", "close", "--dr"}),
              ElementsAre("--dry_run"));
  EXPECT_THAT(Completed({"sessions", "list", "--dr"}), IsEmpty());
  EXPECT_THAT(Completed({"listeners", "--ta"}), ElementsAre("--target="));
  EXPECT_THAT(Completed({"stats", "--"}), Contains("--watch"));
}

TEST(CandidatesTest, Values) {
  EXPECT_THAT(Completed({"--output=j"}), ElementsAre("--output=json"));
  EXPECT_THAT(Completed({"--output", "j"}), ElementsAre("json"));
  EXPECT_THAT(Completed({"sessions", "list", "--state=connected,ha"}),
              ElementsAre("--state=connected,handshaking"));
  EXPECT_THAT(Completed({"--target=x", "stats", "--listener=p"}),
              ElementsAre("--listener=public", "--listener=private"));
  EXPECT_THAT(Completed({"--target=x", "stats", "--listener", "t"}),
              ElementsAre("targetx"));
}

TEST(CandidatesTest, Files) {
  const Candidates ca = CandidatesFor({"--ca=/et"}, nullptr);
  EXPECT_TRUE(ca.files);
  EXPECT_EQ(ca.front, "--ca=");
  EXPECT_EQ(ca.path, "/et");
  const Candidates socket = CandidatesFor({"--target=unix:/r"}, nullptr);
  EXPECT_TRUE(socket.files);
  EXPECT_EQ(socket.front, "--target=unix:");
  EXPECT_EQ(socket.path, "/r");
  EXPECT_TRUE(CandidatesFor({"policy", "set", ""}, nullptr).files);
}

TEST(SplitCommandLineTest, SplitsAsAShell) {
  EXPECT_THAT(SplitCommandLine("a  'b c' d\\ e \"f'g\" "),
              ElementsAre("a", "b c", "d e", "f'g", ""));
  EXPECT_THAT(SplitCommandLine("a 'open quo"), ElementsAre("a", "open quo"));
  EXPECT_THAT(SplitCommandLine(""), ElementsAre(""));
}

}  // namespace
}  // namespace cordon::tools::ctl
