#include "cordon/dtls/internal/source_rate.h"

#include <openssl/siphash.h>

#include <algorithm>

#include "absl/types/span.h"
#include "cordon/dtls/internal/random_bytes.h"

namespace cordon::dtls::internal {

SourceRate::SourceRate() {
  FillWithRandom(
      absl::MakeSpan(reinterpret_cast<uint8_t*>(key_.data()), sizeof(key_)));
}

bool SourceRate::Allows(const net::Endpoint& source, const Limit& limit,
                        absl::Time now) const {
  if (limit.per_second == 0 || limit.burst == 0) return false;
  if (cells_.empty()) return true;
  const double ahead =
      static_cast<double>(FullAt(CellsOf(source)) - absl::ToUnixNanos(now));
  const double used = ahead / 1e9 * static_cast<double>(limit.per_second);
  return used <= static_cast<double>(limit.burst - 1);
}

void SourceRate::Count(const net::Endpoint& source, const Limit& limit,
                       absl::Time now) {
  if (cells_.empty()) cells_.resize(kRows * kCells);
  const std::array<size_t, kRows> cells = CellsOf(source);
  const int64_t interval = absl::ToInt64Nanoseconds(absl::Seconds(1)) /
                           static_cast<int64_t>(std::clamp<size_t>(
                               limit.per_second, 1, 1'000'000'000));
  const int64_t full_at =
      std::max(FullAt(cells), absl::ToUnixNanos(now)) + interval;
  for (const size_t cell : cells) {
    cells_[cell] = std::max(cells_[cell], full_at);
  }
}

std::array<size_t, SourceRate::kRows> SourceRate::CellsOf(
    const net::Endpoint& source) const {
  std::array<uint8_t, 20> bytes = {};
  const absl::Span<const uint8_t> address = source.address_bytes();
  std::copy(address.begin(), address.end(), bytes.begin());
  for (size_t i = 0; i < 4; ++i) {
    bytes[16 + i] = static_cast<uint8_t>(source.scope_id() >> (8 * i));
  }
  uint64_t hash = SIPHASH_24(key_.data(), bytes.data(),
                             source.is_v4() ? address.size() : bytes.size());
  std::array<size_t, kRows> cells;
  for (size_t row = 0; row < kRows; ++row) {
    cells[row] = row * kCells + hash % kCells;
    hash >>= 32;
  }
  return cells;
}

int64_t SourceRate::FullAt(const std::array<size_t, kRows>& cells) const {
  int64_t full_at = cells_[cells[0]];
  for (const size_t cell : cells) full_at = std::min(full_at, cells_[cell]);
  return full_at;
}

}  // namespace cordon::dtls::internal
