// Every kind of wrong certificate, with the programs themselves: the client
// refuses it, says what is wrong, and goes on if told that this does not count.
#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/credentials.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/system/tools_fixture.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

constexpr char kGoOn[] = "; to go on all the same: --ignore=";

class WrongCertificatesTest : public ToolsTest {
 protected:
  // A client with these flags is refused with `text`, and told to ignore `ids`;
  // with just that it goes on, also with a server that is asked for anew.
  void ExpectWrong(const dtls::Certificate& certificate,
                   const std::vector<std::string>& client_flags,
                   const std::string& text, const std::string& ids) const {
    Process server(ServerCommandWith(certificate));
    const std::string address = AddressOf(Started(server));
    const std::string line =
        ExpectFailure(ClientCommand(address, client_flags), 1, text);
    const size_t hint = line.find(kGoOn);
    ASSERT_NE(hint, std::string::npos) << line;
    const std::string advised = line.substr(hint + sizeof(kGoOn) - 1);
    EXPECT_EQ(advised, ids) << line;

    std::vector<std::string> flags = client_flags;
    flags.push_back(absl::StrCat("--ignore=", advised));
    flags.emplace_back("--info");
    const std::string output = ExpectEcho(ClientCommand(address, flags));
    EXPECT_TRUE(absl::StrContains(output, "verified:  no")) << output;
    EXPECT_TRUE(absl::StrContains(output, absl::StrCat("ignored:   ", advised)))
        << output;

    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0);
    EXPECT_TRUE(absl::StrContains(server.output(), "1 completed, 1 failed"))
        << server.output();
  }
  void ExpectGood(const dtls::Certificate& certificate,
                  const std::vector<std::string>& client_flags) const {
    Process server(ServerCommandWith(certificate));
    std::vector<std::string> flags = client_flags;
    flags.emplace_back("--info");
    const std::string output =
        ExpectEcho(ClientCommand(AddressOf(Started(server)), flags));
    EXPECT_TRUE(absl::StrContains(output, "verified:  yes")) << output;
    EXPECT_FALSE(absl::StrContains(output, "ignored:")) << output;
  }

  dtls::Certificate Good() const {
    return authority_.Issue(
        {.common_name = "leaf", .dns_names = {"localhost"}});
  }
};

// The first certificate of `pem` with its last byte, in the signature, changed.
std::string Damaged(const std::string& pem) {
  const std::string begin = "-----BEGIN CERTIFICATE-----";
  const std::string end = "-----END CERTIFICATE-----";
  const size_t from = pem.find(begin) + begin.size();
  std::string der;
  EXPECT_TRUE(absl::Base64Unescape(
      absl::StrReplaceAll(pem.substr(from, pem.find(end) - from), {{"\n", ""}}),
      &der));
  der.back() = static_cast<char>(der.back() ^ 1);
  std::string damaged = absl::StrCat(begin, "\n");
  const std::string text = absl::Base64Escape(der);
  for (size_t i = 0; i < text.size(); i += 64) {
    absl::StrAppend(&damaged, text.substr(i, 64), "\n");
  }
  return absl::StrCat(damaged, end, "\n");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, Expired) {
  ExpectWrong(authority_.Issue({.common_name = "old",
                                .dns_names = {"localhost"},
                                .not_after = absl::Now() - absl::Hours(1)}),
              {}, "expired: certificate 0 (CN=old)", "expired");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, NotYetValid) {
  ExpectWrong(authority_.Issue({.common_name = "new",
                                .dns_names = {"localhost"},
                                .not_before = absl::Now() + absl::Hours(1)}),
              {}, "not yet valid: certificate 0 (CN=new)", "not_yet_valid");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, SelfSigned) {
  const dtls::Certificate alone =
      testing::SelfSigned({.common_name = "alone", .dns_names = {"localhost"}});
  ExpectWrong(alone, {}, "self-signed certificate: certificate 0 (CN=alone)",
              "self_signed");
  // Whoever knows it can trust it.
  ExpectGood(alone, {absl::StrCat(
                        "--ca=", folder_.Write("alone.pem", alone.chain_pem))});
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, UnknownAuthority) {
  const TestAuthority other("Other CA");
  const dtls::Certificate stranger =
      other.Issue({.common_name = "stranger", .dns_names = {"localhost"}});
  ExpectWrong(stranger, {}, "unknown issuer: certificate 0 (CN=stranger)",
              "unable_to_get_local_issuer");
  dtls::Certificate with_root = stranger;
  with_root.chain_pem += other.certificate_pem();
  ExpectWrong(with_root, {},
              "untrusted root certificate: certificate 1 (CN=Other CA)",
              "self_signed_in_chain");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, IncompleteChain) {
  const TestAuthority middle = authority_.IssueAuthority("Middle CA");
  dtls::Certificate leaf =
      middle.Issue({.common_name = "leaf", .dns_names = {"localhost"}});
  ExpectGood(leaf, {});
  leaf.chain_pem = leaf.chain_pem.substr(
      0, leaf.chain_pem.find("-----BEGIN CERTIFICATE-----", 1));
  ExpectWrong(leaf, {}, "unknown issuer: certificate 0 (CN=leaf)",
              "unable_to_get_local_issuer");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, WrongName) {
  ExpectWrong(authority_.Issue({.common_name = "localhost",
                                .dns_names = {"elsewhere.test"}}),
              {}, "name mismatch: certificate 0 (CN=localhost)",
              "host_name_mismatch");
  ExpectWrong(Good(), {"--name=192.0.2.7"}, "it is not for \"192.0.2.7\"",
              "host_name_mismatch");
}

