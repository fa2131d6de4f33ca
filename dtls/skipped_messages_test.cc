// Peers that leave out messages of the handshake, or send them in another
// order, with a transcript that fits: no session comes of it.
#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/verification.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/scripted_client/scripted_client.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::Saying;
using ::cordon::testing::ScriptedClient;
using ::cordon::testing::TestAuthority;

using Script = std::vector<Saying>;

const Script& Honest() {
  static const auto* const script = new Script{
      Saying::kCertificate, Saying::kClientKeyExchange,
      Saying::kCertificateVerify, Saying::kChangeCipherSpec, Saying::kFinished};
  return *script;
}

// Each choice of the honest messages in each order: 326.
std::vector<Script> AllScripts() {
  std::vector<Script> scripts = {{}};
  for (size_t i = 0; i < scripts.size(); ++i) {
    for (const Saying next : Honest()) {
      const Script& script = scripts[i];
      if (std::find(script.begin(), script.end(), next) != script.end()) {
        continue;
      }
      Script longer = script;
      longer.push_back(next);
      scripts.push_back(std::move(longer));
    }
  }
  return scripts;
}

std::string NameOf(const Script& script) {
  static constexpr std::array<const char*, 5> kNames = {
      "Certificate", "ClientKeyExchange", "CertificateVerify",
      "ChangeCipherSpec", "Finished"};
  std::string name;
  for (const Saying saying : script) {
    absl::StrAppend(&name, kNames[static_cast<size_t>(saying)], " ");
  }
  return name;
}

const Certificate& ClientCertificate() {
  static const auto* const certificate =
      new Certificate(EnginePair::Authority().Issue({}));
  return *certificate;
}

class SkippedMessagesTest : public ::testing::Test {
 protected:
  void DemandCertificates() {
    pair_.server_options.client_trust = EnginePair::Authority().trust();
    pair_.server_options.verification.mode = PeerVerification::kVerify;
  }

  // Whether a client that says `script` gets a session. What it then sends is
  // given to the server in any case, and the server has all the time it wants.
  bool GetsIn(const ScriptedClient::Options& options, const Script& script) {
    pair_.MakeServer();
    ScriptedClient client(options);
    pair_.Deliver({client.Hello()}, pair_.server);
    EXPECT_TRUE(client.Read(pair_.server.output.Take()));
    pair_.Deliver(client.Say(script), pair_.server);
    pair_.Deliver({client.Seal("let me in")}, pair_.server);
    const bool connected = pair_.server.state() == EngineState::kConnected;
    EXPECT_EQ(pair_.server.output.messages,
              connected ? std::vector<std::string>{"let me in"}
                        : std::vector<std::string>());
    for (int i = 0; i < 100 && !connected; ++i) {
      if (pair_.server.engine->NextDeadline() == absl::InfiniteFuture()) break;
      pair_.Expire(pair_.server);
    }
    if (!connected) {
      EXPECT_TRUE(pair_.server.state() == EngineState::kFailed ||
                  pair_.server.state() == EngineState::kVerificationFailed)
          << static_cast<int>(pair_.server.state());
      EXPECT_FALSE(pair_.server.engine->error().ok());
    }
    return connected;
  }

  EnginePair pair_;
};

// ACCEPTANCE: HB10
TEST_F(SkippedMessagesTest, OnlyTheWholeHandshakeInItsOrderGetsIn) {
  DemandCertificates();
  ScriptedClient::Options options;
  options.certificate = ClientCertificate();
  for (const Script& script : AllScripts()) {
    SCOPED_TRACE(NameOf(script));
    EXPECT_EQ(GetsIn(options, script), script == Honest());
  }
}

// With the keys, but without the ChangeCipherSpec, or before it: the network
// may have changed the order of these two, nothing else.
// ACCEPTANCE: HB10
TEST_F(SkippedMessagesTest, NorDoesAnEncryptedFinishedMakeUpForAMessage) {
  DemandCertificates();
  ScriptedClient::Options options;
  options.certificate = ClientCertificate();
  options.always_encrypts_finished = true;
  const auto is_change = [](Saying s) {
    return s == Saying::kChangeCipherSpec;
  };
  Script needed = Honest();
  needed.erase(std::remove_if(needed.begin(), needed.end(), is_change),
               needed.end());
  EXPECT_TRUE(GetsIn(options, Honest()));
  for (const Script& script : AllScripts()) {
    SCOPED_TRACE(NameOf(script));
    Script others = script;
    others.erase(std::remove_if(others.begin(), others.end(), is_change),
                 others.end());
    const bool may = others == needed && others.size() < script.size();
    const bool does = GetsIn(options, script);
    EXPECT_TRUE(may || !does);
  }
}

