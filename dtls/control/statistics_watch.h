// Control.WatchStatistics.
#ifndef CORDON_DTLS_CONTROL_STATISTICS_WATCH_H_
#define CORDON_DTLS_CONTROL_STATISTICS_WATCH_H_

#include <grpcpp/alarm.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/call_end.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/stream.h"
#include "cordon/dtls/control/worker_pool.h"
#include "cordon/dtls/registry.h"

namespace cordon::dtls::control {

// Statistics in an interval. A caller that is slow gets fewer, never old ones.
class StatisticsWatch final : public Stream<::cordon::control::v1::Statistics> {
 public:
  // Adds what the registry does not know.
  using Annotate = std::function<void(::cordon::control::v1::Statistics*)>;

  // `pool` is where listeners are waited for, fairly among callers.
  StatisticsWatch(std::shared_ptr<Registry> registry, std::string listener,
                  absl::Duration interval, WorkerPool* pool, std::string caller,
                  Annotate annotate);

  void Start() { Continue(); }

 private:
  // How long listeners are waited for.
  static constexpr absl::Duration kPatience = absl::Seconds(10);

  std::shared_ptr<StatisticsWatch> Self() {
    return std::static_pointer_cast<StatisticsWatch>(shared_from_this());
  }
  void OnSent() override { Wait(); }
  void OnEnded() override {}
  void OnEnding() override {
    end_.Cancel(absl::CancelledError("the stream has ended"));
  }
  void Wait();
  void Continue();
  void Collect();

  const std::shared_ptr<Registry> registry_;
  const std::string listener_;
  const absl::Duration interval_;
  WorkerPool* const pool_;
  const std::string caller_;
  const Annotate annotate_;
  const CallEnd end_{absl::InfiniteFuture()};
  absl::Time next_;
  std::unique_ptr<grpc::Alarm> alarm_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_STATISTICS_WATCH_H_
