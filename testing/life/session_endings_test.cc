// Whatever waits for a connection ends, with an error, when the connection is
// closed or destroyed meanwhile.
#include <array>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/dtls/verification.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/connection_run/connection_run.h"
#include "cordon/testing/life/reactors.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using dtls::Connection;
using net::Task;

constexpr absl::Duration kWhile = absl::Milliseconds(30);
constexpr absl::Duration kPatience = absl::Seconds(20);

absl::Span<const uint8_t> Some() {
  static const auto* const text = new std::string(100, 'x');
  return Bytes(*text);
}

Task<absl::Status> Handshake(Connection& c) { return c.Handshake(); }
Task<absl::Status> Resume(Connection& c) {
  return c.ResumeHandshake(dtls::IgnoreExactly(c.PeerVerificationErrors()));
}
Task<absl::Status> Recv(Connection& c) {
  co_return (co_await c.RecvDecrypted()).status();
}
Task<absl::Status> RecvBatch(Connection& c) {
  std::array<dtls::Message, 2> messages;
  co_return (co_await c.RecvBatch(absl::MakeSpan(messages))).status();
}
Task<absl::Status> Send(Connection& c) {
  while (true) CO_RETURN_IF_ERROR(co_await c.SendEncrypted(Some()));
}
Task<absl::Status> SendBatch(Connection& c) {
  const std::array<absl::Span<const uint8_t>, 2> messages = {Some(), Some()};
  while (true) CO_RETURN_IF_ERROR(co_await c.SendBatch(messages));
}
Task<absl::Status> Close(Connection& c) { return c.Close(); }

struct Wait {
  std::string name;
  Task<absl::Status> (*wait)(Connection&) = nullptr;
  // Before it there is a session; or, of a client, doubts about its server.
  bool session = true;
  bool doubts = false;
  // For a network that takes nothing: a simulated one.
  bool blocked = false;
  // How many may wait.
  int count = 1;
  bool closes = false;
};

void PrintTo(const Wait& wait, std::ostream* out) { *out << wait.name; }

enum class Ending { kClosed, kDestroyed, kShutDown };

Task<absl::Status> Observe(Connection& connection, const Wait& wait,
                           int& ended) {
  const absl::Status status = co_await wait.wait(connection);
  if (!wait.closes || !status.ok()) {
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  }
  ++ended;
  co_return absl::OkStatus();
}

Task<absl::Status> ShakeHands(Connection& connection) {
  (void)co_await connection.Handshake();
  co_return absl::OkStatus();
}

Task<absl::Status> EndAfterAll(Connection& connection, Ending ending) {
  if (ending == Ending::kShutDown) co_return co_await connection.Shutdown();
  co_return co_await connection.Close();
}

Task<absl::Status> Live(net::Reactor& reactor, SimReactor* simulated,
                        const Wait& wait, bool server_role, Ending ending) {
  static const auto* const stranger = new TestAuthority("Stranger");
  dtls::ClientOptions client_options = DefaultClient();
  if (wait.doubts) client_options.trust = stranger->trust();
  const dtls::Context server_context =
      MustMake(dtls::Context::Server(DefaultServer()));
  const dtls::Context client_context =
      MustMake(dtls::Context::Client(client_options));
  CO_ASSIGN_OR_RETURN(
      dtls::Listener listener,
      dtls::Listener::Bind(reactor, net::Endpoint::LoopbackV4(0),
                           server_context, {}));
  CO_ASSIGN_OR_RETURN(Connection opened,
                      co_await dtls::Connect(reactor, listener.local_endpoint(),
                                             client_context, "localhost"));
  auto client = std::make_unique<Connection>(std::move(opened));
  net::TaskScope scope;
  std::unique_ptr<Connection> server;
  if (wait.session || server_role) {
    scope.Spawn(ShakeHands(*client));
    CO_ASSIGN_OR_RETURN(Connection accepted, co_await net::WithTimeout(
                                                 kPatience, listener.Accept()));
    server = std::make_unique<Connection>(std::move(accepted));
  }
  if (wait.session) {
    scope.Spawn(ShakeHands(*server));
    CO_RETURN_IF_ERROR(co_await net::WithTimeout(kPatience, scope.Join()));
    CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  }
  if (wait.blocked) simulated->BlockSends(true);
  std::unique_ptr<Connection>& mine = server_role ? server : client;
  net::TaskScope waiting;
  int ended = 0;
  for (int i = 0; i < wait.count; ++i) {
    waiting.Spawn(Observe(*mine, wait, ended));
  }
  if (!wait.closes) CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  co_await net::Yield();
  EXPECT_TRUE(wait.closes || ended == 0);
  absl::Status end;
  if (ending == Ending::kDestroyed) {
    mine.reset();
  } else {
    end = co_await EndAfterAll(*mine, ending);
  }
  EXPECT_TRUE(end.ok() || wait.closes) << end;
  CO_RETURN_IF_ERROR(co_await net::WithTimeout(kWhile, waiting.Join()));
  EXPECT_EQ(ended, wait.count);
  if (simulated != nullptr) simulated->BlockSends(false);
  client.reset();
  server.reset();
  co_return co_await net::WithTimeout(kPatience, scope.Join());
}

