// Whole clients and servers over networks that lose, repeat and change what
// they carry, or carry little at a time.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/when_all.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/connection_run/connection_run.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Authority;
using ::cordon::testing::Bytes;
using ::cordon::testing::ClientCertificate;
using ::cordon::testing::DefaultClient;
using ::cordon::testing::DefaultServer;
using ::cordon::testing::Impairments;
using ::cordon::testing::MustMake;
using ::cordon::testing::Outcome;
using ::cordon::testing::ServeOne;
using ::cordon::testing::SimDatagram;
using ::cordon::testing::SimReactor;
using ::cordon::testing::TestAuthority;

class BadNetworkTest : public testing::ConnectionRun {};

constexpr uint8_t kChangeCipherSpec = 20;

bool HasRecord(const std::vector<uint8_t>& datagram, uint8_t type) {
  for (size_t at = 0; at + 13 <= datagram.size();
       at += 13 + (size_t{datagram[at + 11]} << 8 | datagram[at + 12])) {
    if (datagram[at] == type) return true;
  }
  return false;
}

TEST_F(BadNetworkTest, HandshakesAtMtu300WithAChainOf5Kilobytes) {
  TestAuthority middle = Authority().IssueAuthority("Middle", 4000);
  ServerOptions server = DefaultServer();
  server.certificates = {
      middle.Issue({.dns_names = {"localhost"}, .padding = 1000})};
  server.verification.mode = PeerVerification::kVerify;
  server.client_trust = Authority().trust();
  server.session.mtu = 300;
  ClientOptions client = DefaultClient();
  client.session.mtu = 300;
  client.certificate = middle.Issue({.padding = 1000});
  Impairments impairments;
  impairments.max_datagram_bytes = 300 - 28;
  Outcome o = Run(server, client, {"small"}, impairments);
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_EQ(network_.too_large, 0U);
  EXPECT_LE(network_.largest_bytes, 300U - 28U);
  EXPECT_GT(o.server_statistics.datagrams_received, 20U);
}

// ACCEPTANCE: HA10
TEST_F(BadNetworkTest, AHelloInFragmentsGetsACookieAndASession) {
  ServerOptions server = DefaultServer();
  server.alpn = {"last"};
  ClientOptions client = DefaultClient();
  client.session.mtu = 256;
  for (int i = 0; i < 30; ++i) {
    client.alpn.push_back(absl::StrCat("a-protocol-with-a-long-name-", i));
  }
  client.alpn.push_back("last");
  int fragments = 0;
  filter_ = [&fragments](SimDatagram& d) {
    // A ClientHello in message 1, the one with the cookie.
    fragments += d.bytes[0] == 22 && d.bytes[13] == 1 && d.bytes[18] == 1;
    return true;
  };
  Outcome o = Run(server, client);
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_EQ(o.client_info.alpn, "last");
  EXPECT_GE(fragments, 4);
  EXPECT_EQ(o.listener.cookies.sent, 1U);
  EXPECT_EQ(o.listener.cookies.accepted, 1U);
  EXPECT_EQ(o.client_statistics.retransmissions, 0U);
}

// The server is done when it has sent its last flight, and must answer when the
// client repeats its own.
TEST_F(BadNetworkTest, TheLastFlightIsSentAgain) {
  int finished = 0;
  filter_ = [&finished](SimDatagram& d) {
    // First the last flight is lost twice.
    const bool last_flight =
        d.from.port() == 4433 && HasRecord(d.bytes, kChangeCipherSpec);
    return !last_flight || ++finished > 2;
  };
  Outcome o = Run(DefaultServer(), DefaultClient());
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_TRUE(o.server.ok()) << o.server;
  EXPECT_EQ(finished, 3);
}

