#include "cordon/dtls/control/statistics_collector.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <set>
#include <utility>

#include "absl/time/clock.h"
#include "cordon/dtls/control/listener_call.h"
#include "cordon/dtls/control/listener_names.h"
#include "cordon/dtls/control/session_proto.h"
#include "cordon/net/base/byte_pool.h"
#include "cordon/net/reactor/reactor.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;

// What is read on a listener's thread.
struct Reading {
  ListenerStatistics listener;
  net::ReactorStatistics reactor;
  net::BytePool::Statistics pool;
};

uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size = 0;
  uint64_t resident = 0;
  if (!(file >> size >> resident)) return 0;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// What is of the listener's context is added only if that is new to `sum`.
void AddReading(ListenerStatistics listener, v1::ListenerStatistics* sum,
                bool new_context) {
  if (!new_context) listener.session_ids = {};
  AddTo(listener, sum);
}

}  // namespace

absl::StatusOr<v1::Statistics> CollectStatistics(const Registry& registry,
                                                 const std::string& listener,
                                                 const CallEnd& end) {
  auto listeners = ListenersOf(registry, listener, "listener");
  if (!listeners.ok()) return listeners.status();
  v1::Statistics statistics;
  *statistics.mutable_started() = ToTimestamp(registry.started());
  std::map<std::string, v1::ListenerStatistics> by_name;
  std::map<uint32_t, v1::ReactorStatistics> reactors;
  std::set<uint64_t> contexts_in_total;
  std::map<std::string, std::set<uint64_t>> contexts_by_name;
  for (const std::shared_ptr<ListenerHandle>& handle : *listeners) {
    absl::StatusOr<Reading> reading =
        CallListener<Reading>(*handle, end, [](ListenerAdmin& admin) {
          return Reading{.listener = admin.statistics(),
                         .reactor = admin.reactor().statistics(),
                         .pool = admin.reactor().byte_pool().statistics()};
        });
    if (!reading.ok()) {
      if (absl::IsUnavailable(reading.status())) continue;
      return reading.status();
    }
    const uint64_t context = reading->listener.session_ids.context;
    AddReading(reading->listener, statistics.mutable_total(),
               contexts_in_total.insert(context).second);
    AddReading(reading->listener, &by_name[handle->name()],
               contexts_by_name[handle->name()].insert(context).second);
    const auto [reactor, added] = reactors.try_emplace(handle->reactor_index());
    if (!added) continue;
    reactor->second.set_reactor(handle->reactor_index());
    reactor->second.set_backend(handle->backend());
    reactor->second.set_turns(reading->reactor.turns);
    reactor->second.set_system_calls(reading->reactor.system_calls);
    reactor->second.set_completions(reading->reactor.completions);
    reactor->second.set_completion_overflows(
        reading->reactor.completion_overflows);
    reactor->second.set_resumptions(reading->reactor.resumptions);
    v1::ProcessStatistics* process = statistics.mutable_process();
    process->set_pooled_bytes(process->pooled_bytes() +
                              reading->pool.bytes_cached);
  }
  for (auto& [name, sum] : by_name) {
    sum.set_listener(name);
    *statistics.add_listeners() = std::move(sum);
  }
  for (auto& [index, reactor] : reactors) {
    *statistics.add_reactors() = std::move(reactor);
  }
  statistics.mutable_process()->set_resident_bytes(ResidentBytes());
  statistics.mutable_process()->set_cpu_seconds(CpuSeconds());
  *statistics.mutable_time() = ToTimestamp(absl::Now());
  return statistics;
}

}  // namespace cordon::dtls::control
