// The examples of dtls/README.md, which has them word for word, at work.
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/listener.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/session_pair/session_pair.h"
#include "gtest/gtest.h"

namespace cordon {
namespace {

using ::cordon::testing::EnginePair;
using ::cordon::testing::SelfSigned;
using ::cordon::testing::SessionPair;
using ::cordon::testing::SimReactor;
using ::cordon::testing::VirtualClock;

// What the examples work with.
class Devices {
 public:
  net::Task<bool> Contains(std::string fingerprint) {
    (void)co_await net::SleepFor(absl::Milliseconds(300));
    co_return fingerprints.contains(fingerprint);
  }

  net::Task<absl::StatusOr<std::vector<uint8_t>>> KeyOf(std::string identity) {
    (void)co_await net::SleepFor(absl::Milliseconds(300));
    auto found = keys.find(identity);
    if (found == keys.end()) co_return absl::NotFoundError(identity);
    co_return found->second;
  }

  absl::flat_hash_set<std::string> fingerprints;
  absl::flat_hash_map<std::string, std::vector<uint8_t>> keys;
};

// --- A server ----------------------------------------------------------------

absl::StatusOr<dtls::Listener> Listen(net::Reactor& reactor, net::Endpoint at,
                                      dtls::ServerOptions options) {
  CORDON_ASSIGN_OR_RETURN(dtls::Context context,
                          dtls::Context::Server(std::move(options)));
  return dtls::Listener::Bind(reactor, at, context);
}

net::Task<absl::Status> EchoSession(dtls::Connection connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  while (true) {
    absl::StatusOr<dtls::Message> message = co_await connection.RecvDecrypted();
    if (dtls::IsClosed(message.status())) co_return co_await connection.Close();
    if (!message.ok()) co_return message.status();
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
  }
}

net::Task<absl::Status> Serve(dtls::Listener& listener) {
  net::TaskScope sessions;
  while (true) {
    absl::StatusOr<dtls::Connection> connection = co_await listener.Accept();
    if (!connection.ok()) break;
    sessions.Spawn(EchoSession(*std::move(connection)));
  }
  sessions.RequestStop();
  co_return co_await sessions.Join();
}

// --- A client ----------------------------------------------------------------

net::Task<absl::StatusOr<std::string>> Ask(net::Reactor& reactor,
                                           net::Endpoint server,
                                           dtls::Context context,
                                           std::string question) {
  CO_ASSIGN_OR_RETURN(
      dtls::Connection connection,
      co_await dtls::Connect(reactor, server, context, "localhost"));
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(
      {reinterpret_cast<const uint8_t*>(question.data()), question.size()}));
  CO_ASSIGN_OR_RETURN(
      dtls::Message answer,
      co_await net::WithTimeout(absl::Seconds(5), connection.RecvDecrypted()));
  CO_RETURN_IF_ERROR(co_await connection.Close());
  co_return std::string(answer.text());
}

// --- Settings of one session alone -------------------------------------------

absl::Status PreferSmallPackets(dtls::Connection& connection) {
  dtls::SessionOverrides overrides;
  overrides.session = dtls::SessionOptions();
  overrides.session->mtu = 576;
  overrides.session->retransmission_timeout = absl::Seconds(1);
  overrides.alpn = std::vector<std::string>{"coap"};
  return connection.Configure(overrides);
}

// --- Verification in the middle of the handshake -----------------------------

net::Task<absl::Status> HandshakeAsking(
    dtls::Connection& connection,
    const std::function<bool(const dtls::VerificationError&)>& user_agrees) {
  const absl::Status status = co_await connection.Handshake();
  if (connection.state() != dtls::EngineState::kVerificationFailed) {
    co_return status;
  }
  for (const dtls::VerificationError& error :
       connection.PeerVerificationErrors()) {
    if (!user_agrees(error)) {
      CO_RETURN_IF_ERROR(co_await connection.AbortHandshake());
      co_return status;
    }
  }
  co_return co_await connection.ResumeHandshake(
      dtls::IgnoreExactly(connection.PeerVerificationErrors()));
}

absl::Status ExpectSelfSigned(dtls::Connection& connection) {
  return connection.IgnoreVerificationErrors(
      dtls::IgnoreCodes({dtls::VerificationErrorCode::kSelfSigned,
                         dtls::VerificationErrorCode::kHostNameMismatch}));
}

// --- Verification by a coroutine ---------------------------------------------

dtls::VerifyPeer KnownDevicesOnly(Devices& devices) {
  return [&devices](const dtls::PeerIdentity& peer)
             -> net::Task<dtls::VerificationVerdict> {
    if (!peer.errors.empty()) co_return dtls::VerificationVerdict::AsFound();
    const bool known = co_await devices.Contains(peer.fingerprint);
    co_return known ? dtls::VerificationVerdict::Accept()
                    : dtls::VerificationVerdict::Reject("unknown device");
  };
}

// --- Resumption --------------------------------------------------------------

// `kept` is what an earlier visit returned, or empty.
net::Task<absl::StatusOr<std::string>> Visit(net::Reactor& reactor,
                                             net::Endpoint server,
                                             dtls::Context context,
                                             std::string kept) {
  dtls::ConnectOptions options;
  options.server_name = "localhost";
  if (!kept.empty()) {
    CO_ASSIGN_OR_RETURN(options.resume, context.ParseSession(kept));
  }
  CO_ASSIGN_OR_RETURN(
      dtls::Connection connection,
      co_await dtls::Connect(reactor, server, context, std::move(options)));
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  CO_ASSIGN_OR_RETURN(const dtls::ResumableSession session,
                      connection.Session());
  CO_RETURN_IF_ERROR(co_await connection.Close());
  co_return session.Serialize();
}

// --- The cookie exchange alone -----------------------------------------------

// For a datagram of a peer that has no session. Null: there is none yet.
absl::StatusOr<std::unique_ptr<dtls::Engine>> OnStranger(
    dtls::CookieExchange& cookies, const dtls::Context& context,
    const net::Endpoint& peer, absl::Span<uint8_t> datagram, absl::Time now,
    dtls::EngineOutput& output) {
  std::array<uint8_t, dtls::CookieExchange::kReplyBytes> reply;
  const dtls::CookieExchange::Result result =
      cookies.Process(datagram, peer, now, reply);
  if (result.verdict == dtls::CookieVerdict::kInvalidArgument) {
    return absl::InvalidArgumentError(result.why);
  }
  if (result.verdict == dtls::CookieVerdict::kReply) {
    const absl::Span<uint8_t> room = output.Reserve(reply.size());
    if (room.size() < reply.size()) return nullptr;
    std::memcpy(room.data(), reply.data(), reply.size());
    output.Commit(reply.size());
  }
  if (result.verdict != dtls::CookieVerdict::kVerified) return nullptr;

  dtls::EngineOptions options;
  options.verified_hello = result.record_sequence;
  CORDON_ASSIGN_OR_RETURN(std::unique_ptr<dtls::Engine> engine,
                          dtls::Engine::Create(context, options));
  engine->Start(now, output);
  engine->Receive(datagram, now, output);
  return engine;
}

// --- Pre-shared keys ---------------------------------------------------------

dtls::ClientOptions Sensor(std::vector<uint8_t> key) {
  dtls::ClientOptions options;
  options.pre_shared_key.identity = "sensor1";
  options.pre_shared_key.key = std::move(key);
  return options;
}

dtls::ServerOptions SensorServer() {
  dtls::ServerOptions options;
  options.psk_lookup = true;
  options.psk_identity_hint = "fleet 7";
  return options;
}

dtls::ListenerOptions SensorListener(Devices& devices) {
  dtls::ListenerOptions options;
  options.psk_lookup = [&devices](const std::string& identity)
      -> net::Task<absl::StatusOr<std::vector<uint8_t>>> {
    co_return co_await devices.KeyOf(identity);
  };
  return options;
}

// --- Policies ----------------------------------------------------------------

dtls::ListenerOptions LookedAfter(std::shared_ptr<dtls::Registry> registry) {
  dtls::ListenerOptions options;
  options.name = "public";
  options.registry = std::move(registry);
  return options;
}

// On any thread, while listeners serve.
absl::StatusOr<uint64_t> AdmitOnly(dtls::Registry& registry,
                                   const dtls::TrustAnchors& trust,
                                   const std::string& name) {
  const dtls::PolicyVersion present = registry.policies().Present("");
  dtls::PolicyStore::Change change;
  change.policy.client_certificate = dtls::PeerVerification::kVerify;
  change.policy.trust = trust;
  change.policy.allowed_names = {name};
  change.expected_version = present.version;
  change.author = "alice";
  return registry.policies().Set(change);
}

void DrainAll(const dtls::Registry& registry) {
  for (const auto& listener : registry.listeners()) {
    listener->Post(
        [](dtls::ListenerAdmin& admin) { admin.Drain(absl::Seconds(30)); });
  }
}

// --- Tests -------------------------------------------------------------------

// A server by the examples, and whatever a test does as its client.
class ReadmeExamplesTest : public ::testing::Test {
 protected:
  using Client = std::function<net::Task<absl::Status>(net::Endpoint server,
                                                       dtls::Context context)>;

