// Two engines, a client's and a server's, driven by hand: no network and no
// clock but what the test moves itself.
//
//   EnginePair pair;
//   pair.server_options.alpn = {"echo"};
//   pair.Make();
//   pair.Exchange();  // until neither has anything to say
//   EXPECT_TRUE(pair.connected());
#ifndef CORDON_TESTING_ENGINE_PAIR_ENGINE_PAIR_H_
#define CORDON_TESTING_ENGINE_PAIR_ENGINE_PAIR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/sim/virtual_clock.h"

namespace cordon::testing {

using Bytes = std::vector<uint8_t>;

// Keeps what an engine sends and delivers.
class Collector final : public dtls::EngineOutput {
 public:
  absl::Span<uint8_t> Reserve(size_t max_bytes) override;
  void Commit(size_t bytes) override;
  bool OnMessage(absl::Span<const uint8_t> message) override;

  std::vector<Bytes> Take() { return std::exchange(sent, {}); }

  // The network takes nothing.
  bool blocked = false;
  std::vector<Bytes> sent;
  std::vector<std::string> messages;

 private:
  Bytes buffer_;
};

struct EngineSide {
  std::unique_ptr<dtls::Engine> engine;
  Collector output;

  dtls::EngineState state() const { return engine->state(); }
};

// The type of each record of a datagram.
std::vector<uint8_t> RecordTypes(const Bytes& datagram);
// Of the alerts in the clear among `datagrams`: the last one's description, or
// -1.
int PlainAlert(const std::vector<Bytes>& datagrams);

class EnginePair {
 public:
  // A server with a certificate for "localhost", and a client that trusts its
  // issuer and expects that name.
  EnginePair();

  static const TestAuthority& Authority();
  static const dtls::Certificate& ServerCertificate();

  // Makes both engines by the options, and starts them. Options that are bad
  // end the test program.
  void Make();
  void MakeServer();
  void MakeClient();

  void Deliver(const std::vector<Bytes>& datagrams, EngineSide& to);
  // Until neither has anything to say.
  void Exchange();
  // Exchanges, and lets time pass until both are connected or `limit` is over.
  void RunFor(absl::Duration limit);
  // The next deadline of `side` comes.
  void Expire(EngineSide& side);
  // Lets time pass until `side` believes an alert that came in the clear, which
  // anybody may have sent. What it sends in the meantime is lost.
  void BelieveAlert(EngineSide& side);
  bool connected() const;
  // Sends `text` from one to the other and returns what arrived last.
  std::string Carry(EngineSide& from, EngineSide& to, const std::string& text);

  absl::Time now = VirtualClock::Epoch();
  dtls::ServerOptions server_options;
  dtls::ClientOptions client_options;
  dtls::EngineOptions server_engine;
  dtls::EngineOptions client_engine;
  EngineSide server;
  EngineSide client;
};

absl::Span<const uint8_t> AsBytes(const std::string& text);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_ENGINE_PAIR_ENGINE_PAIR_H_
