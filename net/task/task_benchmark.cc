#include "benchmark/benchmark.h"
#include "cordon/net/task/task.h"
#include "cordon/testing/sim/sim_reactor.h"

namespace cordon::net {
namespace {

Task<int> One() { co_return 1; }

Task<int> AwaitMany(int64_t count) {
  int sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += co_await One();
  co_return sum;
}

void BM_AwaitTask(benchmark::State& state) {
  testing::SimReactor reactor;
  constexpr int64_t kBatch = 1000;
  for (auto _ : state) benchmark::DoNotOptimize(reactor.Run(AwaitMany(kBatch)));
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_AwaitTask);

}  // namespace
}  // namespace cordon::net