TEST_F(WrongCertificatesTest, CommonNameCountsOnlyWhenAllowed) {
  const dtls::Certificate old_style =
      authority_.Issue({.common_name = "localhost"});
  ExpectWrong(old_style, {}, "name mismatch", "host_name_mismatch");
  ExpectGood(old_style, {"--common_name"});
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, WrongUsage) {
  ExpectWrong(authority_.Issue({.common_name = "person",
                                .dns_names = {"localhost"},
                                .usage = "clientAuth"}),
              {}, "wrong usage: certificate 0 (CN=person)", "invalid_purpose");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, Revoked) {
  const dtls::Certificate revoked = Good();
  const std::string crl = absl::StrCat(
      "--crl=", folder_.Write("crl.pem", authority_.Crl({revoked})));
  ExpectWrong(revoked, {crl}, "revoked: certificate 0 (CN=leaf)", "revoked");
  ExpectGood(Good(), {crl});
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, RevocationListMissingOrOld) {
  const std::string others = absl::StrCat(
      "--crl=", folder_.Write("others.pem", TestAuthority("Other CA").Crl({})));
  ExpectWrong(Good(), {others}, "no revocation list: certificate 0 (CN=leaf)",
              "crl_unavailable");
  const std::string old = absl::StrCat(
      "--crl=",
      folder_.Write("old.pem",
                    authority_.Crl({}, absl::Now() - absl::Hours(1))));
  ExpectWrong(Good(), {old}, "invalid revocation list: certificate 0 (CN=leaf)",
              "crl_invalid");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, Blocked) {
  const TestAuthority middle = authority_.IssueAuthority("Middle CA");
  const dtls::Certificate leaf =
      middle.Issue({.common_name = "leaf", .dns_names = {"localhost"}});
  auto blocked = [](const std::string& pem) {
    return absl::StrCat("--blocked=", std::string(64, '0'), ",",
                        *dtls::FingerprintOf(pem));
  };
  ExpectWrong(leaf, {blocked(leaf.chain_pem)},
              "blocked: certificate 0 (CN=leaf)", "blocked");
  ExpectWrong(leaf, {blocked(middle.certificate_pem())},
              "blocked: certificate 1 (CN=Middle CA)", "blocked");
  ExpectWrong(leaf, {blocked(authority_.certificate_pem())},
              "blocked: certificate 2 (CN=Tools CA)", "blocked");
  ExpectGood(Good(), {blocked(leaf.chain_pem)});
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, ChainTooLong) {
  const TestAuthority middle = authority_.IssueAuthority("Middle CA");
  const dtls::Certificate leaf =
      middle.Issue({.common_name = "leaf", .dns_names = {"localhost"}});
  ExpectWrong(leaf, {"--verify_depth=0"},
              "chain too long: certificate 1 (CN=Middle CA)", "path_too_long");
  ExpectGood(leaf, {"--verify_depth=1"});
  ExpectGood(Good(), {"--verify_depth=0"});
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, WeakKey) {
  ExpectWrong(authority_.Issue({.common_name = "weak",
                                .dns_names = {"localhost"},
                                .key = KeyType::kRsa1024}),
              {}, "weak key: certificate 0 (CN=weak)", "weak_key");
  const TestAuthority middle =
      authority_.IssueAuthority("Weak CA", 0, KeyType::kRsa1024);
  ExpectWrong(middle.Issue({.dns_names = {"localhost"}}), {},
              "weak key: certificate 1 (CN=Weak CA)", "weak_key");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, WeakSignature) {
  ExpectWrong(
      authority_.Issue(
          {.common_name = "weak", .dns_names = {"localhost"}, .sha1 = true}),
      {}, "weak signature: certificate 0 (CN=weak)", "weak_signature");
  const TestAuthority rsa("RSA CA", KeyType::kRsa2048);
  ExpectWrong(
      rsa.Issue(
          {.common_name = "weak", .dns_names = {"localhost"}, .sha1 = true}),
      {absl::StrCat("--ca=", folder_.Write("rsa.pem", rsa.certificate_pem()))},
      "weak signature: certificate 0 (CN=weak)", "weak_signature");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, DamagedSignature) {
  dtls::Certificate damaged = Good();
  damaged.chain_pem = Damaged(damaged.chain_pem);
  ExpectWrong(damaged, {}, "invalid signature: certificate 0 (CN=leaf)",
              "signature_invalid");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, IssuerThatIsNoAuthority) {
  Run({"openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
       "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=below", "-addext",
       "subjectAltName=DNS:localhost", "-keyout", File("below.key"), "-out",
       File("below.csr")});
  Run({"openssl", "x509", "-req", "-in", File("below.csr"), "-CA", cert_,
       "-CAkey", key_, "-copy_extensions", "copy", "-days", "30", "-out",
       File("below.pem")});
  dtls::Certificate below;
  below.chain_pem = ReadFile(File("below.pem")) + ReadFile(cert_);
  below.key_pem = ReadFile(File("below.key"));
  ExpectWrong(below, {},
              "issuer is no certificate authority: certificate 1 (CN=server)",
              "invalid_ca,invalid_purpose");
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, SeveralErrorsAreAllNamed) {
  const dtls::Certificate bad =
      authority_.Issue({.common_name = "bad",
                        .dns_names = {"elsewhere.test"},
                        .key = KeyType::kRsa1024,
                        .usage = "clientAuth",
                        .not_after = absl::Now() - absl::Hours(1)});
  ExpectWrong(bad, {}, "name mismatch",
              "invalid_purpose,expired,weak_key,host_name_mismatch");
  // To ignore one of them is not enough, and the advice is complete.
  Process server(ServerCommandWith(bad));
  const std::string line = ExpectFailure(
      ClientCommand(AddressOf(Started(server)), {"--ignore=expired"}), 1,
      "name mismatch");
  EXPECT_FALSE(absl::StrContains(line, "expired: certificate")) << line;
  EXPECT_TRUE(absl::EndsWith(
      line, "--ignore=expired,invalid_purpose,weak_key,host_name_mismatch"))
      << line;
}

// ACCEPTANCE: QE5, QT10, QT14
TEST_F(WrongCertificatesTest, ServersRefuseClients) {
  const dtls::Certificate old = authority_.Issue(
      {.common_name = "old client", .not_after = absl::Now() - absl::Hours(1)});
  const std::vector<std::string> ours = {
      absl::StrCat("--cert=", folder_.Write("client.pem", old.chain_pem)),
      absl::StrCat("--key=", folder_.Write("client.key", old.key_pem))};
  Process server(ServerCommand(
      {"--client_auth=require", "--verbose", absl::StrCat("--ca=", ca_)}));
  const std::string address = AddressOf(Started(server));
  ExpectFailure(ClientCommand(address, ours), 1, "certificate_expired");
  EXPECT_TRUE(server.WaitForOutput("expired: certificate 0 (CN=old client)"))
      << server.output();
  EXPECT_TRUE(server.WaitForOutput("[expired]")) << server.output();
  ExpectFailure(ClientCommand(address), 1, "handshake_failure");
  EXPECT_TRUE(server.WaitForOutput("no certificate")) << server.output();
  EXPECT_TRUE(server.WaitForOutput("[no_peer_certificate]")) << server.output();
}

}  // namespace
}  // namespace cordon::testing
