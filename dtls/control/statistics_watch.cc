#include "cordon/dtls/control/statistics_watch.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "cordon/dtls/control/rpc_status.h"
#include "cordon/dtls/control/statistics_collector.h"

namespace cordon::dtls::control {

StatisticsWatch::StatisticsWatch(std::shared_ptr<Registry> registry,
                                 std::string listener, absl::Duration interval,
                                 WorkerPool* pool)
    : registry_(std::move(registry)),
      listener_(std::move(listener)),
      interval_(interval),
      pool_(pool),
      next_(absl::Now()) {}

void StatisticsWatch::Wait() {
  next_ = std::max(next_ + interval_, absl::Now());
  alarm_ = std::make_unique<grpc::Alarm>();
  alarm_->Set(absl::ToChronoTime(next_), [weak = std::weak_ptr(Self())](bool) {
    if (auto self = weak.lock()) self->Continue();
  });
}

void StatisticsWatch::Continue() {
  pool_->Submit([self = Self()] { self->Collect(); });
}

void StatisticsWatch::Collect() {
  if (ended()) return;
  absl::StatusOr<::cordon::control::v1::Statistics> statistics =
      CollectStatistics(*registry_, listener_, absl::Now() + kPatience);
  if (statistics.ok()) {
    Send(*std::move(statistics));
  } else {
    End(ToRpc(statistics.status()));
  }
}

}  // namespace cordon::dtls::control
