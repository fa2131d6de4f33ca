// Our server with other people's clients, and our client with other people's
// servers. A peer that is not installed is a failure: tools/setup brings it.
#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

constexpr char kPsk[] = "00112233445566778899aabbccddeeff";

// The keys and certificates of a test, as files.
class InteropTest : public ::testing::TestWithParam<KeyType> {
 protected:
  InteropTest() : authority_("Interop CA") {
    ca_ = folder_.Write("ca.pem", authority_.certificate_pem());
    Write("server", authority_.Issue({.common_name = "server",
                                      .dns_names = {"localhost"},
                                      .ip_addresses = {"127.0.0.1"},
                                      .key = GetParam()}));
    Write("client",
          authority_.Issue({.common_name = "client", .key = GetParam()}));
  }

  void Write(const std::string& name, const dtls::Certificate& certificate) {
    folder_.Write(name + ".pem", certificate.chain_pem);
    folder_.Write(name + ".key", certificate.key_pem);
  }
  std::string File(const std::string& name) const {
    return absl::StrCat(folder_.path(), "/", name);
  }

  // Our echo server with more flags; its address in `*address`.
  std::vector<std::string> EchoServer(std::vector<std::string> flags) const {
    std::vector<std::string> command = {Runfile("tools/echo_server"),
                                        "--listen=127.0.0.1:0"};
    command.insert(command.end(), flags.begin(), flags.end());
    return command;
  }
  std::vector<std::string> WithCertificate(
      std::vector<std::string> more = {}) const {
    more.push_back(absl::StrCat("--cert=", File("server.pem")));
    more.push_back(absl::StrCat("--key=", File("server.key")));
    return more;
  }
  static std::string AddressOf(Process& server) {
    EXPECT_TRUE(server.WaitForOutput("listening on ")) << server.output();
    EXPECT_TRUE(server.WaitForOutput("\n"));
    const size_t begin = server.output().find("listening on ") + 13;
    return server.output().substr(begin,
                                  server.output().find('\n', begin) - begin);
  }
  static void StopServer(Process& server) {
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0) << server.output();
  }

  TestAuthority authority_;
  TemporaryFolder folder_;
  std::string ca_;
};

INSTANTIATE_TEST_SUITE_P(Keys, InteropTest,
                         ::testing::Values(KeyType::kEcdsaP256,
                                           KeyType::kRsa2048,
                                           KeyType::kEd25519),
                         [](const auto& param) -> std::string {
                           switch (param.param) {
                             case KeyType::kRsa2048:
                               return "Rsa";
                             case KeyType::kEd25519:
                               return "Ed25519";
                             case KeyType::kEcdsaP256:
                             case KeyType::kEcdsaP384:
                             case KeyType::kRsa1024:
                               break;
                           }
                           return "Ecdsa";
                         });

TEST_P(InteropTest, OpensslClient) {
  Process server(EchoServer(WithCertificate({"--alpn=echo,other"})));
  Process client({"openssl", "s_client", "-dtls", "-connect", AddressOf(server),
                  "-CAfile", ca_, "-verify_return_error", "-servername",
                  "localhost", "-alpn", "echo", "-quiet"});
  client.Write("hello from openssl\n");
  EXPECT_TRUE(client.WaitForOutput("hello from openssl")) << client.output();
  client.CloseInput();
  client.Signal(SIGINT);
  client.Wait();
  StopServer(server);
}

TEST_P(InteropTest, OpensslClientWithCertificate) {
  Process server(EchoServer(
      WithCertificate({"--client_auth=require", absl::StrCat("--ca=", ca_)})));
  const std::string address = AddressOf(server);
  {
    Process client({"openssl", "s_client", "-dtls", "-connect", address,
                    "-CAfile", ca_, "-verify_return_error", "-quiet"});
    EXPECT_TRUE(client.WaitForOutput("alert")) << client.output();
  }
  Process client({"openssl", "s_client", "-dtls", "-connect", address,
                  "-CAfile", ca_, "-verify_return_error", "-cert",
                  File("client.pem"), "-key", File("client.key"), "-quiet"});
  client.Write("known client\n");
  EXPECT_TRUE(client.WaitForOutput("known client")) << client.output();
  client.Signal(SIGINT);
  client.Wait();
  StopServer(server);
}

TEST_P(InteropTest, OpensslClientMayNotRenegotiate) {
  Process server(EchoServer(WithCertificate({"--verbose"})));
  Process client({"openssl", "s_client", "-dtls", "-connect", AddressOf(server),
                  "-CAfile", ca_});
  client.Write("once\n");
  ASSERT_TRUE(client.WaitForOutput("\nonce\n")) << client.output();
  client.Write("R\n");
  EXPECT_TRUE(server.WaitForOutput("a renegotiation, which is never done"))
      << server.output();
  EXPECT_TRUE(client.WaitForOutput("alert unexpected message"))
      << client.output();
  StopServer(server);
}

TEST_P(InteropTest, OpensslClientWithSmallMtu) {
  Process server(EchoServer(WithCertificate({"--mtu=300"})));
  Process client({"openssl", "s_client", "-dtls", "-connect", AddressOf(server),
                  "-CAfile", ca_, "-verify_return_error", "-mtu", "300",
                  "-quiet"});
  client.Write("in small pieces\n");
  EXPECT_TRUE(client.WaitForOutput("in small pieces")) << client.output();
  client.Signal(SIGINT);
  client.Wait();
  StopServer(server);
}

