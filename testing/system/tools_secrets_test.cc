// Secrets: from where the programs take them, and where they put them.
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
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

class ToolsSecretsTest : public ToolsTest {
 protected:
  // A file of mode 0600; its path.
  std::string Secret(const std::string& name,
                     const std::string& content) const {
    std::string path = folder_.Write(name, content);
    EXPECT_EQ(chmod(path.c_str(), 0600), 0);
    return path;
  }
};

TEST_F(ToolsSecretsTest, SecretsComeFromFiles) {
  const std::string tickets =
      absl::StrCat("--ticket_secret_file=",
                   Secret("tickets", absl::StrCat(std::string(64, 'a'), "\n")));
  const std::string cookies =
      absl::StrCat("--cookie_secret_file=",
                   Secret("cookies", absl::StrCat(std::string(32, 'b'), "\n")));
  Process first(ServerCommand({tickets, cookies}));
  // The same secrets.
  Process second(
      ServerCommand({absl::StrCat("--ticket_secret=", std::string(64, 'a')),
                     absl::StrCat("--cookie_secret=", std::string(32, 'b'))}));
  const std::vector<std::string> client = {
      "--info", absl::StrCat("--session_file=", File("session"))};
  for (auto [server, resumed] : {std::pair{&first, "no"}, {&second, "yes"}}) {
    const std::string output =
        ExpectEcho(ClientCommand(AddressOf(Started(*server)), client));
    EXPECT_EQ(Shown(output, "resumed:"), resumed);
  }
  for (const std::string name : {"ticket_secret", "cookie_secret"}) {
    const auto file = [&](const std::string& content) {
      return absl::StrCat("--", name, "_file=", Secret("bad", content));
    };
    ExpectFailure(ServerCommand({file("")}), 2,
                  absl::StrCat("--", name, "_file has 0 bytes"));
    ExpectFailure(ServerCommand({file("0011")}), 2, "it needs at least");
    ExpectFailure(ServerCommand({file("xyz")}), 2, "hexadecimal");
    ExpectFailure(
        ServerCommand({file(std::string(64, 'a')),
                       absl::StrCat("--", name, "=", std::string(64, 'a'))}),
        2, absl::StrCat("give --", name, "_file or --", name, ", not both"));
    ExpectFailure(
        ServerCommand({absl::StrCat("--", name, "_file=/nonexistent")}), 1,
        absl::StrCat("--", name, "_file: cannot read /nonexistent"));
  }
}

TEST_F(ToolsSecretsTest, PasswordsComeFromFiles) {
  Run({"openssl", "pkey", "-in", key_, "-aes256", "-passout",
       "pass:open sesame", "-out", File("locked.key")});
  const std::string key = absl::StrCat("--key=", File("locked.key"));
  const std::string good = absl::StrCat(
      "--password_file=", Secret("password", "open sesame\nsecond line\n"));
  const std::string bad =
      absl::StrCat("--password_file=", Secret("wrong", "shut"));
  Process server(ServerCommand({key, good}));
  ExpectEcho(ClientCommand(AddressOf(Started(server))));
  EXPECT_FALSE(absl::StrContains(server.output(), "warning"))
      << server.output();
  ExpectFailure(ServerCommand({key, bad}), 1, "the password is wrong");
  ExpectFailure(ServerCommand({key, good, "--password=open sesame"}), 2,
                "give --password_file or --password, not both");
  ExpectFailure(ServerCommand({key, "--password_file=/nonexistent"}), 1,
                "--password_file: cannot read /nonexistent");
}

// A pipe can be read once, and is asked for by the certificate and by --sni.
TEST_F(ToolsSecretsTest, APasswordMayComeThroughAPipe) {
  Run({"openssl", "pkey", "-in", key_, "-aes256", "-passout", "pass:sesame",
       "-out", File("locked.key")});
  std::string script = "exec";
  for (const std::string& word :
       ServerCommand({absl::StrCat("--key=", File("locked.key")),
                      absl::StrCat("--sni=localhost=", cert_, ":",
                                   File("locked.key"))})) {
    absl::StrAppend(&script, " '", word, "'");
  }
  Process server(
      {"bash", "-c", absl::StrCat(script, " --password_file=<(echo sesame)")});
  ExpectEcho(ClientCommand(AddressOf(Started(server))));
}

