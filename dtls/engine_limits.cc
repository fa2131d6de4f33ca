// What a session may take from others: the bytes that its peer's address gets.
#include <memory>
#include <utility>

#include "cordon/dtls/engine.h"
#include "cordon/dtls/internal/send_allowance.h"

namespace cordon::dtls {

bool Engine::MaySend(absl::Span<const uint8_t> datagram) {
  switch (allowance_->Offer(datagram)) {
    case internal::SendAllowance::Verdict::kSend:
      return true;
    case internal::SendAllowance::Verdict::kWaits:
      Count(&SessionStatistics::datagrams_held_back);
      return false;
    case internal::SendAllowance::Verdict::kDropped:
      Count(&SessionStatistics::datagrams_not_sent);
      return false;
  }
  return false;
}

void Engine::Allow(size_t received) {
  allowance_->OnReceived(received, [this](absl::Span<const uint8_t> datagram) {
    SendDatagram(datagram);
  });
}

void Engine::OnAddressProven() {
  const std::unique_ptr<internal::SendAllowance> allowance =
      std::exchange(allowance_, nullptr);
  if (allowance == nullptr) return;
  allowance->SendAll(
      [this](absl::Span<const uint8_t> datagram) { SendDatagram(datagram); });
}

}  // namespace cordon::dtls
