// Listeners that share an address, as on several reactors. Which of them a
// datagram comes to is for the test to say.
#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::SimDatagram;
using ::cordon::testing::SimReactor;
using ::cordon::testing::TestAuthority;
using ::cordon::testing::VirtualClock;

constexpr size_t kListeners = 2;

const TestAuthority& Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}

const net::Endpoint& At() {
  static const net::Endpoint at = net::Endpoint::LoopbackV4(4433);
  return at;
}

class SeveralReactorsTest : public ::testing::Test {
 protected:
  struct Server {
    std::optional<Listener> listener;
    ListenerAdmin* admin = nullptr;
    // How sessions have ended, and then `Accept`.
    std::vector<absl::Status> ended;
    absl::Status accepting;
  };

  void SetUp() override {
    server_options_.certificates = {Authority().Issue(
        {.common_name = "server", .dns_names = {"localhost"}})};
    server_options_.wall_clock = [] { return VirtualClock::Epoch(); };
    client_options_.trust = Authority().trust();
    client_options_.wall_clock = server_options_.wall_clock;
    options_.registry = registry_;
    options_.reuse_port = true;
    reactor_.SpreadPeers([this](const net::Endpoint&, size_t sockets) {
      ++arrived_;
      sockets_ = sockets;
      return alternate_ ? arrived_ % sockets : to_;
    });
  }

  // Runs `body` beside the listeners, whose sessions are stopped at its end.
  void ExpectRuns(const std::function<net::Task<absl::Status>()>& body) {
    EXPECT_EQ(reactor_.Run(Play(body)), absl::OkStatus());
  }

  net::Task<absl::Status> Play(
      const std::function<net::Task<absl::Status>()>& body) {
    CO_ASSIGN_OR_RETURN(client_context_, Context::Client(client_options_));
    CO_ASSIGN_OR_RETURN(server_context_, Context::Server(server_options_));
    net::TaskScope scope;
    for (Server& server : servers_) CO_RETURN_IF_ERROR(Bind(server));
    for (Server& server : servers_) scope.Spawn(Serve(server));
    co_await Pass(absl::Milliseconds(1));
    absl::Status status = co_await body();
    scope.RequestStop();
    status.Update(co_await scope.Join());
    for (Server& server : servers_) server.listener.reset();
    // When their sockets have run dry nothing is left of them.
    co_await Pass(absl::Seconds(1));
    EXPECT_TRUE(registry_->listeners().empty());
    co_return status;
  }

  absl::Status Bind(Server& server) {
    absl::StatusOr<Listener> listener =
        Listener::Bind(reactor_, At(), *server_context_, options_);
    if (!listener.ok()) return listener.status();
    server.listener = *std::move(listener);
    EXPECT_TRUE(registry_->listeners().back()->Post(
        [&server](ListenerAdmin& admin) { server.admin = &admin; }));
    return absl::OkStatus();
  }

  net::Task<absl::Status> Serve(Server& server) {
    net::TaskScope sessions;
    while (true) {
      absl::StatusOr<Connection> connection =
          co_await server.listener->Accept();
      if (!connection.ok()) {
        server.accepting = connection.status();
        break;
      }
      sessions.Spawn(Echo(server, *std::move(connection)));
    }
    if (absl::IsCancelled(server.accepting)) sessions.RequestStop();
    co_return co_await sessions.Join();
  }

  static net::Task<absl::Status> Echo(Server& server, Connection connection) {
    server.ended.push_back(co_await EchoAll(connection));
    co_return absl::OkStatus();
  }
  static net::Task<absl::Status> EchoAll(Connection& connection) {
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    while (true) {
      absl::StatusOr<Message> message = co_await connection.RecvDecrypted();
      if (!message.ok()) co_return message.status();
      CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
    }
  }

