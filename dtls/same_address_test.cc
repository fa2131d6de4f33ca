// Who is at an address now: clients that crash, in the middle of a handshake or
// afterwards, and come back from their port; and hellos that are only repeated.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "cordon/testing/sim/sim_network.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;
using Bytes = std::vector<uint8_t>;

constexpr uint8_t kHandshake = 22;
constexpr uint8_t kAlert = 21;
constexpr uint8_t kClientHello = 1;
constexpr uint8_t kServerHello = 2;
constexpr uint8_t kHelloVerifyRequest = 3;

// A record in the clear that begins with such a message.
bool IsMessage(const Bytes& datagram, uint8_t type) {
  return datagram.size() > 25 && datagram[0] == kHandshake &&
         datagram[4] == 0 && datagram[13] == type;
}

// The number of the message tells it: a hello with a cookie is the second.
bool HasCookie(const Bytes& hello) { return hello[18] == 1; }

// Of a hello, a client's or a server's.
Bytes RandomOf(const Bytes& hello) {
  return {hello.begin() + 27, hello.begin() + 59};
}

class SameAddressTest : public ::testing::Test {
 protected:
  SameAddressTest() {
    world_.reactor.network().set_filter(
        [this](SimDatagram& d) { return Passes(d); });
  }

  void ExpectRuns(const ServedListener::Body& body) {
    EXPECT_EQ(world_.Run(body), absl::OkStatus());
    client_.reset();
  }

  net::Task<absl::StatusOr<Connection>> Open() {
    ConnectOptions options;
    options.bind = kClient;
    return world_.Open(std::move(options));
  }
  net::Task<absl::StatusOr<Connection>> Connect() {
    ConnectOptions options;
    options.bind = kClient;
    return world_.Connect(std::move(options));
  }

  // A client begins a handshake, hears nothing of the server but its
  // HelloVerifyRequest, and is gone after this time without a word.
  net::Task<absl::Status> CrashInHandshake(
      absl::Duration after = absl::Milliseconds(300)) {
    CO_ASSIGN_OR_RETURN(Connection client, co_await Open());
    deaf_ = true;
    EXPECT_TRUE(absl::IsDeadlineExceeded(
        co_await net::WithTimeout(after, client.Handshake())));
    CO_RETURN_IF_ERROR(co_await Vanish(std::move(client)));
    deaf_ = false;
    co_return absl::OkStatus();
  }
  net::Task<absl::Status> Vanish(Connection client) {
    dumb_ = true;
    CO_RETURN_IF_ERROR(co_await client.Close());
    co_await ServedListener::Pass(absl::Milliseconds(1));
    dumb_ = false;
    co_return absl::OkStatus();
  }

  // A client that comes back gets in at its first attempt, with the first
  // datagram of each kind.
  net::Task<absl::Status> ExpectGetsIn() {
    const absl::Time begin = world_.reactor.Now();
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
    EXPECT_LT(world_.reactor.Now() - begin, absl::Milliseconds(100));
    EXPECT_EQ(client.statistics().retransmissions, 0U);
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "in"));
    EXPECT_EQ(Now().half_open, 0U);
    EXPECT_EQ(Now().sessions, 1U);
    client_ = std::make_unique<Connection>(std::move(client));
    co_return absl::OkStatus();
  }

  void ExpectSuperseded(const absl::Status& status,
                        const std::string& by_what) {
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), by_what)) << status;
    EXPECT_EQ(GetErrorDetail(status).value_or(ErrorDetail()).limit,
              "superseded");
  }

  void Repeat(const Bytes& datagram) {
    world_.reactor.Inject(kClient, ServedListener::At(), datagram);
  }
  ListenerStatistics Now() { return world_.admin().statistics(); }

  const net::Endpoint kClient = net::Endpoint::LoopbackV4(5000);
  ServedListener world_;
  // The client that got in.
  std::unique_ptr<Connection> client_;
  // Nothing but HelloVerifyRequests reaches the client; nothing leaves it.
  bool deaf_ = false;
  bool dumb_ = false;
  // Hellos with a cookie do not reach the server.
  bool withheld_ = false;
  // Of each client, the first hello with a cookie that left it.
  std::vector<Bytes> hellos_;
  // What the server has sent to it in the clear.
  std::vector<Bytes> flights_;
  int alerts_ = 0;

 private:
  bool Passes(const SimDatagram& d) {
    if (d.from == kClient) {
      if (!dumb_ && IsMessage(d.bytes, kClientHello) && HasCookie(d.bytes) &&
          (hellos_.empty() || RandomOf(hellos_.back()) != RandomOf(d.bytes))) {
        hellos_.push_back(d.bytes);
      }
      return !dumb_ && !(withheld_ && IsMessage(d.bytes, kClientHello) &&
                         HasCookie(d.bytes));
    }
    if (d.to != kClient) return true;
    if (d.bytes[0] == kAlert) ++alerts_;
    if (d.bytes[0] == kHandshake) flights_.push_back(d.bytes);
    return !deaf_ || IsMessage(d.bytes, kHelloVerifyRequest);
  }
};