// ACCEPTANCE: HB10
TEST_F(SkippedMessagesTest, NorDoesWhoHasNoCertificate) {
  DemandCertificates();
  for (const Script& script : AllScripts()) {
    SCOPED_TRACE(NameOf(script));
    EXPECT_FALSE(GetsIn({}, script));
  }
}

// ACCEPTANCE: HB10
TEST_F(SkippedMessagesTest, NorDoesWhoHasNotItsKey) {
  DemandCertificates();
  ScriptedClient::Options options;
  options.certificate = ClientCertificate();
  options.signer = EnginePair::Authority().Issue({});
  EXPECT_FALSE(GetsIn(options, Honest()));
  options.signer = {};
  options.wrong_finished = true;
  EXPECT_FALSE(GetsIn(options, Honest()));
}

// Where certificates are asked for but not needed, one that is shown must still
// be proven.
// ACCEPTANCE: HB10
TEST_F(SkippedMessagesTest, ACertificateThatIsNotNeededIsProvenAllTheSame) {
  DemandCertificates();
  for (PeerVerification mode :
       {PeerVerification::kVerifyIfGiven, PeerVerification::kQuery}) {
    pair_.server_options.verification.mode = mode;
    ScriptedClient::Options options;
    options.certificate = ClientCertificate();
    for (const Script& script : AllScripts()) {
      SCOPED_TRACE(NameOf(script));
      EXPECT_EQ(GetsIn(options, script), script == Honest());
    }
    // Nor is there anything to prove without one.
    const Script anonymous = {Saying::kCertificate, Saying::kClientKeyExchange,
                              Saying::kChangeCipherSpec, Saying::kFinished};
    for (const Script& script : AllScripts()) {
      SCOPED_TRACE(NameOf(script));
      EXPECT_EQ(GetsIn({}, script), script == anonymous);
    }
  }
}

// And where none are asked for, none may be shown.
// ACCEPTANCE: HB10
TEST_F(SkippedMessagesTest, NobodyIsAskedToShowACertificateUnasked) {
  const Script plain = {Saying::kClientKeyExchange, Saying::kChangeCipherSpec,
                        Saying::kFinished};
  ScriptedClient::Options options;
  options.certificate = ClientCertificate();
  for (const Script& script : AllScripts()) {
    SCOPED_TRACE(NameOf(script));
    EXPECT_EQ(GetsIn(options, script), script == plain);
  }
}

// A random of zeros is a bad one, but the client's own affair: the server's
// makes the keys fresh. Our own clients never send it.
// ACCEPTANCE: HB10
TEST_F(SkippedMessagesTest, ARandomOfZerosMakesNoSessionTheSame) {
  DemandCertificates();
  ScriptedClient::Options options;
  options.certificate = ClientCertificate();
  options.zero_random = true;
  std::set<std::vector<uint8_t>> secrets;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(GetsIn(options, Honest()));
    secrets.insert(
        *pair_.server.engine->ExportKeyingMaterial("EXPERIMENTAL", {}, 32));
  }
  EXPECT_EQ(secrets.size(), 10U);
  std::set<Bytes> randoms;
  for (int i = 0; i < 100; ++i) {
    pair_.MakeClient();
    const Bytes hello = pair_.client.output.Take().front();
    const auto random = hello.begin() + 13 + 12 + 2;
    randoms.insert(Bytes(random, random + 32));
  }
  EXPECT_EQ(randoms.size(), 100U);
  EXPECT_FALSE(randoms.contains(Bytes(32, 0)));
}

// The server's flight, message by message.
struct Part {
  uint8_t type;
  Bytes body;
};

constexpr uint8_t kCertificate = 11;
constexpr uint8_t kServerKeyExchange = 12;
constexpr uint8_t kServerHelloDone = 14;
constexpr size_t kRecordHeader = 13;
constexpr size_t kMessageHeader = 12;

