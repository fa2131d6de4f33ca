// gRPC brings OpenSSL as a shared library, Cordon links BoringSSL statically,
// and the two have functions of the same names. A program that has both must
// export none of BoringSSL's, or OpenSSL's callers would end up there; and both
// must work in it.
#include <grpcpp/grpcpp.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/control_server.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/fake_control/fake_control.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/session_pair/session_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

struct Symbol {
  std::string name;
  char type;
};

std::string ThisProgram() { return Runfile("testing/system/symbols_test"); }

// What nm prints of a program's dynamic symbols, or of all those of an archive,
// without those that are only wanted.
std::vector<Symbol> SymbolsOf(const std::string& file, bool dynamic) {
  std::vector<std::string> command = {"nm", "--format=posix", "--defined-only"};
  if (dynamic) command.push_back("--dynamic");
  command.push_back(file);
  Process nm(std::move(command));
  EXPECT_EQ(nm.Wait(), 0) << nm.output();
  std::vector<Symbol> symbols;
  for (absl::string_view line : absl::StrSplit(nm.output(), '\n')) {
    // "NAME TYPE VALUE SIZE"
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields.size() >= 3 && fields[1].size() == 1) {
      // A version is not part of a name.
      const std::vector<std::string> name = absl::StrSplit(fields[0], '@');
      symbols.push_back({name[0], fields[1][0]});
    }
  }
  return symbols;
}

// The functions and variables that are BoringSSL's own. Left out are those that
// any C++ code may have as well (weak ones: templates of the standard library).
std::set<std::string> NamesOfBoringSsl() {
  std::set<std::string> names;
  for (const char* archive :
       {"../boringssl/libcrypto.a", "../boringssl/libssl.a"}) {
    for (const Symbol& symbol : SymbolsOf(Runfile(archive), false)) {
      if (absl::string_view("TDBRC").find(symbol.type) !=
          absl::string_view::npos) {
        names.insert(symbol.name);
      }
    }
  }
  return names;
}

std::vector<std::string> ExportedOf(const std::set<std::string>& names,
                                    const std::string& program) {
  std::vector<std::string> exported;
  for (const Symbol& symbol : SymbolsOf(program, true)) {
    if (names.count(symbol.name) != 0) exported.push_back(symbol.name);
  }
  return exported;
}

TEST(SymbolsTest, NoSymbolOfBoringSslIsExported) {
  const std::set<std::string> names = NamesOfBoringSsl();
  for (const char* name : {"SSL_new", "EVP_PKEY_new", "CRYPTO_memcmp",
                           "X509_free", "ERR_put_error"}) {
    EXPECT_THAT(names, Contains(name));
  }
  EXPECT_GT(names.size(), 2000u);
  // This program has gRPC as well.
  for (const std::string& program :
       {ThisProgram(), Runfile("tools/echo_server"), Runfile("tools/client")}) {
    EXPECT_THAT(SymbolsOf(program, true), Not(IsEmpty())) << program;
    EXPECT_THAT(ExportedOf(names, program), IsEmpty()) << program;
  }
}

// So that the test above would notice.
TEST(SymbolsTest, OpenSslDoesExportSuchNames) {
  Process ldd({"ldd", ThisProgram()});
  ASSERT_EQ(ldd.Wait(), 0) << ldd.output();
  std::string libssl;
  for (absl::string_view line : absl::StrSplit(ldd.output(), '\n')) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() > 2 && words[0].rfind("libssl.so", 0) == 0) {
      libssl = words[2];
    }
  }
  ASSERT_FALSE(libssl.empty()) << ldd.output();
  EXPECT_THAT(ExportedOf(NamesOfBoringSsl(), libssl), Contains("SSL_new"));
}

TEST(SymbolsTest, DtlsAndMutualTlsOfGrpcWorkSideBySide) {
  const TestAuthority& authority = SessionPair::Authority();
  const dtls::Certificate certificate =
      authority.Issue({.ip_addresses = {"127.0.0.1"}});
  const dtls::Certificate client_certificate =
      authority.Issue({.dns_names = {"ops.test"}});
  const TemporaryFolder folder;
  dtls::control::ControlServerOptions options;
  options.addresses = {"127.0.0.1:0"};
  options.tls = {
      .certificate = folder.Write("server.pem", certificate.chain_pem),
      .key = folder.Write("server.key", certificate.key_pem),
      .client_authorities =
          folder.Write("ca.pem", authority.certificate_pem())};
  options.access =
      *dtls::control::AccessControl::Create({.admin_names = {"ops.test"}});
  FakeControl service(options.access);
  absl::StatusOr<std::unique_ptr<dtls::control::ControlServer>> server =
      dtls::control::ControlServer::Start(std::move(options),
                                          {service.service()});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto call = [&] {
    grpc::SslCredentialsOptions credentials;
    credentials.pem_root_certs = authority.certificate_pem();
    credentials.pem_cert_chain = client_certificate.chain_pem;
    credentials.pem_private_key = client_certificate.key_pem;
    const grpc::Status status = Change(ConnectTo(
        (*server)->addresses()[0], grpc::SslCredentials(credentials)));
    EXPECT_TRUE(status.ok()) << status.error_message();
  };

  SessionPair pair;
  const absl::Status status = pair.Run(
      [&](dtls::Connection& client) -> net::Task<absl::Status> {
        call();
        CO_RETURN_IF_ERROR(co_await client.Handshake());
        call();
        CO_RETURN_IF_ERROR(co_await SessionPair::Ask(client, "hello"));
        call();
        co_return co_await client.Close();
      },
      [&](dtls::Connection& peer) -> net::Task<absl::Status> {
        CO_RETURN_IF_ERROR(co_await peer.Handshake());
        call();
        co_return co_await SessionPair::Echo(peer);
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(service.callers(), SizeIs(4));
}

}  // namespace
}  // namespace cordon::testing