  net::Task<absl::StatusOr<Connection>> Connect(uint16_t port = 0) {
    ConnectOptions options;
    options.server_name = "localhost";
    if (port != 0) options.bind = net::Endpoint::LoopbackV4(port);
    CO_ASSIGN_OR_RETURN(
        Connection connection,
        co_await dtls::Connect(reactor_, At(), *client_context_, options));
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    co_return connection;
  }
  // One message, which must come back at once: nothing is sent again.
  static net::Task<absl::Status> Ask(Connection& connection, std::string text) {
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(
        {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
    CO_ASSIGN_OR_RETURN(Message reply,
                        co_await net::WithTimeout(absl::Seconds(1),
                                                  connection.RecvDecrypted()));
    if (reply.text() != text) co_return absl::DataLossError("another reply");
    co_return absl::OkStatus();
  }
  static net::Task<void> Pass(absl::Duration time) {
    (void)co_await net::SleepFor(time);
  }

  ListenerStatistics Of(size_t i) { return servers_[i].admin->statistics(); }

  SimReactor reactor_;
  std::shared_ptr<Registry> registry_ = std::make_shared<Registry>();
  ServerOptions server_options_;
  ClientOptions client_options_;
  ListenerOptions options_;
  std::optional<Context> server_context_;
  std::optional<Context> client_context_;
  std::array<Server, kListeners> servers_;
  // Who gets what comes: this one, or each in turn.
  size_t to_ = 0;
  bool alternate_ = false;
  // What has come, and to how many sockets it could have.
  size_t arrived_ = 0;
  size_t sockets_ = 0;
};

TEST_F(SeveralReactorsTest, ARecordReachesItsSessionByAnotherReactor) {
  ExpectRuns([this]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
    CO_RETURN_IF_ERROR(co_await Ask(client, "direct"));
    EXPECT_EQ(Of(0).strays_forwarded, 0U);
    to_ = 1;
    for (int i = 0; i < 10; ++i) {
      CO_RETURN_IF_ERROR(co_await Ask(client, absl::StrCat("stray ", i)));
    }
    EXPECT_EQ(Of(0).sessions, 1U);
    EXPECT_EQ(Of(1).sessions, 0U);
    EXPECT_EQ(Of(1).strays_forwarded, 10U);
    EXPECT_EQ(Of(1).strays_dropped, 0U);
    EXPECT_EQ(Of(1).dropped_unknown, 0U);
    co_return co_await client.Close();
  });
}

// As many datagrams as there are take no more turns than one.
TEST_F(SeveralReactorsTest, WhatComesInOneTurnGoesOnInOne) {
  ExpectRuns([this]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
    to_ = 1;
    constexpr int kMessages = 100;
    const std::string text(100, 'x');
    for (int i = 0; i < kMessages; ++i) {
      CO_RETURN_IF_ERROR(co_await client.SendEncrypted(
          {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
    }
    co_await Pass(absl::Microseconds(5'500));
    EXPECT_EQ(Of(1).strays_forwarded, uint64_t{kMessages});
    EXPECT_EQ(Of(0).traffic.messages_received, uint64_t{kMessages});
    for (int i = 0; i < kMessages; ++i) {
      CO_RETURN_IF_ERROR((co_await client.RecvDecrypted()).status());
    }
    co_return co_await client.Close();
  });
}

TEST_F(SeveralReactorsTest, AHandshakeThatWandersMakesOneSession) {
  alternate_ = true;
  ExpectRuns([this]() -> net::Task<absl::Status> {
    for (int i = 0; i < 4; ++i) {
      CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
      for (int k = 0; k < 3; ++k) {
        CO_RETURN_IF_ERROR(co_await Ask(client, absl::StrCat("text ", k)));
      }
      EXPECT_EQ(client.statistics().retransmissions, 0U);
      EXPECT_EQ(Of(0).sessions + Of(1).sessions, 1U);
      CO_RETURN_IF_ERROR(co_await client.Close());
      co_await Pass(absl::Seconds(1));
      EXPECT_EQ(Of(0).sessions + Of(1).sessions, 0U);
    }
    EXPECT_EQ(Of(0).handshakes_begun + Of(1).handshakes_begun, 4U);
    EXPECT_GT(Of(0).strays_forwarded + Of(1).strays_forwarded, 0U);
    co_return absl::OkStatus();
  });
}

TEST_F(SeveralReactorsTest, OneThatStopsAcceptingHandsItsHellosOver) {
  ExpectRuns([this]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection before, co_await Connect());
    servers_[0].listener->StopAccepting();
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
    EXPECT_EQ(client.statistics().retransmissions, 0U);
    CO_RETURN_IF_ERROR(co_await Ask(client, "new"));
    CO_RETURN_IF_ERROR(co_await Ask(before, "old"));
    EXPECT_EQ(Of(0).sessions, 1U);
    EXPECT_EQ(Of(1).sessions, 1U);
    // Only hellos of who has shown to be there.
    EXPECT_EQ(Of(0).hellos_handed_over, 1U);
    EXPECT_EQ(Of(0).cookies.sent, 2U);
    EXPECT_EQ(Of(0).dropped_unknown, 0U);
    co_return absl::OkStatus();
  });
}

TEST_F(SeveralReactorsTest, SoDoesOneThatIsDrained) {
  ExpectRuns([this]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection before, co_await Connect());
    servers_[0].admin->Drain(absl::Minutes(5));
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
    CO_RETURN_IF_ERROR(co_await Ask(client, "new"));
    CO_RETURN_IF_ERROR(co_await Ask(before, "old"));
    EXPECT_EQ(Of(1).sessions, 1U);
    EXPECT_EQ(Of(0).dropped_draining, 0U);
    // When all are drained nobody is let in.
    servers_[1].admin->Drain(absl::Minutes(5));
    ConnectOptions options;
    options.server_name = "localhost";
    CO_ASSIGN_OR_RETURN(
        Connection late,
        co_await dtls::Connect(reactor_, At(), *client_context_, options));
    EXPECT_TRUE(absl::IsDeadlineExceeded(
        co_await net::WithTimeout(absl::Seconds(5), late.Handshake())));
    EXPECT_GT(Of(0).dropped_draining, 0U);
    EXPECT_EQ(Of(0).hellos_handed_over, 1U);
    EXPECT_EQ(Of(1).sessions, 1U);
    co_return absl::OkStatus();
  });
}

// Its socket gets nothing any more, and what still comes to it is not lost.
TEST_F(SeveralReactorsTest, OneThatHasNothingLeftToDoLeaves) {
  ExpectRuns([this]() -> net::Task<absl::Status> {
    to_ = 1;
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
    to_ = 0;
    CO_ASSIGN_OR_RETURN(Connection last, co_await Connect());
    servers_[0].admin->Drain(absl::Minutes(5));
    CO_RETURN_IF_ERROR(co_await Ask(client, "stray"));
    EXPECT_EQ(sockets_, 2U);
    EXPECT_EQ(Of(0).strays_forwarded, 1U);
    CO_RETURN_IF_ERROR(co_await last.Close());
    co_await Pass(absl::Milliseconds(1));
    CO_RETURN_IF_ERROR(co_await Ask(client, "direct"));
    EXPECT_EQ(Of(0).strays_forwarded, 1U);
    servers_[0].listener.reset();
    co_await Pass(absl::Seconds(1));
    EXPECT_EQ(registry_->listeners().size(), 1U);
    // One that comes takes its part.
    servers_[0].listener.reset();
    CO_RETURN_IF_ERROR(Bind(servers_[0]));
    net::TaskScope scope;
    scope.Spawn(Serve(servers_[0]));
    to_ = 1;
    CO_RETURN_IF_ERROR(co_await Ask(client, "stray again"));
    EXPECT_EQ(Of(0).strays_forwarded, 1U);
    CO_ASSIGN_OR_RETURN(Connection another, co_await Connect());
    EXPECT_EQ(Of(0).sessions, 1U);
    CO_RETURN_IF_ERROR(co_await another.Close());
    scope.RequestStop();
    co_return co_await scope.Join();
  });
}

// The handle is destroyed, and with it the core, were it not for what is in the
// socket still.
TEST_F(SeveralReactorsTest, OneThatIsDestroyedIsKeptUntilItsSocketIsDry) {
  ExpectRuns([this]() -> net::Task<absl::Status> {
    to_ = 1;
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
    servers_[0].listener->StopAccepting();
    co_await Pass(absl::Milliseconds(1));
    servers_[0].listener.reset();
    EXPECT_EQ(registry_->listeners().size(), 2U);
    CO_RETURN_IF_ERROR(co_await Ask(client, "there"));
    co_await Pass(absl::Seconds(1));
    EXPECT_EQ(registry_->listeners().size(), 1U);
    co_return co_await client.Close();
  });
}

// --- A peer that comes back --------------------------------------------------

// It has lost its session, and the hash sends its hello elsewhere.
TEST_F(SeveralReactorsTest, APeerThatComesBackElsewhereSupersedesItsSession) {
  ExpectRuns([this]() -> net::Task<absl::Status> {
    {
      CO_ASSIGN_OR_RETURN(Connection lost, co_await Connect(5000));
      // Nothing is heard of its end.
      reactor_.network().set_filter([](SimDatagram&) { return false; });
    }
    reactor_.network().set_filter(nullptr);
    to_ = 1;
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect(5000));
    CO_RETURN_IF_ERROR(co_await Ask(client, "back"));
    EXPECT_EQ(Of(0).sessions + Of(1).sessions, 1U);
    EXPECT_EQ(Of(0).sessions_superseded + Of(1).sessions_superseded, 1U);
    EXPECT_EQ(servers_[0].ended.size(), 1U);
    co_return co_await client.Close();
  });
}