std::vector<Part> PartsOf(const std::vector<Bytes>& datagrams) {
  std::vector<Part> parts;
  for (const Bytes& datagram : datagrams) {
    size_t at = 0;
    while (at + kRecordHeader <= datagram.size()) {
      const size_t end =
          at + kRecordHeader + (datagram[at + 11] << 8 | datagram[at + 12]);
      at += kRecordHeader;
      while (at < end) {
        const size_t size = datagram[at + 10] << 8 | datagram[at + 11];
        const bool begins = datagram[at + 7] == 0 && datagram[at + 8] == 0;
        if (begins) parts.push_back({datagram[at], {}});
        const auto from = datagram.begin() + at + kMessageHeader;
        parts.back().body.insert(parts.back().body.end(), from, from + size);
        at += kMessageHeader + size;
      }
    }
  }
  return parts;
}

// With numbers that fit.
std::vector<Bytes> FlightOf(const std::vector<Part>& parts) {
  std::vector<Bytes> datagrams;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t size = parts[i].body.size();
    const auto high = static_cast<uint8_t>(size >> 8);
    const auto low = static_cast<uint8_t>(size);
    const size_t record = size + kMessageHeader;
    const auto number = static_cast<uint8_t>(i);
    Bytes datagram = {22,
                      0xfe,
                      0xfd,
                      0,
                      0,
                      0,
                      0,
                      0,
                      0,
                      0,
                      number,
                      static_cast<uint8_t>(record >> 8),
                      static_cast<uint8_t>(record)};
    const Bytes header = {parts[i].type, 0,  high, low, 0, number, 0, 0, 0, 0,
                          high,          low};
    datagram.insert(datagram.end(), header.begin(), header.end());
    datagram.insert(datagram.end(), parts[i].body.begin(), parts[i].body.end());
    datagrams.push_back(std::move(datagram));
  }
  return datagrams;
}

class SkippingServerTest : public ::testing::Test {
 protected:
  // Whether the client takes the server's flight after `change`: whether it
  // says its Finished.
  template <typename Change>
  bool Believes(Change change) {
    pair_.client_options.session.max_retransmissions = 2;
    pair_.Make();
    pair_.Deliver(pair_.client.output.Take(), pair_.server);
    std::vector<Part> parts = PartsOf(pair_.server.output.Take());
    change(parts);
    pair_.Deliver(FlightOf(parts), pair_.client);
    bool finished = false;
    for (const Bytes& datagram : pair_.client.output.Take()) {
      for (uint8_t type : ::cordon::testing::RecordTypes(datagram)) {
        finished = finished || type == 20;
      }
    }
    while (pair_.client.engine->NextDeadline() < absl::InfiniteFuture()) {
      pair_.Expire(pair_.client);
    }
    EXPECT_EQ(pair_.client.state(), EngineState::kFailed);
    EXPECT_TRUE(pair_.client.output.messages.empty());
    return finished;
  }

  EnginePair pair_;
};

// ACCEPTANCE: HB10
TEST_F(SkippingServerTest, IsNotBelieved) {
  // The rewriting itself does no harm.
  EXPECT_TRUE(Believes([](std::vector<Part>&) {}));
  size_t count = 0;
  EXPECT_TRUE(
      Believes([&count](std::vector<Part>& parts) { count = parts.size(); }));
  ASSERT_EQ(count, 4U);
  for (size_t i = 0; i < count; ++i) {
    SCOPED_TRACE(i);
    // Left out; said twice; and said before the one before it.
    EXPECT_FALSE(Believes([i](std::vector<Part>& parts) {
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i));
    }));
    if (i + 1 < count) {
      EXPECT_FALSE(Believes([i](std::vector<Part>& parts) {
        const Part again = parts[i];
        parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(i), again);
      }));
      EXPECT_FALSE(Believes([i](std::vector<Part>& parts) {
        std::swap(parts[i], parts[i + 1]);
      }));
    }
  }
}

// ACCEPTANCE: HB10
TEST_F(SkippingServerTest, NorIsOneWhoseSignatureIsWrong) {
  for (size_t from_end = 1; from_end <= 70; from_end += 3) {
    SCOPED_TRACE(from_end);
    EXPECT_FALSE(Believes([from_end](std::vector<Part>& parts) {
      for (Part& part : parts) {
        if (part.type != kServerKeyExchange) continue;
        part.body[part.body.size() - from_end] ^= 1;
      }
    }));
  }
  // Nor one without any certificate.
  EXPECT_FALSE(Believes([](std::vector<Part>& parts) {
    for (Part& part : parts) {
      if (part.type == kCertificate) part.body = {0, 0, 0};
    }
  }));
  EXPECT_FALSE(Believes([](std::vector<Part>& parts) {
    for (Part& part : parts) {
      if (part.type == kServerHelloDone) part.body = {0};
    }
  }));
}

}  // namespace
}  // namespace cordon::dtls
