// Every command of README.md works, and prints what README.md says.
//
// Blocks marked "sh" are run in their order, in one folder, with our programs
// on the PATH. One that begins with `echo_server` starts a server, on a port of
// its own, to which the blocks after it talk; the one before it is stopped. A
// block marked "text" has lines, in this order, of what the block before it
// prints;
// "..." at the end of a line stands for anything.
#include <signal.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "cordon/testing/documents/markdown.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

constexpr char kAddress[] = "127.0.0.1:4433";
constexpr char kAnyPort[] = "127.0.0.1:0";
constexpr char kSocket[] = "/tmp/echo-control";

// Commands that a test cannot run, since they run Bazel. `.ci/run` does: each
// stands in `where`.
struct RunElsewhere {
  std::string command;
  std::string where;
  std::string as;
};
const std::vector<RunElsewhere>& NotHere() {
  static const auto* const commands = new std::vector<RunElsewhere>{
      {"tools/quickstart", ".ci/run", "run_program tools/quickstart"},
      {"tools/test", ".ci/run", "run_counting tools/test"},
      // With the folder of the programs, which is on the PATH here anyway.
      {"bazel build --config=opt //tools:client //tools:echo_server "
       "//tools/cordonctl //tools/bench",
       "tools/quickstart", "//tools:echo_server //tools:client"},
      {"export PATH=\"$PWD/bazel-bin/tools:$PWD/bazel-bin/tools/cordonctl:"
       "$PWD/bazel-bin/tools/bench:$PATH\"",
       "tools/quickstart", "bazel-bin"},
  };
  return *commands;
}

const Markdown& Readme() {
  static const auto* const readme =
      new Markdown(ReadMarkdown(Runfile("README.md")));
  return *readme;
}

std::string Command(const std::string& line) {
  return std::string(
      absl::StripTrailingAsciiWhitespace(line.substr(0, line.find(" #"))));
}

bool IsRunElsewhere(const CodeBlock& block) {
  return std::all_of(
      block.lines.begin(), block.lines.end(), [](const std::string& line) {
        return std::any_of(
            NotHere().begin(), NotHere().end(),
            [&](const RunElsewhere& c) { return c.command == Command(line); });
      });
}

class ReadmeCommandsTest : public ToolsTest {
 protected:
  // As a user's shell would be, but that it stops at the first error, and that
  // answers may take a little longer on a busy machine.
  std::vector<std::string> Shell(const std::string& script) const {
    const std::string client = Runfile("tools/client");
    return {"bash",
            "-euo",
            "pipefail",
            "-c",
            absl::StrCat("cd \"$0\"; PATH=\"$1:$1/cordonctl:$1/bench:$PATH\"\n"
                         "client() { command client --linger=3s \"$@\"; }\n",
                         script),
            folder_.path(),
            client.substr(0, client.rfind('/'))};
  }

  void StartServer(const std::string& command) {
    ASSERT_TRUE(absl::StrContains(command, absl::StrCat("--listen=", kAddress)))
        << command;
    StopServer();
    server_ = std::make_unique<Process>(Shell(absl::StrCat(
        "exec ", absl::StrReplaceAll(
                     command, {{kAddress, kAnyPort}, {kSocket, Socket()}}))));
    address_ = AddressOf(Started(*server_));
  }

  void StopServer() {
    if (server_ == nullptr) return;
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->Wait(), 0) << server_->output();
    EXPECT_TRUE(absl::StrContains(server_->output(), "echo_server: done: "))
        << server_->output();
    server_.reset();
  }

  std::string Localized(const std::string& text) const {
    return absl::StrReplaceAll(text,
                               {{kAddress, address_}, {kSocket, Socket()}});
  }
  std::string Socket() const { return sockets_.path() + "/control"; }

  TemporaryFolder sockets_{"/tmp"};
  std::unique_ptr<Process> server_;
  std::string address_ = kAddress;
};

bool Fits(absl::string_view line, absl::string_view pattern) {
  if (absl::ConsumeSuffix(&pattern, "...")) {
    return absl::StartsWith(line, pattern) && line.size() > pattern.size();
  }
  return line == pattern;
}

// Whether `output` has all these lines, in this order. The first that is
// missing.
std::string FirstMissing(const std::string& output,
                         const std::vector<std::string>& patterns) {
  const std::vector<std::string> lines = absl::StrSplit(output, '\n');
  auto line = lines.begin();
  for (const std::string& pattern : patterns) {
    line = std::find_if(line, lines.end(),
                        [&](const std::string& l) { return Fits(l, pattern); });
    if (line == lines.end()) return pattern;
    ++line;
  }
  return "";
}