// Where its session is nobody is let in any more.
TEST_F(SeveralReactorsTest, APeerOfADrainedReactorComesBackToAnother) {
  for (const size_t via : {0, 1}) {
    servers_ = {};
    ExpectRuns([this, via]() -> net::Task<absl::Status> {
      to_ = 0;
      const uint16_t port = static_cast<uint16_t>(5000 + via);
      {
        CO_ASSIGN_OR_RETURN(Connection lost, co_await Connect(port));
        reactor_.network().set_filter([](SimDatagram&) { return false; });
      }
      reactor_.network().set_filter(nullptr);
      servers_[0].admin->Drain(absl::Minutes(5));
      to_ = via;
      CO_ASSIGN_OR_RETURN(Connection client, co_await Connect(port));
      EXPECT_EQ(client.statistics().retransmissions, 0U);
      for (const size_t to : {0, 1, 0}) {
        to_ = to;
        CO_RETURN_IF_ERROR(co_await Ask(client, absl::StrCat("via ", to)));
      }
      EXPECT_EQ(Of(0).sessions, 0U);
      EXPECT_EQ(Of(1).sessions, 1U);
      EXPECT_EQ(Of(0).sessions_superseded, 1U);
      EXPECT_EQ(servers_[0].ended.size(), 1U);
      if (servers_[0].ended.size() == 1) {
        EXPECT_TRUE(absl::StrContains(servers_[0].ended[0].message(),
                                      "begun a new session"))
            << servers_[0].ended[0];
      }
      co_return co_await client.Close();
    });
  }
}