  net::Task<absl::Status> Play(dtls::Listener& listener, Client client) {
    net::TaskScope scope;
    scope.Spawn(Serve(listener));
    absl::StatusOr<dtls::Context> context =
        dtls::Context::Client(pair_.client_options);
    if (!context.ok()) co_return context.status();
    absl::Status status = co_await client(listener.local_endpoint(), *context);
    // The last word of the client arrives.
    (void)co_await net::SleepFor(absl::Seconds(1));
    statistics_ = listener.statistics();
    scope.RequestStop();
    (void)co_await scope.Join();
    co_return status;
  }

  absl::Status Run(Client client) {
    absl::StatusOr<dtls::Listener> listener =
        Listen(reactor_, net::Endpoint::LoopbackV4(4433), pair_.server_options);
    if (!listener.ok()) return listener.status();
    return reactor_.Run(Play(*listener, std::move(client)));
  }

  static net::Task<absl::Status> HandshakeAndEcho(
      dtls::Connection& connection) {
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    co_return co_await SessionPair::Echo(connection);
  }
  static net::Task<absl::Status> HandshakeAndAsk(dtls::Connection& connection) {
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    co_return co_await SessionPair::Ask(connection, "hello");
  }

  SessionPair pair_;
  SimReactor& reactor_ = pair_.reactor;
  dtls::ListenerStatistics statistics_;
};

TEST_F(ReadmeExamplesTest, TheClientGetsItsAnswerFromTheServer) {
  std::string answer;
  const absl::Status status =
      Run([&](net::Endpoint server,
              dtls::Context context) -> net::Task<absl::Status> {
        CO_ASSIGN_OR_RETURN(
            answer, co_await Ask(reactor_, server, context, "anybody there?"));
        co_return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(answer, "anybody there?");
  EXPECT_EQ(statistics_.handshakes_completed, 1U);
  EXPECT_EQ(statistics_.sessions, 0U);
}

TEST_F(ReadmeExamplesTest, TheServerSaysWhatIsWrongWithItsOptions) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      Listen(reactor_, net::Endpoint::LoopbackV4(4433), {}).status()));
}

