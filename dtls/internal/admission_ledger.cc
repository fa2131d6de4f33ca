#include "cordon/dtls/internal/admission_ledger.h"

#include <openssl/mem.h>

#include "cordon/dtls/internal/session_bounds.h"

namespace cordon::dtls::internal {

AdmissionLedger::AdmissionLedger(const ListenerLimits& limits)
    : memory_(limits.max_session_memory),
      reassembly_(limits.max_reassembly_bytes),
      configured_(limits),
      limits_(limits) {}

ListenerLimits AdmissionLedger::limits() const {
  absl::MutexLock lock(&mutex_);
  return limits_;
}

void AdmissionLedger::SetLimits(const ListenerLimits& limits) {
  absl::MutexLock lock(&mutex_);
  SetLimitsLocked(limits);
}

void AdmissionLedger::Configure(const ListenerLimits& limits) {
  absl::MutexLock lock(&mutex_);
  if (configured_ == limits) return;
  configured_ = limits;
  SetLimitsLocked(limits);
}

void AdmissionLedger::SetLimitsLocked(const ListenerLimits& limits) {
  if (limits.handshake_rate_per_source != limits_.handshake_rate_per_source ||
      limits.handshake_burst_per_source != limits_.handshake_burst_per_source) {
    proven_rate_.Forget();
    unproven_rate_.Forget();
  }
  limits_ = limits;
  memory_.set_limit(limits.max_session_memory);
  reassembly_.set_limit(limits.max_reassembly_bytes);
  version_.fetch_add(1, std::memory_order_release);
}

AdmissionLedger::Cookies AdmissionLedger::SetCookieParameters(
    const CookieParameters& parameters) {
  absl::MutexLock lock(&mutex_);
  if (cookies_ == nullptr || cookies_->hash != parameters.hash ||
      cookies_->secret != parameters.secret) {
    cookies_ =
        Cookies(new CookieParameters(parameters), [](CookieParameters* wiped) {
          if (wiped->secret.has_value()) {
            OPENSSL_cleanse(wiped->secret->data(), wiped->secret->size());
          }
          delete wiped;
        });
    version_.fetch_add(1, std::memory_order_release);
  }
  return cookies_;
}

AdmissionLedger::Cookies AdmissionLedger::cookie_parameters() const {
  absl::MutexLock lock(&mutex_);
  return cookies_;
}

AdmissionLedger::Answer AdmissionLedger::Admit(const net::Endpoint& source,
                                               bool proven,
                                               MemoryBudget& memory,
                                               absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (sessions_ >= limits_.max_sessions) return Answer::kMaxSessions;
  if (!memory.HasRoomFor(kSessionBytes)) return Answer::kMaxSessionMemory;
  if (waiting_ >= limits_.accept_backlog) return Answer::kAcceptBacklog;
  const auto found = sources_.find(source);
  if ((found == sources_.end() ? 0 : found->second) >=
      limits_.max_half_open_per_source) {
    return Answer::kMaxHalfOpenPerSource;
  }
  SourceRate& rate = proven ? proven_rate_ : unproven_rate_;
  if (!rate.Allows(source, RateLimit(), now)) return Answer::kHandshakeRate;
  if (half_open() >= limits_.max_half_open) return Answer::kMaxHalfOpen;
  rate.Count(source, RateLimit(), now);
  ++sessions_;
  ++waiting_;
  AddHalfOpenLocked(source);
  return Answer::kAdmitted;
}

bool AdmissionLedger::KeepsRate(const net::Endpoint& source, bool proven,
                                absl::Time now) const {
  absl::MutexLock lock(&mutex_);
  return (proven ? proven_rate_ : unproven_rate_)
      .Allows(source, RateLimit(), now);
}

SourceRate::Limit AdmissionLedger::RateLimit() const {
  return {.per_second = limits_.handshake_rate_per_source,
          .burst = limits_.handshake_burst_per_source};
}

void AdmissionLedger::AddHalfOpen(const net::Endpoint& source) {
  absl::MutexLock lock(&mutex_);
  AddHalfOpenLocked(source);
}

void AdmissionLedger::AddHalfOpenLocked(const net::Endpoint& source) {
  ++sources_[source];
  half_open_.store(half_open() + 1, std::memory_order_relaxed);
}

void AdmissionLedger::RemoveHalfOpen(const net::Endpoint& source) {
  absl::MutexLock lock(&mutex_);
  const auto found = sources_.find(source);
  if (found == sources_.end()) return;
  if (--found->second == 0) sources_.erase(found);
  half_open_.store(half_open() - 1, std::memory_order_relaxed);
}

void AdmissionLedger::RemoveSessions(size_t count) {
  absl::MutexLock lock(&mutex_);
  sessions_ -= count;
}

void AdmissionLedger::RemoveWaiting(size_t count) {
  absl::MutexLock lock(&mutex_);
  waiting_ -= count;
}

size_t AdmissionLedger::HalfOpenOf(const net::Endpoint& source) const {
  absl::MutexLock lock(&mutex_);
  const auto found = sources_.find(source);
  return found == sources_.end() ? 0 : found->second;
}

size_t AdmissionLedger::sources() const {
  absl::MutexLock lock(&mutex_);
  return sources_.size();
}

}  // namespace cordon::dtls::internal
