// What the programs' flags do, one by one.
#include <csignal>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/credentials.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using ToolsFlagsTest = ToolsTest;

// ACCEPTANCE: QC5
TEST_F(ToolsFlagsTest, VerifyNoneQueryRequire) {
  const dtls::Certificate bad =
      authority_.Issue({.common_name = "bad",
                        .dns_names = {"elsewhere.test"},
                        .not_after = absl::Now() - absl::Hours(1)});
  Process server(ServerCommandWith(bad));
  const std::string address = AddressOf(Started(server));
  for (const auto& flags :
       std::vector<std::vector<std::string>>{{}, {"--verify=require"}}) {
    ExpectFailure(ClientCommand(address, flags), 1,
                  "--ignore=expired,host_name_mismatch");
  }
  const std::string query =
      ExpectEcho(ClientCommand(address, {"--verify=query", "--info"}));
  EXPECT_TRUE(absl::StrContains(
      query, "client: warning: expired: certificate 0 (CN=bad): "))
      << query;
  EXPECT_TRUE(absl::StrContains(query, " [expired]\n")) << query;
  EXPECT_TRUE(absl::StrContains(query, " [host_name_mismatch]\n")) << query;
  EXPECT_EQ(Shown(query, "verified:"), "no");
  const std::string none =
      ExpectEcho(ClientCommand(address, {"--verify=none", "--info"}));
  EXPECT_FALSE(absl::StrContains(none, "warning")) << none;
  EXPECT_EQ(Shown(none, "verified:"), "no");
}

// ACCEPTANCE: QC5
TEST_F(ToolsFlagsTest, ClientAuthentication) {
  const dtls::Certificate good = authority_.Issue({.common_name = "good one"});
  const dtls::Certificate bad =
      TestAuthority("Other").Issue({.common_name = "bad one"});
  auto flags = [&](const std::string& name, const dtls::Certificate& c) {
    return std::vector<std::string>{
        absl::StrCat("--cert=", folder_.Write(name + ".pem", c.chain_pem)),
        absl::StrCat("--key=", folder_.Write(name + ".key", c.key_pem))};
  };
  const std::vector<std::string> nobody;
  const std::vector<std::string> good_client = flags("good", good);
  const std::vector<std::string> bad_client = flags("bad", bad);
  struct Case {
    const char* mode;
    bool nobody;
    bool bad;
  };
  for (const Case& c :
       {Case{"none", true, true}, Case{"query", true, true},
        Case{"request", true, false}, Case{"require", false, false}}) {
    SCOPED_TRACE(c.mode);
    const std::string auth = absl::StrCat("--client_auth=", c.mode);
    Process server(
        ServerCommand({auth, absl::StrCat("--ca=", ca_), "--verbose"}));
    const std::string address = AddressOf(Started(server));
    ExpectEcho(ClientCommand(address, good_client));
    const bool asked = absl::string_view(c.mode) != "none";
    EXPECT_TRUE(server.WaitForOutput("closed in order"));
    EXPECT_EQ(absl::StrContains(server.output(), "CN=good one"), asked)
        << server.output();
    if (c.nobody) {
      ExpectEcho(ClientCommand(address, nobody));
    } else {
      ExpectFailure(ClientCommand(address, nobody), 1, "handshake_failure");
    }
    if (c.bad) {
      ExpectEcho(ClientCommand(address, bad_client));
    } else {
      ExpectFailure(ClientCommand(address, bad_client), 1, "unknown_ca");
    }
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0);
    EXPECT_EQ(absl::StrContains(server.output(),
                                "warning: unknown issuer: "
                                "certificate 0 (CN=bad one)"),
              absl::string_view(c.mode) == "query")
        << server.output();
  }
}

