// What a listener does with many peers, with strangers, and at its limits.
#include "cordon/dtls/listener.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/context.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/when_all.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::SimDatagram;
using ::cordon::testing::SimReactor;
using ::cordon::testing::TestAuthority;
using ::cordon::testing::VirtualClock;

const net::Endpoint kAt = net::Endpoint::LoopbackV4(4433);

const TestAuthority& Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}

Context ServerContext(bool cookies = true) {
  static const Certificate* const certificate =
      new Certificate(Authority().Issue({.dns_names = {"localhost"}}));
  ServerOptions options;
  options.certificates = {*certificate};
  options.cookies = cookies;
  options.session.max_queued_messages = 4;
  options.wall_clock = [] { return VirtualClock::Epoch(); };
  return *Context::Server(std::move(options));
}

Context ClientContext() {
  ClientOptions options;
  options.trust = Authority().trust();
  options.wall_clock = [] { return VirtualClock::Epoch(); };
  return *Context::Client(std::move(options));
}

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

net::Task<absl::StatusOr<Connection>> ConnectTo(SimReactor& reactor,
                                                Context context) {
  co_return co_await Connect(reactor, kAt, context, "localhost");
}

net::Task<absl::Status> EchoSession(Connection connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  while (true) {
    absl::StatusOr<Message> message = co_await connection.RecvDecrypted();
    if (IsClosed(message.status())) co_return co_await connection.Close();
    if (!message.ok()) co_return message.status();
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
  }
}

net::Task<absl::Status> Serve(Listener& listener) {
  net::TaskScope sessions;
  absl::Status why;
  while (why.ok()) {
    absl::StatusOr<Connection> connection = co_await listener.Accept();
    why = connection.status();
    if (connection.ok()) sessions.Spawn(EchoSession(*std::move(connection)));
  }
  sessions.RequestStop();
  (void)co_await sessions.Join();
  co_return why;
}

net::Task<absl::Status> AskOnce(SimReactor& reactor, Context context,
                                std::string text) {
  CO_ASSIGN_OR_RETURN(Connection connection,
                      co_await ConnectTo(reactor, context));
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(Bytes(text)));
  CO_ASSIGN_OR_RETURN(Message reply, co_await connection.RecvDecrypted());
  if (reply.text() != text) co_return absl::DataLossError("another text");
  co_return co_await connection.Close();
}

// Runs `body` beside a serving listener.
template <typename Body>
absl::Status WithServer(SimReactor& reactor, const Context& context,
                        const ListenerOptions& options, Body body) {
  auto run = [&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Listener listener,
                        Listener::Bind(reactor, kAt, context, options));
    net::TaskScope scope;
    scope.Spawn(Serve(listener));
    absl::Status status = co_await body(listener);
    scope.RequestStop();
    (void)co_await scope.Join();
    co_return status;
  };
  return reactor.Run(run());
}

TEST(ListenerTest, NeedsAServersContext) {
  SimReactor reactor;
  EXPECT_TRUE(absl::IsInvalidArgument(
      Listener::Bind(reactor, kAt, ClientContext()).status()));
}

TEST(ListenerTest, SaysThatAnAddressIsInUse) {
  SimReactor reactor;
  absl::StatusOr<Listener> first =
      Listener::Bind(reactor, kAt, ServerContext());
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(absl::IsUnavailable(
      Listener::Bind(reactor, kAt, ServerContext()).status()));
}

// The listener reads the socket and tells peers apart by their addresses.
// ACCEPTANCE: QF24
TEST(ListenerTest, ServesManyPeersOnOnePort) {
  SimReactor reactor;
  constexpr size_t kPeers = 500;
  EXPECT_EQ(WithServer(reactor, ServerContext(), {},
                       [&](Listener& listener) -> net::Task<absl::Status> {
                         Context context = ClientContext();
                         net::TaskScope clients;
                         for (size_t i = 0; i < kPeers; ++i) {
                           clients.Spawn(AskOnce(reactor, context,
                                                 absl::StrCat("client ", i)));
                         }
                         CO_RETURN_IF_ERROR(co_await clients.Join());
                         co_await net::Yield();
                         (void)co_await net::SleepFor(absl::Seconds(1));
                         const ListenerStatistics s = listener.statistics();
                         EXPECT_EQ(s.handshakes_completed, kPeers);
                         EXPECT_EQ(s.sessions, 0U);
                         EXPECT_EQ(s.traffic.messages_received, kPeers);
                         co_return absl::OkStatus();
                       }),
            absl::OkStatus());
}

