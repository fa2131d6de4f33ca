// NSS, as Firefox has it, on the other side.
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

class NssTest : public ToolsTest {
 protected:
  NssTest() {
    std::filesystem::create_directory(File("nss"));
    Run({"certutil", "-N", "-d", File("nss"), "--empty-password"});
  }
};

TEST_F(NssTest, ItsClientIsServedAndJudgesUs) {
  Process server(ServerCommand());
  const std::string address = AddressOf(Started(server));
  const std::vector<std::string> command = {
      "tstclnt", "-4", "-d", File("nss"), "-h", "localhost", "-p",
      address.substr(address.rfind(':') + 1), "-P", "client",
      // It offers more than there is.
      "-V", "tls1.2:tls1.3"};
  {
    Process client(command);
    EXPECT_NE(client.Wait(), 0);
    EXPECT_TRUE(absl::StrContains(client.output(), "SEC_ERROR_UNKNOWN_ISSUER"))
        << client.output();
  }
  Run({"certutil", "-A", "-d", File("nss"), "-n", "ca", "-t", "C,,", "-i",
       ca_});
  Process client(command);
  ASSERT_TRUE(client.WaitForOutput("CN=server")) << client.output();
  client.Write("hello from nss\n");
  EXPECT_TRUE(client.WaitForOutput("hello from nss")) << client.output();
}

}  // namespace
}  // namespace cordon::testing