// ACCEPTANCE: QC7
TEST_F(ToolsFlagsTest, SessionFile) {
  struct Case {
    std::vector<std::string> server;
    bool resumed;
  };
  const std::vector<Case> cases = {
      {{}, true},
      {{"--nosession_tickets"}, true},
      {{"--nosession_ids"}, true},
      {{"--nosession_tickets", "--nosession_ids"}, false}};
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    std::vector<std::string> flags = cases[i].server;
    flags.emplace_back("--verbose");
    Process server(ServerCommand(flags));
    const std::string address = AddressOf(Started(server));
    const std::string path = File(absl::StrCat("session", i));
    const std::vector<std::string> client = {
        "--info", absl::StrCat("--session_file=", path)};
    EXPECT_EQ(Shown(ExpectEcho(ClientCommand(address, client)), "resumed:"),
              "no");
    EXPECT_EQ(ModeOf(path), cases[i].resumed ? 0600 : -1);
    EXPECT_TRUE(server.WaitForOutput("closed in order"));
    EXPECT_FALSE(absl::StrContains(server.output(), "resumed"));
    for (int again = 0; again < 2; ++again) {
      const std::string output = ExpectEcho(ClientCommand(address, client));
      EXPECT_EQ(Shown(output, "resumed:"), cases[i].resumed ? "yes" : "no");
      EXPECT_EQ(Shown(output, "verified:"), "yes");
      EXPECT_TRUE(server.WaitForOutput("closed in order"));
      EXPECT_EQ(absl::StrContains(server.output(), " resumed: closed"),
                cases[i].resumed)
          << server.output();
    }
  }
}

// ACCEPTANCE: QC7
TEST_F(ToolsFlagsTest, AResumedSessionIsJudgedAgain) {
  Process server(ServerCommand());
  const std::string address = AddressOf(Started(server));
  const std::string keep = absl::StrCat("--session_file=", File("session"));
  ExpectEcho(ClientCommand(address, {keep}));
  ExpectFailure(ClientCommand(address, {keep, "--name=elsewhere.test"}), 1,
                "--ignore=host_name_mismatch");
  ExpectFailure(
      ClientCommand(
          address, {keep, absl::StrCat("--blocked=",
                                       *dtls::FingerprintOf(ReadFile(cert_)))}),
      1, "--ignore=blocked");
  EXPECT_EQ(
      Shown(ExpectEcho(ClientCommand(address, {keep, "--info"})), "resumed:"),
      "yes");
}

// ACCEPTANCE: QC7
TEST_F(ToolsFlagsTest, SessionFilesThatAreNone) {
  const std::string junk = folder_.Write("junk", "no session at all");
  ExpectFailure(
      ClientCommand("127.0.0.1:1", {absl::StrCat("--session_file=", junk)}), 1,
      junk);
  EXPECT_EQ(ReadFile(junk), "no session at all");
  ExpectFailure(ClientCommand("127.0.0.1:1", {absl::StrCat("--session_file=",
                                                           folder_.path())}),
                1, folder_.path());
  Process server(ServerCommand());
  const std::string nowhere = absl::StrCat(folder_.path(), "/none/session");
  ExpectFailure(ClientCommand(AddressOf(Started(server)),
                              {absl::StrCat("--session_file=", nowhere)}),
                1, nowhere);
}

// ACCEPTANCE: QC7
TEST_F(ToolsFlagsTest, ServersWithOneTicketSecretShareSessions) {
  const std::string secret =
      absl::StrCat("--ticket_secret=", std::string(64, 'a'));
  const std::string cookie =
      absl::StrCat("--cookie_secret=", std::string(32, 'b'));
  Process first(ServerCommand({secret, cookie}));
  Process second(ServerCommand({secret, cookie}));
  Process stranger(ServerCommand({cookie}));
  const std::vector<std::string> client = {
      "--info", absl::StrCat("--session_file=", File("session"))};
  for (auto [server, resumed] :
       {std::pair{&first, "no"}, {&second, "yes"}, {&stranger, "no"}}) {
    const std::string output =
        ExpectEcho(ClientCommand(AddressOf(Started(*server)), client));
    EXPECT_EQ(Shown(output, "resumed:"), resumed);
  }
}

// ACCEPTANCE: QB16
TEST_F(ToolsFlagsTest, KeyLogsOfBothSidesAgree) {
  const std::string log_of_server = File("server.log");
  const std::string log_of_client = File("client.log");
  Process server(ServerCommand({absl::StrCat("--keylog=", log_of_server)}));
  const std::string address = AddressOf(Started(server));
  for (int i = 1; i <= 2; ++i) {
    ExpectEcho(
        ClientCommand(address, {absl::StrCat("--keylog=", log_of_client)}));
    const std::vector<std::string> lines =
        absl::StrSplit(ReadFile(log_of_client), '\n', absl::SkipEmpty());
    ASSERT_EQ(lines.size(), static_cast<size_t>(i));
    // The label, 32 random bytes, 48 bytes of the master secret.
    EXPECT_TRUE(absl::StartsWith(lines.back(), "CLIENT_RANDOM "));
    EXPECT_EQ(lines.back().size(), 14U + 64 + 1 + 96);
    EXPECT_EQ(ReadFile(log_of_server), ReadFile(log_of_client));
  }
  EXPECT_EQ(ModeOf(log_of_client), 0600);
  EXPECT_EQ(ModeOf(log_of_server), 0600);
}

