// The completion scripts in real shells.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cordon/tools/cordonctl/cordonctl_fixture.h"
#include "cordon/tools/cordonctl/terminal_process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Has bash split the line as it does when Tab is pressed: it has no key to be
// pressed in a script, but splits at blanks and its separators. Runs the
// function that it would run, and prints what it would offer.
constexpr char kDriver[] = R"(
source "$SCRIPT" || exit 9
cordonctl_is=$1
COMP_LINE="cordonctl $2"
COMP_POINT=${#COMP_LINE}
COMP_WORDS=("$cordonctl_is")
compopt() { echo "option $*"; }
[[ $(complete -p cordonctl) == *"-F _cordonctl"* ]] || exit 8
_cordonctl
printf '%s\n' "${COMPREPLY[@]}"
)";

class CompletionTest : public CordonctlTest {
 protected:
  std::vector<std::string> InBash(const std::string& line) {
    const std::string script =
        folder_.Write("script", RunOk({"completion", "bash"}));
    testing::Process bash(
        {"env", "SCRIPT=" + script, absl::StrCat("CORDON_CONTROL=", target()),
         "bash", "--norc", "-c", kDriver, "bash",
         testing::Runfile("tools/cordonctl/cordonctl"), line});
    bash.CloseInput();
    EXPECT_EQ(bash.Wait(), 0) << bash.output();
    return absl::StrSplit(bash.output(), '\n', absl::SkipEmpty());
  }
};

TEST_F(CompletionTest, TheScriptIsGoodBash) {
  const std::string script =
      folder_.Write("script", RunOk({"completion", "bash"}));
  testing::Process bash({"bash", "-n", script});
  EXPECT_EQ(bash.Wait(), 0) << bash.output();
  EXPECT_EQ(bash.output(), "");
}

TEST_F(CompletionTest, BashCompletesCommandsAndFlags) {
  EXPECT_THAT(InBash("se"), ElementsAre("sessions"));
  EXPECT_THAT(InBash("sessions "),
              ElementsAre("list", "get", "watch", "close"));
  EXPECT_THAT(InBash("--output=json policy va"), ElementsAre("validate"));
  EXPECT_THAT(InBash("sessions close --dr"), ElementsAre("--dry_run"));
  EXPECT_THAT(InBash("sessions list --order"),
              ElementsAre("option -o nospace", "--order="));
  EXPECT_THAT(InBash("nonsense "), IsEmpty());
}

TEST_F(CompletionTest, BashReplacesOnlyWhatIsBehindTheSeparator) {
  EXPECT_THAT(InBash("listeners --output=j"), ElementsAre("json"));
  EXPECT_THAT(InBash("sessions list --state=connected,fa"),
              ElementsAre("connected,failed"));
}

TEST_F(CompletionTest, BashCompletesFiles) {
  folder_.Write("authority.pem", "");
  const std::string begin = folder_.path() + "/auth";
  const std::string whole = folder_.path() + "/authority.pem";
  for (const char* flag : {"--ca=", "--ca ", "--target=unix:"}) {
    EXPECT_THAT(InBash(absl::StrCat("listeners ", flag, begin)),
                ElementsAre("option -o filenames", whole));
  }
  EXPECT_THAT(InBash("policy set " + begin),
              ElementsAre("option -o filenames", whole));
}

TEST_F(CompletionTest, BashAsksTheServiceForListeners) {
  service_.list_listeners.answer = [](const auto&, auto* response) {
    // One for each reactor; and one that is no word for a shell.
    for (const char* name : {"public", "public", "inner", "$(reboot)"}) {
      response->add_listeners()->set_name(name);
    }
    return grpc::Status::OK;
  };
  EXPECT_THAT(InBash("stats --listener="), ElementsAre("inner", "public"));
  EXPECT_THAT(InBash("stats --listener pu"), ElementsAre("public"));
  EXPECT_THAT(InBash("--target=unix:/nowhere stats --listener="), IsEmpty());
}

// Presses Tab in an interactive bash.
TEST_F(CompletionTest, TabInAnInteractiveBash) {
  const std::string script =
      folder_.Write("script", RunOk({"completion", "bash"}));
  const std::string rc = folder_.Write(
      "rc", absl::StrCat("PS1='ready> '\nbind 'set enable-bracketed-paste "
                         "off'\nsource ",
                         script, "\n"));
  const std::string binary = testing::Runfile("tools/cordonctl/cordonctl");
  TerminalProcess bash(
      {"env", "TERM=dumb",
       absl::StrCat("PATH=", binary.substr(0, binary.rfind('/')),
                    ":/usr/bin:/bin"),
       "bash", "--noprofile", "--rcfile", rc, "-i"},
      200, 24);
  ASSERT_TRUE(bash.WaitForOutput("ready> ")) << bash.output();
  bash.Type("cordonctl sess\t");
  ASSERT_TRUE(bash.WaitForOutput("cordonctl sessions ")) << bash.output();
  bash.Type("wa\t");
  ASSERT_TRUE(bash.WaitForOutput("watch ")) << bash.output();
  bash.Type("--outp\tjs\t");
  ASSERT_TRUE(bash.WaitForOutput("--output=json ")) << bash.output();
  bash.Type(
      "\x15"
      "exit\n");
  EXPECT_EQ(bash.Wait(), 0) << bash.output();
}

TEST_F(CompletionTest, ZshGetsDescriptions) {
  testing::Process process(Command({"__complete", "zsh", "sessions", "w"}));
  process.CloseInput();
  EXPECT_EQ(process.Wait(), 0);
  EXPECT_EQ(process.output(),
            "words\n"
            "watch\tShows sessions as they open, change and close\n");
  EXPECT_THAT(RunOk({"completion", "zsh"}), HasSubstr("#compdef cordonctl\n"));
}

}  // namespace
}  // namespace cordon::tools::ctl
