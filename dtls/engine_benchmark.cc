// What DTLS itself costs, without network and coroutines: records sealed and
// opened, and handshakes of both sides together.
//
//   bazel run --config=opt //dtls:engine_benchmark
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "benchmark/benchmark.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/engine_pair/fixed_output.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::EnginePair;
using ::cordon::testing::FixedOutput;

constexpr size_t kBatch = 1024;

void Require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

void BM_Seal(benchmark::State& state) {
  EnginePair pair;
  pair.Make();
  pair.Exchange();
  FixedOutput output(1);
  const std::vector<uint8_t> message(static_cast<size_t>(state.range(0)), 1);
  for (auto _ : state) {
    output.Clear();
    Require(pair.client.engine->Send(message, output).ok(), "Send failed");
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Seal)->Arg(64)->Arg(1200);

// A record can be opened once only: they are sealed in batches, which is not
// measured.
void BM_Open(benchmark::State& state) {
  EnginePair pair;
  pair.Make();
  pair.Exchange();
  FixedOutput output(kBatch);
  const std::vector<uint8_t> message(static_cast<size_t>(state.range(0)), 1);
  size_t next = 0;
  for (auto _ : state) {
    if (next == output.count()) {
      state.PauseTiming();
      output.Clear();
      for (size_t i = 0; i < kBatch; ++i) {
        Require(pair.client.engine->Send(message, output).ok(), "Send failed");
      }
      next = 0;
      state.ResumeTiming();
    }
    pair.server.engine->Receive(output.datagram(next++), pair.now, output);
  }
  Require(output.messages() == static_cast<uint64_t>(state.iterations()),
          "not every record was opened");
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Open)->Arg(64)->Arg(1200);

// Moves datagrams until neither has anything to say.
void Converse(Engine& client, FixedOutput& from_client, Engine& server,
              FixedOutput& from_server, absl::Time now) {
  while (from_client.count() > 0) {
    from_server.Clear();
    for (size_t i = 0; i < from_client.count(); ++i) {
      server.Receive(from_client.datagram(i), now, from_server);
    }
    from_client.Clear();
    for (size_t i = 0; i < from_server.count(); ++i) {
      client.Receive(from_server.datagram(i), now, from_client);
    }
  }
}

// The client's half is about as dear as the server's: it verifies a chain.
void BM_Handshake(benchmark::State& state) {
  const bool resumed = state.range(0) != 0;
  constexpr size_t kDatagramsOfFlight = 16;
  EnginePair pair;
  const Context server_context = Context::Server(pair.server_options).value();
  const Context client_context = Context::Client(pair.client_options).value();
  EngineOptions client_options = pair.client_engine;
  FixedOutput from_client(kDatagramsOfFlight);
  FixedOutput from_server(kDatagramsOfFlight);
  auto handshake = [&](const EngineOptions& options) {
    std::unique_ptr<Engine> client =
        Engine::Create(client_context, options).value();
    std::unique_ptr<Engine> server = Engine::Create(server_context, {}).value();
    from_client.Clear();
    server->Start(pair.now, from_server);
    client->Start(pair.now, from_client);
    Converse(*client, from_client, *server, from_server, pair.now);
    Require(client->state() == EngineState::kConnected &&
                server->state() == EngineState::kConnected,
            "a handshake failed");
    return client;
  };
  if (resumed)
    client_options.resume = handshake(client_options)->Session().value();
  for (auto _ : state) {
    Require(handshake(client_options)->resumed() == resumed,
            "resumed, or not, against what is measured");
  }
}
BENCHMARK(BM_Handshake)
    ->ArgName("resumed")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace cordon::dtls