// ACCEPTANCE: QB16
TEST_F(ToolsFlagsTest, Export) {
  Process server(ServerCommand());
  const std::string address = AddressOf(Started(server));
  const std::string label = "EXTRACTOR-dtls_srtp";
  std::vector<std::string> keys;
  for (const char* length : {"60", "60", "1", "4096"}) {
    const std::string output = ExpectEcho(ClientCommand(
        address, {absl::StrCat("--export=", label, ":", length)}));
    keys.push_back(Shown(output, "exported:"));
    EXPECT_EQ(keys.back().find_first_not_of("0123456789abcdef"),
              std::string::npos);
  }
  EXPECT_EQ(keys[0].size(), 120U);
  EXPECT_NE(keys[0], keys[1]);
  EXPECT_EQ(keys[2].size(), 2U);
  EXPECT_EQ(keys[3].size(), 8192U);
}

// ACCEPTANCE: QB16
TEST_F(ToolsFlagsTest, Srtp) {
  Process server(
      ServerCommand({"--srtp=SRTP_AEAD_AES_256_GCM,SRTP_AEAD_AES_128_GCM"}));
  const std::string address = AddressOf(Started(server));
  auto profile = [&](const std::vector<std::string>& flags) {
    std::vector<std::string> all = flags;
    all.emplace_back("--info");
    return Shown(ExpectEcho(ClientCommand(address, all)), "srtp:");
  };
  EXPECT_EQ(profile({}), "");
  EXPECT_EQ(profile({"--srtp=SRTP_AES128_CM_SHA1_80"}), "");
  EXPECT_EQ(profile({"--srtp=SRTP_AES128_CM_SHA1_80,SRTP_AEAD_AES_128_GCM"}),
            "SRTP_AEAD_AES_128_GCM");
}

TEST_F(ToolsFlagsTest, Pkcs12OnBothSides) {
  const dtls::Certificate client = authority_.Issue({.common_name = "bundled"});
  const std::string client_pem = folder_.Write("c.pem", client.chain_pem);
  const std::string client_key = folder_.Write("c.key", client.key_pem);
  auto bundle = [&](const std::string& cert, const std::string& key,
                    const std::string& password, const std::string& name) {
    Run({"openssl", "pkcs12", "-export", "-in", cert, "-inkey", key, "-passout",
         absl::StrCat("pass:", password), "-out", File(name)});
    return absl::StrCat("--p12=", File(name));
  };
  const std::string server_p12 = bundle(cert_, key_, "", "server.p12");
  const std::string client_p12 =
      bundle(client_pem, client_key, "open sesame", "client.p12");
  Process server({Runfile("tools/echo_server"), "--listen=127.0.0.1:0",
                  server_p12, "--client_auth=require",
                  absl::StrCat("--ca=", ca_), "--verbose"});
  const std::string address = AddressOf(Started(server));
  ExpectEcho(ClientCommand(address, {client_p12, "--password=open sesame"}));
  EXPECT_TRUE(server.WaitForOutput("CN=bundled: closed in order"))
      << server.output();
  ExpectFailure(ClientCommand(address, {client_p12, "--password=shut"}), 1,
                "the password is wrong");
  ExpectFailure(ClientCommand(address, {client_p12}), 1,
                "the password is wrong");
  ExpectFailure(ClientCommand(address, {absl::StrCat("--p12=", ca_)}), 1, ca_);
}

TEST_F(ToolsFlagsTest, EncryptedKey) {
  Run({"openssl", "pkey", "-in", key_, "-aes256", "-passout", "pass:sesame",
       "-out", File("locked.key")});
  const std::string key = absl::StrCat("--key=", File("locked.key"));
  Process server(ServerCommand({key, "--password=sesame"}));
  ExpectEcho(ClientCommand(AddressOf(Started(server))));
  ExpectFailure(ServerCommand({key}), 1, "is encrypted: give its password");
  ExpectFailure(ServerCommand({key, "--password=shut"}), 1,
                "the password is wrong");
}

