// What a listener counts: handshakes that fail, by cause; records that are
// discarded, by reason; how long handshakes take.
#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::SelfSigned;
using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;
using ::cordon::testing::TestAuthority;

struct Failing {
  std::string name;
  HandshakeFailure cause;
  std::function<void(ServedListener&)> arrange;
  // While the client's handshake goes on.
  std::function<void(ServedListener&)> meanwhile = [](ServedListener&) {};
};

// The client hears nothing after the cookie, and nothing is heard of it after
// the hello that has one.
void SilenceAfterCookie(ServedListener& world) {
  world.reactor.network().set_filter([hellos = 0](SimDatagram& d) mutable {
    return d.from.port() == 4433 ? d.bytes[13] == 3 : ++hellos <= 2;
  });
}

void UseKeys(ServedListener& world, const std::string& identity) {
  world.server_options.pre_shared_keys = {{"known", {1, 2, 3}}};
  world.client_options.pre_shared_key = {identity, {1, 2, 3}};
  world.client_options.trust = {};
}

std::vector<Failing> Failings() {
  return {
      {"Deadline", HandshakeFailure::kDeadline, SilenceAfterCookie},
      {"NoAnswer", HandshakeFailure::kNoAnswer,
       [](ServedListener& world) {
         world.server_options.session.max_retransmissions = 2;
         SilenceAfterCookie(world);
       }},
      {"PeerAlert", HandshakeFailure::kPeerAlert,
       [](ServedListener& world) {
         static const TestAuthority* const other = new TestAuthority("Other");
         world.client_options.trust = other->trust();
       }},
      {"Verification", HandshakeFailure::kVerification,
       [](ServedListener& world) {
         world.server_options.client_trust =
             ServedListener::Authority().trust();
         world.server_options.verification.mode = PeerVerification::kVerify;
         world.client_options.certificate = SelfSigned({});
       }},
      {"NoCertificate", HandshakeFailure::kVerification,
       [](ServedListener& world) {
         world.server_options.client_trust =
             ServedListener::Authority().trust();
         world.server_options.verification.mode = PeerVerification::kVerify;
       }},
      {"Policy", HandshakeFailure::kPolicy,
       [](ServedListener& world) {
         world.client_options.certificate =
             ServedListener::Authority().Issue({.dns_names = {"a.example"}});
         Policy policy;
         policy.client_certificate = PeerVerification::kVerify;
         policy.trust = ServedListener::Authority().trust();
         policy.denied_names = {"a.example"};
         EXPECT_TRUE(world.registry->policies().Set({.policy = policy}).ok());
       }},
      {"DisabledKey", HandshakeFailure::kPolicy,
       [](ServedListener& world) {
         UseKeys(world, "known");
         Policy policy;
         policy.psk_disabled = true;
         EXPECT_TRUE(world.registry->policies().Set({.policy = policy}).ok());
       }},
      {"Application", HandshakeFailure::kPolicy,
       [](ServedListener& world) {
         world.server_options.client_trust =
             ServedListener::Authority().trust();
         world.client_options.certificate =
             ServedListener::Authority().Issue({});
         world.listener_options.verify_peer =
             [](const PeerIdentity&) -> net::Task<VerificationVerdict> {
           co_return VerificationVerdict::Reject("unknown device");
         };
       }},
      {"UnknownPsk", HandshakeFailure::kUnknownPsk,
       [](ServedListener& world) { UseKeys(world, "unknown"); }},
      {"ClosedByAdmin", HandshakeFailure::kAborted, SilenceAfterCookie,
       [](ServedListener& world) {
         world.admin().CloseSession(world.admin().Sessions(0, 1).front()->id,
                                    absl::UnavailableError("enough"),
                                    SSL_AD_CLOSE_NOTIFY);
       }},
      {"DroppedByTheService", HandshakeFailure::kAborted,
       [](ServedListener& world) {
         SilenceAfterCookie(world);
         world.session = [](Connection& connection) -> net::Task<absl::Status> {
           co_return co_await net::WithTimeout(absl::Milliseconds(300),
                                               connection.Handshake());
         };
       }},
      {"Protocol", HandshakeFailure::kProtocol,
       [](ServedListener& world) {
         // The server's certificate is of another kind.
         world.client_options.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
         // It does not try again before it believes what it is told.
         world.client_options.session.retransmission_timeout = absl::Seconds(4);
         world.client_options.session.min_retransmission_timeout =
             absl::Seconds(4);
       }},
  };
}