TEST_F(ToolsSecretsTest, PreSharedKeysComeFromFiles) {
  const std::string one = "sensor1:00112233445566778899aabbccddeeff";
  const std::string two = "sensor2:ffeeddccbbaa99887766554433221100";
  const std::string both = Secret("both.psk", absl::StrCat(one, "\n\n", two));
  const auto server = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command = {Runfile("tools/echo_server"),
                                        "--listen=127.0.0.1:0"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  };
  const auto client = [&](const std::string& address,
                          const std::vector<std::string>& more) {
    std::vector<std::string> command = {Runfile("tools/client"), address,
                                        "--linger=200ms", "--info"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  };
  Process process(server({absl::StrCat("--psk_file=", both)}));
  const std::string address = AddressOf(Started(process));
  for (const auto& [name, key] :
       {std::pair("sensor1", one), std::pair("sensor2", two)}) {
    const std::string file = Secret("one.psk", absl::StrCat(key, "\r\n"));
    EXPECT_EQ(
        Shown(ExpectEcho(client(address, {absl::StrCat("--psk_file=", file)})),
              "psk:"),
        name);
  }
  ExpectFailure(client(address, {absl::StrCat("--psk_file=", both)}), 1,
                "more than one key");
  ExpectFailure(client(address, {absl::StrCat("--psk_file=", both),
                                 absl::StrCat("--psk=", one)}),
                2, "give --psk_file or --psk, not both");
  ExpectFailure(
      server({absl::StrCat("--psk_file=", both), absl::StrCat("--psk=", one)}),
      2, "give --psk_file or --psk, not both");
  const std::string bad = Secret("bad.psk", absl::StrCat(one, "\nsecret\n"));
  const std::string line =
      ExpectFailure(server({absl::StrCat("--psk_file=", bad)}), 1, "line 2");
  EXPECT_FALSE(absl::StrContains(line, "secret")) << line;
  ExpectFailure(
      server({absl::StrCat("--psk_file=", Secret("empty.psk", "\n"))}), 1,
      "has no key");
  ExpectFailure(server({"--psk_file=/nonexistent"}), 1,
                "--psk_file: cannot read /nonexistent");
}

// Somebody else may know what is in it; it is for the operator to decide.
TEST_F(ToolsSecretsTest, ASecretThatIsOpenToOthersIsTold) {
  const std::string file =
      Secret("open.psk", "sensor1:00112233445566778899aabbccddeeff");
  ASSERT_EQ(chmod(file.c_str(), 0644), 0);
  Process server({Runfile("tools/echo_server"), "--listen=127.0.0.1:0",
                  absl::StrCat("--psk_file=", file)});
  Started(server);
  EXPECT_TRUE(absl::StrContains(
      server.output(),
      absl::StrCat("echo_server: warning: --psk_file: ", file,
                   " is open to other users, by its mode 0644: chmod 600 it")))
      << server.output();
}

// Who can write one has the session's keys, and says who the server is.
TEST_F(ToolsSecretsTest, ASessionFileThatIsOpenToOthersIsNotResumed) {
  Process server(ServerCommand());
  const std::string address = AddressOf(Started(server));
  const std::string keep = absl::StrCat("--session_file=", File("session"));
  ExpectEcho(ClientCommand(address, {keep}));
  ASSERT_EQ(chmod(File("session").c_str(), 0622), 0);
  ExpectFailure(ClientCommand(address, {keep}), 1, "chmod 600");
}

TEST_F(ToolsSecretsTest, AKeyLogThatIsFullIsToldOnce) {
  const std::string log = File("full.log");
  // The limit is for regular files, not for the pipe that we read.
  std::vector<std::string> command = {
      "bash", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""};
  for (std::string& word : ServerCommand({absl::StrCat("--keylog=", log)})) {
    command.push_back(std::move(word));
  }
  Process server(command);
  const std::string address = AddressOf(Started(server));
  ExpectEcho(ClientCommand(address));
  ExpectEcho(ClientCommand(address));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  const std::string warning =
      absl::StrCat("echo_server: warning: --keylog: cannot write ", log,
                   ": File too large; secrets are missing there\n");
  const size_t at = server.output().find(warning);
  EXPECT_NE(at, std::string::npos) << server.output();
  EXPECT_EQ(server.output().find("--keylog", at + warning.size()),
            std::string::npos)
      << server.output();
}

TEST_F(ToolsSecretsTest, KeyLogsThatOthersCouldReadAreRefused) {
  const std::string open = folder_.Write("open.log", "");
  ASSERT_EQ(chmod(open.c_str(), 0644), 0);
  const std::string link = File("link.log");
  std::filesystem::create_symlink(File("elsewhere.log"), link);
  for (const auto& [path, why] :
       {std::pair(open, "chmod 600"), std::pair(link, "symbolic link"),
        std::pair(std::string("/dev/null"), "not a regular file")}) {
    const std::string flag = absl::StrCat("--keylog=", path);
    ExpectFailure(ServerCommand({flag}), 1, why);
    ExpectFailure(ClientCommand("127.0.0.1:1", {flag}), 1, path);
  }
  EXPECT_FALSE(std::filesystem::exists(File("elsewhere.log")));
}

}  // namespace
}  // namespace cordon::testing
