// The cookie exchange of one reactor of a listener.
#ifndef CORDON_DTLS_INTERNAL_SHARED_COOKIES_H_
#define CORDON_DTLS_INTERNAL_SHARED_COOKIES_H_

#include <array>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/internal/admission_ledger.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls::internal {

// Has the parameters that were last set on any of the reactors, from then on: a
// peer's second hello may come to another one than its first. For the reactor's
// thread.
class SharedCookies {
 public:
  // `ledger` outlives it.
  SharedCookies(CookieExchange exchange, AdmissionLedger& ledger)
      : exchange_(std::move(exchange)), ledger_(ledger) {}

  // See `CookieExchange`.
  CookieExchange::Result Process(
      absl::Span<const uint8_t> datagram, const net::Endpoint& peer,
      const Moment& now,
      std::array<uint8_t, CookieExchange::kReplyBytes>& reply) {
    Follow();
    return exchange_.Process(datagram, peer, now, reply);
  }
  absl::Status SetParameters(const CookieParameters& parameters) {
    Follow();
    if (seen_ != nullptr && seen_->hash == parameters.hash &&
        seen_->secret == parameters.secret) {
      return absl::OkStatus();
    }
    absl::Status status = exchange_.SetParameters(parameters);
    if (status.ok()) seen_ = ledger_.SetCookieParameters(parameters);
    return status;
  }
  CookieHash hash() const { return exchange_.hash(); }
  const CookieStatistics& statistics() const { return exchange_.statistics(); }

 private:
  void Follow() {
    const uint64_t version = ledger_.version();
    if (version == version_) return;
    version_ = version;
    const AdmissionLedger::Cookies latest = ledger_.cookie_parameters();
    // They were good on the reactor on which they were set.
    if (latest != seen_ && exchange_.SetParameters(*latest).ok()) {
      seen_ = latest;
    }
  }

  CookieExchange exchange_;
  AdmissionLedger& ledger_;
  uint64_t version_ = 0;
  AdmissionLedger::Cookies seen_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SHARED_COOKIES_H_