class HandshakeFailureTest : public ::testing::TestWithParam<Failing> {};

TEST_P(HandshakeFailureTest, IsCountedByItsCause) {
  ServedListener world;
  GetParam().arrange(world);
  EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
    ListenerStatistics s;
    {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world.Open());
      net::TaskScope scope;
      scope.Spawn(client.Handshake());
      co_await ServedListener::Pass(absl::Milliseconds(200));
      GetParam().meanwhile(world);
      co_await ServedListener::Pass(absl::Seconds(40));
      scope.RequestStop();
      (void)co_await scope.Join();
    }
    co_await ServedListener::Pass(absl::Seconds(1));
    s = world.admin().statistics();
    EXPECT_EQ(s.handshakes_begun, 1U);
    EXPECT_EQ(s.handshakes_completed, 0U);
    EXPECT_EQ(s.handshakes_failed, 1U);
    EXPECT_EQ(s.failures[static_cast<size_t>(GetParam().cause)], 1U)
        << world.ended.front();
    EXPECT_EQ(
        std::accumulate(s.failures.begin(), s.failures.end(), uint64_t{0}), 1U);
    EXPECT_EQ(std::accumulate(s.handshake_times.counts.begin(),
                              s.handshake_times.counts.end(), uint64_t{0}),
              0U);
    EXPECT_EQ(s.half_open, 0U);
    EXPECT_EQ(s.sessions, 0U);
    co_return absl::OkStatus();
  }),
            absl::OkStatus());
}

std::string NameOf(const ::testing::TestParamInfo<Failing>& failing) {
  return failing.param.name;
}

INSTANTIATE_TEST_SUITE_P(, HandshakeFailureTest,
                         ::testing::ValuesIn(Failings()), NameOf);

TEST(HandshakeFailureIdTest, EachCauseHasOne) {
  std::set<std::string> ids;
  for (size_t i = 0; i < kHandshakeFailures; ++i) {
    ids.emplace(HandshakeFailureId(static_cast<HandshakeFailure>(i)));
  }
  EXPECT_EQ(ids.size(), kHandshakeFailures);
  EXPECT_EQ(ids.count(""), 0U);
  EXPECT_EQ(HandshakeFailureId(HandshakeFailure::kProtocol), "protocol");
  EXPECT_EQ(static_cast<size_t>(HandshakeFailure::kProtocol) + 1,
            kHandshakeFailures);
}

