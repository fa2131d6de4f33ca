// What operators cost those who are served.
//
//   bazel run -c opt //testing/control:control_benchmark
//
// BM_ListSessions: a listing of all sessions over gRPC, and for how long each
// step of it kept the reactor from its work: the reactor's own processor time
// for the turn of its loop in which the step was made. All listings make the
// same steps, so that a step which is long by itself is long in each of them,
// while what the machine does strikes a step in one and not in the next
// (processor time that a host takes away counts as the thread's). `longest_us`
// is therefore the longest of all steps by its median over the listings, and
// has to stay below a millisecond; the other figures are of single turns, the
// machine's part included.
//
// BM_EchoWhileWatched: echoes over real sockets, in turn without and with a
// watcher of sessions and one of statistics; the medians of both are compared.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "benchmark/benchmark.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/control/control.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/control/call.h"
#include "cordon/testing/control/controlled_server.h"
#include "cordon/testing/served_listener/served_listener.h"

namespace cordon::testing {
namespace {

using Stub = v1::Control::Stub;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

absl::Duration ThreadTime() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

// Counts how often sessions are read; else the listener's own.
class CountedAdmin final : public dtls::ListenerAdmin {
 public:
  explicit CountedAdmin(dtls::ListenerAdmin* admin) : admin_(*admin) {}
  uint64_t reads() const { return reads_; }

  size_t ReadSessions(uint64_t after,
                      absl::Span<dtls::SessionSnapshot> page) override {
    ++reads_;
    return admin_.ReadSessions(after, page);
  }
  bool ReadSession(uint64_t id, dtls::SessionSnapshot& into) override {
    ++reads_;
    return admin_.ReadSession(id, into);
  }
  bool CloseSession(uint64_t id, const absl::Status& status,
                    uint8_t alert) override {
    return admin_.CloseSession(id, status, alert);
  }
  dtls::ListenerStatistics statistics() const override {
    return admin_.statistics();
  }
  dtls::ListenerLimits limits() const override { return admin_.limits(); }
  void SetLimits(const dtls::ListenerLimits& limits) override {
    admin_.SetLimits(limits);
  }
  absl::Status SetCookieParameters(const dtls::CookieParameters& p) override {
    return admin_.SetCookieParameters(p);
  }
  dtls::CookieHash cookie_hash() const override { return admin_.cookie_hash(); }
  const dtls::Context& context() const override { return admin_.context(); }
  void Drain(absl::Duration deadline) override { admin_.Drain(deadline); }
  bool draining() const override { return admin_.draining(); }
  void AddObserver(std::shared_ptr<dtls::SessionObserver> observer) override {
    admin_.AddObserver(std::move(observer));
  }
  void RemoveObserver(const dtls::SessionObserver* observer) override {
    admin_.RemoveObserver(observer);
  }
  net::Reactor& reactor() override { return admin_.reactor(); }