TEST_F(ReadmeExamplesTest, ASessionHasSettingsOfItsOwn) {
  pair_.server_options.alpn = {"echo", "coap"};
  std::string alpn;
  size_t mtu = 0;
  const absl::Status status = pair_.Run(
      [&](dtls::Connection& c) -> net::Task<absl::Status> {
        CO_RETURN_IF_ERROR(PreferSmallPackets(c));
        CO_RETURN_IF_ERROR(co_await HandshakeAndAsk(c));
        alpn = c.info().alpn;
        mtu = c.statistics().mtu;
        co_return absl::OkStatus();
      },
      HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(alpn, "coap");
  EXPECT_EQ(mtu, 576U);
}

TEST_F(ReadmeExamplesTest, TheUserDecidesAboutTheServersCertificate) {
  pair_.server_options.certificates = {SelfSigned({})};
  for (bool agrees : {true, false}) {
    size_t asked = 0;
    const absl::Status status = pair_.Run(
        [&](dtls::Connection& c) -> net::Task<absl::Status> {
          const std::function<bool(const dtls::VerificationError&)> user =
              [&](const dtls::VerificationError& error) {
                ++asked;
                EXPECT_FALSE(error.message.empty());
                return agrees;
              };
          CO_RETURN_IF_ERROR(co_await HandshakeAsking(c, user));
          co_return co_await SessionPair::Ask(c, "hello");
        },
        HandshakeAndEcho);
    EXPECT_EQ(asked, agrees ? 2U : 1U);
    EXPECT_EQ(status.ok(), agrees) << status;
    if (!agrees) {
      EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
      // The server was told.
      const auto told = dtls::GetErrorDetail(pair_.server_status);
      ASSERT_TRUE(told.has_value()) << pair_.server_status;
      EXPECT_TRUE(told->alert_received);
    }
  }
}

TEST_F(ReadmeExamplesTest, AGoodServerNeedsNoDecision) {
  const absl::Status status = pair_.Run(
      [](dtls::Connection& c) -> net::Task<absl::Status> {
        const std::function<bool(const dtls::VerificationError&)> user =
            [](const dtls::VerificationError& error) {
              ADD_FAILURE() << error.message;
              return false;
            };
        CO_RETURN_IF_ERROR(co_await HandshakeAsking(c, user));
        co_return co_await SessionPair::Ask(c, "hello");
      },
      HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ReadmeExamplesTest, ExpectedErrorsAreIgnoredAndNoOthers) {
  const auto connect = [](dtls::Connection& c) -> net::Task<absl::Status> {
    CO_RETURN_IF_ERROR(ExpectSelfSigned(c));
    co_return co_await HandshakeAndAsk(c);
  };
  pair_.server_options.certificates = {SelfSigned({})};
  absl::Status status = pair_.Run(connect, HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;
  pair_.server_options.certificates = {
      SelfSigned({.not_after = VirtualClock::Epoch() - absl::Hours(1)})};
  status = pair_.Run(connect, HandshakeAndEcho);
  EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
}

TEST_F(ReadmeExamplesTest, TheDatabaseDecidesAboutDevices) {
  const dtls::Certificate device =
      SessionPair::Authority().Issue({.common_name = "device"});
  Devices devices;
  pair_.server_options.client_trust = SessionPair::Authority().trust();
  pair_.server_options.verification.mode = dtls::PeerVerification::kVerify;
  pair_.listener_options.verify_peer = KnownDevicesOnly(devices);
  pair_.client_options.certificate = device;
  absl::Status status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_TRUE(
      absl::StrContains(pair_.server_status.message(), "unknown device"));

  devices.fingerprints.insert(*dtls::FingerprintOf(device.chain_pem));
  status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;

  // What the library found is left to it.
  pair_.client_options.certificate = SelfSigned({});
  status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(absl::IsUnauthenticated(pair_.server_status))
      << pair_.server_status;
}

TEST_F(ReadmeExamplesTest, TheSecondVisitResumesTheFirst) {
  const absl::Status status =
      Run([&](net::Endpoint server,
              dtls::Context context) -> net::Task<absl::Status> {
        CO_ASSIGN_OR_RETURN(std::string kept,
                            co_await Visit(reactor_, server, context, ""));
        CO_ASSIGN_OR_RETURN(std::string again,
                            co_await Visit(reactor_, server, context, kept));
        EXPECT_FALSE(again.empty());
        const absl::Status junk =
            (co_await Visit(reactor_, server, context, "junk")).status();
        EXPECT_TRUE(absl::IsInvalidArgument(junk)) << junk;
        co_return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(statistics_.handshakes_completed, 2U);
  EXPECT_EQ(statistics_.handshakes_resumed, 1U);
}

TEST(ReadmeCookieExampleTest, AStrangerGetsACookieAndThenASession) {
  EnginePair pair;
  const dtls::Context context = *dtls::Context::Server(pair.server_options);
  dtls::CookieExchange cookies = *dtls::CookieExchange::Create({});
  const net::Endpoint peer = net::Endpoint::LoopbackV4(5000);
  const auto receive = [&](std::vector<uint8_t> datagram) {
    return OnStranger(cookies, context, peer, absl::MakeSpan(datagram),
                      pair.now, pair.server.output);
  };
  pair.MakeClient();
  // Answered by a cookie only, and garbage not at all.
  EXPECT_EQ(*receive(pair.client.output.Take().front()), nullptr);
  EXPECT_EQ(*receive({1, 2, 3}), nullptr);
  EXPECT_TRUE(absl::IsInvalidArgument(receive({}).status()));
  const std::vector<testing::Bytes> answers = pair.server.output.Take();
  ASSERT_EQ(answers.size(), 1U);
  pair.Deliver(answers, pair.client);
  pair.server.engine = *receive(pair.client.output.Take().front());
  ASSERT_NE(pair.server.engine, nullptr);
  pair.Exchange();
  EXPECT_TRUE(pair.connected());
  EXPECT_EQ(pair.Carry(pair.client, pair.server, "hello"), "hello");
}

TEST_F(ReadmeExamplesTest, SensorsAreKnownByTheirKeys) {
  const std::vector<uint8_t> key = {1, 2, 3, 4, 5, 6, 7, 8};
  Devices devices;
  devices.keys["sensor1"] = key;
  pair_.server_options = SensorServer();
  pair_.listener_options = SensorListener(devices);
  pair_.client_options = Sensor(key);
  absl::Status status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_TRUE(status.ok()) << status;

  pair_.client_options.pre_shared_key.identity = "sensor2";
  status = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
}

TEST_F(ReadmeExamplesTest, APolicyDecidesWhoComesNext) {
  auto registry = std::make_shared<dtls::Registry>();
  pair_.listener_options = LookedAfter(registry);
  pair_.client_options.certificate = SessionPair::Authority().Issue(
      {.common_name = "web", .dns_names = {"web.example.org"}});
  EXPECT_TRUE(pair_.Run(HandshakeAndAsk, HandshakeAndEcho).ok());

  absl::StatusOr<uint64_t> version = AdmitOnly(
      *registry, SessionPair::Authority().trust(), "dns:db.example.org");
  ASSERT_TRUE(version.ok()) << version.status();
  const absl::Status refused = pair_.Run(HandshakeAndAsk, HandshakeAndEcho);
  EXPECT_FALSE(refused.ok());
  const auto detail = dtls::GetErrorDetail(pair_.server_status);
  ASSERT_TRUE(detail.has_value()) << pair_.server_status;
  ASSERT_EQ(detail->verification_errors.size(), 1U);
  EXPECT_EQ(detail->verification_errors[0].code,
            dtls::VerificationErrorCode::kNameNotAllowed);

  version = AdmitOnly(*registry, SessionPair::Authority().trust(),
                      "dns:*.example.org");
  ASSERT_TRUE(version.ok()) << version.status();
  uint64_t judged_by = 0;
  const absl::Status admitted = pair_.Run(
      HandshakeAndAsk, [&](dtls::Connection& c) -> net::Task<absl::Status> {
        CO_RETURN_IF_ERROR(co_await c.Handshake());
        judged_by = c.info().policy_version;
        co_return co_await SessionPair::Echo(c);
      });
  EXPECT_TRUE(admitted.ok()) << admitted;
  EXPECT_EQ(judged_by, *version);
}

TEST_F(ReadmeExamplesTest, ADrainedListenerAcceptsNobodyMore) {
  auto registry = std::make_shared<dtls::Registry>();
  absl::StatusOr<dtls::Context> context =
      dtls::Context::Server(pair_.server_options);
  ASSERT_TRUE(context.ok());
  absl::StatusOr<dtls::Listener> listener =
      dtls::Listener::Bind(reactor_, net::Endpoint::LoopbackV4(4433), *context,
                           LookedAfter(registry));
  ASSERT_TRUE(listener.ok());
  DrainAll(*registry);
  const absl::Status status = reactor_.Run(Play(
      *listener,
      [&](net::Endpoint server,
          dtls::Context client) -> net::Task<absl::Status> {
        co_return (co_await Ask(reactor_, server, client, "late?")).status();
      }));
  EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status))
      << status;
  EXPECT_EQ(statistics_.sessions_accepted, 0U);
}

}  // namespace
}  // namespace cordon
