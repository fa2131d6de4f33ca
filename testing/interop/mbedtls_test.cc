// Mbed TLS on the other side.
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

constexpr char kPsk[] = "00112233445566778899aabbccddeeff";

class MbedtlsTest : public ToolsTest {
 protected:
  MbedtlsTest() {
    const dtls::Certificate client = authority_.Issue({.common_name = "mbed"});
    client_cert_ = folder_.Write("client.pem", client.chain_pem);
    client_key_ = folder_.Write("client.key", client.key_pem);
  }

  // Mbed TLS as client of our server: two lines, and the session once more.
  std::string MbedtlsClient(const std::string& address,
                            const std::vector<std::string>& arguments) {
    std::vector<std::string> command = {Runfile("testing/interop/mbedtls_peer"),
                                        "client",
                                        address.substr(address.rfind(':') + 1)};
    command.insert(command.end(), arguments.begin(), arguments.end());
    Process client(std::move(command));
    client.Write("hello from mbedtls\nonce more\n");
    client.CloseInput();
    EXPECT_EQ(client.Wait(), 0) << client.output();
    EXPECT_TRUE(
        absl::StrContains(client.output(), "\nhello from mbedtls\nonce more\n"))
        << client.output();
    return client.output();
  }

  std::string client_cert_;
  std::string client_key_;
};

TEST_F(MbedtlsTest, ItsClientTalksAndResumes) {
  for (const char* more : {"--nosession_ids", "--nosession_tickets"}) {
    SCOPED_TRACE(more);
    Process server(ServerCommand({more, "--verbose", "--client_auth=require",
                                  absl::StrCat("--ca=", ca_)}));
    const std::string output = MbedtlsClient(
        AddressOf(Started(server)), {ca_, client_cert_, client_key_, "0"});
    EXPECT_TRUE(absl::EndsWith(output, "\nresumed\n")) << output;
    EXPECT_TRUE(server.WaitForOutput("CN=mbed: closed in order"))
        << server.output();
    EXPECT_TRUE(server.WaitForOutput("CN=mbed resumed: closed in order"))
        << server.output();
  }
}

TEST_F(MbedtlsTest, ItsClientMayWantSmallFragments) {
  Process server(ServerCommand({"--mtu=300"}));
  const std::string address = AddressOf(Started(server));
  for (const char* fragment : {"512", "1024"}) {
    MbedtlsClient(address, {ca_, "-", "-", fragment});
  }
}

TEST_F(MbedtlsTest, ItsClientKnowsPreSharedKeys) {
  Process server({Runfile("tools/echo_server"), "--listen=127.0.0.1:0",
                  absl::StrCat("--psk=sensor1:", kPsk), "--verbose"});
  MbedtlsClient(AddressOf(Started(server)), {"psk", "sensor1", kPsk, "0"});
  EXPECT_TRUE(server.WaitForOutput("sensor1: closed in order"))
      << server.output();
}

TEST_F(MbedtlsTest, ItsServerTalksToOurClient) {
  Process server({Runfile("testing/interop/mbedtls_peer"), "server", "0", ca_,
                  cert_, key_, "0"});
  const std::string address = AddressOf(Started(server));
  for (const char* mtu : {"--mtu=1280", "--mtu=300"}) {
    const std::string output = ExpectEcho(ClientCommand(
        address, {mtu, "--info", absl::StrCat("--cert=", client_cert_),
                  absl::StrCat("--key=", client_key_)}));
    EXPECT_TRUE(absl::StrContains(output, "verified:  yes")) << output;
    EXPECT_TRUE(server.WaitForOutput("closed\n")) << server.output();
  }
  const TestAuthority other("Other CA");
  const dtls::Certificate stranger = other.Issue({.common_name = "stranger"});
  ExpectFailure(
      ClientCommand(
          address,
          {absl::StrCat("--cert=", folder_.Write("s.pem", stranger.chain_pem)),
           absl::StrCat("--key=", folder_.Write("s.key", stranger.key_pem))}),
      1, "alert unknown_ca");
}

TEST_F(MbedtlsTest, ItsServerKnowsPreSharedKeys) {
  Process server({Runfile("testing/interop/mbedtls_peer"), "server", "0", "psk",
                  "sensor1", kPsk, "0"});
  const std::string output = ExpectEcho(
      {Runfile("tools/client"), AddressOf(Started(server)),
       absl::StrCat("--psk=sensor1:", kPsk), "--info", "--linger=200ms"});
  EXPECT_TRUE(absl::StrContains(output, "psk:       sensor1")) << output;
}

}  // namespace
}  // namespace cordon::testing