TEST(HandshakeTimesTest, EachDurationCountsWhereItFits) {
  HandshakeTimes times;
  times.Add(absl::ZeroDuration());
  times.Add(absl::Milliseconds(1));
  EXPECT_EQ(times.counts[0], 2U);
  times.Add(absl::Milliseconds(1) + absl::Nanoseconds(1));
  EXPECT_EQ(times.counts[1], 1U);
  times.Add(HandshakeTimes::Bound(15));
  EXPECT_EQ(times.counts[15], 1U);
  times.Add(HandshakeTimes::Bound(15) + absl::Nanoseconds(1));
  times.Add(absl::Hours(1));
  EXPECT_EQ(times.counts[16], 2U);
  EXPECT_EQ(times.sum, absl::Milliseconds(2 + 2 * 32'768) + absl::Hours(1) +
                           absl::Nanoseconds(2));
  EXPECT_EQ(HandshakeTimes::Bound(0), absl::Milliseconds(1));
  EXPECT_EQ(HandshakeTimes::Bound(16), absl::InfiniteDuration());
}

TEST(ListenerStatisticsTest, HandshakesAreTimedAndResumptionsCounted) {
  ServedListener world;
  EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection first, co_await world.Connect());
    ConnectOptions options;
    options.resume = *first.Session();
    world.reactor.network().impairments().delay = absl::Milliseconds(50);
    CO_ASSIGN_OR_RETURN(Connection second, co_await world.Connect(options));
    co_await ServedListener::Pass(absl::Seconds(1));
    const ListenerStatistics s = world.admin().statistics();
    EXPECT_EQ(s.handshakes_begun, 2U);
    EXPECT_EQ(s.handshakes_completed, 2U);
    EXPECT_EQ(s.handshakes_resumed, 1U);
    EXPECT_EQ(s.sessions_accepted, 2U);
    EXPECT_EQ(s.cookies.accepted, 2U);
    // One round trip each: 10 ms and 100 ms.
    EXPECT_EQ(s.handshake_times.counts[4], 1U);
    EXPECT_EQ(s.handshake_times.counts[7], 1U);
    EXPECT_EQ(s.handshake_times.sum, absl::Milliseconds(110));
    EXPECT_EQ(s.traffic.handshake_duration, absl::Milliseconds(110));
    co_return absl::OkStatus();
  }),
            absl::OkStatus());
}

TEST(ListenerStatisticsTest, IgnoredErrorsAreCounted) {
  ServedListener world;
  Policy policy;
  policy.client_certificate = PeerVerification::kVerify;
  policy.trust = ServedListener::Authority().trust();
  policy.tolerated = {{.error = VerificationErrorCode::kSelfSigned}};
  ASSERT_TRUE(world.registry->policies().Set({.policy = policy}).ok());
  world.client_options.certificate = SelfSigned({});
  EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world.Connect());
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_EQ(world.admin().statistics().verification_errors_ignored, 1U);
    co_return absl::OkStatus();
  }),
            absl::OkStatus());
}

class DiscardTest : public ::testing::Test {
 protected:
  // Runs `body` with a client that is connected, then expects the counters of
  // the session and those of the listener to be as `check` wants them.
  void Expect(const std::function<net::Task<absl::Status>(Connection&)>& body,
              const std::function<void(const SessionStatistics&)>& check) {
    EXPECT_EQ(world_.Run([&]() -> net::Task<absl::Status> {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
      co_await ServedListener::Pass(absl::Seconds(1));
      CO_RETURN_IF_ERROR(co_await body(client));
      co_await ServedListener::Pass(absl::Seconds(1));
      check(world_.admin().Sessions(0, 1).front()->statistics);
      CO_RETURN_IF_ERROR(co_await client.Close());
      co_await ServedListener::Pass(absl::Seconds(1));
      EXPECT_EQ(world_.admin().statistics().sessions, 0U);
      // Those of sessions that have ended stay.
      check(world_.admin().statistics().traffic);
      co_return absl::OkStatus();
    }),
              absl::OkStatus());
  }
  // Sends a message, whose datagram `change` may change on its way, and returns
  // that datagram.
  net::Task<absl::StatusOr<std::vector<uint8_t>>> Send(
      Connection& client, std::function<void(std::vector<uint8_t>&)> change) {
    std::vector<uint8_t> sent;
    world_.reactor.network().set_filter([&](SimDatagram& d) {
      if (d.to.port() == 4433 && d.bytes[0] == 23) {
        change(d.bytes);
        sent = d.bytes;
      }
      return true;
    });
    const std::vector<uint8_t> message = {1, 2, 3};
    CO_RETURN_IF_ERROR(co_await client.SendEncrypted(message));
    co_await ServedListener::Pass(absl::Milliseconds(100));
    world_.reactor.network().set_filter(nullptr);
    co_return sent;
  }
  void Inject(const Connection& client, const std::vector<uint8_t>& bytes) {
    world_.reactor.Inject(client.local(), ServedListener::At(), bytes);
  }

  ServedListener world_;
};