// Peers that stop in the middle of their handshake hold up nobody.
TEST(ListenerTest, ASlowHandshakeDelaysNobody) {
  SimReactor reactor;
  EXPECT_EQ(
      WithServer(reactor, ServerContext(), {},
                 [&](Listener& listener) -> net::Task<absl::Status> {
                   Context context = ClientContext();
                   // After the cookie these hear nothing any more.
                   std::vector<Connection> silent;
                   net::TaskScope scope;
                   reactor.network().set_filter([](SimDatagram& d) {
                     return d.from.port() != 4433 || d.bytes[13] == 3;
                   });
                   for (int i = 0; i < 50; ++i) {
                     CO_ASSIGN_OR_RETURN(Connection connection,
                                         co_await ConnectTo(reactor, context));
                     silent.push_back(std::move(connection));
                   }
                   for (Connection& connection : silent) {
                     scope.Spawn(connection.Handshake());
                   }
                   (void)co_await net::SleepFor(absl::Milliseconds(100));
                   reactor.network().set_filter(nullptr);
                   EXPECT_EQ(listener.statistics().sessions, 50U);
                   const absl::Time before = reactor.Now();
                   CO_RETURN_IF_ERROR(co_await AskOnce(reactor, context, "x"));
                   EXPECT_LT(reactor.Now() - before, absl::Milliseconds(100));
                   scope.RequestStop();
                   (void)co_await scope.Join();
                   co_return absl::OkStatus();
                 }),
      absl::OkStatus());
}

// ACCEPTANCE: HB12
// A peer that vanishes after its hello is forgotten at the deadline.
TEST(ListenerTest, AnUnfinishedHandshakeIsForgotten) {
  SimReactor reactor;
  EXPECT_EQ(
      WithServer(reactor, ServerContext(), {},
                 [&](Listener& listener) -> net::Task<absl::Status> {
                   {
                     Context context = ClientContext();
                     reactor.network().set_filter([](SimDatagram& d) {
                       return d.from.port() != 4433 || d.bytes[13] == 3;
                     });
                     CO_ASSIGN_OR_RETURN(Connection connection,
                                         co_await ConnectTo(reactor, context));
                     absl::Status status = co_await net::WithTimeout(
                         absl::Seconds(1), connection.Handshake());
                     EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
                     // Not even its alert arrives.
                     reactor.network().set_filter(
                         [](SimDatagram&) { return false; });
                   }
                   (void)co_await net::SleepFor(absl::Seconds(31));
                   const ListenerStatistics s = listener.statistics();
                   EXPECT_EQ(s.sessions, 0U);
                   EXPECT_EQ(s.handshakes_failed, 1U);
                   co_return absl::OkStatus();
                 }),
      absl::OkStatus());
}

TEST(ListenerTest, KeepsNothingOfStrangers) {
  SimReactor reactor;
  EXPECT_EQ(
      WithServer(
          reactor, ServerContext(), {},
          [&](Listener& listener) -> net::Task<absl::Status> {
            std::vector<uint8_t> hello;
            reactor.network().set_filter([&hello](SimDatagram& d) {
              if (d.to.port() == 4433 && hello.empty()) hello = d.bytes;
              return d.to.port() != 4433;
            });
            {
              CO_ASSIGN_OR_RETURN(Connection connection,
                                  co_await ConnectTo(reactor, ClientContext()));
              (void)co_await net::WithTimeout(absl::Milliseconds(10),
                                              connection.Handshake());
            }
            reactor.network().set_filter(nullptr);
            for (uint16_t i = 1; i <= 5000; ++i) {
              reactor.Inject(net::Endpoint::V4({10, 0, 0, 1}, i), kAt, hello);
              reactor.Inject(net::Endpoint::V4({10, 0, 0, 2}, i), kAt,
                             std::vector<uint8_t>{1, 2, 3});
            }
            (void)co_await net::SleepFor(absl::Milliseconds(100));
            const ListenerStatistics s = listener.statistics();
            EXPECT_EQ(s.sessions, 0U);
            EXPECT_EQ(s.cookies.sent, 5000U);
            EXPECT_EQ(s.cookies.dropped_malformed, 5000U);
            // Never more bytes than were received.
            EXPECT_LE(s.socket.bytes_sent, s.socket.bytes_received);
            co_return absl::OkStatus();
          }),
      absl::OkStatus());
}

