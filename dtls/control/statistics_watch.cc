#include "cordon/dtls/control/statistics_watch.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "cordon/dtls/control/rpc_status.h"
#include "cordon/dtls/control/statistics_collector.h"

namespace cordon::dtls::control {

StatisticsWatch::StatisticsWatch(std::shared_ptr<Registry> registry,
                                 std::string listener, absl::Duration interval,
                                 WorkerPool* pool, std::string caller,
                                 Annotate annotate)
    : registry_(std::move(registry)),
      listener_(std::move(listener)),
      interval_(interval),
      pool_(pool),
      caller_(std::move(caller)),
      annotate_(std::move(annotate)),
      next_(absl::Now()) {}

void StatisticsWatch::Wait() {
  next_ = std::max(next_ + interval_, absl::Now());
  alarm_ = std::make_unique<grpc::Alarm>();
  alarm_->Set(absl::ToChronoTime(next_), [weak = std::weak_ptr(Self())](bool) {
    if (auto self = weak.lock()) self->Continue();
  });
}

void StatisticsWatch::Continue() {
  // One task for each watch at most, so there is always room.
  pool_->Submit(caller_, [self = Self()] { self->Collect(); });
}

void StatisticsWatch::Collect() {
  if (ended()) return;
  absl::StatusOr<::cordon::control::v1::Statistics> statistics =
      CollectStatistics(*registry_, listener_,
                        end_.NoLaterThan(absl::Now() + kPatience));
  if (statistics.ok()) {
    annotate_(&*statistics);
    Send(*std::move(statistics));
  } else {
    End(ToRpc(statistics.status()));
  }
}

}  // namespace cordon::dtls::control
