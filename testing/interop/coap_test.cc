// CoAP over DTLS (RFC 7252 section 9) with libcoap, once with OpenSSL and once
// with GnuTLS below it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

constexpr char kPsk[] = "sesame1234567890";
constexpr char kPskHex[] = "736573616d6531323334353637383930";
// A confirmable GET of "/": version 1, no token, code 0.01, message id 0x1234.
constexpr char kGet[] = "\x40\x01\x12\x34\n";

bool IsFreeUdpPort(int port) {
  const net::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<uint16_t>(port));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0;
}

// A port that was free a moment ago, as was the one after it.
int FreeUdpPortPair() {
  int port = FreeUdpPort();
  while (port == 65535 || !IsFreeUdpPort(port + 1)) port = FreeUdpPort();
  return port;
}

class CoapTest : public ToolsTest,
                 public ::testing::WithParamInterface<std::string> {
 protected:
  std::string Coap(const std::string& program) const {
    return absl::StrCat("coap-", program, "-", GetParam());
  }

  // libcoap's server; the port after `port` is that for DTLS.
  std::vector<std::string> Server(int port,
                                  const std::vector<std::string>& more) const {
    std::vector<std::string> command = {
        Coap("server"), "-v", "7", "-A", "127.0.0.1", "-p", absl::StrCat(port)};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
  std::string AskOurClient(int port, std::vector<std::string> flags) const {
    std::vector<std::string> command = {Runfile("tools/client"),
                                        absl::StrCat("127.0.0.1:", port + 1),
                                        "--linger=60s", "--info"};
    command.insert(command.end(), flags.begin(), flags.end());
    Process client(std::move(command));
    client.Write(kGet);
    // The acknowledgement carries the page.
    EXPECT_TRUE(client.WaitForOutput("made with libcoap")) << client.output();
    return client.output();
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, CoapTest,
                         ::testing::Values("openssl", "gnutls"),
                         [](const auto& param) { return param.param; });

TEST_P(CoapTest, OurClientGetsAPage) {
  const int port = FreeUdpPortPair();
  Process server(Server(port, {"-c", cert_, "-j", key_, "-n"}));
  ASSERT_TRUE(server.WaitForOutput("created DTLS endpoint")) << server.output();
  const std::string output =
      AskOurClient(port, {absl::StrCat("--ca=", ca_), "--name=localhost"});
  EXPECT_TRUE(absl::StrContains(output, "verified:  yes")) << output;
}

TEST_P(CoapTest, OurClientGetsAPageWithAPreSharedKey) {
  const int port = FreeUdpPortPair();
  Process server(Server(port, {"-k", kPsk, "-h", "hint"}));
  ASSERT_TRUE(server.WaitForOutput("created DTLS endpoint")) << server.output();
  AskOurClient(port, {absl::StrCat("--psk=sensor1:", kPskHex)});
}

TEST_P(CoapTest, ItsClientIsServed) {
  Process server(ServerCommand({"--verbose", "--client_auth=require",
                                absl::StrCat("--ca=", ca_),
                                absl::StrCat("--psk=sensor1:", kPskHex)}));
  const std::string port =
      absl::StrReplaceAll(AddressOf(Started(server)), {{"127.0.0.1:", ""}});
  // The echo is no answer that it understands, so it gives up soon.
  Process with_key({Coap("client"), "-B", "1", "-u", "sensor1", "-k", kPsk,
                    absl::StrCat("coaps://127.0.0.1:", port, "/")});
  with_key.Wait();
  EXPECT_TRUE(server.WaitForOutput(" sensor1: closed in order\n"))
      << server.output() << with_key.output();
  Process with_certificate({Coap("client"), "-B", "1", "-C", ca_, "-c", cert_,
                            "-j", key_,
                            absl::StrCat("coaps://localhost:", port, "/")});
  with_certificate.Wait();
  EXPECT_TRUE(server.WaitForOutput(" CN=server: closed in order\n"))
      << server.output() << with_certificate.output();
}

}  // namespace
}  // namespace cordon::testing