// ACCEPTANCE: QB15, HD1
TEST(ListenerTest, APeerThatLostItsStateIsServedAtOnce) {
  SimReactor reactor;
  EXPECT_EQ(
      WithServer(reactor, ServerContext(), {},
                 [&](Listener& listener) -> net::Task<absl::Status> {
                   ConnectOptions options;
                   options.server_name = "localhost";
                   options.bind = net::Endpoint::LoopbackV4(5000);
                   Context context = ClientContext();
                   for (int life = 0; life < 3; ++life) {
                     CO_ASSIGN_OR_RETURN(
                         Connection client,
                         co_await Connect(reactor, kAt, context, options));
                     CO_RETURN_IF_ERROR(co_await client.Handshake());
                     CO_RETURN_IF_ERROR(co_await client.SendEncrypted(
                         Bytes(absl::StrCat("life ", life))));
                     CO_ASSIGN_OR_RETURN(Message reply,
                                         co_await client.RecvDecrypted());
                     EXPECT_EQ(reply.text(), absl::StrCat("life ", life));
                     EXPECT_EQ(client.statistics().retransmissions, 0U);
                     // It dies without a word.
                     reactor.network().set_filter(
                         [](SimDatagram&) { return false; });
                     {
                       Connection dead = std::move(client);
                     }
                     (void)co_await net::SleepFor(absl::Milliseconds(50));
                     reactor.network().set_filter(nullptr);
                   }
                   const ListenerStatistics s = listener.statistics();
                   EXPECT_EQ(s.handshakes_completed, 3U);
                   EXPECT_EQ(s.sessions_superseded, 2U);
                   EXPECT_EQ(s.sessions, 1U);
                   co_return absl::OkStatus();
                 }),
      absl::OkStatus());
}

// ACCEPTANCE: HD1
TEST(ListenerTest, ForgedHellosDoNotHarmASession) {
  SimReactor reactor;
  EXPECT_EQ(
      WithServer(reactor, ServerContext(), {},
                 [&](Listener& listener) -> net::Task<absl::Status> {
                   // Hellos of another client: without cookie, and with a good
                   // one.
                   std::vector<std::vector<uint8_t>> hellos;
                   reactor.network().set_filter([&hellos](SimDatagram& d) {
                     if (d.to.port() == 4433 && d.bytes[0] == 22 &&
                         d.bytes[13] == 1) {
                       hellos.push_back(d.bytes);
                     }
                     return true;
                   });
                   Context context = ClientContext();
                   ConnectOptions options;
                   options.server_name = "localhost";
                   options.bind = net::Endpoint::LoopbackV4(5000);
                   {
                     CO_ASSIGN_OR_RETURN(
                         Connection other,
                         co_await Connect(reactor, kAt, context, options));
                     CO_RETURN_IF_ERROR(co_await other.Handshake());
                     CO_RETURN_IF_ERROR(co_await other.Close());
                   }
                   (void)co_await net::SleepFor(absl::Seconds(1));
                   EXPECT_EQ(hellos.size(), 2U);
                   reactor.network().set_filter(nullptr);

                   CO_ASSIGN_OR_RETURN(
                       Connection client,
                       co_await Connect(reactor, kAt, context, options));
                   CO_RETURN_IF_ERROR(co_await client.Handshake());
                   for (int i = 0; i < 20; ++i) {
                     for (const std::vector<uint8_t>& hello : hellos) {
                       reactor.Inject(options.bind, kAt, hello);
                     }
                     CO_RETURN_IF_ERROR(
                         co_await client.SendEncrypted(Bytes(absl::StrCat(i))));
                     CO_ASSIGN_OR_RETURN(Message reply,
                                         co_await client.RecvDecrypted());
                     EXPECT_EQ(reply.text(), absl::StrCat(i));
                   }
                   EXPECT_EQ(listener.statistics().sessions_superseded, 0U);
                   EXPECT_LE(listener.statistics().sessions, 2U);
                   co_return co_await client.Close();
                 }),
      absl::OkStatus());
}