class SessionEndingsTest
    : public ::testing::TestWithParam<std::tuple<Wait, bool, ReactorKind>> {
 protected:
  static void Run(Ending ending) {
    const auto& [wait, server_role, kind] = GetParam();
    if (wait.blocked && !kind.simulated) {
      GTEST_SKIP() << "a real network cannot be blocked";
    }
    if (wait.doubts && server_role) GTEST_SKIP() << "it is the client's";
    const std::unique_ptr<net::Reactor> reactor = kind.make();
    ASSERT_NE(reactor, nullptr);
    SimReactor* const simulated =
        kind.simulated ? static_cast<SimReactor*>(reactor.get()) : nullptr;
    EXPECT_EQ(
        reactor->Run(Live(*reactor, simulated, wait, server_role, ending)),
        absl::OkStatus());
  }
};

TEST_P(SessionEndingsTest, MayBeClosedWhileOthersWait) { Run(Ending::kClosed); }

TEST_P(SessionEndingsTest, MayBeDestroyedWhileOthersWait) {
  Run(Ending::kDestroyed);
}

TEST_P(SessionEndingsTest, MayBeShutDownWhileOthersWait) {
  const Wait& wait = std::get<0>(GetParam());
  if (!wait.session || wait.doubts || wait.closes) {
    GTEST_SKIP() << "there is no session";
  }
  Run(Ending::kShutDown);
}

INSTANTIATE_TEST_SUITE_P(
    All, SessionEndingsTest,
    ::testing::Combine(
        ::testing::Values(
            Wait{.name = "Handshake",
                 .wait = Handshake,
                 .session = false,
                 .blocked = true,
                 .count = 2},
            Wait{.name = "ResumeHandshake",
                 .wait = Resume,
                 .doubts = true,
                 .blocked = true},
            Wait{.name = "RecvDecrypted", .wait = Recv},
            Wait{.name = "RecvBatch", .wait = RecvBatch},
            Wait{.name = "SendEncrypted",
                 .wait = Send,
                 .blocked = true,
                 .count = 3},
            Wait{.name = "SendBatch",
                 .wait = SendBatch,
                 .blocked = true,
                 .count = 3},
            Wait{.name = "Close", .wait = Close, .count = 2, .closes = true}),
        ::testing::Bool(), ::testing::ValuesIn(ReactorKinds())),
    [](const auto& param) {
      return absl::StrCat(std::get<1>(param.param) ? "Server" : "Client",
                          std::get<0>(param.param).name, "On",
                          std::get<2>(param.param).name);
    });

// The network refuses the socket for good: everybody is told.
Task<absl::Status> Accepting(dtls::Listener& listener, absl::Status& status) {
  status = (co_await listener.Accept()).status();
  co_return absl::OkStatus();
}
Task<absl::Status> Receiving(Connection& connection, absl::Status& status) {
  status = (co_await connection.RecvDecrypted()).status();
  co_return absl::OkStatus();
}

