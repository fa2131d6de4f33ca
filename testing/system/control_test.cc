// An operator and a server, each a process of its own.
#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ControlTest : public ToolsTest {
 protected:
  // Paths of Unix sockets are short.
  ControlTest() : sockets_("/tmp") {
    target_ = absl::StrCat("unix:", sockets_.path(), "/control");
    const dtls::Certificate device = authority_.Issue(
        {.common_name = "device", .dns_names = {"device.example.org"}});
    device_ = {
        absl::StrCat("--cert=", folder_.Write("d.pem", device.chain_pem)),
        absl::StrCat("--key=", folder_.Write("d.key", device.key_pem))};
  }

  std::vector<std::string> Server(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {absl::StrCat("--control=", target_),
                                      absl::StrCat("--ca=", ca_),
                                      "--client_auth=request"};
    flags.insert(flags.end(), more.begin(), more.end());
    return ServerCommand(flags);
  }
  std::vector<std::string> Ctl(const std::vector<std::string>& arguments) {
    std::vector<std::string> command = {Runfile("tools/cordonctl/cordonctl"),
                                        absl::StrCat("--target=", target_)};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }
  // What it prints, after it has ended with `code`.
  std::string RunCtl(const std::vector<std::string>& arguments, int code = 0) {
    Process ctl(Ctl(arguments));
    ctl.CloseInput();
    EXPECT_EQ(ctl.Wait(), code) << ctl.output();
    return ctl.output();
  }

  TemporaryFolder sockets_;
  std::string target_;
  std::vector<std::string> device_;
};

TEST_F(ControlTest, AnOperatorSeesSessionsAndEndsThem) {
  Process server(Server());
  const std::string address = AddressOf(Started(server));
  EXPECT_THAT(server.output(), HasSubstr("control on unix:/"));
  Process client(ClientCommand(address, device_));
  client.Write("hello\n");
  ASSERT_TRUE(client.WaitForOutput("hello\n"));
  EXPECT_THAT(RunCtl({"listeners"}), HasSubstr("echo"));
  EXPECT_THAT(RunCtl({"sessions", "list"}), HasSubstr("device.example.org"));
  EXPECT_THAT(RunCtl({"sessions", "list", "--output=json"}),
              HasSubstr("\"device.example.org\""));
  EXPECT_THAT(RunCtl({"stats"}), HasSubstr("HANDSHAKES"));
  RunCtl({"sessions", "get", "12345"}, 5);
  EXPECT_THAT(RunCtl({"sessions", "close", "--name=device.example.org", "--yes",
                      "--reason=enough"}),
              HasSubstr("1"));
  client.CloseInput();
  client.Wait();
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.output();
  EXPECT_THAT(server.output(), HasSubstr("closes 1 sessions: enough"));
}

TEST_F(ControlTest, APolicyLetsPassAndRefusesAndSurvivesARestart) {
  const std::string file = File("policies");
  {
    Process server(Server({absl::StrCat("--policy_file=", file)}));
    const std::string address = AddressOf(Started(server));
    ExpectEcho(ClientCommand(address, device_));
    const std::string policy =
        folder_.Write("policy.txtpb",
                      absl::StrCat(RunCtl({"policy", "get"}),
                                   "\ndenied_names: \"device.example.org\"\n"));
    RunCtl({"policy", "set", policy, "--yes", "--expected_version=7"}, 6);
    RunCtl({"policy", "set", policy, "--yes"});
    ExpectFailure(ClientCommand(address, device_), 1, "access_denied");
    const std::string bad = folder_.Write(
        "bad.txtpb", "client_certificate: REQUIRE blocked: \"z\"");
    EXPECT_THAT(RunCtl({"policy", "set", bad, "--yes",
                        absl::StrCat("--trust_pem=", ca_)},
                       7),
                HasSubstr("policy.blocked[0]"));
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0) << server.output();
  }
  EXPECT_EQ(ModeOf(file), 0600);
  Process server(Server({absl::StrCat("--policy_file=", file)}));
  const std::string address = AddressOf(Started(server));
  ExpectFailure(ClientCommand(address, device_), 1, "access_denied");
  EXPECT_THAT(RunCtl({"policy", "history"}), HasSubstr("uid:"));
}

