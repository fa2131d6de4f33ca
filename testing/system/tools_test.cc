// The programs as their users meet them: what they print, how they end.
#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

TEST_F(ToolsTest, EchoesLines) {
  for (const char* backend : {"io_uring", "epoll"}) {
    Process server(ServerCommand({absl::StrCat("--backend=", backend)}));
    Process client(ClientCommand(AddressOf(Started(server))));
    client.Write("one\n\nthree\nwithout newline");
    client.CloseInput();
    EXPECT_EQ(client.Wait(), 0);
    EXPECT_EQ(client.output(), "one\n\nthree\nwithout newline\n");
    server.Signal(SIGINT);
    EXPECT_EQ(server.Wait(), 0);
    EXPECT_TRUE(absl::StrContains(server.output(), "4 messages"))
        << server.output();
  }
}

TEST_F(ToolsTest, SendsManyLinesInOrder) {
  Process server(ServerCommand());
  Process client(ClientCommand(AddressOf(Started(server)), {"--linger=2s"}));
  std::string input;
  for (int i = 0; i < 5000; ++i) absl::StrAppend(&input, "line ", i, "\n");
  client.Write(input);
  client.CloseInput();
  EXPECT_EQ(client.Wait(), 0);
  EXPECT_EQ(client.output(), input);
}

// More than the kernel keeps for a socket by default, where each small packet
// costs much more than its size.
TEST_F(ToolsTest, AFlightOfHundredsOfPacketsArrives) {
  std::vector<TestAuthority> chain;
  for (int i = 1; i <= 8; ++i) {
    const TestAuthority& above = chain.empty() ? authority_ : chain.back();
    chain.push_back(above.IssueAuthority(absl::StrCat("CA ", i), 7000));
  }
  Process server(ServerCommandWith(
      chain.back().Issue({.common_name = "far", .dns_names = {"localhost"}}),
      {"--mtu=256"}));
  ExpectEcho(ClientCommand(AddressOf(Started(server))));
}

TEST_F(ToolsTest, ServesBothFamiliesOnOneSocket) {
  Process server(ServerCommand({}, "[::]:0"));
  const std::string address = AddressOf(Started(server));
  const std::string port = address.substr(address.rfind(':') + 1);
  for (const char* host : {"127.0.0.1", "[::1]"}) {
    Process client(ClientCommand(absl::StrCat(host, ":", port)));
    client.Write("hello\n");
    client.CloseInput();
    EXPECT_EQ(client.Wait(), 0) << host << client.output();
    EXPECT_EQ(client.output(), "hello\n");
  }
}

TEST_F(ToolsTest, SeveralReactorsShareThePort) {
  Process server(ServerCommand({"--reactors=2"}));
  const std::string address = AddressOf(Started(server));
  for (int i = 0; i < 8; ++i) {
    Process client(ClientCommand(address));
    client.Write("hello\n");
    client.CloseInput();
    EXPECT_EQ(client.Wait(), 0) << client.output();
  }
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_TRUE(absl::StrContains(server.output(), "8 completed"))
      << server.output();
}

TEST_F(ToolsTest, PrintsStatistics) {
  Process server(ServerCommand({"--stats_interval=20ms"}));
  Started(server);
  EXPECT_TRUE(server.WaitForOutput("0 sessions accepted")) << server.output();
}

TEST_F(ToolsTest, HelpSaysWhatThereIs) {
  for (const char* tool : {"tools/echo_server", "tools/client"}) {
    Process process({Runfile(tool), "--help"});
    EXPECT_EQ(process.Wait(), 0);
    EXPECT_TRUE(absl::StrContains(process.output(), "--ciphers"));
    EXPECT_FALSE(absl::StrContains(process.output(), "--flagfile"));
  }
}

