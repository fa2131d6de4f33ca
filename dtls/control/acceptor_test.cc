#include "cordon/dtls/control/acceptor.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/tcp_socket.h"
#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

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

  void Start(size_t max_connections = 64, bool admit = true) {
    absl::StatusOr<TcpListener> listener =
        ListenOnTcp(net::Endpoint::LoopbackV4(0));
    ASSERT_TRUE(listener.ok()) << listener.status();
    at_ = listener->at;
    std::vector<Acceptor::Port> ports;
    ports.push_back(
        {.socket = std::move(listener->socket),
         .admit = [this,
                   admit](int) { return admit ? taker_.hand_over() : nullptr; },
         .max_connections = max_connections});
    absl::StatusOr<std::unique_ptr<Acceptor>> acceptor =
        Acceptor::Create(std::move(ports));
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

  // The acceptor's thread learns in its own time that a connection is gone.
  uint64_t OpenOnceItIs(uint64_t count) const {
    const absl::Time deadline = absl::Now() + testing::kPatience;
    while (acceptor_->statistics().open != count && absl::Now() < deadline) {
      poll(nullptr, 0, 1);
    }
    return acceptor_->statistics().open;
  }

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
  Start(64, false);
  const net::UniqueFd client = Connect();
  EXPECT_TRUE(IsClosed(client));
  EXPECT_EQ(acceptor_->statistics().refused, 1u);
  EXPECT_EQ(acceptor_->statistics().open, 0u);
}

TEST_F(AcceptorTest, ClosesConnectionsBeyondTheLimit) {
  Start(2);
  const net::UniqueFd first = Connect();
  const net::UniqueFd second = Connect();
  taker_.Wait(2);
  const net::UniqueFd third = Connect();
  EXPECT_TRUE(IsClosed(third));
  EXPECT_EQ(acceptor_->statistics().over_limit, 1u);
  EXPECT_EQ(acceptor_->statistics().open, 2u);
}

TEST_F(AcceptorTest, AConnectionThatEndedMakesRoomForAnother) {
  Start(1);
  const net::UniqueFd first = Connect();
  const std::vector<int> taken = taker_.Wait(1);
  ASSERT_EQ(shutdown(taken[0], SHUT_RDWR), 0);
  ASSERT_TRUE(IsClosed(first));
  ASSERT_EQ(OpenOnceItIs(0), 0u);
  const net::UniqueFd second = Connect();
  EXPECT_EQ(taker_.Wait(2).size(), 2u);
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
