#include "cordon/testing/fuzz/tamper.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

namespace cordon::testing {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kRecordHeaderBytes = 13;
constexpr size_t kMessageHeaderBytes = 12;
constexpr size_t kMaxDatagramBytes = 4096;
constexpr uint8_t kHandshake = 22;

Bytes Join(const std::vector<Bytes>& records) {
  Bytes all;
  for (const Bytes& record : records) {
    all.insert(all.end(), record.begin(), record.end());
  }
  return all;
}

void Put(Bytes& bytes, size_t at, size_t size, uint64_t value) {
  for (size_t i = 0; i < size && at + i < bytes.size(); ++i) {
    bytes[at + i] = static_cast<uint8_t>(value >> (8 * (size - 1 - i)));
  }
}

void SetRecordLength(Bytes& record) {
  Put(record, 11, 2, record.size() - kRecordHeaderBytes);
}

struct Field {
  size_t at;
  size_t size;
};

// Type, version, epoch, sequence number, length; and of the message in it:
// type, length, sequence number, offset and length of the fragment; and the
// first fields of the message.
constexpr Field kFields[] = {
    {0, 1},  {1, 2},  {3, 2},  {5, 6},  {11, 2}, {13, 1},
    {14, 3}, {17, 2}, {19, 3}, {22, 3}, {25, 2}, {27, 1},
};

void SetField(Input& input, Bytes& record) {
  const Field field = kFields[input.Below(std::size(kFields))];
  if (field.at + field.size > record.size()) return;
  uint64_t value = 0;
  for (size_t i = 0; i < field.size; ++i) {
    value = value << 8 | record[field.at + i];
  }
  const uint8_t by = input.Byte();
  // Small differences are the interesting ones.
  value = by < 128 ? value + by : value - (256 - by);
  Put(record, field.at, field.size, value);
}

// One record with a whole message becomes two with half of it each.
void Fragment(Input& input, size_t at, std::vector<Bytes>& records) {
  const Bytes whole = records[at];
  const size_t header = kRecordHeaderBytes + kMessageHeaderBytes;
  const size_t body = whole.size() - std::min(whole.size(), header);
  const size_t first = input.Below(body + 1);
  if (whole.empty() || whole[0] != kHandshake || body == 0) return;
  Bytes head(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(header));
  Bytes tail = head;
  const auto middle = whole.begin() + static_cast<ptrdiff_t>(header + first);
  head.insert(head.end(), whole.begin() + static_cast<ptrdiff_t>(header),
              middle);
  tail.insert(tail.end(), middle, whole.end());
  Put(head, 22, 3, first);
  Put(tail, 19, 3, first);
  Put(tail, 22, 3, body - first);
  // Its record needs a number of its own: one that is not used otherwise.
  Put(tail, 5, 6, uint64_t{1000} + tail[10]);
  SetRecordLength(head);
  SetRecordLength(tail);
  records[at] = std::move(head);
  records.insert(records.begin() + static_cast<ptrdiff_t>(at) + 1,
                 std::move(tail));
}

}  // namespace

std::vector<Bytes> SplitRecords(absl::Span<const uint8_t> bytes) {
  std::vector<Bytes> records;
  while (!bytes.empty()) {
    size_t size = bytes.size();
    if (size >= kRecordHeaderBytes) {
      size = std::min(
          size, kRecordHeaderBytes + (size_t{bytes[11]} << 8 | bytes[12]));
    }
    records.emplace_back(bytes.begin(),
                         bytes.begin() + static_cast<ptrdiff_t>(size));
    bytes.remove_prefix(size);
  }
  return records;
}

void Tamper(Input& input, absl::Span<const uint8_t> other, Bytes* datagram) {
  const uint8_t what = input.Byte();
  std::vector<Bytes> records = SplitRecords(*datagram);
  if (records.empty()) return;
  const size_t at = input.Below(records.size());
  Bytes& record = records[at];
  switch (what % 10) {
    case 0: {
      const size_t byte = input.Below(record.size());
      record[byte] ^= std::max<uint8_t>(1, input.Byte());
      break;
    }
    case 1:
      SetField(input, record);
      break;
    case 2:  // Cut, with a length that fits or does not.
      record.resize(input.Below(record.size() + 1));
      if (record.size() > kRecordHeaderBytes && (what & 0x80) != 0) {
        SetRecordLength(record);
      }
      break;
    case 3: {
      const absl::Span<const uint8_t> more = input.Take(input.Byte());
      record.insert(record.end(), more.begin(), more.end());
      if (record.size() > kRecordHeaderBytes && (what & 0x80) != 0) {
        SetRecordLength(record);
      }
      break;
    }
    case 4:
      std::swap(record, records[input.Below(records.size())]);
      break;
    case 5:
      records.push_back(record);
      break;
    case 6:
      records.erase(records.begin() + static_cast<ptrdiff_t>(at));
      break;
    case 7: {
      const std::vector<Bytes> others = SplitRecords(other);
      if (!others.empty()) {
        records.insert(records.begin() + static_cast<ptrdiff_t>(at),
                       others[input.Below(others.size())]);
      }
      break;
    }
    case 8:
      Fragment(input, at, records);
      break;
    default: {  // The beginning of one, the end of another.
      const size_t from = input.Below(other.size() + 1);
      record.resize(input.Below(record.size() + 1));
      record.insert(record.end(), other.begin() + static_cast<ptrdiff_t>(from),
                    other.end());
      break;
    }
  }
  *datagram = Join(records);
  if (datagram->size() > kMaxDatagramBytes) datagram->resize(kMaxDatagramBytes);
}

}  // namespace cordon::testing
