// Trouble with the network under sessions, over real sockets in a network of
// the test's own: it harms those whom it concerns, and nobody for longer than
// it lasts.
#include <cstddef>
#include <cstdint>
#include <memory>
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
#include "cordon/dtls/listener_admin.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/network_namespace/network_namespace.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using net::Endpoint;

constexpr absl::Duration kPatience = absl::Seconds(20);

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A listener that echoes, and its clients, on one reactor.
class World {
 public:
  using Body = net::Task<absl::Status> (*)(World&);

  World(net::Reactor& of, bool gro) : reactor(of), gro_(gro) {}

  net::Task<absl::Status> Play(Endpoint at, Body body) {
    const TestAuthority authority("Test CA");
    dtls::ServerOptions server;
    server.certificates = {authority.Issue({.dns_names = {"localhost"}})};
    server.session.mtu = 1400;
    dtls::ClientOptions client;
    client.trust = authority.trust();
    CO_ASSIGN_OR_RETURN(dtls::Context server_context,
                        dtls::Context::Server(server));
    CO_ASSIGN_OR_RETURN(dtls::Context client_context,
                        dtls::Context::Client(client));
    client_context_ = std::make_unique<dtls::Context>(client_context);
    auto registry = std::make_shared<dtls::Registry>();
    dtls::ListenerOptions options;
    options.registry = registry;
    options.gro = gro_;
    CO_ASSIGN_OR_RETURN(
        dtls::Listener listener,
        dtls::Listener::Bind(reactor, at, server_context, options));
    server_at = at.WithPort(listener.local_endpoint().port());
    registry->listeners().back()->Post(
        [this](dtls::ListenerAdmin& admin) { admin_ = &admin; });
    net::TaskScope scope;
    scope.Spawn(Serve(listener));
    while (admin_ == nullptr) {
      CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
    }
    absl::Status status = co_await body(*this);
    scope.RequestStop();
    status.Update(co_await scope.Join());
    co_return status;
  }

  net::Task<absl::StatusOr<dtls::Connection>> Open() {
    dtls::ConnectOptions options;
    options.server_name = "localhost";
    options.gro = gro_;
    return dtls::Connect(reactor, server_at, *client_context_,
                         std::move(options));
  }
  net::Task<absl::StatusOr<dtls::Connection>> Connect() {
    CO_ASSIGN_OR_RETURN(dtls::Connection connection, co_await Open());
    CO_RETURN_IF_ERROR(
        co_await net::WithTimeout(kPatience, connection.Handshake()));
    co_return connection;
  }
  static net::Task<absl::Status> Ask(dtls::Connection& client,
                                     std::string text) {
    CO_RETURN_IF_ERROR(co_await client.SendEncrypted(Bytes(text)));
    CO_ASSIGN_OR_RETURN(
        dtls::Message reply,
        co_await net::WithTimeout(kPatience, client.RecvDecrypted()));
    if (reply.text() != text) co_return absl::DataLossError("another reply");
    co_return absl::OkStatus();
  }

  dtls::ListenerAdmin& admin() { return *admin_; }
  // What the server takes the path to `client` to carry.
  size_t MtuWith(const dtls::Connection& client) {
    for (const auto& session : admin().Sessions(0, 100)) {
      if (session->peer == client.local()) return session->statistics.mtu;
    }
    return 0;
  }

  net::Reactor& reactor;
  Endpoint server_at;
  // The server's connections, in the order of their clients' handshakes.
  std::vector<dtls::Connection*> servers;

 private:
  net::Task<absl::Status> Echo(dtls::Connection connection) {
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    servers.push_back(&connection);
    while (true) {
      absl::StatusOr<dtls::Message> message =
          co_await connection.RecvDecrypted();
      if (!message.ok()) co_return absl::OkStatus();
      CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
    }
  }
  net::Task<absl::Status> Serve(dtls::Listener& listener) {
    net::TaskScope sessions;
    while (true) {
      absl::StatusOr<dtls::Connection> connection = co_await listener.Accept();
      if (!connection.ok()) break;
      sessions.Spawn(Echo(*std::move(connection)));
    }
    sessions.RequestStop();
    (void)co_await sessions.Join();
    co_return absl::OkStatus();
  }

  const bool gro_;
  std::unique_ptr<dtls::Context> client_context_;
  dtls::ListenerAdmin* admin_ = nullptr;
};

using Parameters = std::tuple<net::Backend, bool>;

