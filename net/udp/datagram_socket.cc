#include "cordon/net/udp/datagram_socket.h"

#include <algorithm>
#include <cstring>

namespace cordon::net {

DatagramSocket::~DatagramSocket() {
  for (Train* train : queued_) trains_.Return(train);
}

Train* DatagramSocket::Begin(Path& path) {
  Train* train = trains_.Take();
  if (train == nullptr) {
    FlushNow();
    train = trains_.Take();
    if (train == nullptr) return nullptr;
  }
  train->peer = path.peer;
  train->local = path.local;
  path.train = train;
  path.serial = serial_;
  if (queued_.empty()) OnQueued();
  queued_.push_back(train);
  return train;
}

absl::Span<uint8_t> DatagramSocket::Reserve(Path& path, size_t max_size) {
  if (congested_ || max_size > Train::kMaxBytes) {
    ++statistics_.send_dropped;
    return {};
  }
  Train* train = path.serial == serial_ ? path.train : nullptr;
  if (train == nullptr || !train->open ||
      train->segments >= Train::kMaxSegments ||
      train->bytes + max_size > Train::kMaxBytes) {
    train = Begin(path);
    if (train == nullptr) {
      ++statistics_.send_dropped;
      return {};
    }
  }
  return {train->data() + train->bytes, max_size};
}

void DatagramSocket::Commit(Path& path, size_t size) {
  if (size == 0) return;
  Train* train = path.train;
  if (train->segments > 0 && size > train->segment_bytes) {
    // It turned out too large for this train.
    train->open = false;
    const uint8_t* bytes = train->data() + train->bytes;
    Train* next = Begin(path);
    if (next == nullptr) {
      ++statistics_.send_dropped;
      return;
    }
    std::memcpy(next->data(), bytes, size);
    train = next;
  }
  if (train->segments == 0) train->segment_bytes = size;
  train->bytes += size;
  ++train->segments;
  if (!gso_ || size < train->segment_bytes || size > Train::kMaxSegmentBytes) {
    train->open = false;
  }
}

bool DatagramSocket::Send(Path& path, absl::Span<const uint8_t> bytes) {
  absl::Span<uint8_t> room = Reserve(path, bytes.size());
  if (room.empty()) return false;
  std::memcpy(room.data(), bytes.data(), bytes.size());
  Commit(path, bytes.size());
  return true;
}

void DatagramSocket::SetCongested(bool congested) {
  congested_ = congested;
  if (!congested) writable_.WakeAll();
}

}  // namespace cordon::net
