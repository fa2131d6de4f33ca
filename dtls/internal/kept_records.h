// Records that came too early, within bounds.
#ifndef CORDON_DTLS_INTERNAL_KEPT_RECORDS_H_
#define CORDON_DTLS_INTERNAL_KEPT_RECORDS_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "cordon/dtls/internal/memory_budget.h"

namespace cordon::dtls::internal {

class KeptRecords {
 public:
  using Record = std::vector<uint8_t>;

  // Counts them in `share`, which outlives it.
  KeptRecords(size_t max_records, size_t max_bytes, MemoryShare& share)
      : max_records_(max_records), max_bytes_(max_bytes), share_(share) {}
  KeptRecords(const KeptRecords&) = delete;
  KeptRecords& operator=(const KeptRecords&) = delete;
  ~KeptRecords() { Clear(); }

  // False if there is no room for it.
  bool Keep(absl::Span<const uint8_t> record) {
    if (records_.size() >= max_records_ ||
        bytes_ + record.size() > max_bytes_) {
      return false;
    }
    if (!share_.HasRoomFor(record.size())) {
      share_.CountRefusal();
      return false;
    }
    records_.emplace_back(record.begin(), record.end());
    bytes_ += record.size();
    share_.Add(record.size());
    return true;
  }

  // The first is the one that was kept first.
  bool empty() const { return records_.empty(); }
  size_t size() const { return records_.size(); }
  const Record& operator[](size_t i) const { return records_[i]; }

  Record TakeFirst() {
    Record first = std::move(records_.front());
    records_.erase(records_.begin());
    Forget(first.size());
    return first;
  }
  std::vector<Record> TakeAll() {
    Forget(bytes_);
    return std::exchange(records_, {});
  }
  void Clear() { TakeAll(); }

 private:
  void Forget(size_t bytes) {
    bytes_ -= bytes;
    share_.Remove(bytes);
  }

  const size_t max_records_;
  const size_t max_bytes_;
  MemoryShare& share_;
  std::vector<Record> records_;
  size_t bytes_ = 0;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_KEPT_RECORDS_H_
