#include "cordon/tools/bench/echo_session.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "cordon/net/task/status_macros.h"

namespace cordon::tools {
namespace {

constexpr size_t kSessionAt = 8;
constexpr size_t kSlotAt = 12;
// Messages differ in where they begin in the pattern.
constexpr size_t kPatternPeriod = 251;
constexpr size_t kReceivedAtOnce = 64;

// What message `number` has at its end begins here in the pattern.
size_t PatternStart(uint64_t number) { return number % kPatternPeriod; }

}  // namespace

absl::Duration MonotonicNow() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::DurationFromTimespec(now);
}

EchoSession::EchoSession(Transport transport, uint32_t id, size_t outstanding,
                         size_t payload_bytes, bool trains,
                         EchoCounters& counters)
    : transport_(std::move(transport)),
      id_(id),
      payload_bytes_(std::max(payload_bytes, kMinPayloadBytes)),
      trains_(trains),
      counters_(counters),
      slots_(outstanding),
      free_(outstanding),
      buffer_(outstanding * payload_bytes_),
      pattern_(payload_bytes_ + kPatternPeriod),
      received_(std::min(outstanding, kReceivedAtOnce)) {
  std::iota(free_.rbegin(), free_.rend(), 0);
  for (size_t i = 0; i < pattern_.size(); ++i) {
    pattern_[i] = static_cast<uint8_t>((i % kPatternPeriod) * 7 + id);
  }
  batch_.reserve(outstanding);
}

absl::Span<const uint8_t> EchoSession::Write(absl::Duration due) {
  const uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.number = next_number_++;
  slot.sent = due;
  uint8_t* message = buffer_.data() + index * payload_bytes_;
  std::memcpy(message, &slot.number, sizeof(slot.number));
  std::memcpy(message + kSessionAt, &id_, sizeof(id_));
  std::memcpy(message + kSlotAt, &index, sizeof(index));
  std::memcpy(message + kMinPayloadBytes,
              pattern_.data() + PatternStart(slot.number),
              payload_bytes_ - kMinPayloadBytes);
  return {message, payload_bytes_};
}

void EchoSession::Check(absl::Span<const uint8_t> message, absl::Duration now) {
  uint64_t number = 0;
  uint32_t id = 0;
  uint32_t index = 0;
  if (message.size() != payload_bytes_) return counters_.OnWrong();
  std::memcpy(&number, message.data(), sizeof(number));
  std::memcpy(&id, message.data() + kSessionAt, sizeof(id));
  std::memcpy(&index, message.data() + kSlotAt, sizeof(index));
  if (id != id_ || index >= slots_.size() || number == 0 ||
      number >= next_number_ ||
      std::memcmp(message.data() + kMinPayloadBytes,
                  pattern_.data() + PatternStart(number),
                  payload_bytes_ - kMinPayloadBytes) != 0) {
    return counters_.OnWrong();
  }
  Slot& slot = slots_[index];
  if (slot.number != number) return counters_.OnLate();
  slot.number = 0;
  free_.push_back(index);
  counters_.OnEcho(now - slot.sent);
}

net::Task<absl::Status> EchoSession::SendBatch() {
  if (auto* connection = std::get_if<dtls::Connection>(&transport_)) {
    co_return co_await connection->SendBatch(batch_);
  }
  auto& socket = std::get<net::UdpSocket>(transport_);
  for (const absl::Span<const uint8_t> message : batch_) {
    CO_RETURN_IF_ERROR(co_await socket.Send(path_, message));
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> EchoSession::Fill(size_t min_free) {
  // While somebody fills already, the network takes nothing.
  if (filling_ || free_.size() < min_free) co_return absl::OkStatus();
  filling_ = true;
  absl::Status status;
  while (status.ok() && !free_.empty()) {
    batch_.clear();
    const absl::Duration now = MonotonicNow();
    do {
      batch_.push_back(Write(now));
    } while (trains_ && !free_.empty());
    status = co_await SendBatch();
    if (status.ok() && !trains_) status = co_await NextTurn();
  }
  filling_ = false;
  co_return status;
}

net::Task<absl::StatusOr<bool>> EchoSession::SendOne(absl::Duration due) {
  if (free_.empty() || filling_) co_return false;
  filling_ = true;
  batch_.assign(1, Write(due));
  const absl::Status status = co_await SendBatch();
  filling_ = false;
  CO_RETURN_IF_ERROR(status);
  co_return true;
}

net::Task<absl::Status> EchoSession::Receive() {
  if (auto* socket = std::get_if<net::UdpSocket>(&transport_)) {
    CO_ASSIGN_OR_RETURN(const net::UdpSocket::Packet packet,
                        co_await socket->Recv());
    Check(packet.payload.bytes(), MonotonicNow());
    co_return absl::OkStatus();
  }
  auto& connection = std::get<dtls::Connection>(transport_);
  CO_ASSIGN_OR_RETURN(const size_t count,
                      co_await connection.RecvBatch(absl::MakeSpan(received_)));
  const absl::Duration now = MonotonicNow();
  for (size_t i = 0; i < count; ++i) {
    Check(received_[i].bytes(), now);
    received_[i] = dtls::Message();
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> EchoSession::Close() {
  if (auto* connection = std::get_if<dtls::Connection>(&transport_)) {
    return connection->Close();
  }
  return std::get<net::UdpSocket>(transport_).Close();
}

bool EchoSession::DropLost(absl::Duration now) {
  bool any = false;
  for (uint32_t index = 0; index < slots_.size(); ++index) {
    Slot& slot = slots_[index];
    if (slot.number == 0 || now - slot.sent < kLossTimeout) continue;
    slot.number = 0;
    free_.push_back(index);
    counters_.OnLost();
    any = true;
  }
  return any;
}

}  // namespace cordon::tools
