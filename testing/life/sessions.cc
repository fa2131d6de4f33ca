#include "cordon/testing/life/sessions.h"

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/dtls/error.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/sim/virtual_clock.h"

namespace cordon::testing {
namespace {

using net::Task;

// Longer than any handshake or repetition of a flight, in simulated time.
constexpr absl::Duration kForgotten = absl::Minutes(2);

class Counted {
 public:
  explicit Counted(int& count) : count_(count) { ++count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --count_; }

 private:
  int& count_;
};

Task<dtls::VerificationVerdict> AcceptAfterAWhile(int& alive) {
  const Counted counted(alive);
  (void)co_await net::SleepFor(Sessions::kWhile);
  co_return dtls::VerificationVerdict::Accept();
}

Task<absl::StatusOr<std::vector<uint8_t>>> FindAfterAWhile(
    int& alive, std::vector<uint8_t> key) {
  const Counted counted(alive);
  (void)co_await net::SleepFor(Sessions::kWhile);
  co_return key;
}

Task<absl::Status> Echo(dtls::Connection& connection) {
  while (true) {
    absl::StatusOr<dtls::Message> message = co_await connection.RecvDecrypted();
    if (!message.ok()) co_return message.status();
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
  }
}

// Whoever the peer is.
Task<absl::Status> HandshakeInAnyCase(dtls::Connection& connection) {
  const absl::Status status = co_await connection.Handshake();
  if (connection.state() != dtls::EngineState::kVerificationFailed) {
    co_return status;
  }
  co_return co_await connection.ResumeHandshake(
      dtls::IgnoreExactly(connection.PeerVerificationErrors()));
}

Task<absl::Status> ServeOne(dtls::Connection connection) {
  const absl::Status status = co_await HandshakeInAnyCase(connection);
  if (status.ok()) (void)co_await Echo(connection);
  co_return absl::OkStatus();
}

absl::Status Wrong(absl::string_view what) { return absl::InternalError(what); }

}  // namespace

Sessions::Sessions(net::Reactor& on, bool is_simulated)
    : reactor(on), simulated(is_simulated) {
  static const dtls::Certificate* const certificate =
      new dtls::Certificate(Issue(Authority()));
  server_options.certificates = {*certificate};
  server_options.wall_clock = [] { return VirtualClock::Epoch(); };
  client_options.trust = Authority().trust();
  client_options.wall_clock = server_options.wall_clock;
  connect_options.server_name = "localhost";
  listener_options.registry = std::make_shared<dtls::Registry>();
}

const TestAuthority& Sessions::Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}

const TestAuthority& Sessions::Stranger() {
  static const TestAuthority* const authority = new TestAuthority("Stranger");
  return *authority;
}

dtls::Certificate Sessions::Issue(const TestAuthority& authority) {
  CertificateSpec spec;
  spec.dns_names = {"localhost"};
  return authority.Issue(spec);
}

dtls::VerifyPeer Sessions::SlowVerdict() {
  return [this](const dtls::PeerIdentity&) {
    return AcceptAfterAWhile(hooks_alive_);
  };
}

dtls::PskLookup Sessions::SlowLookup(std::vector<uint8_t> key) {
  return [this, key = std::move(key)](const std::string&) {
    return FindAfterAWhile(hooks_alive_, key);
  };
}

Task<absl::Status> Sessions::OpenClient() {
  CO_ASSIGN_OR_RETURN(
      client, co_await dtls::Connect(reactor, listener_->local_endpoint(),
                                     *client_context_, connect_options));
  co_return absl::OkStatus();
}

Task<absl::Status> Sessions::AcceptServer() {
  CO_ASSIGN_OR_RETURN(server, co_await listener_->Accept());
  co_return absl::OkStatus();
}

uint64_t Sessions::Progress() const {
  // All of them only grow.
  const net::DatagramSocketStatistics socket = listener_->statistics().socket;
  return reactor.statistics().resumptions + socket.datagrams_received +
         socket.datagrams_sent;
}

