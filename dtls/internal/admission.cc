#include "cordon/dtls/internal/admission.h"

#include <algorithm>
#include <array>
#include <utility>

#include "cordon/dtls/internal/session_bounds.h"

namespace cordon::dtls::internal {
namespace {

// Of the oldest half-open sessions, how many are asked to give way.
constexpr size_t kCandidates = 16;

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

Admission::Admission(const ListenerLimits& limits, const Options& options,
                     ListenerStatistics* statistics)
    : limits_(limits),
      memory_(limits.max_session_memory),
      reassembly_(limits.max_reassembly_bytes),
      options_(options),
      statistics_(*statistics) {}

void Admission::set_limits(const ListenerLimits& limits) {
  if (limits.handshake_rate_per_source != limits_.handshake_rate_per_source ||
      limits.handshake_burst_per_source != limits_.handshake_burst_per_source) {
    proven_rate_.Forget();
    unproven_rate_.Forget();
  }
  limits_ = limits;
  memory_.set_limit(limits.max_session_memory);
  reassembly_.set_limit(limits.max_reassembly_bytes);
}

bool Admission::Admit(const net::Endpoint& peer, bool proven, size_t waiting,
                      absl::Time now, Evict evict) {
  if (statistics_.sessions >= limits_.max_sessions) {
    ++statistics_.dropped_max_sessions;
    return false;
  }
  if (!memory_.HasRoomFor(kSessionBytes)) {
    ++statistics_.dropped_max_session_memory;
    return false;
  }
  if (waiting >= limits_.accept_backlog) {
    ++statistics_.dropped_accept_backlog;
    return false;
  }
  if (HalfOpenOf(peer) >= limits_.max_half_open_per_source) {
    ++statistics_.dropped_max_half_open_per_source;
    return false;
  }
  if (!KeepsRate(peer, proven, now)) {
    ++statistics_.dropped_handshake_rate_per_source;
    return false;
  }
  if (!HasRoom(proven, now, evict)) return false;
  (proven ? proven_rate_ : unproven_rate_)
      .Count(SourceOfPeer(peer), RateLimit(), now);
  return true;
}

bool Admission::KeepsRate(const net::Endpoint& peer, bool proven,
                          absl::Time now) const {
  return (proven ? proven_rate_ : unproven_rate_)
      .Allows(SourceOfPeer(peer), RateLimit(), now);
}

SourceRate::Limit Admission::RateLimit() const {
  return {.per_second = limits_.handshake_rate_per_source,
          .burst = limits_.handshake_burst_per_source};
}

bool Admission::HasRoom(bool proven, absl::Time now, Evict evict) {
  if (sessions_.size() < limits_.max_half_open) return true;
  // Where the limit was lowered, those that are there end by themselves.
  if (proven && sessions_.size() == limits_.max_half_open &&
      MakeRoom(now, evict)) {
    ++statistics_.half_open_evicted;
    return true;
  }
  ++statistics_.dropped_max_half_open;
  return false;
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
  ++sources_[session.source];
  statistics_.half_open = sessions_.size();
}

void Admission::Remove(uint64_t id) {
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  auto source = sources_.find(found->second.source);
  if (--source->second == 0) sources_.erase(source);
  sessions_.erase(found);
  statistics_.half_open = sessions_.size();
}

size_t Admission::HalfOpenOf(const net::Endpoint& peer) const {
  auto found = sources_.find(SourceOfPeer(peer));
  return found == sources_.end() ? 0 : found->second;
}

net::Endpoint Admission::SourceOfPeer(const net::Endpoint& peer) const {
  return SourceOf(peer, options_.source_prefix_v4, options_.source_prefix_v6);
}

}  // namespace cordon::dtls::internal