Task<absl::Status> Refuse(SimReactor& reactor, bool server_role) {
  const dtls::Context server_context =
      MustMake(dtls::Context::Server(DefaultServer()));
  const dtls::Context client_context =
      MustMake(dtls::Context::Client(DefaultClient()));
  CO_ASSIGN_OR_RETURN(
      dtls::Listener listener,
      dtls::Listener::Bind(reactor, net::Endpoint::LoopbackV4(0),
                           server_context, {}));
  CO_ASSIGN_OR_RETURN(Connection client,
                      co_await dtls::Connect(reactor, listener.local_endpoint(),
                                             client_context, "localhost"));
  net::TaskScope scope;
  scope.Spawn(ShakeHands(client));
  CO_ASSIGN_OR_RETURN(Connection server, co_await listener.Accept());
  CO_RETURN_IF_ERROR(co_await server.Handshake());
  CO_RETURN_IF_ERROR(co_await scope.Join());
  Connection& mine = server_role ? server : client;
  const absl::Status why = absl::PermissionDeniedError("not any more");
  absl::Status accepting = absl::UnknownError("not ended");
  absl::Status receiving = accepting;
  net::TaskScope waiting;
  waiting.Spawn(Receiving(mine, receiving));
  if (server_role) waiting.Spawn(Accepting(listener, accepting));
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  reactor.RefuseSocket(server_role ? listener.local_endpoint() : client.local(),
                       why);
  CO_RETURN_IF_ERROR(co_await net::WithTimeout(kWhile, waiting.Join()));
  EXPECT_EQ(receiving, why);
  if (server_role) {
    EXPECT_EQ(accepting, why);
  }
  EXPECT_EQ(co_await mine.SendEncrypted(Some()), why);
  co_return co_await mine.Close();
}

TEST(SessionEndingsTest, ASocketThatFailsEndsTheSessionsThatHaveIt) {
  for (bool server_role : {false, true}) {
    SimReactor reactor;
    EXPECT_EQ(reactor.Run(Refuse(reactor, server_role)), absl::OkStatus());
  }
}

// Sessions that send without end leave room for the listener's other ones.
Task<absl::Status> SendUntil(Connection& connection, const bool& enough,
                             uint64_t& sent) {
  while (!enough) {
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(Some()));
    ++sent;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> FloodBySessions(net::Reactor& reactor) {
  constexpr size_t kClients = 4;
  const dtls::Context server_context =
      MustMake(dtls::Context::Server(DefaultServer()));
  const dtls::Context client_context =
      MustMake(dtls::Context::Client(DefaultClient()));
  CO_ASSIGN_OR_RETURN(
      dtls::Listener listener,
      dtls::Listener::Bind(reactor, net::Endpoint::LoopbackV4(0),
                           server_context, {}));
  std::vector<Connection> clients;
  std::vector<Connection> servers;
  clients.reserve(kClients);
  for (size_t i = 0; i < kClients; ++i) {
    CO_ASSIGN_OR_RETURN(
        Connection client,
        co_await dtls::Connect(reactor, listener.local_endpoint(),
                               client_context, "localhost"));
    clients.push_back(std::move(client));
    net::TaskScope scope;
    scope.Spawn(ShakeHands(clients.back()));
    CO_ASSIGN_OR_RETURN(Connection server, co_await listener.Accept());
    CO_RETURN_IF_ERROR(co_await server.Handshake());
    CO_RETURN_IF_ERROR(co_await scope.Join());
    servers.push_back(std::move(server));
  }
  bool enough = false;
  std::array<uint64_t, 2 * kClients> sent = {};
  net::TaskScope scope;
  // Two on each: they take turns.
  for (size_t i = 0; i < sent.size(); ++i) {
    scope.Spawn(SendUntil(servers[i % kClients], enough, sent[i]));
  }
  uint64_t all = 0;
  for (int i = 0; i < 10000 && all < 10'000; ++i) {
    CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Microseconds(200)));
    all = 0;
    for (uint64_t one : sent) all += one;
  }
  enough = true;
  CO_RETURN_IF_ERROR(co_await scope.Join());
  for (uint64_t one : sent) EXPECT_GT(one, all / sent.size() / 3);
  for (Connection& server : servers) {
    EXPECT_EQ(server.statistics().datagrams_not_sent, 0U);
  }
  co_return absl::OkStatus();
}

class SessionFloodTest : public ::testing::TestWithParam<ReactorKind> {};

TEST_P(SessionFloodTest, SessionsThatSendWithoutEndShareTheirReactor) {
  const std::unique_ptr<net::Reactor> reactor = GetParam().make();
  ASSERT_NE(reactor, nullptr);
  EXPECT_EQ(reactor->Run(FloodBySessions(*reactor)), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(Reactors, SessionFloodTest,
                         ::testing::ValuesIn(ReactorKinds()),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace cordon::testing
