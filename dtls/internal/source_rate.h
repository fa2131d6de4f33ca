// How fast sources begin handshakes.
#ifndef CORDON_DTLS_INTERNAL_SOURCE_RATE_H_
#define CORDON_DTLS_INTERNAL_SOURCE_RATE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls::internal {

// A token bucket for each source, in memory of one size however many there are:
// each source has a cell in each of two rows, found by a hash with a key of our
// own, and the one that tells less counts. So sources may be taken for busier
// than they are, where both their cells are shared, but never for less busy.
class SourceRate {
 public:
  static constexpr size_t kRows = 2;
  static constexpr size_t kCells = 4096;

  struct Limit {
    // At no rate, or without a burst, there are no handshakes.
    size_t per_second = 0;
    // At once, by a source that has been quiet.
    size_t burst = 0;
  };

  SourceRate();

  // May `source` begin one more? It is not counted.
  bool Allows(const net::Endpoint& source, const Limit& limit,
              absl::Time now) const;
  // To be called when the limit becomes another: what was counted by the old
  // one is forgotten.
  void Forget() { cells_.clear(); }
  // It has begun one.
  void Count(const net::Endpoint& source, const Limit& limit, absl::Time now);

 private:
  std::array<size_t, kRows> CellsOf(const net::Endpoint& source) const;
  // When the source will have been quiet for long enough, in Unix nanoseconds.
  int64_t FullAt(const std::array<size_t, kRows>& cells) const;

  std::array<uint64_t, 2> key_;
  // When a bucket will be full again. Empty until something is counted.
  std::vector<int64_t> cells_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SOURCE_RATE_H_
