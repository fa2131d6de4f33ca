#include "cordon/testing/system/tools_fixture.h"

#include <sys/stat.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace cordon::testing {

ToolsTest::ToolsTest() : authority_("Tools CA") {
  ca_ = folder_.Write("ca.pem", authority_.certificate_pem());
  const dtls::Certificate server =
      authority_.Issue({.common_name = "server", .dns_names = {"localhost"}});
  cert_ = folder_.Write("server.pem", server.chain_pem);
  key_ = folder_.Write("server.key", server.key_pem);
}

Process& ToolsTest::Started(Process& server) {
  EXPECT_TRUE(server.WaitForOutput("listening on ")) << server.output();
  EXPECT_TRUE(server.WaitForOutput("\n"));
  return server;
}

std::string ToolsTest::AddressOf(const Process& server) {
  const size_t begin = server.output().find("listening on ") + 13;
  return server.output().substr(begin,
                                server.output().find('\n', begin) - begin);
}

std::vector<std::string> ToolsTest::ServerCommand(
    const std::vector<std::string>& more, const std::string& listen) const {
  std::vector<std::string> command = {
      Runfile("tools/echo_server"), absl::StrCat("--listen=", listen),
      absl::StrCat("--cert=", cert_), absl::StrCat("--key=", key_)};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::vector<std::string> ToolsTest::ServerCommandWith(
    const dtls::Certificate& certificate,
    const std::vector<std::string>& more) const {
  std::vector<std::string> command = {
      Runfile("tools/echo_server"), "--listen=127.0.0.1:0",
      absl::StrCat("--cert=",
                   folder_.Write("special.pem", certificate.chain_pem)),
      absl::StrCat("--key=",
                   folder_.Write("special.key", certificate.key_pem))};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::vector<std::string> ToolsTest::ClientCommand(
    const std::string& address, const std::vector<std::string>& more) const {
  std::vector<std::string> command = {Runfile("tools/client"), address,
                                      absl::StrCat("--ca=", ca_),
                                      "--name=localhost", "--linger=200ms"};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::string ToolsTest::ExpectEcho(std::vector<std::string> client_command) {
  const std::string shown = absl::StrJoin(client_command, " ");
  Process client(std::move(client_command));
  client.Write("to and fro\n");
  EXPECT_TRUE(client.WaitForOutput("to and fro\n")) << shown << "\n"
                                                    << client.output();
  client.CloseInput();
  EXPECT_EQ(client.Wait(), 0) << shown << "\n" << client.output();
  return client.output();
}

std::string ToolsTest::ExpectFailure(std::vector<std::string> command, int code,
                                     const std::string& why) {
  const std::string shown = absl::StrCat(command[0], " ", command.back());
  Process process(std::move(command));
  process.CloseInput();
  EXPECT_EQ(process.Wait(), code) << shown << "\n" << process.output();
  const std::vector<std::string> lines =
      absl::StrSplit(process.output(), '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size(), 1U) << shown << "\n" << process.output();
  EXPECT_TRUE(absl::StrContains(process.output(), why)) << process.output();
  return lines.empty() ? "" : lines[0];
}

std::string ToolsTest::Run(std::vector<std::string> command) {
  const std::string shown = absl::StrJoin(command, " ");
  Process process(std::move(command));
  process.CloseInput();
  EXPECT_EQ(process.Wait(), 0) << shown << "\n" << process.output();
  return process.output();
}

std::string ToolsTest::Shown(const std::string& output,
                             const std::string& label) {
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    if (absl::StartsWith(line, label)) {
      return std::string(absl::StripAsciiWhitespace(line.substr(label.size())));
    }
  }
  return "";
}

std::string ToolsTest::File(const std::string& name) const {
  return absl::StrCat(folder_.path(), "/", name);
}

std::string ToolsTest::ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

int ToolsTest::ModeOf(const std::string& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return -1;
  return static_cast<int>(status.st_mode & 07777);
}

}  // namespace cordon::testing
