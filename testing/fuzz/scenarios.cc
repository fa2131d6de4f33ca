#include "cordon/testing/fuzz/scenarios.h"

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "cordon/testing/certs/certs.h"
#include "cordon/testing/fuzz/engine_wire.h"
#include "cordon/testing/fuzz/input.h"
#include "cordon/testing/sim/virtual_clock.h"

namespace cordon::testing {
namespace {

enum Which : size_t {
  kServerCertificate,
  kBothCertificates,
  kPreSharedKey,
  kLookedUpKey,
  kResumed,
  kSmallPackets,
  kVerdicts,
  kUntrusted,
};

constexpr size_t kIpAndUdpHeaderBytes = 28;
constexpr size_t kSmallMtu = 256;

const TestAuthority& Authority() {
  static const auto* const authority = new TestAuthority("Test CA");
  return *authority;
}

// Signatures of these keys have one size always, so that the same places of a
// datagram mean the same in each run.
const dtls::Certificate& ServerCertificate() {
  static const auto* const certificate =
      new dtls::Certificate(Authority().Issue({.common_name = "server",
                                               .dns_names = {"localhost"},
                                               .key = KeyType::kEd25519}));
  return *certificate;
}

const dtls::Certificate& ClientCertificate() {
  static const auto* const certificate =
      new dtls::Certificate(Authority().Issue({.common_name = "client",
                                               .dns_names = {"client.test"},
                                               .key = KeyType::kEd25519}));
  return *certificate;
}

// Both until they have nothing more to say.
void Settle(EngineWire& server, EngineWire& client) {
  const absl::Time now = VirtualClock::Epoch();
  server.Start(now);
  client.Start(now);
  while (!server.sent.empty() || !client.sent.empty()) {
    for (auto& [from, to] :
         {std::pair<EngineWire*, EngineWire*>{&client, &server},
          {&server, &client}}) {
      while (!from->sent.empty()) {
        to->Receive(std::move(from->sent.front()), now);
        from->sent.pop_front();
        from->Decide(true, now);
        to->Decide(true, now);
      }
    }
  }
}

Scenario Make(size_t which) {
  dtls::ServerOptions server;
  dtls::ClientOptions client;
  server.wall_clock = [] { return VirtualClock::Epoch(); };
  client.wall_clock = server.wall_clock;
  // Nothing is to be left behind from one run to the next.
  server.session_ids = false;
  server.session_tickets = which == kResumed;
  server.certificates = {ServerCertificate()};
  client.trust = Authority().trust();
  const dtls::PreSharedKey key = {.identity = "device",
                                  .key = std::vector<uint8_t>(16, 7)};
  switch (which) {
    case kBothCertificates:
      server.client_trust = Authority().trust();
      server.verification.mode = dtls::PeerVerification::kVerify;
      client.certificate = ClientCertificate();
      break;
    case kPreSharedKey:
    case kLookedUpKey:
      server.certificates.clear();
      server.psk_identity_hint = "hint";
      client.trust = {};
      client.pre_shared_key = key;
      if (which == kLookedUpKey) {
        server.psk_lookup = true;
      } else {
        server.pre_shared_keys = {key};
      }
      break;
    case kSmallPackets:
      server.session.mtu = kSmallMtu;
      client.session.mtu = kSmallMtu;
      break;
    case kVerdicts:
      server.client_trust = Authority().trust();
      server.verification.mode = dtls::PeerVerification::kVerify;
      client.certificate = ClientCertificate();
      break;
    case kUntrusted:
      client.trust = TestAuthority("Another CA").trust();
      break;
    default:
      break;
  }
  Scenario scenario = {.server_context = *dtls::Context::Server(server),
                       .client_context = *dtls::Context::Client(client)};
  scenario.client.server_name = "localhost";
  scenario.server.ask_for_psk = which == kLookedUpKey;
  scenario.server.ask_for_verdict = which == kVerdicts;
  scenario.client.ask_for_verdict = which == kVerdicts;
  scenario.max_datagram =
      (which == kSmallPackets ? kSmallMtu : dtls::kDefaultMtu) -
      kIpAndUdpHeaderBytes;

  auto ignore = [](absl::Span<const uint8_t>) {};
  for (int round = 0; round < (which == kResumed ? 2 : 1); ++round) {
    EngineWire server_wire(
        *dtls::Engine::Create(scenario.server_context, scenario.server),
        scenario.max_datagram, ignore);
    EngineWire client_wire(
        *dtls::Engine::Create(scenario.client_context, scenario.client),
        scenario.max_datagram, ignore);
    Settle(server_wire, client_wire);
    Require(server_wire.connected() && client_wire.connected(),
            "both come together where nobody interferes");
    Require(client_wire.engine().resumed() == (round == 1),
            "a session is resumed");
    scenario.cipher = client_wire.engine().negotiated().cipher;
    if (which == kResumed && round == 0) {
      scenario.client.resume = *client_wire.engine().Session();
    }
  }
  return scenario;
}

}  // namespace

bool NeedsDecision(size_t which) {
  return which == kLookedUpKey || which == kVerdicts || which == kUntrusted;
}

const Scenario& GetScenario(size_t which) {
  static std::array<std::unique_ptr<Scenario>, kScenarios> made;
  std::unique_ptr<Scenario>& scenario = made[which % kScenarios];
  if (scenario == nullptr) {
    scenario = std::make_unique<Scenario>(Make(which % kScenarios));
  }
  return *scenario;
}

}  // namespace cordon::testing