TEST_F(SameAddressTest, AClientThatCrashedInAHandshakeGetsInAtOnce) {
  for (const int crashes : {1, 2, 5}) {
    world_.ended.clear();
    ExpectRuns([&]() -> net::Task<absl::Status> {
      for (int i = 0; i < crashes; ++i) {
        CO_RETURN_IF_ERROR(co_await CrashInHandshake());
        EXPECT_EQ(Now().half_open, 1U);
      }
      CO_RETURN_IF_ERROR(co_await ExpectGetsIn());
      const uint64_t replaced = static_cast<uint64_t>(crashes);
      EXPECT_EQ(Now().handshakes_superseded, replaced);
      EXPECT_EQ(Now().sessions_superseded, 0U);
      EXPECT_EQ(Now().failures[static_cast<size_t>(HandshakeFailure::kAborted)],
                replaced);
      EXPECT_EQ(world_.ended.size(), replaced);
      for (const absl::Status& status : world_.ended) {
        ExpectSuperseded(status, "new handshake");
      }
      co_return co_await client_->Close();
    });
  }
}

TEST_F(SameAddressTest, ASessionStaysUntilTheNewHandshakeIsComplete) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection first, co_await Connect());
    CO_RETURN_IF_ERROR(co_await Vanish(std::move(first)));
    for (int i = 0; i < 3; ++i) {
      CO_RETURN_IF_ERROR(co_await CrashInHandshake());
      EXPECT_EQ(Now().sessions, 2U);
      EXPECT_EQ(Now().sessions_superseded, 0U);
    }
    EXPECT_EQ(world_.ended.size(), 2U);
    CO_RETURN_IF_ERROR(co_await ExpectGetsIn());
    EXPECT_EQ(Now().handshakes_superseded, 3U);
    EXPECT_EQ(Now().sessions_superseded, 1U);
    EXPECT_EQ(world_.ended.size(), 4U);
    if (world_.ended.size() == 4) {
      ExpectSuperseded(world_.ended[2], "new handshake");
      ExpectSuperseded(world_.ended[3], "new session");
    }
    co_return co_await client_->Close();
  });
}

TEST_F(SameAddressTest, TheHandshakeThatWasLeftFallsSilent) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_RETURN_IF_ERROR(co_await CrashInHandshake(absl::Seconds(2)));
    const auto hellos_of_server = [this] {
      std::set<Bytes> randoms;
      for (const Bytes& datagram : flights_) {
        if (IsMessage(datagram, kServerHello)) {
          randoms.insert(RandomOf(datagram));
        }
      }
      return randoms.size();
    };
    EXPECT_EQ(hellos_of_server(), 1U);
    flights_.clear();
    CO_RETURN_IF_ERROR(co_await CrashInHandshake(absl::Milliseconds(50)));
    flights_.clear();
    deaf_ = true;
    co_await ServedListener::Pass(absl::Seconds(40));
    // Only the newer one has repeated its flight, and nobody said good-bye to
    // whoever is there now.
    EXPECT_EQ(hellos_of_server(), 1U);
    EXPECT_EQ(alerts_, 0);
    EXPECT_EQ(Now().half_open, 0U);
    co_return absl::OkStatus();
  });
}

