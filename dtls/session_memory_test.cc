// What sessions take of the machine's memory, and the limit of it.
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/internal/session_bounds.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/heap/heap.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::HeapInUse;
using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;
using internal::kSessionBytes;

class SessionMemoryTest : public ::testing::Test {
 protected:
  void ExpectRuns(const ServedListener::Body& body) {
    EXPECT_EQ(world_.Run(body), absl::OkStatus());
  }
  ListenerStatistics Now() { return world_.admin().statistics(); }
  static net::Task<absl::Status> SendMany(Connection& client, int count,
                                          size_t size) {
    const std::vector<uint8_t> message(size);
    for (int i = 0; i < count; ++i) {
      CO_RETURN_IF_ERROR(co_await client.SendEncrypted(message));
      co_await ServedListener::Pass(absl::Milliseconds(1));
    }
    co_await ServedListener::Pass(absl::Milliseconds(100));
    co_return absl::OkStatus();
  }

  ServedListener world_;
};

TEST_F(SessionMemoryTest, AtTheLimitNewcomersAreRefused) {
  world_.listener_options.max_session_memory = 3 * kSessionBytes;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Connect());
    CO_ASSIGN_OR_RETURN(Connection second, co_await world_.Connect());
    EXPECT_EQ(Now().session_memory, 2 * kSessionBytes);
    CO_ASSIGN_OR_RETURN(Connection third, co_await world_.Connect());
    EXPECT_EQ(Now().session_memory, 3 * kSessionBytes);
    EXPECT_EQ(Now().dropped_max_session_memory, 0U);
    CO_ASSIGN_OR_RETURN(Connection fourth, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(fourth.Handshake());
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_GT(Now().dropped_max_session_memory, 0U);
    EXPECT_EQ(Now().sessions, 3U);
    // Those that are there stay, and make room when they go.
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(second, "second"));
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(third, "third"));
    CO_RETURN_IF_ERROR(co_await first.Close());
    CO_RETURN_IF_ERROR(co_await scope.Join());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(fourth, "fourth"));
    EXPECT_EQ(Now().session_memory, 3 * kSessionBytes);
    co_return absl::OkStatus();
  });
}

TEST_F(SessionMemoryTest, TheLimitMayChange) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Connect());
    ListenerLimits limits = world_.admin().limits();
    limits.max_session_memory = kSessionBytes - 1;
    world_.admin().SetLimits(limits);
    CO_ASSIGN_OR_RETURN(Connection second, co_await world_.Open());
    net::TaskScope scope;
    scope.Spawn(second.Handshake());
    co_await ServedListener::Pass(absl::Milliseconds(100));
    EXPECT_EQ(Now().dropped_max_session_memory, 1U);
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(first, "first"));
    limits.max_session_memory = 2 * kSessionBytes;
    world_.admin().SetLimits(limits);
    CO_RETURN_IF_ERROR(co_await scope.Join());
    co_return co_await ServedListener::Ask(second, "second");
  });
}

TEST_F(SessionMemoryTest, MessagesThatWaitCount) {
  constexpr size_t kMessage = 1000;
  constexpr size_t kRoom = size_t{10} * 4096;
  world_.listener_options.max_session_memory = 2 * kSessionBytes + kRoom;
  // Takes nothing.
  world_.session = [](Connection& server) -> net::Task<absl::Status> {
    CO_RETURN_IF_ERROR(co_await server.Handshake());
    co_await ServedListener::Pass(absl::Hours(1));
    co_return absl::OkStatus();
  };
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection greedy, co_await world_.Connect());
    CO_ASSIGN_OR_RETURN(Connection modest, co_await world_.Connect());
    CO_RETURN_IF_ERROR(co_await SendMany(greedy, 100, kMessage));
    EXPECT_LE(Now().session_memory, 2 * kSessionBytes + kRoom);
    EXPECT_GT(Now().session_memory, 2 * kSessionBytes + kRoom / 2);
    const uint64_t kept = Now().traffic.messages_received;
    EXPECT_GE(kept * kMessage, kRoom / 4);
    EXPECT_EQ(Now().traffic.messages_dropped_queue_full, 100 - kept);
    // Every session may have one.
    CO_RETURN_IF_ERROR(co_await SendMany(modest, 2, kMessage));
    EXPECT_EQ(Now().traffic.messages_received, kept + 1);
    EXPECT_EQ(Now().sessions, 2U);
    CO_RETURN_IF_ERROR(co_await greedy.Close());
    co_return co_await modest.Close();
  });
  EXPECT_EQ(world_.ended.size(), 2U);
}

