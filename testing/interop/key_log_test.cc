// What we send, decrypted by tshark with the keys that we logged.
#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cordon/testing/interop/datagram_relay.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

class KeyLogTest : public ToolsTest {
 protected:
  // What tshark reads of a capture with these keys: application data in
  // hexadecimal.
  static std::string Decrypted(const std::string& capture,
                               const std::string& port,
                               const std::string& key_log) {
    return Run({"tshark", "-r", capture, "-o",
                absl::StrCat("tls.keylog_file:", key_log), "-d",
                absl::StrCat("udp.port==", port, ",dtls"), "-Y", "dtls", "-T",
                "fields", "-e", "data.data"});
  }
};

// ACCEPTANCE: QB16
TEST_F(KeyLogTest, TsharkReadsWhatWasSaid) {
  const std::string client_log = File("client.keys");
  const std::string server_log = File("server.keys");
  const std::string keep = absl::StrCat("--session_file=", File("session"));
  const std::string nothing = folder_.Write("no.keys", "");
  // Not ChaCha20-Poly1305, which tshark 4.0 cannot decrypt in DTLS 1.2,
  // OpenSSL's sessions included.
  for (const char* cipher :
       {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"}) {
    Process server(ServerCommand({absl::StrCat("--ciphers=", cipher),
                                  absl::StrCat("--keylog=", server_log)}));
    const std::string address = AddressOf(Started(server));
    const std::string port = address.substr(address.rfind(':') + 1);
    int number = 0;
    ASSERT_TRUE(absl::SimpleAtoi(port, &number));
    // The second session is resumed, which has keys of its own.
    for (const char* message : {"what was said", "what was said again"}) {
      SCOPED_TRACE(absl::StrCat(cipher, " ", message));
      DatagramRelay relay(static_cast<uint16_t>(number));
      Process client(
          ClientCommand(absl::StrCat("127.0.0.1:", relay.port()),
                        {absl::StrCat("--keylog=", client_log), keep}));
      client.Write(absl::StrCat(message, "\n"));
      ASSERT_TRUE(client.WaitForOutput(absl::StrCat(message, "\n")))
          << client.output();
      client.CloseInput();
      EXPECT_EQ(client.Wait(), 0) << client.output();
      const std::string capture = folder_.Write("capture.pcap", relay.Stop());

      const std::string plain = absl::BytesToHexString(message);
      EXPECT_FALSE(absl::StrContains(Decrypted(capture, port, nothing), plain));
      for (const std::string& log : {client_log, server_log}) {
        const std::string seen = Decrypted(capture, port, log);
        // On its way there and on its way back.
        const size_t there = seen.find(absl::StrCat(plain, "\n"));
        ASSERT_NE(there, std::string::npos) << log << "\n" << seen;
        EXPECT_NE(seen.find(absl::StrCat(plain, "\n"), there + plain.size()),
                  std::string::npos)
            << log << "\n"
            << seen;
      }
    }
  }
}

}  // namespace
}  // namespace cordon::testing