TEST_F(SameAddressTest, ARepeatedHelloDoesNotReplaceANewerHandshake) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_RETURN_IF_ERROR(co_await CrashInHandshake());
    CO_RETURN_IF_ERROR(co_await CrashInHandshake());
    const std::vector<Bytes> old = hellos_;
    EXPECT_EQ(old.size(), 2U);
    CO_ASSIGN_OR_RETURN(Connection client, co_await Open());
    net::TaskScope scope;
    deaf_ = true;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(50));
    EXPECT_EQ(Now().handshakes_superseded, 2U);
    for (int i = 0; i < 50; ++i) {
      for (const Bytes& hello : old) Repeat(hello);
      // Also its own: one handshake begins with it, and goes on.
      Repeat(hellos_.back());
    }
    co_await ServedListener::Pass(absl::Milliseconds(50));
    EXPECT_EQ(Now().handshakes_superseded, 2U);
    EXPECT_EQ(Now().dropped_old_hellos, 100U);
    EXPECT_EQ(Now().sessions, 1U);
    deaf_ = false;
    CO_RETURN_IF_ERROR(co_await scope.Join());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "in"));
    co_return co_await client.Close();
  });
}

TEST_F(SameAddressTest, ARepeatedHelloBeginsNothingBesideASession) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_RETURN_IF_ERROR(co_await CrashInHandshake());
    CO_ASSIGN_OR_RETURN(Connection first, co_await Connect());
    CO_RETURN_IF_ERROR(co_await Vanish(std::move(first)));
    CO_RETURN_IF_ERROR(co_await ExpectGetsIn());
    EXPECT_EQ(hellos_.size(), 3U);
    for (int i = 0; i < 50; ++i) {
      for (const Bytes& hello : hellos_) Repeat(hello);
      CO_RETURN_IF_ERROR(
          co_await ServedListener::Ask(*client_, absl::StrCat(i)));
    }
    EXPECT_EQ(Now().dropped_old_hellos, 100U);
    EXPECT_EQ(Now().half_open, 0U);
    EXPECT_EQ(Now().sessions, 1U);
    EXPECT_EQ(Now().sessions_superseded, 1U);
    co_return co_await client_->Close();
  });
}

// The order is that of the cookies, not that in which the hellos come.
TEST_F(SameAddressTest, AHelloThatWasOvertakenStaysBehind) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    withheld_ = true;
    for (int i = 0; i < 3; ++i) {
      CO_RETURN_IF_ERROR(co_await CrashInHandshake(absl::Milliseconds(20)));
    }
    withheld_ = false;
    EXPECT_EQ(hellos_.size(), 3U);
    EXPECT_EQ(Now().sessions, 0U);
    for (int i = 0; i < 10; ++i) {
      // At one time, before the service has accepted anybody.
      for (const size_t which : {1, 0, 2, 0, 1, 2}) Repeat(hellos_[which]);
      co_await ServedListener::Pass(absl::Milliseconds(20));
      EXPECT_EQ(Now().handshakes_superseded, 1U);
      EXPECT_EQ(Now().sessions, 1U);
    }
    // The middle one is older than the last one, once that is there.
    EXPECT_EQ(Now().dropped_old_hellos, 3U + 9U * 4U);
    co_return absl::OkStatus();
  });
}

TEST_F(SameAddressTest, NobodyReplacesHandshakesFasterThanItMayBeginThem) {
  world_.listener_options.handshake_rate_per_source = 1;
  world_.listener_options.handshake_burst_per_source = 3;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    for (int i = 0; i < 10; ++i) {
      CO_RETURN_IF_ERROR(co_await CrashInHandshake(absl::Milliseconds(20)));
    }
    EXPECT_EQ(Now().handshakes_superseded, 2U);
    EXPECT_EQ(Now().dropped_handshake_rate_per_source, 7U);
    EXPECT_EQ(Now().half_open, 1U);
    co_return absl::OkStatus();
  });
}

// The peer is not there any more, so nobody waits for the decision about it.
TEST_F(SameAddressTest, WhileSomebodyDecidesTheHandshakeIsReplacedToo) {
  int asked = 0;
  int stopped = 0;
  world_.server_options.client_trust = ServedListener::Authority().trust();
  world_.client_options.certificate =
      ServedListener::Authority().Issue({.common_name = "client"});
  world_.listener_options.verify_peer =
      [&](const PeerIdentity&) -> net::Task<VerificationVerdict> {
    if (++asked < 3) {
      stopped += (co_await net::SleepFor(absl::Seconds(20))).ok() ? 0 : 1;
    }
    co_return VerificationVerdict::Accept();
  };
  ExpectRuns([&]() -> net::Task<absl::Status> {
    for (int i = 0; i < 2; ++i) {
      CO_ASSIGN_OR_RETURN(Connection client, co_await Open());
      EXPECT_FALSE((co_await net::WithTimeout(absl::Milliseconds(300),
                                              client.Handshake()))
                       .ok());
      CO_RETURN_IF_ERROR(co_await Vanish(std::move(client)));
    }
    CO_RETURN_IF_ERROR(co_await ExpectGetsIn());
    EXPECT_EQ(asked, 3);
    EXPECT_EQ(stopped, 2);
    EXPECT_EQ(Now().handshakes_superseded, 2U);
    co_return co_await client_->Close();
  });
}