TEST_F(DiscardTest, NothingOfGoodTraffic) {
  Expect(
      [&](Connection& client) -> net::Task<absl::Status> {
        co_return co_await ServedListener::Ask(client, "hello");
      },
      [](const SessionStatistics& s) {
        EXPECT_EQ(s.records_discarded, 0U);
        EXPECT_EQ(s.messages_received, 1U);
      });
}

TEST_F(DiscardTest, Replays) {
  Expect(
      [&](Connection& client) -> net::Task<absl::Status> {
        CO_ASSIGN_OR_RETURN(const std::vector<uint8_t> sent,
                            co_await Send(client, [](auto&) {}));
        for (int i = 0; i < 3; ++i) Inject(client, sent);
        co_return absl::OkStatus();
      },
      [](const SessionStatistics& s) {
        EXPECT_EQ(s.records_replayed, 3U);
        EXPECT_EQ(s.records_discarded, 3U);
        EXPECT_EQ(s.messages_received, 1U);
      });
}

TEST_F(DiscardTest, BadMacs) {
  Expect(
      [&](Connection& client) -> net::Task<absl::Status> {
        CO_ASSIGN_OR_RETURN(
            const std::vector<uint8_t> sent,
            co_await Send(client, [](auto& bytes) { bytes.back() ^= 1; }));
        // A forged one does not take the place of the good one.
        std::vector<uint8_t> good = sent;
        good.back() ^= 1;
        Inject(client, good);
        co_return absl::OkStatus();
      },
      [](const SessionStatistics& s) {
        EXPECT_EQ(s.records_bad_mac, 1U);
        EXPECT_EQ(s.records_replayed, 0U);
        EXPECT_EQ(s.records_discarded, 1U);
        EXPECT_EQ(s.messages_received, 1U);
      });
}

TEST_F(DiscardTest, WrongEpochs) {
  Expect(
      [&](Connection& client) -> net::Task<absl::Status> {
        CO_ASSIGN_OR_RETURN(
            const std::vector<uint8_t> sent,
            co_await Send(client, [](auto& bytes) { bytes[4] = 7; }));
        EXPECT_EQ(sent[4], 7);
        co_return absl::OkStatus();
      },
      [](const SessionStatistics& s) {
        EXPECT_EQ(s.records_wrong_epoch, 1U);
        EXPECT_EQ(s.records_discarded, 1U);
        EXPECT_EQ(s.messages_received, 0U);
      });
}

TEST_F(DiscardTest, Garbage) {
  Expect(
      [&](Connection& client) -> net::Task<absl::Status> {
        Inject(client, {1, 2, 3});
        Inject(client, std::vector<uint8_t>(500, 0xff));
        // Cut off.
        CO_ASSIGN_OR_RETURN(
            const std::vector<uint8_t> sent,
            co_await Send(client, [](auto& bytes) { bytes.pop_back(); }));
        EXPECT_FALSE(sent.empty());
        co_return absl::OkStatus();
      },
      [](const SessionStatistics& s) {
        EXPECT_EQ(s.records_malformed, 3U);
        EXPECT_EQ(s.records_discarded, 3U);
      });
}

TEST_F(DiscardTest, MessagesThatNobodyTakes) {
  world_.server_options.session.max_queued_messages = 4;
  world_.session = [](Connection& connection) -> net::Task<absl::Status> {
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    // It reads when it is too late.
    co_await ServedListener::Pass(absl::Milliseconds(2500));
    absl::Status status;
    while (status.ok()) status = (co_await connection.RecvDecrypted()).status();
    co_return status;
  };
  Expect(
      [&](Connection& client) -> net::Task<absl::Status> {
        const std::vector<uint8_t> message = {1, 2, 3};
        for (int i = 0; i < 10; ++i) {
          CO_RETURN_IF_ERROR(co_await client.SendEncrypted(message));
        }
        co_return absl::OkStatus();
      },
      [](const SessionStatistics& s) {
        EXPECT_EQ(s.messages_dropped_queue_full, 6U);
        EXPECT_EQ(s.messages_received, 4U);
        EXPECT_EQ(s.records_discarded, 0U);
      });
}

}  // namespace
}  // namespace cordon::dtls