TEST_P(InteropTest, GnutlsClient) {
  Process server(EchoServer(WithCertificate(
      {"--client_auth=require", absl::StrCat("--ca=", ca_), "--alpn=echo"})));
  const std::string address = AddressOf(server);
  Process client({"gnutls-cli", "--udp", "--port",
                  address.substr(address.rfind(':') + 1), "--x509cafile", ca_,
                  "--x509certfile", File("client.pem"), "--x509keyfile",
                  File("client.key"), "--alpn", "echo", "127.0.0.1"});
  ASSERT_TRUE(client.WaitForOutput("Handshake was completed"))
      << client.output();
  client.Write("hello from gnutls\n");
  EXPECT_TRUE(client.WaitForOutput("hello from gnutls")) << client.output();
  client.CloseInput();
  EXPECT_EQ(client.Wait(), 0) << client.output();
  StopServer(server);
}

TEST_P(InteropTest, GnutlsServer) {
  const int port = FreeUdpPort();
  const std::string address = absl::StrCat("127.0.0.1:", port);
  Process server({"gnutls-serv", "--udp", "--port", absl::StrCat(port),
                  "--x509cafile", ca_, "--x509certfile", File("server.pem"),
                  "--x509keyfile", File("server.key"), "--require-client-cert",
                  "--verify-client-cert", "--alpn", "echo", "--echo"});
  ASSERT_TRUE(server.WaitForOutput("UDP")) << server.output();
  Process client({Runfile("tools/client"), address, absl::StrCat("--ca=", ca_),
                  absl::StrCat("--cert=", File("client.pem")),
                  absl::StrCat("--key=", File("client.key")), "--alpn=echo",
                  "--info", "--linger=60s"});
  ASSERT_TRUE(client.WaitForOutput("verified:  yes")) << client.output();
  client.Write("hello to gnutls\n");
  EXPECT_TRUE(client.WaitForOutput("hello to gnutls")) << client.output();
  client.Signal(SIGKILL);
}

// OpenSSL 3.0 has no Ed25519 certificates on DTLS servers: it looks for TLS 1.2
// by its number.
using OpensslServerTest = InteropTest;
INSTANTIATE_TEST_SUITE_P(Keys, OpensslServerTest,
                         ::testing::Values(KeyType::kEcdsaP256,
                                           KeyType::kRsa2048));

TEST_P(OpensslServerTest, TalksToOurClient) {
  const std::string address = absl::StrCat("127.0.0.1:", FreeUdpPort());
  Process server({"openssl", "s_server", "-dtls", "-accept", address, "-cert",
                  File("server.pem"), "-key", File("server.key"), "-listen",
                  "-alpn", "echo", "-CAfile", ca_, "-Verify", "2",
                  "-verify_return_error"});
  ASSERT_TRUE(server.WaitForOutput("ACCEPT")) << server.output();
  Process client({Runfile("tools/client"), address, absl::StrCat("--ca=", ca_),
                  absl::StrCat("--cert=", File("client.pem")),
                  absl::StrCat("--key=", File("client.key")), "--alpn=echo",
                  "--info", "--linger=100ms"});
  ASSERT_TRUE(client.WaitForOutput("verified:  yes")) << client.output();
  EXPECT_TRUE(client.WaitForOutput("alpn:      echo"));
  client.Write("to the server\n");
  EXPECT_TRUE(server.WaitForOutput("to the server")) << server.output();
  server.Write("to the client\n");
  EXPECT_TRUE(client.WaitForOutput("to the client")) << client.output();
  client.CloseInput();
  EXPECT_EQ(client.Wait(), 0) << client.output();
}

using PskInteropTest = InteropTest;
INSTANTIATE_TEST_SUITE_P(Psk, PskInteropTest,
                         ::testing::Values(KeyType::kEcdsaP256));

TEST_P(PskInteropTest, OpensslClientWithPreSharedKey) {
  for (const std::string& cipher : {std::string("ECDHE-PSK-CHACHA20-POLY1305"),
                                    std::string("ECDHE-PSK-AES128-CBC-SHA")}) {
    std::vector<std::string> flags = {absl::StrCat("--psk=sensor1:", kPsk)};
    if (absl::StrContains(cipher, "CBC")) {
      flags.push_back(absl::StrCat("--ciphers=", cipher));
    }
    Process server(EchoServer(flags));
    Process client({"openssl", "s_client", "-dtls", "-connect",
                    AddressOf(server), "-psk_identity", "sensor1", "-psk", kPsk,
                    "-cipher", absl::StrCat(cipher, ":@SECLEVEL=0"), "-quiet"});
    client.Write("hello with psk\n");
    EXPECT_TRUE(client.WaitForOutput("hello with psk")) << client.output();
    client.Signal(SIGINT);
    client.Wait();
    StopServer(server);
  }
}

TEST_P(PskInteropTest, OpensslServerWithPreSharedKey) {
  const std::string address = absl::StrCat("127.0.0.1:", FreeUdpPort());
  Process server({"openssl", "s_server", "-dtls", "-accept", address, "-nocert",
                  "-psk_identity", "sensor1", "-psk", kPsk, "-listen",
                  "-cipher", "ECDHE-PSK-CHACHA20-POLY1305"});
  ASSERT_TRUE(server.WaitForOutput("ACCEPT")) << server.output();
  Process client({Runfile("tools/client"), address,
                  absl::StrCat("--psk=sensor1:", kPsk), "--info",
                  "--linger=100ms"});
  ASSERT_TRUE(client.WaitForOutput("psk:       sensor1")) << client.output();
  client.Write("to the server\n");
  EXPECT_TRUE(server.WaitForOutput("to the server")) << server.output();
  server.Write("to the client\n");
  EXPECT_TRUE(client.WaitForOutput("to the client")) << client.output();
  client.CloseInput();
  EXPECT_EQ(client.Wait(), 0) << client.output();
}

}  // namespace
}  // namespace cordon::testing
