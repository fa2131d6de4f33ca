#include "cordon/dtls/control/acceptor.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/tcp_socket.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ConnectionLimits Known(const ShareLimits& shares) {
  ConnectionLimits limits;
  limits.known = shares;
  return limits;
}

class AcceptorTest : public ::testing::Test {
 protected:
  // Takes what it is handed, as gRPC would.
  class Taker {
   public:
    const Acceptor::HandOver* hand_over() const { return &hand_over_; }

    // The connections so far, once there are so many.
    std::vector<int> Wait(size_t count) {
      absl::MutexLock lock(&mutex_);
      const absl::Time deadline = absl::Now() + testing::kPatience;
      while (taken_.size() < count &&
             !changed_.WaitWithDeadline(&mutex_, deadline)) {
      }
      std::vector<int> fds;
      fds.reserve(taken_.size());
      for (const net::UniqueFd& fd : taken_) fds.push_back(fd.get());
      return fds;
    }

   private:
    absl::Mutex mutex_;
    absl::CondVar changed_;
    std::vector<net::UniqueFd> taken_ ABSL_GUARDED_BY(mutex_);
    const Acceptor::HandOver hand_over_ = [this](net::UniqueFd connection) {
      absl::MutexLock lock(&mutex_);
      taken_.push_back(std::move(connection));
      changed_.Signal();
    };
  };

  // Connections are admitted as of `client`; without it, they must
  // authenticate.
  void Start(const ConnectionLimits& limits = {}, bool admit = true,
             const std::optional<Acceptor::Client>& client = Acceptor::Client{
                 .name = "one"}) {
    absl::StatusOr<TcpListener> listener =
        ListenOnTcp(net::Endpoint::LoopbackV4(0));
    ASSERT_TRUE(listener.ok()) << listener.status();
    at_ = listener->at;
    std::vector<Acceptor::Port> ports;
    ports.push_back(
        {.socket = std::move(listener->socket),
         .admit = [this, admit, client](int) -> Acceptor::Admission {
           if (!admit) return {.refusal = "nobody knows you"};
           return {.taker = taker_.hand_over(), .client = client};
         },
         .limits = limits});
    absl::StatusOr<std::unique_ptr<Acceptor>> acceptor =
        Acceptor::Create(std::move(ports), [this](absl::string_view line) {
          absl::MutexLock lock(&mutex_);
          log_.emplace_back(line);
        });
    ASSERT_TRUE(acceptor.ok()) << acceptor.status();
    acceptor_ = *std::move(acceptor);
    acceptor_->Start();
  }

