#include "cordon/testing/sim/sim_network.h"

#include <algorithm>
#include <utility>

namespace cordon::testing {

bool SimNetwork::Happens(double probability) {
  // Not std::bernoulli_distribution, whose draws differ between libraries.
  const double draw =
      static_cast<double>(random_() >> 11) / static_cast<double>(1ULL << 53);
  return draw < probability;
}

absl::Duration SimNetwork::Delay() {
  absl::Duration delay = impairments_.delay;
  if (impairments_.jitter > absl::ZeroDuration()) {
    delay += absl::Nanoseconds(static_cast<int64_t>(
        random_() % absl::ToInt64Nanoseconds(impairments_.jitter)));
  }
  if (Happens(impairments_.reorder)) {
    ++statistics_.reordered;
    delay += impairments_.reorder_delay;
  }
  return delay;
}

std::vector<SimNetwork::Delivery> SimNetwork::Transmit(SimDatagram datagram) {
  ++statistics_.sent;
  statistics_.bytes_sent += datagram.bytes.size();
  statistics_.largest_bytes =
      std::max(statistics_.largest_bytes, datagram.bytes.size());
  if (filter_ && !filter_(datagram)) {
    ++statistics_.lost;
    return {};
  }
  if (datagram.bytes.size() > impairments_.max_datagram_bytes) {
    ++statistics_.too_large;
    return {};
  }
  if (Happens(impairments_.loss)) {
    ++statistics_.lost;
    return {};
  }
  if (Happens(impairments_.corrupt) && !datagram.bytes.empty()) {
    ++statistics_.corrupted;
    datagram.bytes[random_() % datagram.bytes.size()] ^=
        static_cast<uint8_t>(1 + random_() % 255);
  }
  std::vector<Delivery> deliveries;
  if (Happens(impairments_.duplicate)) {
    ++statistics_.duplicated;
    deliveries.push_back({Delay(), datagram});
  }
  deliveries.push_back({Delay(), std::move(datagram)});
  return deliveries;
}

}  // namespace cordon::testing