TEST_F(SameAddressTest, WithoutCookiesTheHelloThatIsNotKnownCounts) {
  world_.server_options.cookies = false;
  std::vector<Bytes> first_hellos;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      if (d.from == kClient && IsMessage(d.bytes, kClientHello)) {
        first_hellos.push_back(d.bytes);
      }
      return d.from == kClient ? !dumb_ : !deaf_;
    });
    CO_RETURN_IF_ERROR(co_await CrashInHandshake());
    CO_ASSIGN_OR_RETURN(Connection client, co_await Open());
    net::TaskScope scope;
    deaf_ = true;
    scope.Spawn(client.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(50));
    EXPECT_EQ(Now().handshakes_superseded, 1U);
    // A late repetition of what has been replaced.
    for (int i = 0; i < 10; ++i) Repeat(first_hellos.front());
    co_await ServedListener::Pass(absl::Milliseconds(50));
    EXPECT_EQ(Now().handshakes_superseded, 1U);
    EXPECT_EQ(Now().dropped_old_hellos, 10U);
    deaf_ = false;
    CO_RETURN_IF_ERROR(co_await scope.Join());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "in"));
    EXPECT_EQ(Now().sessions, 1U);
    world_.reactor.network().set_filter(nullptr);
    co_return co_await client.Close();
  });
}

// A connection of the server that begins again waits for a new hello.
TEST_F(SameAddressTest, AServerThatBeginsAgainDoesNotTakeAnOldHello) {
  world_.session = [](Connection& c) -> net::Task<absl::Status> {
    while (true) {
      CO_RETURN_IF_ERROR(co_await c.Handshake());
      absl::StatusOr<Message> message = co_await c.RecvDecrypted();
      while (message.ok()) {
        CO_RETURN_IF_ERROR(co_await c.SendEncrypted(message->bytes()));
        message = co_await c.RecvDecrypted();
      }
      if (!IsClosed(message.status())) co_return message.status();
    }
  };
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await Connect());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "first"));
    CO_RETURN_IF_ERROR(co_await client.Close());
    co_await ServedListener::Pass(absl::Milliseconds(50));
    flights_.clear();
    for (int i = 0; i < 5; ++i) Repeat(hellos_.front());
    co_await ServedListener::Pass(absl::Milliseconds(50));
    EXPECT_TRUE(flights_.empty());
    EXPECT_EQ(Now().dropped_old_hellos, 5U);
    CO_RETURN_IF_ERROR(co_await ExpectGetsIn());
    EXPECT_EQ(Now().sessions_accepted, 1U);
    co_return co_await client_->Close();
  });
}

// The server repeats the flight of the handshake that was left just before it
// hears of the new one.
TEST_F(SameAddressTest, AClientIgnoresAFlightThatWasForTheOneBefore) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_RETURN_IF_ERROR(co_await CrashInHandshake());
    std::vector<Bytes> flight;
    for (const Bytes& datagram : flights_) {
      if (!IsMessage(datagram, kHelloVerifyRequest)) flight.push_back(datagram);
    }
    EXPECT_FALSE(flight.empty());
    CO_ASSIGN_OR_RETURN(Connection client, co_await Open());
    net::TaskScope scope;
    scope.Spawn(client.Handshake());
    for (const Bytes& datagram : flight) {
      world_.reactor.Inject(ServedListener::At(), kClient, datagram);
    }
    CO_RETURN_IF_ERROR(co_await scope.Join());
    EXPECT_EQ(client.statistics().retransmissions, 0U);
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "in"));
    co_return co_await client.Close();
  });
}

}  // namespace
}  // namespace cordon::dtls
