// Who may begin a session with a listener: bounds what strangers can make it
// keep, and what one of them can take from the others.
#ifndef CORDON_DTLS_INTERNAL_ADMISSION_H_
#define CORDON_DTLS_INTERNAL_ADMISSION_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/container/node_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/admission_ledger.h"
#include "cordon/dtls/internal/memory_budget.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/base/intrusive_list.h"

namespace cordon::dtls::internal {

// The network that an address is in, without port: the first bits are kept.
// `bits` of 128 for IPv6, of 32 for IPv4; a larger number keeps all.
net::Endpoint SourceOf(const net::Endpoint& peer, int v4_bits, int v6_bits);

// Seconds as a duration, or none for 0.
std::optional<absl::Duration> IdleTimeoutOf(const ListenerLimits& limits);

// The sessions of a listener on one reactor that are before the end of their
// handshake, and whether there may be one more; the limits are those of all its
// reactors. All in O(1); what it keeps is in proportion to these sessions. For
// the reactor's thread.
class Admission {
 public:
  // Ends the session, and returns true, or false if it should stay.
  using Evict = absl::FunctionRef<bool(uint64_t id)>;
  // Gives the hello to a reactor that has a half-open session from before
  // `since`, and returns true, or false if there is none.
  using HandOver = absl::FunctionRef<bool(absl::Time since)>;

  struct Options {
    int source_prefix_v4 = 32;
    int source_prefix_v6 = 64;
    absl::Duration half_open_grace = absl::ZeroDuration();
  };

  // Counts in `statistics`, which outlives it.
  Admission(std::shared_ptr<AdmissionLedger> ledger, const Options& options,
            ListenerStatistics* statistics);
  ~Admission();

  // May `peer` begin a session? Then there is a place for it, for `Open` or
  // `Abandon`. `proven`: it has shown that it receives at its address, and so
  // one that has been half-open for longer than the grace gives way to it, here
  // or, by `hand_over`, elsewhere.
  bool Admit(const net::Endpoint& peer, bool proven, absl::Time now,
             Evict evict, HandOver hand_over);
  // The session `id` of `peer` takes the place. It is half-open.
  void Open(uint64_t id, const net::Endpoint& peer, absl::Time now);
  // Nobody takes the place.
  void Abandon();
  // So many are left that wait to be accepted.
  void SetWaiting(size_t waiting);
  // The session has gone.
  void Close(uint64_t id);

  // Whether `peer` begins handshakes no faster than it may. Proven and unproven
  // ones are counted apart, so that nobody can use up another's rate.
  bool KeepsRate(const net::Endpoint& peer, bool proven, absl::Time now) const;

  // The session `id` is half-open from now on.
  void Add(uint64_t id, const net::Endpoint& peer, absl::Time now);
  // It is no more; a no-op if it was not.
  void Remove(uint64_t id);

  // On all reactors.
  size_t half_open() const { return ledger_->half_open(); }
  size_t HalfOpenOf(const net::Endpoint& peer) const;
  size_t sources() const { return ledger_->sources(); }
  // Since when the oldest one here has been half-open; in the future if there
  // is none. Thread-safe.
  absl::Time oldest() const {
    return absl::FromUnixNanos(oldest_.load(std::memory_order_relaxed));
  }

  const ListenerLimits& limits() const;
  void set_limits(const ListenerLimits& limits);

  // Sessions count their memory here,
  MemoryBudget& memory() { return memory_; }
  const MemoryBudget& memory() const { return memory_; }
  // and here what their handshakes keep of the peers.
  MemoryBudget& reassembly() { return reassembly_; }
  const MemoryBudget& reassembly() const { return reassembly_; }

 private:
  struct AgeTag {};
  struct HalfOpen : net::IntrusiveListNode<AgeTag> {
    uint64_t id = 0;
    net::Endpoint source;
    absl::Time since;
  };

  net::Endpoint SourceOfPeer(const net::Endpoint& peer) const;
  bool MakeRoom(absl::Time now, Evict evict);
  void UpdateOldest();

  const std::shared_ptr<AdmissionLedger> ledger_;
  // As they were at `version_` of the ledger.
  mutable ListenerLimits limits_;
  mutable uint64_t version_ = 0;
  MemoryBudget memory_;
  MemoryBudget reassembly_;
  const Options options_;
  ListenerStatistics& statistics_;
  // Whose place nobody has taken yet.
  std::optional<net::Endpoint> admitted_;
  size_t sessions_here_ = 0;
  size_t waiting_here_ = 0;
  // The oldest first.
  net::IntrusiveList<HalfOpen, AgeTag> by_age_;
  absl::node_hash_map<uint64_t, HalfOpen> sessions_;
  std::atomic<int64_t> oldest_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_ADMISSION_H_
