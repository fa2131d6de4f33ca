// Real reactors that stop and start while others serve under load: what the
// kernel gives to the wrong one, or to one that is about to end, is not lost.
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/certs/certs.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::TestAuthority;

constexpr int kClients = 8;
// Messages of one client that are under way at a time.
constexpr int kWindow = 8;
constexpr int kRestarts = 8;
// What has not come back by then was lost: nothing is sent again.
constexpr absl::Duration kPatience = absl::Seconds(30);

const TestAuthority& Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}

net::Task<absl::Status> Echo(Connection connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  while (true) {
    absl::StatusOr<Message> message = co_await connection.RecvDecrypted();
    if (!message.ok()) break;
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> Serve(Listener& listener) {
  net::TaskScope sessions;
  while (true) {
    absl::StatusOr<Connection> connection = co_await listener.Accept();
    if (!connection.ok()) break;
    sessions.Spawn(Echo(*std::move(connection)));
  }
  sessions.RequestStop();
  co_return co_await sessions.Join();
}

// A reactor with a listener, on a thread of its own.
class Server {
 public:
  Server(net::Backend backend, const net::Endpoint& at, const Context& context,
         const ListenerOptions& options)
      : reactor_(*net::MakeReactor({.backend = backend})) {
    absl::StatusOr<Listener> listener =
        Listener::Bind(*reactor_, at, context, options);
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    at_ = listener_->local_endpoint();
    thread_ = std::thread([this] {
      EXPECT_EQ(reactor_->Run(Serve(*listener_)), absl::OkStatus());
    });
  }
  ~Server() { Stop(); }

  const net::Endpoint& at() const { return at_; }
  ListenerStatistics statistics() const { return listener_->statistics(); }

  void Stop() {
    if (!thread_.joinable()) return;
    reactor_->RequestStop();
    thread_.join();
  }

 private:
  std::unique_ptr<net::Reactor> reactor_;
  std::optional<Listener> listener_;
  net::Endpoint at_;
  std::thread thread_;
};

class RestartingReactorsTest : public ::testing::TestWithParam<net::Backend> {
 protected:
  void SetUp() override {
    ServerOptions server;
    server.certificates = {Authority().Issue(
        {.common_name = "server", .dns_names = {"localhost"}})};
    server_context_ = *Context::Server(server);
    ClientOptions client;
    client.trust = Authority().trust();
    client_context_ = *Context::Client(client);
    options_.registry = std::make_shared<Registry>();
    options_.reuse_port = true;
  }

  net::Task<absl::Status> Load(net::Reactor& reactor, net::Endpoint at) {
    net::TaskScope scope;
    for (int i = 0; i < kClients; ++i) scope.Spawn(Client(reactor, at));
    co_return co_await scope.Join();
  }

  // All that is sent comes back, in its order.
  net::Task<absl::Status> Client(net::Reactor& reactor, net::Endpoint at) {
    CO_ASSIGN_OR_RETURN(
        Connection connection,
        co_await Connect(reactor, at, *client_context_, "localhost"));
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    if (++connected_ == kClients) all_connected_.Notify();
    uint64_t sent = 0;
    uint64_t received = 0;
    while (!done_ || received < sent) {
      while (!done_ && sent < received + kWindow) {
        const std::string text = absl::StrCat("message ", ++sent);
        CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(
            {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
      }
      if (received == sent) break;
      CO_ASSIGN_OR_RETURN(
          const Message message,
          co_await net::WithTimeout(kPatience, connection.RecvDecrypted()));
      EXPECT_EQ(message.text(), absl::StrCat("message ", ++received));
    }
    messages_ += sent;
    co_return co_await connection.Close();
  }

  std::optional<Context> server_context_;
  std::optional<Context> client_context_;
  ListenerOptions options_;
  std::atomic<int> connected_ = 0;
  absl::Notification all_connected_;
  std::atomic<bool> done_ = false;
  std::atomic<uint64_t> messages_ = 0;
};

// Sessions on one reactor, while another one comes and goes: half of their
// datagrams go to it whenever it is there.
TEST_P(RestartingReactorsTest, NoMessageOfAnEstablishedSessionIsLost) {
  std::optional<Server> steady;
  steady.emplace(GetParam(), net::Endpoint::LoopbackV4(0), *server_context_,
                 options_);
  std::thread load([&] {
    std::unique_ptr<net::Reactor> reactor =
        *net::MakeReactor({.backend = GetParam()});
    EXPECT_EQ(reactor->Run(Load(*reactor, steady->at())), absl::OkStatus());
  });
  all_connected_.WaitForNotification();
  uint64_t strays = 0;
  for (int i = 0; i < kRestarts; ++i) {
    Server other(GetParam(), steady->at(), *server_context_, options_);
    absl::SleepFor(absl::Milliseconds(20));
    // Its listener lives on.
    other.Stop();
    strays += other.statistics().strays_forwarded;
    EXPECT_EQ(other.statistics().strays_dropped, 0U);
    absl::SleepFor(absl::Milliseconds(5));
  }
  done_ = true;
  load.join();
  EXPECT_GT(messages_, 0U);
  EXPECT_GT(strays, 0U);
  steady->Stop();
  EXPECT_EQ(steady->statistics().traffic.messages_received, messages_);
}

// A listener that was bound outside of `Run` is left by one `Run` and found by
// the next.
TEST_P(RestartingReactorsTest, AListenerServesAgainWhenItsReactorRunsAgain) {
  std::unique_ptr<net::Reactor> reactor =
      *net::MakeReactor({.backend = GetParam()});
  std::unique_ptr<net::Reactor> other =
      *net::MakeReactor({.backend = GetParam()});
  Listener listener = *Listener::Bind(*reactor, net::Endpoint::LoopbackV4(0),
                                      *server_context_, options_);
  const net::Endpoint at = listener.local_endpoint();
  std::optional<Listener> shares;
  shares = *Listener::Bind(*other, at, *server_context_, options_);
  EXPECT_EQ(options_.registry->listeners().size(), 2U);
  auto nothing = []() -> net::Task<absl::Status> {
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor->Run(nothing()), absl::OkStatus());
  // Nobody looks for it while it is not there.
  EXPECT_EQ(options_.registry->listeners().size(), 1U);
  shares.reset();
  auto visit = [&]() -> net::Task<absl::Status> {
    EXPECT_EQ(options_.registry->listeners().size(), 1U);
    net::TaskScope scope;
    scope.Spawn(Serve(listener));
    CO_ASSIGN_OR_RETURN(
        Connection client,
        co_await Connect(*reactor, at, *client_context_, "localhost"));
    CO_RETURN_IF_ERROR(
        co_await net::WithTimeout(kPatience, client.Handshake()));
    CO_RETURN_IF_ERROR(co_await client.Close());
    scope.RequestStop();
    co_return co_await scope.Join();
  };
  EXPECT_EQ(reactor->Run(visit()), absl::OkStatus());
}

// Nobody was there when its reactor ended, and so its socket still shares the
// port; until another one comes.
TEST_P(RestartingReactorsTest,
       OneWhoseReactorEndedAloneTakesNothingFromOthers) {
  std::optional<Server> ended;
  ended.emplace(GetParam(), net::Endpoint::LoopbackV4(0), *server_context_,
                options_);
  ended->Stop();
  Server next(GetParam(), ended->at(), *server_context_, options_);
  std::unique_ptr<net::Reactor> reactor =
      *net::MakeReactor({.backend = GetParam()});
  auto visit = [&]() -> net::Task<absl::Status> {
    // Many, so that some would be the other's.
    for (int i = 0; i < 16; ++i) {
      CO_ASSIGN_OR_RETURN(
          Connection client,
          co_await Connect(*reactor, next.at(), *client_context_, "localhost"));
      CO_RETURN_IF_ERROR(
          co_await net::WithTimeout(kPatience, client.Handshake()));
      EXPECT_EQ(client.statistics().retransmissions, 0U);
      CO_RETURN_IF_ERROR(co_await client.Close());
    }
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor->Run(visit()), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(Backends, RestartingReactorsTest,
                         ::testing::Values(net::Backend::kIoUring,
                                           net::Backend::kEpoll),
                         [](const auto& param) {
                           return AbslUnparseFlag(param.param);
                         });

}  // namespace
}  // namespace cordon::dtls