TEST_F(SessionMemoryTest, ThePeersCertificatesCount) {
  constexpr size_t kPadding = 10'000;
  world_.client_options.certificate =
      testing::SelfSigned({.padding = kPadding});
  world_.server_options.verification.mode = PeerVerification::kQuery;
  world_.server_options.client_trust = ServedListener::Authority().trust();
  ExpectRuns([&]() -> net::Task<absl::Status> {
    {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
      CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "first"));
      EXPECT_GE(Now().session_memory, kSessionBytes + kPadding);
      // Its errors refer to the certificate; they do not repeat it.
      EXPECT_LE(Now().session_memory, kSessionBytes + kPadding + 3000);
      CO_RETURN_IF_ERROR(co_await client.Close());
    }
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_EQ(Now().session_memory, 0U);
    co_return absl::OkStatus();
  });
}

TEST_F(SessionMemoryTest, CertificatesThatFindNoRoomEndTheHandshake) {
  world_.client_options.certificate = testing::SelfSigned({.padding = 10'000});
  world_.server_options.verification.mode = PeerVerification::kQuery;
  world_.server_options.client_trust = ServedListener::Authority().trust();
  world_.listener_options.max_session_memory = kSessionBytes + 10'000;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
    EXPECT_FALSE((co_await client.Handshake()).ok());
    EXPECT_EQ(Now().dropped_max_session_memory, 1U);
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_EQ(Now().session_memory, 0U);
    co_return absl::OkStatus();
  });
  ASSERT_EQ(world_.ended.size(), 1U);
  EXPECT_TRUE(absl::IsResourceExhausted(world_.ended[0])) << world_.ended[0];
  EXPECT_EQ(GetErrorDetail(world_.ended[0])->limit, "max_session_memory");
}

TEST_F(SessionMemoryTest, IsGivenBack) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
      for (int i = 0; i < 10; ++i) {
        CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "a message"));
        EXPECT_EQ(Now().session_memory, kSessionBytes);
      }
      CO_RETURN_IF_ERROR(co_await client.Close());
    }
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_EQ(Now().sessions, 0U);
    EXPECT_EQ(Now().session_memory, 0U);
    co_return absl::OkStatus();
  });
}

// A session of the server takes about as much of the heap as it is taken for.
TEST_F(SessionMemoryTest, TheEstimateIsAsMeasured) {
  if (!HeapInUse().has_value()) GTEST_SKIP() << "a sanitizer has the heap";
  ExpectRuns([&]() -> net::Task<absl::Status> {
    constexpr size_t kSessions = 200;
    // What is made once, by the first of them.
    CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Connect());
    const size_t before = *HeapInUse();
    {
      std::vector<Connection> clients;
      for (size_t i = 0; i < kSessions; ++i) {
        CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
        clients.push_back(std::move(client));
      }
      // The clients go, and their sessions at the server stay.
      world_.reactor.network().set_filter([](SimDatagram&) { return false; });
    }
    EXPECT_EQ(Now().sessions, kSessions + 1);
    const size_t each = (*HeapInUse() - before) / kSessions;
    RecordProperty("bytes_of_a_session", static_cast<int>(each));
    EXPECT_LE(each, kSessionBytes);
    EXPECT_GE(each, kSessionBytes / 4);
    world_.reactor.network().set_filter(nullptr);
    co_return absl::OkStatus();
  });
}

}  // namespace
}  // namespace cordon::dtls
