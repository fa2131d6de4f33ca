// A thousand clients at once, over real sockets, with one echo_server.
#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/context.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

constexpr int kClients = 1000;
constexpr int kMessages = 10;

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

net::Task<absl::Status> OneClient(net::Reactor& reactor, net::Endpoint server,
                                  dtls::Context context, int number,
                                  int* succeeded) {
  CO_ASSIGN_OR_RETURN(
      dtls::Connection connection,
      co_await dtls::Connect(reactor, server, context, "localhost"));
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  for (int i = 0; i < kMessages; ++i) {
    const std::string text = absl::StrCat("client ", number, " message ", i);
    bool answered = false;
    // A full socket buffer loses datagrams; that is UDP.
    for (int attempt = 0; attempt < 10 && !answered; ++attempt) {
      CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(Bytes(text)));
      while (true) {
        absl::StatusOr<dtls::Message> reply = co_await net::WithTimeout(
            absl::Seconds(2), connection.RecvDecrypted());
        if (absl::IsDeadlineExceeded(reply.status())) break;
        if (!reply.ok()) co_return reply.status();
        if (reply->text() == text) {
          answered = true;
          break;
        }
      }
    }
    if (!answered) co_return absl::UnavailableError("no answer");
  }
  ++*succeeded;
  co_return co_await connection.Close();
}

TEST(ManyClientsTest, AllSucceed) {
  TestAuthority authority("System CA");
  TemporaryFolder folder;
  const dtls::Certificate certificate =
      authority.Issue({.dns_names = {"localhost"}});
  Process server(
      {Runfile("tools/echo_server"), "--listen=127.0.0.1:0",
       absl::StrCat("--cert=", folder.Write("c.pem", certificate.chain_pem)),
       absl::StrCat("--key=", folder.Write("k.pem", certificate.key_pem))});
  ASSERT_TRUE(server.WaitForOutput("listening on "));
  ASSERT_TRUE(server.WaitForOutput("\n"));
  const size_t begin = server.output().find("listening on ") + 13;
  const net::Endpoint at = *net::Endpoint::Parse(
      server.output().substr(begin, server.output().find('\n', begin) - begin));

  dtls::ClientOptions options;
  options.trust = authority.trust();
  const dtls::Context context = *dtls::Context::Client(std::move(options));
  std::unique_ptr<net::Reactor> reactor = *net::MakeReactor({});
  int succeeded = 0;
  auto all = [&]() -> net::Task<absl::Status> {
    net::TaskScope scope;
    for (int i = 0; i < kClients; ++i) {
      scope.Spawn(OneClient(*reactor, at, context, i, &succeeded));
    }
    co_return co_await scope.Join();
  };
  EXPECT_EQ(reactor->Run(all()), absl::OkStatus());
  EXPECT_EQ(succeeded, kClients);
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_TRUE(absl::StrContains(server.output(), "1000 completed, 0 failed"))
      << server.output();
}

}  // namespace
}  // namespace cordon::testing