class SessionTroubleTest : public ::testing::TestWithParam<Parameters> {
 protected:
  static void Play(const Endpoint& at, World::Body body) {
    const NamespaceResult result = RunInNetworkNamespace([&] {
      net::ReactorOptions options;
      options.backend = std::get<0>(GetParam());
      absl::StatusOr<std::unique_ptr<net::Reactor>> reactor =
          net::MakeReactor(options);
      ASSERT_TRUE(reactor.ok()) << reactor.status();
      World world(**reactor, std::get<1>(GetParam()));
      EXPECT_EQ((*reactor)->Run(world.Play(at, body)), absl::OkStatus());
    });
    if (!result.allowed) GTEST_SKIP() << result.reason;
    EXPECT_TRUE(result.passed);
  }
};

template <typename Done>
net::Task<absl::Status> Until(Done done) {
  for (int i = 0; !done(); ++i) {
    if (i == 4000) co_return absl::DeadlineExceededError("it never happened");
    CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(5)));
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> NoticesOfOne(World& world) {
  CO_ASSIGN_OR_RETURN(dtls::Connection narrow, co_await world.Connect());
  CO_ASSIGN_OR_RETURN(dtls::Connection wide, co_await world.Connect());
  EXPECT_EQ(world.MtuWith(narrow), 1400U);
  CO_RETURN_IF_ERROR(SendPathMtuNotice(world.server_at, narrow.local(), 1300));
  CO_RETURN_IF_ERROR(co_await Until(
      [&world, &narrow] { return world.MtuWith(narrow) == 1300; }));
  EXPECT_EQ(world.MtuWith(wide), 1400U);
  // Nobody listens there, a stranger says, again and again.
  for (int i = 0; i < 50; ++i) {
    CO_RETURN_IF_ERROR(SendRefusal(world.server_at, narrow.local()));
    CO_RETURN_IF_ERROR(co_await World::Ask(wide, absl::StrCat("wide ", i)));
    CO_RETURN_IF_ERROR(SendRefusal(world.server_at, narrow.local()));
    CO_RETURN_IF_ERROR(co_await World::Ask(narrow, absl::StrCat("narrow ", i)));
  }
  const dtls::ListenerStatistics statistics = world.admin().statistics();
  EXPECT_GT(statistics.socket.peer_notices, 50U);
  EXPECT_EQ(statistics.socket.send_errors, 0U);
  EXPECT_EQ(statistics.sessions, 2U);
  // Nor does that of a client end what it has begun.
  for (int i = 0; i < 10; ++i) {
    CO_RETURN_IF_ERROR(SendRefusal(narrow.local(), world.server_at));
    CO_RETURN_IF_ERROR(co_await World::Ask(narrow, absl::StrCat("still ", i)));
  }
  co_return absl::OkStatus();
}

// ACCEPTANCE: HD5
TEST_P(SessionTroubleTest, WhatTheNetworkSaysOfOnePeerIsThatPeersOverIpv4) {
  Play(Endpoint::LoopbackV4(0), NoticesOfOne);
}

// ACCEPTANCE: HD5
TEST_P(SessionTroubleTest, WhatTheNetworkSaysOfOnePeerIsThatPeersOverIpv6) {
  Play(Endpoint::LoopbackV6(0), NoticesOfOne);
}

net::Task<absl::Status> DownAndUp(World& world) {
  CO_ASSIGN_OR_RETURN(dtls::Connection first, co_await world.Connect());
  CO_ASSIGN_OR_RETURN(dtls::Connection second, co_await world.Connect());
  CO_RETURN_IF_ERROR(co_await World::Ask(first, "before"));
  for (int round = 0; round < 3; ++round) {
    const uint64_t received =
        world.admin().statistics().socket.datagrams_received;
    CO_RETURN_IF_ERROR(SetLoopbackUp(false));
    constexpr int kLost = 10;
    for (int i = 0; i < kLost; ++i) {
      CO_RETURN_IF_ERROR(co_await first.SendEncrypted(Bytes("lost")));
      CO_RETURN_IF_ERROR(
          co_await world.servers[0]->SendEncrypted(Bytes("lost")));
      CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
    }
    // Whoever comes now has to be patient.
    CO_ASSIGN_OR_RETURN(dtls::Connection third, co_await world.Open());
    net::TaskScope scope;
    scope.Spawn(third.Handshake());
    CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(20)));
    EXPECT_EQ(world.admin().statistics().socket.datagrams_received, received);
    EXPECT_EQ(world.admin().statistics().sessions, 2U);
    CO_RETURN_IF_ERROR(SetLoopbackUp(true));
    for (dtls::Connection* client : {&first, &second}) {
      CO_RETURN_IF_ERROR(
          co_await World::Ask(*client, absl::StrCat("up again ", round)));
    }
    CO_RETURN_IF_ERROR(co_await scope.Join());
    CO_RETURN_IF_ERROR(co_await World::Ask(third, "there at last"));
    CO_RETURN_IF_ERROR(co_await third.Close());
    CO_RETURN_IF_ERROR(co_await Until(
        [&world] { return world.admin().statistics().sessions == 2; }));
  }
  co_return absl::OkStatus();
}