 private:
  dtls::ListenerAdmin& admin_;
  uint64_t reads_ = 0;
};

// So many sessions, each of another peer, who is never heard of again. All but
// the first are resumed, which is quicker.
net::Task<absl::Status> OpenSessions(ServedListener& world, size_t count) {
  dtls::ConnectOptions options;
  CO_ASSIGN_OR_RETURN(dtls::Connection first, co_await world.Connect(options));
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
    CO_ASSIGN_OR_RETURN(dtls::Connection client,
                        co_await world.Connect(options));
  }
  co_return absl::OkStatus();
}

size_t ListAll(Stub& stub, v1::SessionOrder order) {
  size_t seen = 0;
  v1::ListSessionsRequest request;
  request.set_order(order);
  request.set_page_size(1000);
  do {
    const v1::ListSessionsResponse page =
        Call(stub, &Stub::ListSessions, request);
    seen += static_cast<size_t>(page.sessions_size());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return seen;
}

size_t WatchAll(Stub& stub) {
  size_t seen = 0;
  grpc::ClientContext context;
  auto reader = stub.WatchSessions(&context, v1::WatchSessionsRequest());
  v1::SessionEvent event;
  while (reader->Read(&event) && event.kind() != v1::SessionEvent::SYNCED) {
    ++seen;
  }
  context.TryCancel();
  (void)reader->Finish();
  return seen;
}

// `listings` holds, for each, the turns in which it made a step.
void Report(benchmark::State& state,
            const std::vector<std::vector<absl::Duration>>& listings) {
  std::vector<absl::Duration> all;
  size_t steps = listings[0].size();
  for (const std::vector<absl::Duration>& turns : listings) {
    all.insert(all.end(), turns.begin(), turns.end());
    steps = std::min(steps, turns.size());
  }
  std::sort(all.begin(), all.end());
  absl::Duration longest;
  for (size_t step = 0; step < steps; ++step) {
    std::vector<absl::Duration> same;
    same.reserve(listings.size());
    for (const std::vector<absl::Duration>& turns : listings) {
      same.push_back(turns[step]);
    }
    std::sort(same.begin(), same.end());
    longest = std::max(longest, same[same.size() / 2]);
  }
  const auto at = [&](double part) {
    const auto i = static_cast<size_t>(static_cast<double>(all.size()) * part);
    return absl::ToDoubleMicroseconds(all[std::min(i, all.size() - 1)]);
  };
  state.counters["steps"] = static_cast<double>(steps);
  state.counters["longest_us"] = absl::ToDoubleMicroseconds(longest);
  state.counters["p50_us"] = at(0.5);
  state.counters["p99_us"] = at(0.99);
  state.counters["p999_us"] = at(0.999);
  state.counters["max_us"] = at(1);
}

void BM_ListSessions(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  TemporaryFolder folder("/tmp");
  ServedListener world;
  world.server_options.client_trust = ServedListener::Authority().trust();
  world.client_options.certificate = ServedListener::Authority().Issue(
      {.common_name = "device", .dns_names = {"device.example"}});
  world.client_options.verification.mode = dtls::PeerVerification::kNone;
  auto registry = std::make_shared<dtls::Registry>();
  dtls::control::ControlOptions options;
  options.registry = registry;
  options.addresses = {absl::StrCat("unix:", folder.path(), "/control")};
  auto control = dtls::control::Control::Start(std::move(options));
  Require(control.status());
  auto stub = v1::Control::NewStub(grpc::CreateChannel(
      (*control)->addresses()[0], grpc::InsecureChannelCredentials()));

  absl::Notification ready;
  std::atomic<bool> done = false;
  std::atomic<size_t> listing = 0;
  std::vector<std::vector<absl::Duration>> listings;
  std::thread reactor([&] {
    Require(world.Run([&]() -> net::Task<absl::Status> {
      CO_RETURN_IF_ERROR(co_await OpenSessions(world, count));
      CountedAdmin admin(&world.admin());
      const auto handle =
          registry->Add("counted", ServedListener::At(), world.reactor, admin);
      ready.Notify();
      absl::Duration last = ThreadTime();
      uint64_t reads = 0;
      while (!done) {
        co_await ServedListener::Pass(absl::Microseconds(1));
        const absl::Duration now = ThreadTime();
        if (admin.reads() != reads) {
          reads = admin.reads();
          if (listings.size() <= listing) listings.resize(listing + 1);
          listings[listing].push_back(now - last);
        }
        last = now;
      }
      registry->Remove(handle);
      co_return absl::OkStatus();
    }));
  });
  ready.WaitForNotification();
  const bool streamed = state.range(1) == 1;
  size_t seen = 0;
  for (auto _ : state) {
    seen = streamed ? WatchAll(*stub) : ListAll(*stub, v1::SESSION_ORDER_ID);
    ++listing;
  }
  done = true;
  reactor.join();
  (*control)->Stop(absl::ZeroDuration());
  state.SetLabel(streamed ? "streamed" : "paged");
  state.counters["sessions"] = static_cast<double>(seen);
  Report(state, listings);
}
BENCHMARK(BM_ListSessions)
    ->Args({100'000, 0})
    ->Args({100'000, 1})
    ->Iterations(7)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// Connections that echo as fast as they can.
class Echoes {
 public:
  Echoes(const net::Endpoint& server, size_t connections) {
    absl::StatusOr<std::unique_ptr<net::Reactor>> made = net::MakeReactor({});
    Require(made.status());
    reactor_ = *std::move(made);
    thread_ = std::thread([this, server, connections] {
      const auto all = [&]() -> net::Task<absl::Status> {
        net::TaskScope scope;
        for (size_t i = 0; i < connections; ++i) scope.Spawn(One(server));
        co_return co_await scope.Join();
      };
      (void)reactor_->Run(all());
    });
  }
  ~Echoes() {
    reactor_->RequestStop();
    thread_.join();
  }
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  net::Task<absl::Status> One(net::Endpoint server) {
    CO_ASSIGN_OR_RETURN(
        dtls::Connection connection,
        co_await dtls::Connect(*reactor_, server, context_, "localhost"));
    CO_RETURN_IF_ERROR(co_await connection.Handshake());
    const std::vector<uint8_t> message(256, 'm');
    while (true) {
      CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message));
      absl::StatusOr<dtls::Message> reply = co_await connection.RecvDecrypted();
      CO_RETURN_IF_ERROR(reply.status());
      count_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  const dtls::Context context_ = ClientCrowd::ContextWith();
  std::unique_ptr<net::Reactor> reactor_;
  std::thread thread_;
  std::atomic<uint64_t> count_ = 0;
};

// Reads both streams until it is destroyed.
class Watchers {
 public:
  explicit Watchers(Stub& stub) {
    sessions_ = std::thread([&stub, this] {
      auto reader =
          stub.WatchSessions(&contexts_[0], v1::WatchSessionsRequest());
      v1::SessionEvent event;
      while (reader->Read(&event)) {
      }
      (void)reader->Finish();
    });
    statistics_ = std::thread([&stub, this] {
      auto reader =
          stub.WatchStatistics(&contexts_[1], v1::WatchStatisticsRequest());
      v1::Statistics statistics;
      while (reader->Read(&statistics)) {
      }
      (void)reader->Finish();
    });
  }
  ~Watchers() {
    for (grpc::ClientContext& context : contexts_) context.TryCancel();
    sessions_.join();
    statistics_.join();
  }

 private:
  grpc::ClientContext contexts_[2];
  std::thread sessions_;
  std::thread statistics_;
};

double MedianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void BM_EchoWhileWatched(benchmark::State& state) {
  constexpr absl::Duration kWindow = absl::Milliseconds(250);
  ControlledServer server;
  Echoes echoes(server.endpoint(), 64);
  std::vector<double> rates[2];
  int64_t echoed = 0;
  for (auto _ : state) {
    for (const bool watched : {false, true}) {
      std::unique_ptr<Watchers> watchers;
      if (watched) watchers = std::make_unique<Watchers>(server.stub());
      absl::SleepFor(absl::Milliseconds(20));
      const absl::Time begin = absl::Now();
      const uint64_t before = echoes.count();
      absl::SleepFor(kWindow);
      const auto count = static_cast<double>(echoes.count() - before);
      rates[watched ? 1 : 0].push_back(
          count / absl::ToDoubleSeconds(absl::Now() - begin));
      echoed += static_cast<int64_t>(count);
    }
  }
  state.SetItemsProcessed(echoed);
  const double without = MedianOf(rates[0]);
  const double with = MedianOf(rates[1]);
  state.counters["without_per_s"] = without;
  state.counters["with_per_s"] = with;
  state.counters["cost_percent"] = (without - with) / without * 100;
}
BENCHMARK(BM_EchoWhileWatched)
    ->Iterations(40)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cordon::testing