TEST_F(ControlTest, ABadPolicyFileEndsTheServerAtItsStart) {
  const std::string file =
      folder_.Write("policies", "client_certificate: 17 {");
  const std::string line =
      ExpectFailure(Server({absl::StrCat("--policy_file=", file)}), 2, file);
  EXPECT_THAT(line, HasSubstr("line 1"));
}

TEST_F(ControlTest, AWatcherIsToldWhenTheServerEndsInOrderAndWhenItIsKilled) {
  for (int signal : {SIGTERM, SIGKILL}) {
    Process server(Server());
    Started(server);
    Process sessions(Ctl({"sessions", "watch", "--output=json"}));
    ASSERT_TRUE(sessions.WaitForOutput("SYNCED")) << sessions.output();
    Process statistics(Ctl({"stats", "--watch=100ms", "--output=json"}));
    ASSERT_TRUE(statistics.WaitForOutput("}\n"));
    server.Signal(signal);
    server.Wait();
    EXPECT_EQ(sessions.Wait(), 3) << sessions.output();
    EXPECT_EQ(statistics.Wait(), 3) << statistics.output();
    EXPECT_EQ(Process(Ctl({"listeners"})).Wait(), 3);
  }
}

TEST_F(ControlTest, ADrainEndsTheServerInOrder) {
  Process server(Server());
  const std::string address = AddressOf(Started(server));
  Process client(ClientCommand(address));
  client.Write("hello\n");
  ASSERT_TRUE(client.WaitForOutput("hello\n"));
  RunCtl({"drain", "--deadline=1h"});
  EXPECT_THAT(RunCtl({"listeners"}), HasSubstr("drain"));
  client.CloseInput();
  EXPECT_EQ(client.Wait(), 0) << client.output();
  EXPECT_EQ(server.Wait(), 0) << server.output();
  EXPECT_THAT(server.output(), HasSubstr("echo_server: done: "));
}

// One of two reactors has nobody, and ends; the other goes on.
TEST_F(ControlTest, AReactorThatHasBeenDrainedHoldsUpNobody) {
  for (const char* backend : {"io_uring", "epoll"}) {
    Process server(
        Server({"--reactors=2", absl::StrCat("--backend=", backend)}));
    const std::string address = AddressOf(Started(server));
    Process client(ClientCommand(address, device_));
    client.Write("hello\n");
    ASSERT_TRUE(client.WaitForOutput("hello\n"));
    Process watch(Ctl({"stats", "--watch=100ms", "--output=json"}));
    ASSERT_TRUE(watch.WaitForOutput("}\n"));
    RunCtl({"drain", "--deadline=1h"});
    const std::string listeners = RunCtl({"listeners"});
    EXPECT_THAT(listeners, HasSubstr("drain"));
    EXPECT_THAT(RunCtl({"sessions", "list"}), HasSubstr("device.example.org"));
    EXPECT_THAT(RunCtl({"stats"}), HasSubstr("HANDSHAKES"));
    RunCtl({"limits", "get"});
    // What was watched before goes on, too.
    const absl::Time late = absl::Now() + kPatience;
    for (int more = 0; more < 3 && absl::Now() < late;) {
      const size_t before = watch.output().size();
      absl::SleepFor(absl::Milliseconds(10));
      watch.ReadAvailable();
      if (watch.output().size() > before) ++more;
    }
    EXPECT_LT(absl::Now(), late) << watch.output();
    client.Write("still there\n");
    EXPECT_TRUE(client.WaitForOutput("still there\n"));
    client.CloseInput();
    EXPECT_EQ(client.Wait(), 0) << client.output();
    EXPECT_EQ(server.Wait(), 0) << server.output();
    watch.Wait();
  }
}

