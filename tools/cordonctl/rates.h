// What happens in a second, out of counters that only grow.
#ifndef CORDON_TOOLS_CORDONCTL_RATES_H_
#define CORDON_TOOLS_CORDONCTL_RATES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cordon/dtls/control/control.pb.h"

namespace cordon::tools::ctl {

// Each per second.
struct Rates {
  double accepted = 0;
  double handshakes = 0;  // completed
  double failed = 0;
  double bytes_in = 0;
  double bytes_out = 0;
  double datagrams_in = 0;
  double datagrams_out = 0;
  double cookies_sent = 0;
  double cookies_rejected = 0;
  double dropped = 0;  // records and datagrams, for whatever reason
  double limits_hit = 0;
};

// Between two looks. A counter that went back has begun anew.
Rates RatesBetween(const control::v1::ListenerStatistics& before,
                   const control::v1::ListenerStatistics& after,
                   absl::Duration elapsed);

uint64_t FailedHandshakes(const control::v1::ListenerStatistics& statistics);
uint64_t RejectedCookies(const control::v1::ListenerStatistics& statistics);
uint64_t Dropped(const control::v1::ListenerStatistics& statistics);

// The last looks at a service.
class History {
 public:
  // Keeps the rates of so many looks.
  explicit History(size_t keep = 600) : keep_(keep) {}

  void Add(const control::v1::Statistics& now);

  const control::v1::Statistics& now() const { return now_; }
  // False before the second look.
  bool has_rates() const { return !rates_.empty(); }
  const Rates& rates() const { return rates_.back(); }
  // Of one listener; nothing before its second look.
  Rates RatesOf(const control::v1::ListenerStatistics& listener) const;
  // Share of one processor, 1 for all of it.
  double cpu() const { return cpu_; }
  // One of the rates at all looks, the newest last.
  std::vector<double> Series(double Rates::* rate) const;
  // Failures of the cause per second.
  double FailureRate(const std::string& cause) const;
  // Handshake times since the look before.
  control::v1::Histogram HandshakeTimes() const;

 private:
  const size_t keep_;
  control::v1::Statistics before_;
  control::v1::Statistics now_;
  absl::Duration elapsed_ = absl::ZeroDuration();
  bool any_ = false;
  double cpu_ = 0;
  std::vector<Rates> rates_;
};

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_RATES_H_
