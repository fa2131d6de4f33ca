#include "benchmark/benchmark.h"
#include "cordon/net/time/timer_wheel.h"

namespace cordon::net {
namespace {

class NoTimer : public Timer {
  void OnTimer() override {}
};

// What a session does with each flight: arms its timer anew.
void BM_Rearm(benchmark::State& state) {
  const absl::Time start = absl::FromUnixSeconds(1'700'000'000);
  TimerWheel wheel(start);
  NoTimer timer;
  int64_t i = 0;
  for (auto _ : state) {
    wheel.Arm(timer, start + absl::Milliseconds(400 + i++ % 256));
  }
}
BENCHMARK(BM_Rearm);

}  // namespace
}  // namespace cordon::net