  net::UniqueFd Connect() const {
    net::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage address;
    const socklen_t length = at_.ToSockaddr(&address, AF_INET);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                length) != 0) {
      return {};
    }
    return fd;
  }

  // True if the other side closes this connection before long.
  static bool IsClosed(const net::UniqueFd& fd) {
    pollfd wait = {fd.get(), POLLIN, 0};
    char byte = 0;
    return poll(&wait, 1,
                static_cast<int>(
                    absl::ToInt64Milliseconds(testing::kPatience))) == 1 &&
           recv(fd.get(), &byte, 1, MSG_DONTWAIT) <= 0;
  }

  static net::Endpoint AddressOf(const net::UniqueFd& client) {
    sockaddr_storage address = {};
    socklen_t length = sizeof(address);
    getsockname(client.get(), reinterpret_cast<sockaddr*>(&address), &length);
    net::Endpoint endpoint;
    net::Endpoint::FromSockaddr(reinterpret_cast<const sockaddr*>(&address),
                                length, &endpoint);
    return endpoint;
  }
  void Authenticate(const net::UniqueFd& client, const std::string& name,
                    bool is_admin = false) {
    acceptor_->Authenticated(
        AddressOf(client), [&]() -> std::optional<Acceptor::Client> {
          return Acceptor::Client{.name = name, .is_admin = is_admin};
        });
  }
  std::vector<std::string> log() {
    absl::MutexLock lock(&mutex_);
    return log_;
  }
  // Once there is something: what the acceptor's thread does by itself is told
  // after it has been done.
  std::vector<std::string> LogOnceThereIsOne() {
    absl::MutexLock lock(&mutex_);
    const auto any = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !log_.empty();
    };
    mutex_.AwaitWithTimeout(absl::Condition(&any), testing::kPatience);
    return log_;
  }

  // The acceptor's thread learns in its own time that a connection is gone.
  uint64_t OpenOnceItIs(uint64_t count) const {
    const absl::Time deadline = absl::Now() + testing::kPatience;
    while (acceptor_->statistics().open != count && absl::Now() < deadline) {
      poll(nullptr, 0, 1);
    }
    return acceptor_->statistics().open;
  }

  absl::Mutex mutex_;
  std::vector<std::string> log_ ABSL_GUARDED_BY(mutex_);
  Taker taker_;
  net::Endpoint at_;
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, HandsConnectionsOver) {
  Start();
  const net::UniqueFd client = Connect();
  const std::vector<int> taken = taker_.Wait(1);
  ASSERT_EQ(taken.size(), 1u);
  ASSERT_EQ(send(taken[0], "x", 1, 0), 1);
  char byte = 0;
  EXPECT_EQ(recv(client.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'x');
  EXPECT_EQ(acceptor_->statistics().accepted, 1u);
  EXPECT_EQ(acceptor_->statistics().open, 1u);
}

TEST_F(AcceptorTest, ClosesConnectionsThatNobodyTakes) {
  Start({}, false);
  const net::UniqueFd client = Connect();
  EXPECT_TRUE(IsClosed(client));
  EXPECT_THAT(log(), ElementsAre("refused a connection: nobody knows you"));
  EXPECT_EQ(acceptor_->statistics().refused, 1u);
  EXPECT_EQ(acceptor_->statistics().open, 0u);
}

TEST_F(AcceptorTest, ClosesConnectionsBeyondTheLimit) {
  Start(Known({.total = 2, .per_reader = 2}));
  const net::UniqueFd first = Connect();
  const net::UniqueFd second = Connect();
  taker_.Wait(2);
  const net::UniqueFd third = Connect();
  EXPECT_TRUE(IsClosed(third));
  EXPECT_EQ(acceptor_->statistics().over_limit, 1u);
  EXPECT_EQ(acceptor_->statistics().open, 2u);
}

TEST_F(AcceptorTest, AConnectionThatEndedMakesRoomForAnother) {
  Start(Known({.total = 1, .per_reader = 1}));
  const net::UniqueFd first = Connect();
  const std::vector<int> taken = taker_.Wait(1);
  ASSERT_EQ(shutdown(taken[0], SHUT_RDWR), 0);
  ASSERT_TRUE(IsClosed(first));
  ASSERT_EQ(OpenOnceItIs(0), 0u);
  const net::UniqueFd second = Connect();
  EXPECT_EQ(taker_.Wait(2).size(), 2u);
}

// As those who open a connection and say nothing.
TEST_F(AcceptorTest, ConnectionsThatHaveNotAuthenticatedGiveWayToNewOnes) {
  ConnectionLimits limits = Known({.total = 1, .per_reader = 1});
  limits.max_unauthenticated_per_source = 4;
  Start(limits, true, std::nullopt);
  std::vector<net::UniqueFd> silent;
  for (size_t i = 0; i < 10; ++i) {
    silent.push_back(Connect());
    taker_.Wait(i + 1);
    if (i >= 4) {
      EXPECT_TRUE(IsClosed(silent[i - 4]));
    }
  }
  EXPECT_EQ(acceptor_->statistics().evicted, 6u);
  EXPECT_EQ(acceptor_->statistics().unauthenticated, 4u);
  EXPECT_EQ(acceptor_->statistics().accepted, 10u);
  EXPECT_THAT(log().back(),
              HasSubstr("it has not authenticated, and too many"));
  // And take nothing from those that have.
  const net::UniqueFd client = Connect();
  taker_.Wait(11);
  Authenticate(client, "one");
  for (size_t i = 0; i < 10; ++i) {
    silent.push_back(Connect());
    taker_.Wait(12 + i);
  }
  EXPECT_EQ(acceptor_->statistics().over_limit, 0u);
  EXPECT_EQ(acceptor_->statistics().unauthenticated, 4u);
  EXPECT_EQ(acceptor_->statistics().open, 5u);
  ASSERT_EQ(send(taker_.Wait(11)[10], "x", 1, 0), 1);
  char byte = 0;
  EXPECT_EQ(recv(client.get(), &byte, 1, 0), 1);
}

TEST_F(AcceptorTest, AllSourcesTogetherHaveALimitToo) {
  ConnectionLimits limits;
  limits.max_unauthenticated = 2;
  Start(limits, true, std::nullopt);
  const net::UniqueFd first = Connect();
  const net::UniqueFd second = Connect();
  const net::UniqueFd third = Connect();
  taker_.Wait(3);
  EXPECT_TRUE(IsClosed(first));
  EXPECT_EQ(acceptor_->statistics().unauthenticated, 2u);
}

TEST_F(AcceptorTest, AuthenticationHasADeadline) {
  ConnectionLimits limits;
  limits.authentication_timeout = absl::Milliseconds(50);
  Start(limits, true, std::nullopt);
  const net::UniqueFd silent = Connect();
  EXPECT_TRUE(IsClosed(silent));
  EXPECT_EQ(acceptor_->statistics().timed_out, 1u);
  EXPECT_THAT(LogOnceThereIsOne(),
              ElementsAre(HasSubstr("it has not authenticated within 50ms")));
}

TEST_F(AcceptorTest, OnceAuthenticatedAConnectionMayBeSilent) {
  ConnectionLimits limits;
  limits.authentication_timeout = absl::Milliseconds(200);
  Start(limits, true, std::nullopt);
  const net::UniqueFd client = Connect();
  taker_.Wait(1);
  Authenticate(client, "one");
  ASSERT_EQ(acceptor_->statistics().timed_out, 0u);
  // One that comes later is ended by the same deadline.
  const net::UniqueFd silent = Connect();
  EXPECT_TRUE(IsClosed(silent));
  EXPECT_EQ(acceptor_->statistics().timed_out, 1u);
  EXPECT_EQ(acceptor_->statistics().open, 1u);
  ASSERT_EQ(send(taker_.Wait(1)[0], "x", 1, 0), 1);
  char byte = 0;
  EXPECT_EQ(recv(client.get(), &byte, 1, 0), 1);
}

TEST_F(AcceptorTest, NobodyHasMoreThanItsShare) {
  Start(Known({.total = 8, .per_reader = 2, .per_admin = 3, .for_admins = 4}),
        true, std::nullopt);
  std::vector<net::UniqueFd> clients;
  const auto connect = [&](const std::string& name, bool is_admin) {
    clients.push_back(Connect());
    taker_.Wait(clients.size());
    const uint64_t before = acceptor_->statistics().over_limit;
    Authenticate(clients.back(), name, is_admin);
    const bool refused = acceptor_->statistics().over_limit > before;
    if (refused) {
      EXPECT_TRUE(IsClosed(clients.back()));
    }
    return !refused;
  };
  EXPECT_TRUE(connect("a", false));
  EXPECT_TRUE(connect("a", false));
  EXPECT_FALSE(connect("a", false));
  EXPECT_THAT(log().back(),
              HasSubstr("closed a connection of a from 127.0.0.1"));
  EXPECT_THAT(log().back(), HasSubstr("a has its share of connections, 2"));
  EXPECT_TRUE(connect("b", false));
  EXPECT_TRUE(connect("c", false));
  EXPECT_FALSE(connect("d", false));
  EXPECT_THAT(log().back(), HasSubstr("readers have their share"));
  for (const char* admin : {"x", "x", "x", "y"}) {
    EXPECT_TRUE(connect(admin, true));
  }
  EXPECT_FALSE(connect("y", true));
  EXPECT_THAT(log().back(), HasSubstr("there are 8 connections"));
}

TEST_F(AcceptorTest, WhoGoesWithoutHavingAuthenticatedIsTold) {
  Start({}, true, std::nullopt);
  net::UniqueFd client = Connect();
  const std::vector<int> taken = taker_.Wait(1);
  client.Reset();
  ASSERT_EQ(shutdown(taken[0], SHUT_RDWR), 0);
  ASSERT_EQ(OpenOnceItIs(0), 0u);
  EXPECT_EQ(acceptor_->statistics().gave_up, 1u);
  EXPECT_THAT(LogOnceThereIsOne(),
              ElementsAre(HasSubstr("without having authenticated")));
}

TEST_F(AcceptorTest, OneThatIsNotThereCannotAuthenticate) {
  Start({}, true, std::nullopt);
  acceptor_->Authenticated(net::Endpoint::LoopbackV4(1),
                           []() -> std::optional<Acceptor::Client> {
                             ADD_FAILURE() << "it was asked for";
                             return std::nullopt;
                           });
}

TEST_F(AcceptorTest, StopClosesThePortAndLeavesConnections) {
  Start();
  const net::UniqueFd client = Connect();
  const std::vector<int> taken = taker_.Wait(1);
  acceptor_->Stop();
  EXPECT_FALSE(Connect().valid());
  ASSERT_EQ(send(taken[0], "x", 1, 0), 1);
  char byte = 0;
  EXPECT_EQ(recv(client.get(), &byte, 1, 0), 1);
}

TEST_F(AcceptorTest, CloseConnectionsEndsThemThoughTheirTakerHoldsThem) {
  Start();
  const net::UniqueFd client = Connect();
  taker_.Wait(1);
  acceptor_->Stop();
  acceptor_->CloseConnections();
  EXPECT_TRUE(IsClosed(client));
  EXPECT_EQ(acceptor_->statistics().open, 0u);
}

TEST_F(AcceptorTest, StopWithoutStartIsFine) {
  absl::StatusOr<std::unique_ptr<Acceptor>> acceptor = Acceptor::Create({});
  ASSERT_TRUE(acceptor.ok());
  (*acceptor)->Stop();
}

}  // namespace
}  // namespace cordon::dtls::control
