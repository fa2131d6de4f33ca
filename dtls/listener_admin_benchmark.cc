// What looking after a listener costs its reactor: a page of sessions, and an
// observer while messages are echoed.
//
//   bazel run -c opt //dtls:listener_admin_benchmark
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/testing/served_listener/served_listener.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;

constexpr size_t kPage = 128;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

double Micros(absl::Duration duration) {
  return absl::ToDoubleMicroseconds(duration);
}

absl::Duration MedianOf(std::vector<absl::Duration> durations) {
  const auto middle =
      durations.begin() + static_cast<std::ptrdiff_t>(durations.size() / 2);
  std::nth_element(durations.begin(), middle, durations.end());
  return *middle;
}

void AskForCertificates(ServedListener& world) {
  world.server_options.client_trust = ServedListener::Authority().trust();
  world.client_options.certificate = ServedListener::Authority().Issue(
      {.common_name = "device", .dns_names = {"device.example"}});
  world.client_options.verification.mode = PeerVerification::kNone;
}

// So many sessions, each of another peer, who is never heard of again. All but
// the first are resumed, which is quicker.
net::Task<absl::Status> OpenSessions(ServedListener& world, size_t count) {
  ConnectOptions options;
  CO_ASSIGN_OR_RETURN(Connection first, co_await world.Connect(options));
  options.resume = *first.Session();
  world.reactor.network().set_filter([](SimDatagram& d) {
    constexpr uint8_t kAlert = 21;
    return d.from.port() == ServedListener::At().port() || d.bytes[0] != kAlert;
  });
  for (size_t i = 1; i < count; ++i) {
    options.bind = net::Endpoint::V4(
        {10, static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8),
         static_cast<uint8_t>(i)},
        5000);
    CO_ASSIGN_OR_RETURN(Connection client, co_await world.Connect(options));
  }
  co_await ServedListener::Pass(absl::Seconds(1));
  co_return absl::OkStatus();
}

// Pages through all sessions, as a control service does.
void BM_PageOfSessions(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  ServedListener world;
  AskForCertificates(world);
  std::vector<absl::Duration> times;
  Require(world.Run([&]() -> net::Task<absl::Status> {
    CO_RETURN_IF_ERROR(co_await OpenSessions(world, count));
    if (world.admin().statistics().sessions != count) {
      co_return absl::InternalError("not all sessions are there");
    }
    uint64_t after = 0;
    for (auto _ : state) {
      const absl::Time begin = absl::Now();
      {
        const std::vector<std::shared_ptr<const SessionSnapshot>> page =
            world.admin().Sessions(after, kPage);
        benchmark::DoNotOptimize(page.data());
        after = page.size() < kPage ? 0 : page.back()->id;
      }
      times.push_back(absl::Now() - begin);
    }
    co_return absl::OkStatus();
  }));
  state.counters["median_us"] = Micros(MedianOf(times));
  std::sort(times.begin(), times.end());
  state.counters["p99_us"] = Micros(times[times.size() * 99 / 100]);
  state.counters["max_us"] = Micros(times.back());
}
BENCHMARK(BM_PageOfSessions)
    ->Arg(1'000)
    ->Arg(100'000)
    ->Unit(benchmark::kMicrosecond);

class Watcher final : public SessionObserver {
 public:
  void OnSessionEvent(SessionEventKind,
                      const std::shared_ptr<const SessionSnapshot>& now,
                      absl::string_view) override {
    last_ = now;
  }

 private:
  std::shared_ptr<const SessionSnapshot> last_;
};

// Messages are echoed in batches, in turn without and with an observer; the
// medians of both are compared.
void BM_EchoWithObserver(benchmark::State& state) {
  constexpr size_t kBatch = 200;
  ServedListener world;
  AskForCertificates(world);
  std::vector<absl::Duration> without;
  std::vector<absl::Duration> with;
  Require(world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world.Connect());
    const auto watcher = std::make_shared<Watcher>();
    const std::string message(64, 'm');
    bool watched = false;
    for (auto _ : state) {
      const absl::Time begin = absl::Now();
      for (size_t i = 0; i < kBatch; ++i) {
        CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, message));
      }
      (watched ? with : without).push_back(absl::Now() - begin);
      watched = !watched;
      if (watched) {
        world.admin().AddObserver(watcher);
      } else {
        world.admin().RemoveObserver(watcher.get());
      }
    }
    co_return absl::OkStatus();
  }));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatch));
  if (without.empty() || with.empty()) return;
  const double a = Micros(MedianOf(without)) / kBatch;
  const double b = Micros(MedianOf(with)) / kBatch;
  state.counters["without_us"] = a;
  state.counters["with_us"] = b;
  state.counters["cost_percent"] = (b - a) / a * 100;
}
BENCHMARK(BM_EchoWithObserver)->MinTime(3)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace cordon::dtls
