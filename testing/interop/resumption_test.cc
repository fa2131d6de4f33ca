// Resumed sessions, key material and SRTP profiles with OpenSSL as the other
// side.
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

class ResumptionTest : public ToolsTest {
 protected:
  // `openssl s_client`, which sends a line and gets it back. What it printed.
  std::string SClient(const std::string& address,
                      const std::vector<std::string>& more) const {
    std::vector<std::string> command = {
        "timeout",  "60",    "openssl", "s_client", "-dtls1_2",
        "-connect", address, "-CAfile", ca_,        "-verify_return_error"};
    command.insert(command.end(), more.begin(), more.end());
    Process client(std::move(command));
    EXPECT_TRUE(client.WaitForOutput("Verify return code: 0"))
        << client.output();
    client.Write("from openssl\n");
    EXPECT_TRUE(client.WaitForOutput("\nfrom openssl\n")) << client.output();
    // A line that begins with Q ends it in order.
    client.Write("Q\n");
    EXPECT_EQ(client.Wait(), 0) << client.output();
    return client.output();
  }

  // `openssl s_server` on a port that nobody else uses.
  std::vector<std::string> SServerCommand(
      const std::string& address, const std::vector<std::string>& more) const {
    std::vector<std::string> command = {"openssl", "s_server", "-dtls1_2",
                                        "-accept", address,    "-cert",
                                        cert_,     "-key",     key_};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
  // Our client sends a line to s_server. What it printed.
  std::string OurClient(Process& server, const std::string& address,
                        const std::vector<std::string>& more,
                        const std::string& line) const {
    std::vector<std::string> flags = more;
    flags.emplace_back("--info");
    Process client(ClientCommand(address, flags));
    client.Write(absl::StrCat(line, "\n"));
    EXPECT_TRUE(server.WaitForOutput(line)) << server.output();
    client.CloseInput();
    EXPECT_EQ(client.Wait(), 0) << client.output();
    return client.output();
  }
};

// ACCEPTANCE: QC7
TEST_F(ResumptionTest, OpensslClientResumes) {
  struct Case {
    std::vector<std::string> server;
    bool resumed;
  };
  const std::vector<Case> cases = {
      {{"--nosession_ids"}, true},
      {{"--nosession_tickets"}, true},
      {{"--nosession_tickets", "--nosession_ids"}, false}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.server.back());
    std::vector<std::string> flags = c.server;
    flags.emplace_back("--verbose");
    Process server(ServerCommand(flags));
    const std::string address = AddressOf(Started(server));
    const std::string first =
        SClient(address, {"-sess_out", File("session.pem")});
    EXPECT_TRUE(absl::StrContains(first, "New, TLSv1.2")) << first;
    EXPECT_EQ(absl::StrContains(first, "TLS session ticket:"),
              c.server.front() == "--nosession_ids")
        << first;
    EXPECT_TRUE(server.WaitForOutput(": closed in order"));
    const std::string second =
        SClient(address, {"-sess_in", File("session.pem")});
    EXPECT_EQ(absl::StrContains(second, "Reused, TLSv1.2"), c.resumed)
        << second;
    EXPECT_TRUE(server.WaitForOutput(": closed in order"));
    EXPECT_EQ(absl::StrContains(server.output(), " resumed: closed in order"),
              c.resumed)
        << server.output();
  }
}

// ACCEPTANCE: QC7
TEST_F(ResumptionTest, OurClientResumesWithOpenssl) {
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{}, {"-no_ticket"}}) {
    SCOPED_TRACE(flags.size());
    const std::string address = absl::StrCat("127.0.0.1:", FreeUdpPort());
    Process server(SServerCommand(address, flags));
    ASSERT_TRUE(server.WaitForOutput("ACCEPT")) << server.output();
    const std::string keep = absl::StrCat(
        "--session_file=", File(absl::StrCat("session", flags.size())));
    const std::string first = OurClient(server, address, {keep}, "line one");
    EXPECT_TRUE(absl::StrContains(first, "resumed:   no")) << first;
    for (const char* line : {"line two", "line three"}) {
      const std::string again = OurClient(server, address, {keep}, line);
      EXPECT_TRUE(absl::StrContains(again, "resumed:   yes")) << again;
      EXPECT_TRUE(absl::StrContains(again, "verified:  yes")) << again;
    }
    EXPECT_TRUE(absl::StrContains(server.output(), "Reused session-id"))
        << server.output();
  }
}

// The value on the line of `output` that begins with `label`, in lower case.
std::string ValueAfter(const std::string& output, const std::string& label) {
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (absl::StartsWith(line, label)) {
      return absl::AsciiStrToLower(
          absl::StripAsciiWhitespace(line.substr(label.size())));
    }
  }
  return "";
}

// ACCEPTANCE: QB16
TEST_F(ResumptionTest, OpensslExportsTheSameKeyMaterial) {
  const std::string address = absl::StrCat("127.0.0.1:", FreeUdpPort());
  Process server(SServerCommand(
      address, {"-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen",
                "60", "-use_srtp", "SRTP_AEAD_AES_128_GCM"}));
  ASSERT_TRUE(server.WaitForOutput("ACCEPT")) << server.output();
  const std::string output =
      OurClient(server, address,
                {"--export=EXTRACTOR-dtls_srtp:60",
                 "--srtp=SRTP_AEAD_AES_256_GCM,SRTP_AEAD_AES_128_GCM"},
                "to the server");
  const std::string ours = ValueAfter(output, "exported:");
  EXPECT_EQ(ours.size(), 120U) << output;
  EXPECT_EQ(ours, ValueAfter(server.output(), "Keying material:"))
      << server.output();
  EXPECT_TRUE(absl::StrContains(output, "srtp:      SRTP_AEAD_AES_128_GCM"))
      << output;
}

// ACCEPTANCE: QB16
TEST_F(ResumptionTest, OpensslClientNegotiatesSrtp) {
  Process server(ServerCommand({"--srtp=SRTP_AES128_CM_SHA1_80"}));
  const std::string output =
      SClient(AddressOf(Started(server)),
              {"-use_srtp", "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"});
  EXPECT_TRUE(absl::StrContains(
      output, "SRTP Extension negotiated, profile=SRTP_AES128_CM_SHA1_80"))
      << output;
}

TEST_F(ResumptionTest, OpensslClientIsToldThePskHint) {
  const std::string psk = "00112233445566778899aabbccddeeff";
  Process server({Runfile("tools/echo_server"), "--listen=127.0.0.1:0",
                  absl::StrCat("--psk=sensor1:", psk),
                  "--psk_hint=that of the sensor"});
  Process client({"timeout", "60", "openssl", "s_client", "-dtls1_2",
                  "-connect", AddressOf(Started(server)), "-psk_identity",
                  "sensor1", "-psk", psk, "-cipher",
                  "ECDHE-PSK-CHACHA20-POLY1305:@SECLEVEL=0"});
  EXPECT_TRUE(client.WaitForOutput("PSK identity hint: that of the sensor"))
      << client.output();
}

}  // namespace
}  // namespace cordon::testing