TEST_P(SessionTroubleTest, SessionsOutliveAnInterfaceThatGoesDown) {
  Play(Endpoint::LoopbackV4(0), DownAndUp);
}

net::Task<absl::Status> OddDatagrams(World& world) {
  CO_ASSIGN_OR_RETURN(dtls::Connection client, co_await world.Connect());
  const Endpoint stranger = client.local().WithPort(9);
  uint64_t sent = 0;
  for (const Endpoint& from : {client.local(), stranger}) {
    for (size_t size : {0, 1, 12, 13, 14, 1472, 1473, 9000, 65506, 65507}) {
      // Like the header of a record, and like nothing.
      for (uint8_t first : {uint8_t{23}, uint8_t{22}, uint8_t{0}}) {
        std::vector<uint8_t> bytes(size, 0xfe);
        if (!bytes.empty()) bytes[0] = first;
        CO_RETURN_IF_ERROR(SendDatagramAs(from, world.server_at, bytes));
        ++sent;
        if (from == stranger) continue;
        // The client gets them, too.
        CO_RETURN_IF_ERROR(SendDatagramAs(world.server_at, from, bytes));
      }
      CO_RETURN_IF_ERROR(co_await World::Ask(client, absl::StrCat(size)));
    }
  }
  const dtls::ListenerStatistics statistics = world.admin().statistics();
  EXPECT_EQ(statistics.socket.empty_datagrams, 6U);
  EXPECT_EQ(statistics.socket.truncated_datagrams, 0U);
  EXPECT_GE(statistics.socket.datagrams_received, sent - 6);
  EXPECT_EQ(statistics.sessions, 1U);
  // Of the stranger, but for the empty ones.
  EXPECT_EQ(statistics.dropped_unknown, 27U);
  co_return absl::OkStatus();
}

// ACCEPTANCE: HD6
TEST_P(SessionTroubleTest, EmptyHugeAndSenselessDatagramsHarmNoSession) {
  Play(Endpoint::LoopbackV4(0), OddDatagrams);
}

net::Task<absl::Status> TrainsOfOddSizes(World& world) {
  CO_ASSIGN_OR_RETURN(dtls::Connection client, co_await world.Connect());
  for (size_t size : {1, 2, 37, 100, 999, 1000, 1400}) {
    for (size_t count : {1, 2, 3, 44, 64}) {
      // Equal ones, one that ends the train, and one behind it.
      std::vector<std::string> texts(count, std::string(size, 't'));
      texts.emplace_back(size / 2 + 1, 'e');
      texts.emplace_back(size + 1, 'b');
      std::vector<absl::Span<const uint8_t>> batch;
      for (size_t i = 0; i < texts.size(); ++i) {
        texts[i][0] = static_cast<char>('0' + i);
        batch.push_back(Bytes(texts[i]));
      }
      CO_RETURN_IF_ERROR(co_await client.SendBatch(batch));
      for (const std::string& text : texts) {
        CO_ASSIGN_OR_RETURN(
            dtls::Message reply,
            co_await net::WithTimeout(kPatience, client.RecvDecrypted()));
        EXPECT_EQ(reply.text(), text);
      }
    }
  }
  EXPECT_EQ(world.admin().statistics().socket.truncated_datagrams, 0U);
  co_return absl::OkStatus();
}

// ACCEPTANCE: HD6
TEST_P(SessionTroubleTest, TrainsOfOddSizesAreTheirDatagrams) {
  Play(Endpoint::LoopbackV4(0), TrainsOfOddSizes);
}

INSTANTIATE_TEST_SUITE_P(
    Reactors, SessionTroubleTest,
    ::testing::Combine(::testing::Values(net::Backend::kIoUring,
                                         net::Backend::kEpoll),
                       ::testing::Bool()),
    [](const auto& param) {
      return absl::StrCat(net::AbslUnparseFlag(std::get<0>(param.param)),
                          std::get<1>(param.param) ? "WithGro" : "");
    });

}  // namespace
}  // namespace cordon::testing