// ACCEPTANCE: HC12, HE3
TEST(ListenerTest, ASlowReaderLosesMessagesThatAreCounted) {
  SimReactor reactor;
  auto run = [&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Listener listener,
                        Listener::Bind(reactor, kAt, ServerContext()));
    CO_ASSIGN_OR_RETURN(Connection client,
                        co_await ConnectTo(reactor, ClientContext()));
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    CO_ASSIGN_OR_RETURN(Connection server, co_await listener.Accept());
    CO_RETURN_IF_ERROR(co_await server.Handshake());
    CO_RETURN_IF_ERROR(co_await scope.Join());
    for (int i = 0; i < 10; ++i) {
      CO_RETURN_IF_ERROR(co_await client.SendEncrypted(Bytes(absl::StrCat(i))));
    }
    (void)co_await net::SleepFor(absl::Seconds(1));
    EXPECT_EQ(server.statistics().messages_dropped_queue_full, 6U);
    std::vector<Message> messages(10);
    CO_ASSIGN_OR_RETURN(const size_t count,
                        co_await server.RecvBatch(absl::MakeSpan(messages)));
    EXPECT_EQ(count, 4U);
    EXPECT_EQ(messages[3].text(), "3");
    // One waits, a second is turned away, and the first is none the worse.
    auto [first, second, sent] =
        co_await net::WhenAll(server.RecvDecrypted(), server.RecvDecrypted(),
                              client.SendEncrypted(Bytes("for the first")));
    EXPECT_TRUE(first.ok()) << first.status();
    EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
    co_return sent;
  };
  EXPECT_EQ(reactor.Run(run()), absl::OkStatus());
}

TEST(ListenerTest, LimitsAreKeptAndCounted) {
  SimReactor reactor;
  auto run = [&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(
        Listener listener,
        Listener::Bind(reactor, kAt, ServerContext(), {.accept_backlog = 3}));
    std::vector<Connection> clients;
    net::TaskScope scope;
    Context context = ClientContext();
    for (int i = 0; i < 10; ++i) {
      CO_ASSIGN_OR_RETURN(Connection client,
                          co_await ConnectTo(reactor, context));
      clients.push_back(std::move(client));
    }
    for (Connection& client : clients) scope.Spawn(client.Handshake());
    (void)co_await net::SleepFor(absl::Milliseconds(200));
    const ListenerStatistics s = listener.statistics();
    EXPECT_EQ(s.sessions, 3U);
    EXPECT_EQ(s.dropped_accept_backlog, 7U);
    scope.RequestStop();
    (void)co_await scope.Join();
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor.Run(run()), absl::OkStatus());
}

TEST(ListenerTest, ASessionThatIsEndedBeforeItIsAcceptedLeavesItsPlace) {
  constexpr int kClients = 5;
  SimReactor reactor;
  auto run = [&]() -> net::Task<absl::Status> {
    ListenerOptions options;
    options.accept_backlog = 2;
    options.max_half_open = 1;
    options.half_open_grace = absl::ZeroDuration();
    CO_ASSIGN_OR_RETURN(Listener listener,
                        Listener::Bind(reactor, kAt, ServerContext(), options));
    const Context context = ClientContext();
    std::vector<Connection> clients;
    for (int i = 0; i < kClients; ++i) {
      CO_ASSIGN_OR_RETURN(Connection client,
                          co_await ConnectTo(reactor, context));
      clients.push_back(std::move(client));
      net::TaskScope scope;
      scope.Spawn(clients.back().Handshake());
      (void)co_await net::SleepFor(absl::Milliseconds(100));
      scope.RequestStop();
      (void)co_await scope.Join();
    }
    const ListenerStatistics s = listener.statistics();
    EXPECT_EQ(s.half_open_evicted, uint64_t{kClients - 1});
    EXPECT_EQ(s.dropped_accept_backlog, 0U);
    EXPECT_EQ(s.sessions, 1U);
    CO_ASSIGN_OR_RETURN(Connection last, co_await listener.Accept());
    EXPECT_EQ(last.peer().port(), clients.back().local().port());
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor.Run(run()), absl::OkStatus());
}