TEST_F(ToolsFlagsTest, KeysOfOtherKindsAreRefused) {
  for (auto [curve, why] :
       {std::pair{"P-224", "P-256, P-384 or P-521"},
        {"secp256k1", "must be an ECDSA, RSA or Ed25519 key"}}) {
    Run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         absl::StrCat("ec_paramgen_curve:", curve), "-nodes", "-subj", "/CN=x",
         "-keyout", File("odd.key"), "-out", File("odd.pem")});
    ExpectFailure(ServerCommand({absl::StrCat("--cert=", File("odd.pem")),
                                 absl::StrCat("--key=", File("odd.key"))}),
                  1, why);
  }
}

TEST_F(ToolsFlagsTest, TrustFromAFolder) {
  std::filesystem::create_directory(File("trusted"));
  folder_.Write("trusted/one.pem", TestAuthority("Other").certificate_pem());
  folder_.Write("trusted/two.pem", authority_.certificate_pem());
  Process server(ServerCommand());
  const std::string address = AddressOf(Started(server));
  ExpectEcho(ClientCommand(address, {absl::StrCat("--ca=", File("trusted"))}));
  std::filesystem::create_directory(File("empty"));
  ExpectFailure(ClientCommand(address, {absl::StrCat("--ca=", File("empty"))}),
                1, File("empty"));
  // A file without any does not spoil the others.
  folder_.Write("trusted/nothing", "");
  ExpectEcho(ClientCommand(address, {absl::StrCat("--ca=", File("trusted"))}));
}

TEST_F(ToolsFlagsTest, ServerNameChoosesTheCertificate) {
  auto sni = [&](const std::string& name, const std::string& asked) {
    const dtls::Certificate c =
        authority_.Issue({.common_name = "for " + name, .dns_names = {name}});
    return absl::StrCat("--sni=", asked, "=",
                        folder_.Write(name + ".pem", c.chain_pem), ":",
                        folder_.Write(name + ".key", c.key_pem));
  };
  Process server(ServerCommand(
      {sni("one.test", "one.test"), sni("*.two.test", "any.two.test")}));
  const std::string address = AddressOf(Started(server));
  for (auto [name, peer] : {std::pair{"localhost", "CN=server"},
                            {"one.test", "CN=for one.test"},
                            {"some.two.test", "CN=for *.two.test"}}) {
    const std::string output = ExpectEcho(
        ClientCommand(address, {absl::StrCat("--name=", name), "--info"}));
    EXPECT_EQ(Shown(output, "peer:"), peer);
  }
  ExpectFailure(
      ClientCommand(address, {"--name=three.test", "--verify=require"}), 1,
      "(CN=server)");
  ExpectFailure(ServerCommand({sni("one.test", "three.test")}), 1,
                "is not for \"three.test\"");
}

TEST_F(ToolsFlagsTest, WhatIsNegotiated) {
  const std::string aes = "ECDHE-ECDSA-AES128-GCM-SHA256";
  const std::string chacha = "ECDHE-ECDSA-CHACHA20-POLY1305";
  const std::string ours = absl::StrCat("--ciphers=", aes, ":", chacha);
  const std::string theirs = absl::StrCat("--ciphers=", chacha, ":", aes);
  for (bool client_first : {false, true}) {
    // P-256 is the group of the server's key, which must be among them, too.
    std::vector<std::string> flags = {ours, "--groups=P-384:P-256"};
    if (client_first) flags.emplace_back("--prefer_client_ciphers");
    Process server(ServerCommand(flags));
    const std::string output = ExpectEcho(
        ClientCommand(AddressOf(Started(server)),
                      {theirs, "--groups=X25519:P-384:P-256", "--info"}));
    EXPECT_EQ(Shown(output, "cipher:"), client_first ? chacha : aes);
    EXPECT_EQ(Shown(output, "group:"), "P-384");
  }
}

TEST_F(ToolsFlagsTest, PreSharedKeyIsShown) {
  Process server({Runfile("tools/echo_server"), "--listen=127.0.0.1:0",
                  "--psk=sensor1:00112233445566778899aabbccddeeff",
                  "--psk_hint=use yours", "--verbose"});
  ExpectEcho({Runfile("tools/client"), AddressOf(Started(server)),
              "--psk=sensor1:00112233445566778899aabbccddeeff",
              "--linger=200ms"});
  EXPECT_TRUE(server.WaitForOutput("sensor1: closed in order"))
      << server.output();
}