TEST_F(BadNetworkTest, ManyRecordsMayComeInOneDatagram) {
  // Joins what goes to the server, two by two.
  SimReactor reactor;
  std::vector<uint8_t> held;
  int joined = 0;
  reactor.network().set_filter([&](SimDatagram& d) {
    if (d.to.port() != 4433 || d.bytes[0] != 23) return true;
    if (held.empty()) {
      held = d.bytes;
      return false;
    }
    d.bytes.insert(d.bytes.begin(), held.begin(), held.end());
    held.clear();
    ++joined;
    return true;
  });
  Outcome outcome;
  auto client = [](SimReactor& r,
                   Listener& listener) -> net::Task<absl::Status> {
    Context context = MustMake(Context::Client(DefaultClient()));
    ConnectOptions options;
    options.server_name = "localhost";
    CO_ASSIGN_OR_RETURN(
        Connection connection,
        co_await Connect(r, listener.local_endpoint(), context, options));
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    for (int i = 0; i < 10; ++i) {
      CO_RETURN_IF_ERROR(
          co_await connection.SendEncrypted(Bytes(absl::StrCat(i))));
    }
    for (int i = 0; i < 10; ++i) {
      CO_ASSIGN_OR_RETURN(Message reply, co_await connection.RecvDecrypted());
      EXPECT_EQ(reply.text(), absl::StrCat(i));
    }
    co_return co_await connection.Close();
  };
  auto both = [&](SimReactor& r) -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(
        Listener listener,
        Listener::Bind(r, net::Endpoint::LoopbackV4(4433),
                       MustMake(Context::Server(DefaultServer()))));
    auto [served, status] =
        co_await net::WhenAll(ServeOne(listener, outcome), client(r, listener));
    co_return status;
  };
  EXPECT_EQ(reactor.Run(both(reactor)), absl::OkStatus());
  EXPECT_EQ(joined, 5);
}

TEST_F(BadNetworkTest, RepeatedAndForgedRecordsAreDropped) {
  int copies = 0;
  filter_ = [&copies](SimDatagram& d) {
    if (d.bytes[0] == 23) {
      ++copies;
      // The record twice, and once with a byte changed.
      std::vector<uint8_t> once = d.bytes;
      std::vector<uint8_t> forged = d.bytes;
      forged.back() ^= 1;
      d.bytes = forged;
      d.bytes.insert(d.bytes.end(), once.begin(), once.end());
      d.bytes.insert(d.bytes.end(), once.begin(), once.end());
      d.bytes.insert(d.bytes.end(), {1, 2, 3});
    }
    return true;
  };
  Outcome o = Run(DefaultServer(), DefaultClient(), {"a", "b", "c"});
  EXPECT_TRUE(o.client.ok()) << o.client;
  EXPECT_EQ(o.server_statistics.messages_received, 3U);
  // Of each: the forged one, the copy, and the rest that is no record.
  EXPECT_EQ(o.server_statistics.records_discarded, 9U);
}

TEST_F(BadNetworkTest, ManySeedsOfABadNetworkAllComplete) {
  Impairments impairments;
  impairments.loss = 0.2;
  impairments.reorder = 0.2;
  impairments.duplicate = 0.1;
  impairments.jitter = absl::Milliseconds(20);
  int completed = 0;
  constexpr int kSeeds = 3000;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    impairments.seed = seed;
    ServerOptions server = DefaultServer();
    ClientOptions client = DefaultClient();
    if (seed % 2 == 0) {
      server.verification.mode = PeerVerification::kVerify;
      server.client_trust = Authority().trust();
      client.certificate = ClientCertificate();
    }
    if (seed % 3 == 0) server.session.mtu = client.session.mtu = 500;
    Outcome o = Run(server, client, {"one", "two"}, impairments);
    EXPECT_TRUE(o.client.ok()) << "seed " << seed << ": " << o.client;
    completed += o.client.ok() ? 1 : 0;
  }
  EXPECT_EQ(completed, kSeeds);
}

TEST_F(BadNetworkTest, CorruptionNeverChangesAMessage) {
  Impairments impairments;
  impairments.corrupt = 0.1;
  for (int seed = 1; seed <= 200; ++seed) {
    impairments.seed = seed;
    // `Ask` compares; a session may fail, but not with another text.
    Outcome o = Run(DefaultServer(), DefaultClient(), {"one", "two", "three"},
                    impairments);
    EXPECT_LE(o.server_statistics.message_bytes_received,
              11U * o.server_statistics.messages_received);
  }
}

}  // namespace
}  // namespace cordon::dtls
