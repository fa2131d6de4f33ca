#include "cordon/dtls/internal/admission.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace cordon::dtls::internal {
namespace {

// Of the oldest half-open sessions, how many are asked to give way.
constexpr size_t kCandidates = 16;

// Later than any.
constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

template <size_t kBytes>
std::array<uint8_t, kBytes> Masked(absl::Span<const uint8_t> address,
                                   int bits) {
  std::array<uint8_t, kBytes> masked = {};
  for (size_t i = 0; i < kBytes; ++i) {
    const int kept = std::clamp(bits - static_cast<int>(8 * i), 0, 8);
    masked[i] = static_cast<uint8_t>(address[i] & (0xff00 >> kept));
  }
  return masked;
}

}  // namespace

net::Endpoint SourceOf(const net::Endpoint& peer, int v4_bits, int v6_bits) {
  return peer.is_v4()
             ? net::Endpoint::V4(Masked<4>(peer.address_bytes(), v4_bits), 0)
             : net::Endpoint::V6(Masked<16>(peer.address_bytes(), v6_bits), 0,
                                 peer.scope_id());
}

std::optional<absl::Duration> IdleTimeoutOf(const ListenerLimits& limits) {
  constexpr size_t kMax = std::numeric_limits<int64_t>::max();
  const size_t seconds = limits.idle_timeout_seconds;
  if (seconds == 0) return std::nullopt;
  return absl::Seconds(static_cast<int64_t>(std::min(seconds, kMax)));
}

Admission::Admission(std::shared_ptr<AdmissionLedger> ledger,
                     const Options& options, ListenerStatistics* statistics)
    : ledger_(std::move(ledger)),
      memory_(ledger_->memory()),
      reassembly_(ledger_->reassembly()),
      options_(options),
      statistics_(*statistics),
      oldest_(kNone) {}

Admission::~Admission() {
  Abandon();
  SetWaiting(0);
  ledger_->RemoveSessions(sessions_here_);
  for (const auto& [id, session] : sessions_) {
    ledger_->RemoveHalfOpen(session.source);
  }
}

const ListenerLimits& Admission::limits() const {
  if (const uint64_t version = ledger_->version(); version != version_) {
    limits_ = ledger_->limits();
    version_ = version;
  }
  return limits_;
}

void Admission::set_limits(const ListenerLimits& limits) {
  memory_.ReturnReserve(0);
  reassembly_.ReturnReserve(0);
  ledger_->SetLimits(limits);
}

bool Admission::Admit(const net::Endpoint& peer, bool proven, absl::Time now,
                      Evict evict, HandOver hand_over) {
  using Answer = AdmissionLedger::Answer;
  Abandon();
  const net::Endpoint source = SourceOfPeer(peer);
  Answer answer = ledger_->Admit(source, proven, memory_, now);
  // Where the limit was lowered, those that are there end by themselves.
  if (answer == Answer::kMaxHalfOpen && proven &&
      ledger_->half_open() == limits().max_half_open) {
    if (MakeRoom(now, evict)) {
      ++statistics_.half_open_evicted;
      answer = ledger_->Admit(source, proven, memory_, now);
    } else if (hand_over(now - options_.half_open_grace)) {
      memory_.ReturnReserve(0);
      return false;
    }
  }
  switch (answer) {
    case Answer::kAdmitted:
      admitted_ = source;
      ++waiting_here_;
      return true;
    case Answer::kMaxSessions:
      ++statistics_.dropped_max_sessions;
      break;
    case Answer::kMaxSessionMemory:
      ++statistics_.dropped_max_session_memory;
      break;
    case Answer::kAcceptBacklog:
      ++statistics_.dropped_accept_backlog;
      break;
    case Answer::kMaxHalfOpenPerSource:
      ++statistics_.dropped_max_half_open_per_source;
      break;
    case Answer::kHandshakeRate:
      ++statistics_.dropped_handshake_rate_per_source;
      break;
    case Answer::kMaxHalfOpen:
      ++statistics_.dropped_max_half_open;
      break;
  }
  // What was kept for a session is not for this one.
  memory_.ReturnReserve(0);
  return false;
}

void Admission::Open(uint64_t id, const net::Endpoint& peer, absl::Time now) {
  Add(id, peer, now);
  ++sessions_here_;
  statistics_.sessions = sessions_here_;
}

void Admission::Abandon() {
  if (!admitted_.has_value()) return;
  ledger_->RemoveHalfOpen(*admitted_);
  ledger_->RemoveSessions(1);
  admitted_.reset();
  memory_.ReturnReserve(0);
  SetWaiting(waiting_here_ - 1);
}

void Admission::SetWaiting(size_t waiting) {
  if (waiting < waiting_here_) ledger_->RemoveWaiting(waiting_here_ - waiting);
  waiting_here_ = std::min(waiting, waiting_here_);
}

void Admission::Close(uint64_t id) {
  Remove(id);
  --sessions_here_;
  statistics_.sessions = sessions_here_;
  ledger_->RemoveSessions(1);
}

bool Admission::KeepsRate(const net::Endpoint& peer, bool proven,
                          absl::Time now) const {
  return ledger_->KeepsRate(SourceOfPeer(peer), proven, now);
}

bool Admission::MakeRoom(absl::Time now, Evict evict) {
  // `evict` changes the list.
  std::array<uint64_t, kCandidates> candidates;
  size_t count = 0;
  for (HalfOpen* session = by_age_.empty() ? nullptr : &by_age_.front();
       session != nullptr && count < kCandidates &&
       now - session->since > options_.half_open_grace;
       session = by_age_.next(*session)) {
    candidates[count++] = session->id;
  }
  for (size_t i = 0; i < count; ++i) {
    if (evict(candidates[i])) return true;
  }
  return false;
}

void Admission::Add(uint64_t id, const net::Endpoint& peer, absl::Time now) {
  const auto [at, is_new] = sessions_.try_emplace(id);
  if (!is_new) return;
  HalfOpen& session = at->second;
  session.id = id;
  session.source = SourceOfPeer(peer);
  session.since = now;
  by_age_.push_back(session);
  if (admitted_ == session.source) {
    admitted_.reset();
  } else {
    ledger_->AddHalfOpen(session.source);
  }
  statistics_.half_open = sessions_.size();
  UpdateOldest();
}

void Admission::Remove(uint64_t id) {
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  ledger_->RemoveHalfOpen(found->second.source);
  sessions_.erase(found);
  statistics_.half_open = sessions_.size();
  UpdateOldest();
}

void Admission::UpdateOldest() {
  oldest_.store(
      by_age_.empty() ? kNone : absl::ToUnixNanos(by_age_.front().since),
      std::memory_order_relaxed);
}

size_t Admission::HalfOpenOf(const net::Endpoint& peer) const {
  return ledger_->HalfOpenOf(SourceOfPeer(peer));
}

net::Endpoint Admission::SourceOfPeer(const net::Endpoint& peer) const {
  return SourceOf(peer, options_.source_prefix_v4, options_.source_prefix_v6);
}

}  // namespace cordon::dtls::internal