TEST_F(ToolsFlagsTest, BadValuesAreWrongUsage) {
  auto client = [&](const std::string& flag, const std::string& why) {
    ExpectFailure(ClientCommand("127.0.0.1:1", {flag}), 2, why);
  };
  auto server = [&](const std::string& flag, const std::string& why) {
    ExpectFailure(ServerCommand({flag}), 2, why);
  };
  client("--ignore=everything", "host_name_mismatch");
  client("--ignore=expired,bogus", "\"bogus\"");
  client("--verify=maybe", "none, query or require");
  client("--common_name=perhaps", "perhaps");
  client("--export=label", "LABEL:LENGTH");
  client("--export=:32", "LABEL:LENGTH");
  client("--export=label:0", "from 1 to 4096");
  client("--export=label:4097", "from 1 to 4096");
  client("--export=label:-1", "LABEL:LENGTH");
  client("--timeout=0", "handshake_deadline is 0");
  client("--linger=-1s", "negative");
  server("--stats_interval=-1s", "negative");
  server("--handshake_deadline=0", "handshake_deadline is 0");
  server("--idle_timeout=0", "idle_timeout is 0");
  server("--max_queued_messages=0", "max_queued_messages is 0");
  server("--max_queued_bytes=0", "max_queued_bytes is 0");
  server("--max_session_id_bytes=0", "--nosession_ids");
  server("--reactors=1025", "from 0 to 1024");
  server("--client_auth=maybe", "none, query, request or require");
  server("--client_auth=request", "needs --ca");
  server("--sni=nonsense", "NAME=CERT:KEY");
  server("--sni=name=cert", "NAME=CERT:KEY");
  server("--sni==cert:key", "NAME=CERT:KEY");
  server("--cookie_secret=00112233", "at least 16");
  server("--cookie_secret=xyz", "hexadecimal");
  server("--ticket_secret=00112233445566778899aabbccddeeff", "at least 32");
  server("--ticket_secret=123", "even number");
  server("--session_tickets=sometimes", "sometimes");
  server("--session_ids=sometimes", "sometimes");
  server("--prefer_client_ciphers=2", "prefer_client_ciphers");
  server("--p12=x", "--p12 takes the place");
  for (auto& both : std::vector<std::pair<std::string, std::string>>{
           {"--verify_depth=-1", "from 0 to 100"},
           {"--verify_depth=101", "from 0 to 100"},
           {"--verify_depth=deep", "deep"},
           {"--blocked=00:11", "64 hexadecimal digits"},
           {"--srtp=SRTP_NULL", "SRTP_AEAD_AES_128_GCM"},
           {"--ciphers=AES128-SHA", "ECDHE-ECDSA-AES128-GCM-SHA256"},
           {absl::StrCat("--alpn=", std::string(256, 'a')), "255"},
           {"--mtu=255", "from 256 to 65535"},
           {"--replay_window=63", "from 64 to 1024"},
           {"--replay_window=1025", "from 64 to 1024"},
           {"--groups=P-999", "X25519"}}) {
    client(both.first, both.second);
    server(both.first, both.second);
  }
}

TEST_F(ToolsFlagsTest, SessionsOfSilentPeersEnd) {
  Process server(ServerCommand({"--idle_timeout=200ms", "--verbose"}));
  Process client(ClientCommand(AddressOf(Started(server))));
  EXPECT_TRUE(server.WaitForOutput("the peer has sent nothing for 200ms"))
      << server.output();
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
}

TEST_F(ToolsFlagsTest, FilesThatCannotBeReadAreTold) {
  for (const char* flag : {"--crl=/nonexistent", "--ca=/nonexistent",
                           "--keylog=/nonexistent/log"}) {
    ExpectFailure(ClientCommand("127.0.0.1:1", {flag}), 1, "/nonexistent");
    ExpectFailure(ServerCommand({flag}), 1, "/nonexistent");
  }
  ExpectFailure(ClientCommand("127.0.0.1:1", {"--p12=/nonexistent"}), 1,
                "/nonexistent");
  ExpectFailure(ServerCommand({"--sni=localhost=/nonexistent:/none"}), 1,
                "/nonexistent");
  ExpectFailure(ClientCommand("127.0.0.1:1", {absl::StrCat("--crl=", ca_)}), 1,
                "no revocation list");
  const std::string empty = folder_.Write("nothing", "");
  for (const char* flag : {"--ca=", "--crl=", "--p12="}) {
    ExpectFailure(ClientCommand("127.0.0.1:1", {absl::StrCat(flag, empty)}), 1,
                  empty);
    ExpectFailure(
        ClientCommand("127.0.0.1:1", {absl::StrCat(flag, "/dev/zero")}), 1,
        "/dev/zero has more than 16777216 bytes");
  }
}

}  // namespace
}  // namespace cordon::testing
