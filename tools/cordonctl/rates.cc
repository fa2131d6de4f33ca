#include "cordon/tools/cordonctl/rates.h"

#include <algorithm>
#include <utility>

#include "cordon/tools/cordonctl/histogram.h"
#include "cordon/tools/cordonctl/units.h"

namespace cordon::tools::ctl {
namespace {

using control::v1::ListenerStatistics;

double PerSecond(uint64_t before, uint64_t after, absl::Duration elapsed) {
  const uint64_t more = after >= before ? after - before : after;
  return static_cast<double>(more) / absl::ToDoubleSeconds(elapsed);
}

uint64_t SumOf(const google::protobuf::Map<std::string, uint64_t>& counts) {
  uint64_t sum = 0;
  for (const auto& [name, count] : counts) sum += count;
  return sum;
}

uint64_t Failures(const ListenerStatistics& statistics,
                  const std::string& cause) {
  const auto found = statistics.handshakes_failed().find(cause);
  return found == statistics.handshakes_failed().end() ? 0 : found->second;
}

}  // namespace

uint64_t FailedHandshakes(const ListenerStatistics& statistics) {
  return SumOf(statistics.handshakes_failed());
}

uint64_t RejectedCookies(const ListenerStatistics& statistics) {
  return statistics.cookies().rejected_invalid() +
         statistics.cookies().rejected_expired();
}

uint64_t Dropped(const ListenerStatistics& statistics) {
  const auto& records = statistics.traffic().dropped();
  return records.replay() + records.bad_mac() + records.wrong_epoch() +
         records.malformed() + records.queue_full() + records.other() +
         statistics.dropped_unknown() + statistics.dropped_bad_source() +
         statistics.cookies().dropped_malformed() +
         statistics.cookies().dropped_too_small() +
         statistics.dropped_old_hellos() + statistics.socket().truncated() +
         statistics.socket().empty();
}

Rates RatesBetween(const ListenerStatistics& before,
                   const ListenerStatistics& after, absl::Duration elapsed) {
  if (elapsed <= absl::ZeroDuration()) return {};
  const auto rate = [elapsed](uint64_t first, uint64_t second) {
    return PerSecond(first, second, elapsed);
  };
  Rates rates;
  rates.accepted = rate(before.sessions_accepted(), after.sessions_accepted());
  rates.handshakes =
      rate(before.handshakes_completed(), after.handshakes_completed());
  rates.failed = rate(FailedHandshakes(before), FailedHandshakes(after));
  rates.bytes_in =
      rate(before.traffic().bytes_received(), after.traffic().bytes_received());
  rates.bytes_out =
      rate(before.traffic().bytes_sent(), after.traffic().bytes_sent());
  rates.datagrams_in = rate(before.traffic().datagrams_received(),
                            after.traffic().datagrams_received());
  rates.datagrams_out =
      rate(before.traffic().datagrams_sent(), after.traffic().datagrams_sent());
  rates.cookies_sent = rate(before.cookies().sent(), after.cookies().sent());
  rates.cookies_rejected =
      rate(RejectedCookies(before), RejectedCookies(after));
  rates.dropped = rate(Dropped(before), Dropped(after));
  rates.limits_hit =
      rate(SumOf(before.limits_hit()), SumOf(after.limits_hit()));
  return rates;
}

void History::Add(const control::v1::Statistics& now) {
  before_ = std::exchange(now_, now);
  if (!std::exchange(any_, true)) return;
  elapsed_ = ToTime(now_.time()) - ToTime(before_.time());
  if (elapsed_ <= absl::ZeroDuration()) return;
  rates_.push_back(RatesBetween(before_.total(), now_.total(), elapsed_));
  if (rates_.size() > keep_) rates_.erase(rates_.begin());
  cpu_ = std::max(0.0, now_.process().cpu_seconds() -
                           before_.process().cpu_seconds()) /
         absl::ToDoubleSeconds(elapsed_);
}

Rates History::RatesOf(const ListenerStatistics& listener) const {
  for (const ListenerStatistics& before : before_.listeners()) {
    if (before.listener() == listener.listener()) {
      return RatesBetween(before, listener, elapsed_);
    }
  }
  return {};
}

std::vector<double> History::Series(double Rates::* rate) const {
  std::vector<double> series;
  series.reserve(rates_.size());
  for (const Rates& one : rates_) series.push_back(one.*rate);
  return series;
}

double History::FailureRate(const std::string& cause) const {
  if (!has_rates() || elapsed_ <= absl::ZeroDuration()) return 0;
  return PerSecond(Failures(before_.total(), cause),
                   Failures(now_.total(), cause), elapsed_);
}

control::v1::Histogram History::HandshakeTimes() const {
  if (!has_rates()) return {};
  return Between(before_.total().handshake_time(),
                 now_.total().handshake_time());
}

}  // namespace cordon::tools::ctl