TEST_F(ToolsTest, WrongUsageIsTold) {
  const std::string server = Runfile("tools/echo_server");
  const std::string client = Runfile("tools/client");
  ExpectFailure({server, "--nonsense=1"}, 2, "no flag --nonsense");
  ExpectFailure({server}, 2, "--cert and --key, or --psk");
  ExpectFailure(ServerCommand({"--mtu=large"}), 2, "--mtu=large");
  ExpectFailure(ServerCommand({"--client_auth=maybe"}), 2, "maybe");
  ExpectFailure(ServerCommand({"--client_auth=require"}), 2, "--ca");
  ExpectFailure(ServerCommand({"--cookies=perhaps"}), 2, "perhaps");
  ExpectFailure(ServerCommand({"--backend=kqueue"}), 2, "kqueue");
  ExpectFailure(ServerCommand({"--psk=nocolon"}), 2, "IDENTITY:HEX");
  ExpectFailure(ServerCommand({}, "localhost"), 2, "port is missing");
  ExpectFailure(ServerCommand({"surprise"}), 2, "surprise");
  ExpectFailure({client}, 2, "HOST:PORT");
  ExpectFailure({client, "127.0.0.1:x"}, 2, "127.0.0.1:x");
  ExpectFailure({client, "127.0.0.1:1", "--linger=soon"}, 2, "--linger=soon");
  ExpectFailure({client, "127.0.0.1:1", "--cert=x"}, 2, "--key");
}

TEST_F(ToolsTest, WrongInputIsTold) {
  const std::string server = Runfile("tools/echo_server");
  ExpectFailure({server, "--cert=/nonexistent", absl::StrCat("--key=", key_)},
                1, "/nonexistent");
  const std::string other =
      folder_.Write("other.key", authority_.Issue({}).key_pem);
  ExpectFailure(
      {server, absl::StrCat("--cert=", cert_), absl::StrCat("--key=", other)},
      1, "does not fit");
  ExpectFailure(
      {server, absl::StrCat("--cert=", key_), absl::StrCat("--key=", key_)}, 1,
      "certificate");
  ExpectFailure(ServerCommand({"--ciphers=RC4-SHA"}), 2, "RC4-SHA");
  ExpectFailure(ServerCommand({}, "192.0.2.1:0"), 1, "192.0.2.1");
  ExpectFailure(ServerCommand({}, "no-such-host.invalid:1"), 1,
                "no-such-host.invalid");
  Process first(ServerCommand());
  const std::string address = AddressOf(Started(first));
  ExpectFailure(ServerCommand({}, address), 1, address);
}

TEST_F(ToolsTest, APeerThatIsNotThereIsTold) {
  ExpectFailure(ClientCommand(absl::StrCat("127.0.0.1:", FreeUdpPort())), 1,
                "nobody listens");
  ExpectFailure(ClientCommand(absl::StrCat("127.0.0.1:", FreeUdpPort()),
                              {"--timeout=300ms"}),
                1, "within 300ms");
}

TEST_F(ToolsTest, AServerThatIsNotTrustedIsToldWithItsCertificate) {
  Process server(ServerCommand());
  const std::string address = AddressOf(Started(server));
  ExpectFailure(ClientCommand(address, {"--name=other.test"}), 1,
                "name mismatch: certificate 0 (CN=server)");
  const std::string other_ca =
      folder_.Write("other.pem", TestAuthority("Other").certificate_pem());
  ExpectFailure(ClientCommand(address, {absl::StrCat("--ca=", other_ca)}), 1,
                "unknown issuer: certificate 0 (CN=server)");
}

TEST_F(ToolsTest, ClosesAllSessionsWhenItIsTerminated) {
  constexpr int kSessions = 100;
  Process server(ServerCommand());
  const std::string address = AddressOf(Started(server));
  std::vector<std::unique_ptr<Process>> clients;
  for (int i = 0; i < kSessions; ++i) {
    clients.push_back(
        std::make_unique<Process>(ClientCommand(address, {"--linger=60s"})));
    clients.back()->Write("hello\n");
  }
  for (auto& client : clients) {
    ASSERT_TRUE(client->WaitForOutput("hello")) << client->output();
  }
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.output();
  EXPECT_TRUE(absl::StrContains(server.output(), "100 completed"))
      << server.output();
  // Each client was told, so none waits for its linger time.
  for (auto& client : clients) {
    EXPECT_EQ(client->Wait(), 0) << client->output();
  }
}

}  // namespace
}  // namespace cordon::testing
