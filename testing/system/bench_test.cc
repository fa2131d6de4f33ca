// The load generator, with loads of a moment.
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

// The number that follows `"name":` in `json`; -1 if there is none.
double Number(const std::string& json, const std::string& name) {
  const std::string key = absl::StrCat("\"", name, "\":");
  const size_t at = json.find(key);
  if (at == std::string::npos) return -1;
  const size_t begin = at + key.size();
  double value = -1;
  const std::string text =
      json.substr(begin, json.find_first_of(",}", begin) - begin);
  return absl::SimpleAtod(text, &value) ? value : -1;
}

class BenchTest : public ToolsTest {
 protected:
  std::vector<std::string> Command(const std::string& address,
                                   const std::vector<std::string>& more) const {
    std::vector<std::string> command = {Runfile("tools/bench/bench"),
                                        address,
                                        absl::StrCat("--ca=", ca_),
                                        "--name=localhost",
                                        "--warmup=50ms",
                                        "--duration=200ms",
                                        "--connections=4"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
};

TEST_F(BenchTest, EachLoadRuns) {
  Process server(ServerCommand());
  const std::string address = AddressOf(Started(server));
  for (const char* load :
       {"handshake", "resume", "echo", "paced", "bulk", "idle", "hello"}) {
    SCOPED_TRACE(load);
    const std::string json = Run(Command(
        address, {absl::StrCat("--load=", load), "--json", "--noprogress",
                  "--rate=2000", absl::StrCat("--server_pid=", server.pid())}));
    EXPECT_TRUE(absl::StartsWith(json, absl::StrCat("{\"load\":\"", load)))
        << json;
    EXPECT_GT(Number(json, "operations"), 0) << json;
    EXPECT_GT(Number(json, "cpu_us_per_operation"), 0) << json;
    EXPECT_GT(Number(json, "resident_bytes"), 1'000'000) << json;
    EXPECT_EQ(Number(json, "wrong"), 0) << json;
    EXPECT_EQ(Number(json, "failures"), 0) << json;
    if (absl::string_view(load) == "idle") {
      EXPECT_EQ(Number(json, "operations"), 4);
    } else {
      EXPECT_GT(Number(json, "p50"), 0) << json;
      EXPECT_LE(Number(json, "p50"), Number(json, "p99")) << json;
      EXPECT_LE(Number(json, "p99"), Number(json, "max")) << json;
    }
  }
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
}

TEST_F(BenchTest, ATableForPeople) {
  Process server(ServerCommand());
  const std::string table =
      Run(Command(AddressOf(Started(server)),
                  {"--size=1200", "--outstanding=3", "--idle_sessions=5"}));
  for (const char* word :
       {"echo", "echoes in", "latency", "p99.9", "generator", " 0 wrong"}) {
    EXPECT_TRUE(absl::StrContains(table, word)) << word << ":\n" << table;
  }
  EXPECT_FALSE(absl::StrContains(table, "server")) << table;
}

// Peers that know no offload: what is echoed is checked all the same.
TEST_F(BenchTest, MessagesThatLeaveSingly) {
  Process server(ServerCommand());
  const std::string address = AddressOf(Started(server));
  for (const char* load : {"echo", "bulk", "hello"}) {
    SCOPED_TRACE(load);
    const std::string json =
        Run(Command(address, {absl::StrCat("--load=", load), "--nogso",
                              "--nogro", "--json", "--noprogress"}));
    EXPECT_TRUE(absl::StrContains(json, "\"gso\":false,\"gro\":false")) << json;
    EXPECT_GT(Number(json, "operations"), 0) << json;
    EXPECT_EQ(Number(json, "wrong"), 0) << json;
  }
}

TEST_F(BenchTest, TellsWhenIdleSessionsAreOpen) {
  Process server(ServerCommand());
  Process bench(Command(AddressOf(Started(server)),
                        {"--load=idle", "--connections=3", "--duration=60s"}));
  EXPECT_TRUE(bench.WaitForOutput("bench: 3 idle sessions are open"))
      << bench.output();
}

TEST_F(BenchTest, AComparisonNeedsItsProgram) {
  const std::string bench = Runfile("tools/bench/bench");
  // A link would lead to where the other program may be.
  const std::string alone = File("bench");
  std::filesystem::copy_file(bench, alone);
  ExpectFailure({alone, "--compare", "--rounds=1"}, 1,
                "bazel build --config=opt //testing/bench:compare");
  ExpectFailure({bench, "127.0.0.1:1", "--compare"}, 2, "must come first");
}

TEST_F(BenchTest, TellsHowItGoes) {
  Process server(ServerCommand());
  Process bench(Command(AddressOf(Started(server)), {"--duration=60s"}));
  EXPECT_TRUE(bench.WaitForOutput("in the last second")) << bench.output();
  bench.Signal(SIGINT);
  EXPECT_EQ(bench.Wait(), -SIGINT);
}

TEST_F(BenchTest, AServerThatIsNoGoodIsTold) {
  ExpectFailure(Command(absl::StrCat("127.0.0.1:", FreeUdpPort()), {}), 1,
                "nobody listens");
  ExpectFailure(Command(absl::StrCat("127.0.0.1:", FreeUdpPort()),
                        {"--load=handshake", "--noprogress"}),
                1, "nobody listens");
  Process server(ServerCommand());
  const std::string address = AddressOf(Started(server));
  ExpectFailure(Command(address, {"--name=elsewhere.test"}), 1,
                "elsewhere.test");
  ExpectFailure(Command(address, {"--server_pid=999999999"}), 1,
                "no process 999999999");
  Process stateless(ServerCommand({"--nosession_tickets", "--nosession_ids"}));
  ExpectFailure(Command(AddressOf(Started(stateless)), {"--load=resume"}), 1,
                "does not resume");
}

TEST_F(BenchTest, WrongUsageIsTold) {
  const std::string bench = Runfile("tools/bench/bench");
  ExpectFailure({bench}, 2, "HOST:PORT");
  ExpectFailure({bench, "127.0.0.1:1", "127.0.0.1:2"}, 2, "one HOST:PORT");
  ExpectFailure({bench, "127.0.0.1:x"}, 2, "127.0.0.1:x");
  auto wrong = [&](const std::string& flag, const std::string& why) {
    ExpectFailure({bench, "127.0.0.1:1", flag}, 2, why);
  };
  wrong("--load=heavy", "handshake, resume, echo, paced, bulk, idle or hello");
  wrong("--connections=0", "from 1 to 1000000");
  wrong("--outstanding=0", "from 1 to 4096");
  wrong("--size=15", "from 16 to 16384");
  wrong("--size=16385", "from 16 to 16384");
  wrong("--rate=0", "from 1 to");
  wrong("--rate=nan", "from 1 to");
  wrong("--duration=-1s", "negative");
  wrong("--warmup=-1s", "negative");
  wrong("--server_pid=-1", "negative");
  wrong("--source_addresses=1001", "from 0 to 1000");
  for (const char* load : {"handshake", "hello"}) {
    ExpectFailure(
        {bench, "127.0.0.1:1", "--plain", absl::StrCat("--load=", load)}, 2,
        "--plain is for");
  }
}

}  // namespace
}  // namespace cordon::testing
