// Who may begin a session with a listener: bounds what strangers can make it
// keep, and what one of them can take from the others.
#ifndef CORDON_DTLS_INTERNAL_ADMISSION_H_
#define CORDON_DTLS_INTERNAL_ADMISSION_H_

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/memory_budget.h"
#include "cordon/dtls/internal/source_rate.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/base/intrusive_list.h"

namespace cordon::dtls::internal {

// The network that an address is in, without port: the first bits are kept.
// `bits` of 128 for IPv6, of 32 for IPv4; a larger number keeps all.
net::Endpoint SourceOf(const net::Endpoint& peer, int v4_bits, int v6_bits);

// The sessions of a listener that are before the end of their handshake, and
// whether there may be one more. All in O(1); what it keeps is in proportion to
// these sessions. For the reactor's thread.
class Admission {
 public:
  // Ends the session, and returns true, or false if it should stay.
  using Evict = absl::FunctionRef<bool(uint64_t id)>;

  struct Options {
    int source_prefix_v4 = 32;
    int source_prefix_v6 = 64;
    absl::Duration half_open_grace = absl::ZeroDuration();
  };

  // Counts in `statistics`, which outlives it, and reads the number of sessions
  // there.
  Admission(const ListenerLimits& limits, const Options& options,
            ListenerStatistics* statistics);

  // May `peer` begin a session? `waiting`: how many wait to be accepted.
  // `proven`: it has shown that it receives at its address, and so one that has
  // been half-open for longer than the grace gives way to it.
  bool Admit(const net::Endpoint& peer, bool proven, size_t waiting,
             absl::Time now, Evict evict);

  // Whether `peer` begins handshakes no faster than it may. Proven and unproven
  // ones are counted apart, so that nobody can use up another's rate.
  bool KeepsRate(const net::Endpoint& peer, bool proven, absl::Time now) const;

  // The session `id` is half-open from now on.
  void Add(uint64_t id, const net::Endpoint& peer, absl::Time now);
  // It is no more; a no-op if it was not.
  void Remove(uint64_t id);

  size_t half_open() const { return sessions_.size(); }
  size_t HalfOpenOf(const net::Endpoint& peer) const;
  size_t sources() const { return sources_.size(); }

  const ListenerLimits& limits() const { return limits_; }
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
  bool HasRoom(bool proven, absl::Time now, Evict evict);
  bool MakeRoom(absl::Time now, Evict evict);
  SourceRate::Limit RateLimit() const;

  ListenerLimits limits_;
  MemoryBudget memory_;
  MemoryBudget reassembly_;
  const Options options_;
  ListenerStatistics& statistics_;
  // The oldest first.
  net::IntrusiveList<HalfOpen, AgeTag> by_age_;
  absl::node_hash_map<uint64_t, HalfOpen> sessions_;
  absl::flat_hash_map<net::Endpoint, size_t> sources_;
  SourceRate proven_rate_;
  SourceRate unproven_rate_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_ADMISSION_H_
