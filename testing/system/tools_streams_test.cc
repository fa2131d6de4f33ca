// The client among other programs: signals, redirections, and input and output
// that fail.
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

class ToolsStreamsTest : public ToolsTest {
 protected:
  ToolsStreamsTest() : server_(ServerCommand({"--verbose"})) {
    address_ = AddressOf(Started(server_));
  }

  // The client's command, with its streams changed as a shell does it.
  std::vector<std::string> Redirected(const std::string& redirection) {
    std::vector<std::string> command = {
        "sh", "-c", absl::StrCat("exec \"$0\" \"$@\" ", redirection)};
    for (std::string& word : ClientCommand(address_)) {
      command.push_back(std::move(word));
    }
    return command;
  }

  Process server_;
  std::string address_;
};

TEST_F(ToolsStreamsTest, AClientThatIsInterruptedTellsTheServer) {
  for (int signal : {SIGINT, SIGTERM}) {
    Process client(ClientCommand(address_, {"--info"}));
    ASSERT_TRUE(client.WaitForOutput("resumed:")) << client.output();
    client.Signal(signal);
    EXPECT_EQ(client.Wait(), -signal) << client.output();
    EXPECT_TRUE(server_.WaitForOutput(": closed in order\n"))
        << server_.output();
  }
}

TEST_F(ToolsStreamsTest, AClientThatHandshakesMayBeInterrupted) {
  // Nobody answers there.
  const std::string silent = absl::StrCat("127.0.0.1:", FreeUdpPort());
  Process client({"sh", "-c", "echo started; exec \"$0\" \"$@\"",
                  Runfile("tools/client"), silent, absl::StrCat("--ca=", ca_)});
  ASSERT_TRUE(client.WaitForOutput("started"));
  client.Signal(SIGTERM);
  EXPECT_EQ(client.Wait(), -SIGTERM) << client.output();
}

// No file that is opened later is taken for the input.
TEST_F(ToolsStreamsTest, AClosedInputIsAnEmptyOne) {
  Process client(Redirected("<&-"));
  EXPECT_EQ(client.Wait(), 0) << client.output();
  Process silent(Redirected("<&- >&- 2>&-"));
  EXPECT_EQ(silent.Wait(), 0);
}

TEST_F(ToolsStreamsTest, AnInputThatCannotBeReadIsAnError) {
  ExpectFailure(Redirected("</"), 1, "cannot read the input: Is a directory");
}

TEST_F(ToolsStreamsTest, ALineWithoutEndIsRefused) {
  ExpectFailure(Redirected("</dev/zero"), 1,
                "line 1: has more than 65536 bytes");
}

TEST_F(ToolsStreamsTest, AnOutputThatIsFullIsAnError) {
  Process client(Redirected(">/dev/full"));
  client.Write("lost\n");
  EXPECT_EQ(client.Wait(), 1);
  EXPECT_TRUE(absl::StrContains(
      client.output(), "cannot write the output: No space left on device"))
      << client.output();
  EXPECT_TRUE(server_.WaitForOutput(": closed in order\n")) << server_.output();
}

}  // namespace
}  // namespace cordon::testing
