#include "cordon/dtls/internal/send_allowance.h"

#include <cstddef>
#include <utility>

namespace cordon::dtls::internal {
namespace {

constexpr uint8_t kAlertType = 21;

}  // namespace

void SendAllowance::OnReceived(size_t bytes, Send send) {
  bytes_ += uint64_t{factor_} * bytes;
  size_t sent = 0;
  while (sent < waiting_.size() && Spend(waiting_[sent].size())) {
    send(waiting_[sent++]);
  }
  waiting_.erase(waiting_.begin(),
                 waiting_.begin() + static_cast<ptrdiff_t>(sent));
}

SendAllowance::Verdict SendAllowance::Offer(
    absl::Span<const uint8_t> datagram) {
  const bool alert = !datagram.empty() && datagram[0] == kAlertType;
  if ((alert || !waiting()) && Spend(datagram.size())) return Verdict::kSend;
  if (alert) return Verdict::kDropped;
  waiting_.emplace_back(datagram.begin(), datagram.end());
  return Verdict::kWaits;
}

void SendAllowance::SendAll(Send send) {
  for (const std::vector<uint8_t>& datagram : std::exchange(waiting_, {})) {
    send(datagram);
  }
}

bool SendAllowance::Spend(size_t bytes) {
  if (bytes > bytes_) return false;
  bytes_ -= bytes;
  return true;
}

}  // namespace cordon::dtls::internal