// Somebody pretends that: the session goes on until the new one is established,
// which never happens.
TEST_F(SeveralReactorsTest, AHelloThatLeadsToNothingEndsNoSessionElsewhere) {
  server_options_.cookies = false;
  ExpectRuns([this]() -> net::Task<absl::Status> {
    std::vector<uint8_t> hello;
    reactor_.network().set_filter([&](SimDatagram& d) {
      if (hello.empty() && d.to == At()) hello = d.bytes;
      return true;
    });
    CO_ASSIGN_OR_RETURN(Connection model, co_await Connect());
    CO_RETURN_IF_ERROR(co_await model.Close());
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect(5000));
    servers_[0].admin->Drain(absl::Hours(5));
    const net::Endpoint peer = net::Endpoint::LoopbackV4(5000);
    reactor_.Inject(peer, At(), hello);
    co_await Pass(absl::Milliseconds(1));
    EXPECT_EQ(Of(0).hellos_handed_over, 1U);
    EXPECT_EQ(Of(1).half_open, 1U);
    // Wherever its records come.
    for (const size_t to : {0, 1, 1, 0}) {
      to_ = to;
      CO_RETURN_IF_ERROR(co_await Ask(client, absl::StrCat("via ", to)));
    }
    co_await Pass(absl::Minutes(1));
    EXPECT_EQ(Of(1).half_open, 0U);
    for (const size_t to : {0, 1}) {
      to_ = to;
      CO_RETURN_IF_ERROR(co_await Ask(client, absl::StrCat("later ", to)));
    }
    EXPECT_EQ(Of(0).sessions_superseded, 0U);
    reactor_.network().set_filter(nullptr);
    co_return co_await client.Close();
  });
}

// --- What is the listener's --------------------------------------------------

