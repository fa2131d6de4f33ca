#include "cordon/testing/engine_pair/engine_pair.h"

#include <algorithm>

namespace cordon::testing {
namespace {

constexpr size_t kRecordHeaderBytes = 13;
constexpr uint8_t kAlert = 21;

// The size of the record at the start of `bytes`, or 0.
size_t RecordSize(absl::Span<const uint8_t> bytes) {
  if (bytes.size() < kRecordHeaderBytes) return 0;
  const size_t size = kRecordHeaderBytes + (size_t{bytes[11]} << 8 | bytes[12]);
  return size <= bytes.size() ? size : 0;
}

}  // namespace

absl::Span<uint8_t> Collector::Reserve(size_t max_bytes) {
  if (blocked) return {};
  buffer_.resize(max_bytes);
  return absl::MakeSpan(buffer_);
}

void Collector::Commit(size_t bytes) {
  if (bytes == 0) return;
  sent.emplace_back(buffer_.begin(),
                    buffer_.begin() + static_cast<std::ptrdiff_t>(bytes));
}

bool Collector::OnMessage(absl::Span<const uint8_t> message) {
  messages.emplace_back(message.begin(), message.end());
  return true;
}

std::vector<uint8_t> RecordTypes(const Bytes& datagram) {
  std::vector<uint8_t> types;
  absl::Span<const uint8_t> rest = datagram;
  while (const size_t size = RecordSize(rest)) {
    types.push_back(rest[0]);
    rest.remove_prefix(size);
  }
  return types;
}

int PlainAlert(const std::vector<Bytes>& datagrams) {
  int alert = -1;
  for (const Bytes& datagram : datagrams) {
    absl::Span<const uint8_t> rest = datagram;
    while (const size_t size = RecordSize(rest)) {
      const bool plain = rest[3] == 0 && rest[4] == 0;
      if (rest[0] == kAlert && plain && size == kRecordHeaderBytes + 2) {
        alert = rest[kRecordHeaderBytes + 1];
      }
      rest.remove_prefix(size);
    }
  }
  return alert;
}

EnginePair::EnginePair() {
  server_options.certificates = {ServerCertificate()};
  server_options.wall_clock = [this] { return now; };
  client_options.trust = Authority().trust();
  client_options.wall_clock = server_options.wall_clock;
  client_engine.server_name = "localhost";
}

const TestAuthority& EnginePair::Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}

const dtls::Certificate& EnginePair::ServerCertificate() {
  static const dtls::Certificate* const certificate = new dtls::Certificate(
      Authority().Issue({.common_name = "server", .dns_names = {"localhost"}}));
  return *certificate;
}

void EnginePair::MakeServer() {
  server = {};
  server.engine = std::move(
      dtls::Engine::Create(dtls::Context::Server(server_options).value(),
                           server_engine)
          .value());
  server.engine->Start(now, server.output);
}

void EnginePair::MakeClient() {
  client = {};
  client.engine = std::move(
      dtls::Engine::Create(dtls::Context::Client(client_options).value(),
                           client_engine)
          .value());
  client.engine->Start(now, client.output);
}

void EnginePair::Make() {
  MakeServer();
  MakeClient();
}

void EnginePair::Deliver(const std::vector<Bytes>& datagrams, EngineSide& to) {
  for (Bytes datagram : datagrams) {
    to.engine->Receive(absl::MakeSpan(datagram), now, to.output);
  }
}

void EnginePair::Exchange() {
  while (!client.output.sent.empty() || !server.output.sent.empty()) {
    Deliver(client.output.Take(), server);
    Deliver(server.output.Take(), client);
  }
}

void EnginePair::RunFor(absl::Duration limit) {
  const absl::Time end = now + limit;
  Exchange();
  while (!connected()) {
    const absl::Time next =
        std::min(client.engine->NextDeadline(), server.engine->NextDeadline());
    if (next > end) break;
    now = std::max(now, next);
    client.engine->OnTimeout(now, client.output);
    server.engine->OnTimeout(now, server.output);
    Exchange();
  }
  if (!connected()) now = end;
}

void EnginePair::Expire(EngineSide& side) {
  now = std::max(now, side.engine->NextDeadline());
  side.engine->OnTimeout(now, side.output);
}

void EnginePair::BelieveAlert(EngineSide& side) {
  const absl::Time end = now + absl::Seconds(2);
  while (side.state() == dtls::EngineState::kHandshaking &&
         side.engine->NextDeadline() <= end) {
    Expire(side);
    side.output.Take();
  }
}

bool EnginePair::connected() const {
  return client.state() == dtls::EngineState::kConnected &&
         server.state() == dtls::EngineState::kConnected;
}

std::string EnginePair::Carry(EngineSide& from, EngineSide& to,
                              const std::string& text) {
  to.output.messages.clear();
  const absl::Status sent = from.engine->Send(AsBytes(text), from.output);
  if (!sent.ok()) return sent.ToString();
  Exchange();
  return to.output.messages.empty() ? "nothing arrived"
                                    : to.output.messages.back();
}

absl::Span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace cordon::testing
