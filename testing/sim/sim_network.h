// A network that loses, duplicates, reorders, delays, corrupts and cuts
// datagrams, the same ones for the same seed.
#ifndef CORDON_TESTING_SIM_SIM_NETWORK_H_
#define CORDON_TESTING_SIM_SIM_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::testing {

// Probabilities are from 0 to 1.
struct Impairments {
  double loss = 0;
  double duplicate = 0;
  // A datagram that is reordered is held back for `reorder_delay`.
  double reorder = 0;
  absl::Duration reorder_delay = absl::Milliseconds(30);
  // One byte is changed.
  double corrupt = 0;
  absl::Duration delay = absl::Milliseconds(5);
  absl::Duration jitter = absl::ZeroDuration();
  // Larger datagrams are lost.
  size_t max_datagram_bytes = 65507;
  // What connected sockets know of it: a path MTU in bytes, or nothing.
  size_t known_path_mtu = 0;
  uint64_t seed = 1;
};

struct SimDatagram {
  net::Endpoint from;
  net::Endpoint to;
  std::vector<uint8_t> bytes;
};

class SimNetwork {
 public:
  struct Statistics {
    uint64_t sent = 0;
    uint64_t bytes_sent = 0;
    uint64_t lost = 0;
    uint64_t duplicated = 0;
    uint64_t reordered = 0;
    uint64_t corrupted = 0;
    uint64_t too_large = 0;
    size_t largest_bytes = 0;
  };
  // Sees each datagram before the impairments, may change it, and drops it by
  // returning false.
  using Filter = std::function<bool(SimDatagram&)>;
  // When, after now, and what.
  struct Delivery {
    absl::Duration after;
    SimDatagram datagram;
  };

  explicit SimNetwork(const Impairments& impairments)
      : impairments_(impairments), random_(impairments.seed) {}

  // What becomes of a datagram: nothing, one delivery, or two.
  std::vector<Delivery> Transmit(SimDatagram datagram);

  void set_filter(Filter filter) { filter_ = std::move(filter); }
  Impairments& impairments() { return impairments_; }
  const Statistics& statistics() const { return statistics_; }

 private:
  bool Happens(double probability);
  absl::Duration Delay();

  Impairments impairments_;
  std::mt19937_64 random_;
  Filter filter_;
  Statistics statistics_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SIM_SIM_NETWORK_H_