TEST_F(SeveralReactorsTest, LimitsAreOfAllReactorsTogether) {
  options_.max_sessions = 2;
  ExpectRuns([this]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection first, co_await Connect());
    to_ = 1;
    CO_ASSIGN_OR_RETURN(Connection second, co_await Connect());
    for (const size_t to : {0, 1}) {
      to_ = to;
      ConnectOptions options;
      options.server_name = "localhost";
      CO_ASSIGN_OR_RETURN(
          Connection late,
          co_await dtls::Connect(reactor_, At(), *client_context_, options));
      EXPECT_TRUE(absl::IsDeadlineExceeded(
          co_await net::WithTimeout(absl::Seconds(2), late.Handshake())));
      EXPECT_GT(Of(to).dropped_max_sessions, 0U);
    }
    // What is set on one holds on the other.
    ListenerLimits limits = servers_[1].admin->limits();
    limits.max_sessions = 3;
    servers_[1].admin->SetLimits(limits);
    EXPECT_EQ(servers_[0].admin->limits(), limits);
    to_ = 0;
    CO_ASSIGN_OR_RETURN(Connection third, co_await Connect());
    CO_RETURN_IF_ERROR(co_await first.Close());
    co_return absl::OkStatus();
  });
}

// The oldest handshake is elsewhere.
TEST_F(SeveralReactorsTest, AHandshakeOfAnotherReactorGivesWay) {
  options_.max_half_open = 1;
  ExpectRuns([this]() -> net::Task<absl::Status> {
    bool silent = true;
    reactor_.network().set_filter([&](SimDatagram& d) {
      // Behind the HelloVerifyRequest nothing is heard of the server.
      return !silent || d.from != At() || d.bytes[13] == 3;
    });
    ConnectOptions options;
    options.server_name = "localhost";
    CO_ASSIGN_OR_RETURN(
        Connection slow,
        co_await dtls::Connect(reactor_, At(), *client_context_, options));
    (void)co_await net::WithTimeout(absl::Seconds(5), slow.Handshake());
    EXPECT_EQ(Of(0).half_open, 1U);
    silent = false;
    to_ = 1;
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
    EXPECT_EQ(client.statistics().retransmissions, 0U);
    CO_RETURN_IF_ERROR(co_await Ask(client, "in"));
    EXPECT_EQ(Of(0).half_open_evicted, 1U);
    EXPECT_EQ(Of(1).dropped_max_half_open, 0U);
    reactor_.network().set_filter(nullptr);
    co_return absl::OkStatus();
  });
}

TEST_F(SeveralReactorsTest, ACookieIsGoodOnEveryReactor) {
  alternate_ = true;
  ExpectRuns([this]() -> net::Task<absl::Status> {
    // Only one was told yet.
    CO_RETURN_IF_ERROR(servers_[0].admin->SetCookieParameters(
        {.hash = CookieHash::kSha384, .secret = std::string(32, 's')}));
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
    // The other one is told the same, which changes nothing.
    CO_RETURN_IF_ERROR(servers_[1].admin->SetCookieParameters(
        {.hash = CookieHash::kSha384, .secret = std::string(32, 's')}));
    EXPECT_FALSE(
        servers_[1].admin->SetCookieParameters({.secret = "short"}).ok());
    CO_ASSIGN_OR_RETURN(Connection another, co_await Connect());
    const CookieStatistics first = Of(0).cookies;
    const CookieStatistics second = Of(1).cookies;
    EXPECT_EQ(first.sent + second.sent, 2U);
    EXPECT_EQ(first.rejected_invalid + second.rejected_invalid, 0U);
    EXPECT_EQ(servers_[0].admin->cookie_hash(), CookieHash::kSha384);
    EXPECT_EQ(servers_[1].admin->cookie_hash(), CookieHash::kSha384);
    co_return absl::OkStatus();
  });
}

TEST_F(SeveralReactorsTest, ANoticeOfThePathReachesTheSession) {
  ExpectRuns([this]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect(5000));
    // As both sockets hear of it, once at its own reactor and once by the
    // other.
    reactor_.TellOfPeer(At(), {.peer = net::Endpoint::LoopbackV4(5000),
                               .local = {At().WithPort(0), 1},
                               .path_mtu = 700});
    co_await Pass(absl::Milliseconds(1));
    EXPECT_EQ(servers_[0].admin->Sessions(0, 1).front()->statistics.mtu, 700U);
    co_return co_await client.Close();
  });
}

}  // namespace
}  // namespace cordon::dtls
