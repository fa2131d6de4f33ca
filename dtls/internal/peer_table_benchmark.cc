// What it costs to find the session that a datagram is for.
//
//   bazel run --config=opt //dtls/internal:peer_table_benchmark
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/internal/peer_table.h"
#include "cordon/dtls/internal/session.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/sim/sim_reactor.h"

namespace cordon::dtls::internal {
namespace {

class Owner final : public SessionOwner {
 public:
  explicit Owner(std::unique_ptr<net::DatagramSocket> socket)
      : socket_(std::move(socket)) {}
  net::DatagramSocket& socket() override { return *socket_; }
  const VerifyPeer& verify_peer() const override { return verify_peer_; }
  const PskLookup& psk_lookup() const override { return psk_lookup_; }
  void OnHandshakeEnded(Session&, const absl::Status&) override {}
  void OnSessionGone(Session&) override {}
  net::Task<absl::Status> CloseSocket() override { co_return absl::OkStatus(); }

 private:
  std::unique_ptr<net::DatagramSocket> socket_;
  VerifyPeer verify_peer_;
  PskLookup psk_lookup_;
};

net::Path PathOf(uint32_t number) {
  return net::Path(net::Endpoint::V4({10, static_cast<uint8_t>(number >> 16),
                                      static_cast<uint8_t>(number >> 8),
                                      static_cast<uint8_t>(number)},
                                     5000),
                   {net::Endpoint::LoopbackV4(0), 1});
}

// Peers in random order: with many, each is a miss of the cache, as it is in a
// server.
void BM_Find(benchmark::State& state) {
  const auto count = static_cast<uint32_t>(state.range(0));
  testing::SimReactor reactor;
  testing::EnginePair pair;
  const Context context = Context::Server(pair.server_options).value();
  const auto owner = std::make_shared<Owner>(
      reactor.OpenSocket({.bind = net::Endpoint::LoopbackV4(4433)}).value());
  PeerTable table;
  std::vector<std::unique_ptr<Session>> sessions;
  for (uint32_t i = 0; i < count; ++i) {
    sessions.push_back(std::make_unique<Session>(
        reactor, owner, PathOf(i), Engine::Create(context, {}).value()));
    table.Add(*sessions.back());
  }
  std::mt19937 random(1);
  std::vector<net::Path> paths(4096);
  for (net::Path& path : paths) path = PathOf(random() % count);
  size_t next = 0;
  for (auto _ : state) {
    PeerTable::Peer* const found = table.Find(paths[next++ % paths.size()]);
    if (found == nullptr) {
      std::fprintf(stderr, "a session is missing\n");
      std::abort();
    }
    benchmark::DoNotOptimize(found->session);
  }
}
BENCHMARK(BM_Find)->Arg(64)->Arg(10'000)->Arg(100'000);

}  // namespace
}  // namespace cordon::dtls::internal