TEST_F(ControlTest, LimitsAreOfAllReactorsAndAreToldOnce) {
  Process server(Server({"--reactors=2"}));
  const std::string address = AddressOf(Started(server));
  RunCtl({"limits", "set", "max_sessions=2"});
  std::vector<std::unique_ptr<Process>> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(std::make_unique<Process>(ClientCommand(address)));
    clients.back()->Write("hello\n");
    ASSERT_TRUE(clients.back()->WaitForOutput("hello\n"));
  }
  for (int i = 0; i < 8; ++i) {
    ExpectFailure(ClientCommand(address, {"--timeout=300ms"}), 1, "");
  }
  RunCtl({"limits", "set", "max_sessions=2"});
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.output();
  const std::string line = "max_sessions 1000000 -> 2";
  const size_t first = server.output().find(line);
  ASSERT_NE(first, std::string::npos) << server.output();
  EXPECT_EQ(server.output().find("sets limits", first + 1), std::string::npos);
}

TEST_F(ControlTest, OverTcpBothSidesShowCertificates) {
  const TestAuthority operators("Operators CA");
  const auto write = [&](const std::string& name,
                         const dtls::Certificate& certificate) {
    folder_.Write(name + ".pem", certificate.chain_pem);
    folder_.Write(name + ".key", certificate.key_pem);
  };
  write("control", operators.Issue({.dns_names = {"localhost"}}));
  write("alice", operators.Issue({.dns_names = {"alice.ops.example.org"}}));
  write("bob", operators.Issue({.dns_names = {"bob.example.org"}}));
  write("eve", operators.Issue({.dns_names = {"eve.example.com"}}));
  const std::string ca =
      folder_.Write("operators.pem", operators.certificate_pem());
  ExpectFailure(Server({"--control=127.0.0.1:0"}), 2, "TLS");
  Process server(Server({"--control=localhost:0",
                         absl::StrCat("--control_cert=", File("control.pem")),
                         absl::StrCat("--control_key=", File("control.key")),
                         absl::StrCat("--control_ca=", ca),
                         "--control_admin=*.ops.example.org",
                         "--control_reader=bob.example.org"}));
  Started(server);
  const size_t at = server.output().find("control on 127.0.0.1:");
  ASSERT_NE(at, std::string::npos) << server.output();
  const size_t port = server.output().find(':', at) + 1;
  const std::string target = absl::StrCat(
      "--target=localhost:",
      server.output().substr(port, server.output().find('\n', port) - port));
  const auto as = [&](const std::string& who,
                      std::vector<std::string> arguments, int code) {
    arguments.insert(arguments.end(),
                     {target, absl::StrCat("--ca=", ca),
                      absl::StrCat("--cert=", File(who + ".pem")),
                      absl::StrCat("--key=", File(who + ".key"))});
    std::vector<std::string> command = {Runfile("tools/cordonctl/cordonctl")};
    command.insert(command.end(), arguments.begin(), arguments.end());
    Process ctl(command);
    ctl.CloseInput();
    EXPECT_EQ(ctl.Wait(), code) << who << ": " << ctl.output();
  };
  as("alice", {"cookies", "rotate"}, 0);
  as("bob", {"sessions", "list"}, 0);
  as("bob", {"cookies", "rotate"}, 4);
  as("eve", {"sessions", "list"}, 4);
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_THAT(server.output(),
              HasSubstr("cert:alice.ops.example.org rotates the cookie"));
}

TEST_F(ControlTest, CertificatesAreReloaded) {
  Process server(Server());
  const std::string address = AddressOf(Started(server));
  ExpectEcho(ClientCommand(address));
  const TestAuthority next("Next CA");
  const dtls::Certificate certificate =
      next.Issue({.dns_names = {"localhost"}});
  const std::string chain = folder_.Write("next.pem", certificate.chain_pem);
  const std::string key = folder_.Write("next.key", certificate.key_pem);
  EXPECT_THAT(RunCtl({"credentials", "reload", absl::StrCat("--chain=", chain),
                      absl::StrCat("--key=", key)}),
              HasSubstr("localhost"));
  ExpectFailure(ClientCommand(address), 1, "cannot be accepted");
  // From its files again.
  RunCtl({"credentials", "reload"});
  ExpectEcho(ClientCommand(address));
  RunCtl({"credentials", "reload", absl::StrCat("--chain=", chain),
          absl::StrCat("--key=", key_)},
         7);
  ExpectEcho(ClientCommand(address));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_THAT(server.output(), Not(HasSubstr("PRIVATE KEY")));
}

}  // namespace
}  // namespace cordon::testing