TEST_F(ReadmeCommandsTest, WorkAndPrintWhatItSays) {
  size_t run = 0;
  size_t checked = 0;
  std::string output;
  for (const CodeBlock& block : Readme().blocks) {
    SCOPED_TRACE(absl::StrCat("README.md:", block.line));
    if (block.language == "text") {
      ++checked;
      std::vector<std::string> patterns = block.lines;
      for (std::string& pattern : patterns) {
        ASSERT_FALSE(pattern.empty());
        pattern = Localized(pattern);
      }
      EXPECT_EQ(FirstMissing(output, patterns), "") << output;
      continue;
    }
    if (block.language != "sh" || IsRunElsewhere(block)) continue;
    ++run;
    const std::string script = absl::StrJoin(block.lines, "\n");
    if (absl::StartsWith(script, "echo_server ")) {
      ASSERT_NO_FATAL_FAILURE(StartServer(script));
      output.clear();
      continue;
    }
    Process shell(Shell(Localized(script)));
    shell.CloseInput();
    EXPECT_EQ(shell.Wait(), 0) << script << "\n" << shell.output();
    output = shell.output();
  }
  StopServer();
  EXPECT_GE(run, 10U);
  EXPECT_GE(checked, 7U);
}

TEST_F(ReadmeCommandsTest, WhatIsNotRunHereIsRunElsewhere) {
  for (const RunElsewhere& c : NotHere()) {
    EXPECT_TRUE(absl::StrContains(ReadFile(Runfile(c.where)), c.as))
        << c.command << " in " << c.where;
    const bool stands = std::any_of(
        Readme().blocks.begin(), Readme().blocks.end(),
        [&](const CodeBlock& block) {
          return std::any_of(
              block.lines.begin(), block.lines.end(),
              [&](const std::string& l) { return Command(l) == c.command; });
        });
    EXPECT_TRUE(stands) << c.command << " is no longer in README.md";
  }
}

TEST_F(ReadmeCommandsTest, AWrongOutputWouldBeFound) {
  EXPECT_EQ(FirstMissing("a\nb\nc 7\n", {"a", "c ..."}), "");
  EXPECT_EQ(FirstMissing("a\nb\n", {"b", "a"}), "a");
  EXPECT_EQ(FirstMissing("a\n", {"a..."}), "a...");
  EXPECT_EQ(FirstMissing("ab\n", {"b"}), "b");
}

// --- Flags -------------------------------------------------------------------

std::set<std::string> FlagsOfHelp(const std::string& help) {
  std::set<std::string> flags;
  for (absl::string_view line : absl::StrSplit(help, '\n')) {
    if (absl::StartsWith(line, "  --")) flags.emplace(line.substr(2));
  }
  return flags;
}

// Those of the tables whose first header is "Both" or the program's name.
std::set<std::string> FlagsOfReadme(const std::string& program) {
  std::set<std::string> flags;
  for (const Table& table : Readme().tables) {
    if (table.header[0] != "Both" &&
        table.header[0] != absl::StrCat("`", program, "`")) {
      continue;
    }
    for (const std::vector<std::string>& row : table.rows) {
      for (const std::string& flag : CodeWords(row[0])) {
        EXPECT_TRUE(flags.insert(flag).second) << flag << " stands twice";
      }
    }
  }
  return flags;
}

TEST_F(ReadmeCommandsTest, AllFlagsAreThoseOfTheHelp) {
  for (const std::string program : {"client", "echo_server"}) {
    const std::set<std::string> flags =
        FlagsOfHelp(Run({Runfile(absl::StrCat("tools/", program)), "--help"}));
    EXPECT_GT(flags.size(), 15U);
    EXPECT_EQ(FlagsOfReadme(program), flags) << program;
  }
}

// It has some of those that the other two have in common.
TEST_F(ReadmeCommandsTest, AllFlagsOfTheLoadGeneratorAreThere) {
  const std::set<std::string> flags =
      FlagsOfHelp(Run({Runfile("tools/bench/bench"), "--help"}));
  const std::set<std::string> told = FlagsOfReadme("bench");
  EXPECT_GT(flags.size(), 15U);
  EXPECT_TRUE(
      std::includes(told.begin(), told.end(), flags.begin(), flags.end()));
}

}  // namespace
}  // namespace cordon::testing
