// What a session may take from others: bytes for an address that is not proven,
// and its place after its peer has gone.
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/stack.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/error.h"
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

void Engine::CheckIdle(absl::Time now) {
  const absl::Duration limit = idle_timeout();
  idle_check_ = last_message_ + limit;
  if (now < idle_check_) return;
  SendCloseNotify();
  absl::Status status = absl::DeadlineExceededError(absl::StrCat(
      "the peer has sent nothing for ", absl::FormatDuration(limit)));
  SetErrorDetail(&status, {.limit = "idle_timeout"});
  Fail(std::move(status));
}

size_t Engine::peer_bytes() const {
  size_t chain_bytes = 0;
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl_.get());
  for (size_t i = 0; chain != nullptr && i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    chain_bytes += CRYPTO_BUFFER_len(sk_CRYPTO_BUFFER_value(chain, i));
  }
  size_t bytes = chain_bytes;
  for (const auto* errors : {&notes_.errors, &notes_.tolerated}) {
    for (const VerificationError& error : *errors) {
      bytes += sizeof(error) + error.subject.size() + error.message.size();
    }
  }
  // `error_` tells the errors with their certificates.
  return error_.ok() || notes_.errors.empty() ? bytes : bytes + chain_bytes;
}

absl::Duration Engine::idle_timeout() const {
  const bool own = overrides_ != nullptr && overrides_->session.has_value();
  return own ? session_options().idle_timeout
             : options_.idle_timeout.value_or(session_options().idle_timeout);
}

}  // namespace cordon::dtls
