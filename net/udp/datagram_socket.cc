#include "cordon/net/udp/datagram_socket.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/net/base/errno_status.h"

namespace cordon::net {
namespace {

// Serials are taken from the process in blocks, so that sockets of different
// reactors rarely meet, and no two of them ever have the same.
constexpr uint64_t kSerialBlock = uint64_t{1} << 24;

uint64_t NewSerialBlock() {
  static std::atomic<uint64_t> last = 0;
  return kSerialBlock * (last.fetch_add(1, std::memory_order_relaxed) + 1);
}

}  // namespace

DatagramSocket::DatagramSocket(TrainPool& trains, bool gso)
    : trains_(trains), gso_(gso), serial_(NewSerialBlock()) {}

DatagramSocket::~DatagramSocket() {
  for (Train* train : queued_) trains_.Return(train);
  for (Train* train : kept_) trains_.Return(train);
  if (spare_ != nullptr) trains_.Return(spare_);
  trains_.EndKeeping(kept_.size());
  while (!blocked_.empty()) blocked_.front().WakeAll();
}

Train* DatagramSocket::Present(const Path& path) const {
  if (path.serial != serial_) return nullptr;
  Train* const train = path.train;
  return train->open && train->segments < Train::kMaxSegments &&
                 train->peer == path.peer && train->local == path.local
             ? train
             : nullptr;
}

Train& DatagramSocket::Begin(Path& path, Train& train) {
  train.peer = path.peer;
  train.local = path.local;
  train.single = !gso_ || !TakesTrains(path.peer);
  if (path.serial != serial_) path.datagrams = 0;
  path.train = &train;
  path.serial = serial_;
  ++in_use_;
  if (queued_.empty()) OnQueued();
  queued_.push_back(&train);
  return train;
}

absl::Span<uint8_t> DatagramSocket::Room(Path& path, size_t max_size,
                                         bool exact) {
  if (congested_ || !status_.ok() || max_size > Train::kMaxBytes) {
    ++statistics_.send_dropped;
    return {};
  }
  Train* train = Present(path);
  if (train != nullptr && train->bytes + max_size > Train::kMaxBytes) {
    train = nullptr;
  }
  bool too_small = train != nullptr && train->segments > 0 &&
                   max_size > train->segment_bytes;
  if (too_small && exact) {
    train->open = false;
    train = nullptr;
    too_small = false;
  }
  if ((train == nullptr || too_small) && spare_ == nullptr) {
    spare_ = trains_.Take();
    if (spare_ == nullptr) {
      ++statistics_.send_dropped;
      return {};
    }
  }
  if (train == nullptr) train = &Begin(path, *std::exchange(spare_, nullptr));
  return {train->data() + train->bytes, max_size};
}

absl::Span<uint8_t> DatagramSocket::Reserve(Path& path, size_t max_size) {
  return Room(path, max_size, /*exact=*/false);
}

void DatagramSocket::Commit(Path& path, size_t size) {
  Train* const spare = std::exchange(spare_, nullptr);
  Train* train = path.train;
  if (size > 0 && train->segments > 0 && size > train->segment_bytes) {
    // It turned out too large for this train.
    train->open = false;
    const uint8_t* bytes = train->data() + train->bytes;
    std::memcpy(spare->data(), bytes, size);
    train = &Begin(path, *spare);
  } else if (spare != nullptr) {
    trains_.Return(spare);
  }
  if (size == 0) return;
  if (train->segments == 0) train->segment_bytes = size;
  train->bytes += size;
  ++train->segments;
  ++path.datagrams;
  trains_.CountDatagram();
  if (train->single || size < train->segment_bytes ||
      size > Train::kMaxSegmentBytes) {
    train->open = false;
  }
}

bool DatagramSocket::Send(Path& path, absl::Span<const uint8_t> bytes) {
  if (bytes.empty()) return false;
  absl::Span<uint8_t> room = Room(path, bytes.size(), /*exact=*/true);
  if (room.empty()) return false;
  std::memcpy(room.data(), bytes.data(), bytes.size());
  Commit(path, bytes.size());
  return true;
}

bool DatagramSocket::MaySend(const Path& path, size_t max_size) const {
  if (congested_ || Spent(path) || trains_.turn_spent()) return false;
  const Train* const train = Present(path);
  if (train != nullptr && train->bytes + max_size <= Train::kMaxBytes &&
      (train->segments == 0 || max_size <= train->segment_bytes)) {
    return true;
  }
  return in_use_ < kMaxTrains && !trains_.scarce();
}

void DatagramSocket::Enqueue(SendQueue& queue, const Path& path) {
  if (queue.linked()) return;
  if (congested_) {
    blocked_.push_back(queue);
  } else if (Spent(path)) {
    trains_.AwaitTurn(queue);
  } else {
    trains_.AwaitRoom(queue);
  }
}

void DatagramSocket::TakeTrains(std::vector<Train*>& trains) {
  trains.insert(trains.end(), kept_.begin(), kept_.end());
  trains_.EndKeeping(kept_.size());
  kept_.clear();
  trains.insert(trains.end(), queued_.begin(), queued_.end());
  queued_.clear();
  if (++serial_ % kSerialBlock == 0) serial_ = NewSerialBlock();
}

void DatagramSocket::PutBack(absl::Span<Train* const> trains) {
  if (trains.empty()) return;
  for (Train* train : trains) train->open = false;
  const bool first = queued_.empty();
  queued_.insert(queued_.begin(), trains.begin(), trains.end());
  if (first) OnQueued();
}

void DatagramSocket::Keep(Train& train) {
  if (kept_.size() >= kMaxTrains || !trains_.Keep()) {
    statistics_.send_over_quota += train.segments;
    Return(train);
    return;
  }
  kept_.push_back(&train);
}

void DatagramSocket::Drop(Train& train) {
  statistics_.send_errors += train.segments;
  Return(train);
}

void DatagramSocket::Return(Train& train) {
  --in_use_;
  trains_.Return(&train);
}

void DatagramSocket::SetCongested(bool congested) {
  congested_ = congested;
  if (congested) return;
  while (!blocked_.empty()) blocked_.pop_front()->OnTurn();
}

// The port says nothing of the way.
void DatagramSocket::EndTrains(const Endpoint& peer) {
  if (without_trains_.size() >= kMaxPeersWithoutTrains) {
    without_trains_.erase(without_trains_.begin());
  }
  without_trains_[peer.WithPort(0)] = kTrainRetry;
}

bool DatagramSocket::TakesTrains(const Endpoint& peer) {
  if (without_trains_.empty()) return true;
  const auto found = without_trains_.find(peer.WithPort(0));
  if (found == without_trains_.end()) return true;
  if (--found->second > 0) return false;
  without_trains_.erase(found);
  return true;
}

void DatagramSocket::End(absl::Status status) {
  if (!status_.ok()) return;
  status_ = std::move(status);
  while (!blocked_.empty()) blocked_.front().WakeAll();
}

void DatagramSocket::Fail(const absl::Status& status) {
  if (!status_.ok()) return;
  End(status);
  if (receiver_ != nullptr) receiver_->OnSocketFailed(status);
}

void DatagramSocket::CountReceiveError(int error, bool of_network) {
  ++statistics_.receive_errors;
  if (of_network) return;
  if (++receive_failures_ < kMaxReceiveFailures) return;
  Fail(
      ErrnoStatus(error, absl::StrCat("the socket ", local_endpoint_.ToString(),
                                      " has failed to receive ",
                                      receive_failures_, " times in a row")));
}

absl::Status DatagramSocket::ClosedStatus() {
  return absl::FailedPreconditionError("the socket was closed");
}

absl::Status DatagramSocket::DestroyedStatus() {
  return absl::FailedPreconditionError("the socket was destroyed");
}

}  // namespace cordon::net