Task<absl::Status> Sessions::Start(const SessionScenario& scenario) {
  server_role = scenario.server;
  if (scenario.configure != nullptr) scenario.configure(*this);
  CO_ASSIGN_OR_RETURN(dtls::Context server_context,
                      dtls::Context::Server(server_options));
  CO_ASSIGN_OR_RETURN(client_context_, dtls::Context::Client(client_options));
  CO_ASSIGN_OR_RETURN(
      listener_, dtls::Listener::Bind(reactor, net::Endpoint::LoopbackV4(0),
                                      server_context, listener_options));
  listener_options.registry->listeners().back()->Post(
      [this](dtls::ListenerAdmin& admin) { admin_ = &admin; });
  while (admin_ == nullptr) {
    CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Sessions::BePeer(const SessionScenario& scenario) {
  peer_status_ = co_await PlayPeer(scenario);
  peer_ended_.Set();
  co_return absl::OkStatus();
}

Task<absl::Status> Sessions::PlayPeer(const SessionScenario& scenario) {
  if (scenario.server) {
    CO_RETURN_IF_ERROR(co_await OpenClient());
  } else {
    CO_RETURN_IF_ERROR(co_await AcceptServer());
  }
  CO_RETURN_IF_ERROR(co_await other().Handshake());
  if (scenario.peer != nullptr) {
    CO_RETURN_IF_ERROR(co_await begun.Wait());
    CO_RETURN_IF_ERROR(co_await scenario.peer(*this));
  }
  co_return co_await Echo(other());
}

Task<absl::Status> Sessions::Act(const SessionScenario& scenario) {
  begun.Set();
  return scenario.act(*this);
}

Task<absl::Status> Sessions::Ask(dtls::Connection& connection,
                                 std::string text) {
  CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(
      {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  while (true) {
    CO_ASSIGN_OR_RETURN(dtls::Message reply,
                        co_await connection.RecvDecrypted());
    if (reply.text() == text) co_return absl::OkStatus();
  }
}

Task<absl::Status> Sessions::Recover(const SessionScenario& scenario) {
  CO_RETURN_IF_ERROR(co_await scenario.recover(*this));
  if (!scenario.lives) co_return absl::OkStatus();
  CO_RETURN_IF_ERROR(co_await mine().Handshake());
  co_return co_await Ask(mine(), "still there");
}

void Sessions::DestroyMine() {
  std::optional<dtls::Connection>& end = server_role ? server : client;
  const std::optional<dtls::Connection>& peer = server_role ? client : server;
  both_connected_ = end.has_value() && peer.has_value() &&
                    end->state() == dtls::EngineState::kConnected &&
                    peer->state() == dtls::EngineState::kConnected;
  end.reset();
}

Task<absl::Status> Sessions::ServeAll() {
  net::TaskScope sessions;
  while (true) {
    absl::StatusOr<dtls::Connection> connection = co_await listener_->Accept();
    if (!connection.ok()) break;
    sessions.Spawn(ServeOne(*std::move(connection)));
  }
  sessions.RequestStop();
  co_return co_await sessions.Join();
}

Task<absl::Status> Sessions::ServeFreshClient() {
  net::TaskScope scope;
  scope.Spawn(ServeAll());
  absl::Status status = co_await OpenClient();
  if (status.ok()) status = co_await HandshakeInAnyCase(*client);
  if (status.ok()) status = co_await Ask(*client, "somebody else");
  client.reset();
  scope.RequestStop();
  (void)co_await scope.Join();
  co_return status;
}

Task<absl::Status> Sessions::Live(const SessionScenario& scenario,
                                  Interruption interruption, Outcome* outcome) {
  CO_RETURN_IF_ERROR(co_await Start(scenario));
  {
    net::TaskScope peers;
    peers.Spawn(BePeer(scenario));
    if (scenario.prepare != nullptr) {
      CO_RETURN_IF_ERROR(co_await net::WithTimeout(Interrupter::kPatience,
                                                   scenario.prepare(*this)));
    }
    Interrupter interrupter(
        reactor, simulated ? std::function<uint64_t()>()
                           : [this] { return Progress(); });
    std::function<void()> destroy = [this] { DestroyMine(); };
    *outcome = co_await interrupter.Run(Act(scenario), interruption,
                                        std::move(destroy));
    if (!Fits(interruption.kind, *outcome)) {
      co_return Wrong(
          absl::StrCat("it ended with ", outcome->status.ToString()));
    }
    const bool destroyed =
        interruption.kind == Interruption::kDestroyOwner && !outcome->returned;
    if (!destroyed) {
      const absl::Status recovered =
          co_await net::WithTimeout(Interrupter::kPatience, Recover(scenario));
      if (!recovered.ok()) {
        co_return Wrong(
            absl::StrCat("it did not recover: ", recovered.ToString()));
      }
      DestroyMine();
    }
    // The peer is told, or finds out by itself; real time is not waited for.
    const bool has_peer =
        scenario.server ? client.has_value() : server.has_value();
    if (has_peer && (simulated || both_connected_)) {
      const absl::Status ended =
          co_await net::WithTimeout(kForgotten, peer_ended_.Wait());
      if (!ended.ok() && scenario.tells)
        co_return Wrong("the peer never ended");
    }
    peers.RequestStop();
    CO_RETURN_IF_ERROR(co_await peers.Join());
    if (both_connected_ && scenario.tells && !dtls::IsClosed(peer_status_)) {
      co_return Wrong(
          absl::StrCat("the peer was not told: ", peer_status_.ToString()));
    }
    client.reset();
    server.reset();
  }
  if (scenario.serves) {
    const absl::Status served =
        co_await net::WithTimeout(Interrupter::kPatience, ServeFreshClient());
    if (!served.ok()) {
      co_return Wrong(
          absl::StrCat("the next client was not served: ", served.ToString()));
    }
  }
  // Sessions that nobody has accepted are the listener's.
  listener_->StopAccepting();
  const dtls::ListenerStatistics left = listener_->statistics();
  if (left.sessions != 0 || left.half_open != 0) {
    co_return Wrong(absl::StrCat(left.sessions, " sessions are left, ",
                                 left.half_open, " half open"));
  }
  if (hooks_alive_ != 0) co_return Wrong("a hook was left alone");
  admin_ = nullptr;
  listener_.reset();
  co_return absl::OkStatus();
}

}  // namespace cordon::testing