TEST(ListenerTest, WhoWaitsToAcceptIsToldWhenTheListenerGoes) {
  SimReactor reactor;
  auto run = [&]() -> net::Task<absl::Status> {
    auto listener = std::make_unique<Listener>(
        *Listener::Bind(reactor, kAt, ServerContext()));
    const auto accept = [](Listener& from) -> net::Task<absl::Status> {
      absl::StatusOr<Connection> connection = co_await from.Accept();
      co_return connection.status();
    };
    net::TaskScope scope;
    scope.Spawn(accept(*listener));
    scope.Spawn(accept(*listener));
    (void)co_await net::SleepFor(absl::Milliseconds(1));
    listener.reset();
    const absl::Status first_error = co_await scope.Join();
    EXPECT_TRUE(absl::IsFailedPrecondition(first_error)) << first_error;
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor.Run(run()), absl::OkStatus());
}

TEST(ListenerTest, ASessionOutlivesItsListener) {
  SimReactor reactor;
  auto run = [&]() -> net::Task<absl::Status> {
    auto listener = std::make_unique<Listener>(
        *Listener::Bind(reactor, kAt, ServerContext()));
    CO_ASSIGN_OR_RETURN(Connection client,
                        co_await ConnectTo(reactor, ClientContext()));
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    CO_ASSIGN_OR_RETURN(Connection server, co_await listener->Accept());
    CO_RETURN_IF_ERROR(co_await server.Handshake());
    CO_RETURN_IF_ERROR(co_await scope.Join());
    listener.reset();
    CO_RETURN_IF_ERROR(co_await client.SendEncrypted(Bytes("still there")));
    CO_ASSIGN_OR_RETURN(Message message, co_await server.RecvDecrypted());
    EXPECT_EQ(message.text(), "still there");
    // Dropping the handle tells the peer.
    {
      Connection dropped = std::move(server);
    }
    absl::StatusOr<Message> closed = co_await client.RecvDecrypted();
    EXPECT_TRUE(IsClosed(closed.status())) << closed.status();
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor.Run(run()), absl::OkStatus());
}

TEST(ListenerTest, SendingWaitsWhileTheNetworkTakesNothing) {
  SimReactor reactor;
  EXPECT_EQ(
      WithServer(
          reactor, ServerContext(), {},
          [&](Listener&) -> net::Task<absl::Status> {
            CO_ASSIGN_OR_RETURN(Connection client,
                                co_await ConnectTo(reactor, ClientContext()));
            CO_RETURN_IF_ERROR(co_await client.Handshake());
            reactor.BlockSends(true);
            // The first fills the socket, and is sent when it has room again.
            CO_RETURN_IF_ERROR(co_await client.SendEncrypted(Bytes("one")));
            (void)co_await net::SleepFor(absl::Milliseconds(1));
            absl::Status status = co_await net::WithTimeout(
                absl::Seconds(1), client.SendEncrypted(Bytes("two")));
            EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
            reactor.BlockSends(false);
            CO_RETURN_IF_ERROR(co_await client.SendEncrypted(Bytes("three")));
            CO_ASSIGN_OR_RETURN(Message first, co_await client.RecvDecrypted());
            CO_ASSIGN_OR_RETURN(Message second,
                                co_await client.RecvDecrypted());
            EXPECT_EQ(first.text(), "one");
            EXPECT_EQ(second.text(), "three");
            co_return co_await client.Close();
          }),
      absl::OkStatus());
}

}  // namespace
}  // namespace cordon::dtls
