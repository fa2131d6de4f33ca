// The client among other programs: signals, redirections, and input and output
// that fail.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/net/base/unique_fd.h"
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

// A pipe that is full, and that nobody reads.
class FullPipe {
 public:
  explicit FullPipe(const std::string& path) : path_(path) {
    EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
    fd_.Reset(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    EXPECT_TRUE(fd_.valid());
    const std::string text(4096, 'x');
    while (write(fd_.get(), text.data(), text.size()) > 0) {
    }
    EXPECT_EQ(errno, EAGAIN);
  }
  const std::string& path() const { return path_; }
  // Reads until `text` has come.
  bool WaitFor(const std::string& text) {
    std::string all;
    std::array<char, 65536> buffer;
    while (!absl::StrContains(all, text)) {
      pollfd readable = {fd_.get(), POLLIN, 0};
      if (poll(&readable, 1, kPatience / absl::Milliseconds(1)) <= 0) break;
      const ssize_t size = read(fd_.get(), buffer.data(), buffer.size());
      if (size > 0) all.append(buffer.data(), static_cast<size_t>(size));
    }
    return absl::StrContains(all, text);
  }

 private:
  const std::string path_;
  net::UniqueFd fd_;
};

TEST_F(ToolsStreamsTest, ALogThatNobodyReadsKeepsNobodyFromBeingServed) {
  FullPipe log(File("log"));
  std::vector<std::string> command = {
      "sh", "-c", absl::StrCat("exec \"$0\" \"$@\" 2>", log.path())};
  for (std::string& word :
       ServerCommand({"--verbose", "--stats_interval=20ms"})) {
    command.push_back(std::move(word));
  }
  Process server(command);
  const std::string address = AddressOf(Started(server));
  for (int i = 0; i < 3; ++i) ExpectEcho(ClientCommand(address));
  // What it has said is there when somebody reads.
  EXPECT_TRUE(log.WaitFor(": closed in order\n"));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_TRUE(absl::StrContains(server.output(), "done: 3 sessions accepted"))
      << server.output();
}

TEST_F(ToolsStreamsTest, AServerWhoseLogNobodyReadsMayBeEnded) {
  FullPipe log(File("log"));
  std::vector<std::string> command = {
      "sh", "-c", absl::StrCat("exec \"$0\" \"$@\" 2>", log.path())};
  for (std::string& word : ServerCommand({"--verbose"})) {
    command.push_back(std::move(word));
  }
  Process server(command);
  ExpectEcho(ClientCommand(AddressOf(Started(server))));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
}

TEST_F(ToolsStreamsTest, AClientWhoseOutputNobodyReadsMayBeInterrupted) {
  FullPipe output(File("output"));
  Process client(Redirected(absl::StrCat(">", output.path())));
  client.Write("one\ntwo\n");
  // The server has the session, and still has it while the client cannot write.
  ExpectEcho(ClientCommand(address_));
  EXPECT_TRUE(server_.WaitForOutput(": closed in order\n"));
  client.Signal(SIGINT);
  EXPECT_EQ(client.Wait(), -SIGINT) << client.output();
  EXPECT_TRUE(server_.WaitForOutput(": closed in order\n")) << server_.output();
}

TEST_F(ToolsStreamsTest, AnOutputThatIsReadLateIsWhole) {
  FullPipe output(File("output"));
  Process client(Redirected(absl::StrCat(">", output.path())));
  for (int i = 0; i < 100; ++i) client.Write(absl::StrCat("line ", i, "\n"));
  client.CloseInput();
  EXPECT_TRUE(server_.WaitForOutput(": closed in order\n")) << server_.output();
  EXPECT_TRUE(output.WaitFor("line 98\nline 99\n"));
  EXPECT_EQ(client.Wait(), 0) << client.output();
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
