// What the reactors of one listener have admitted together, and the limits that
// hold for all of them.
#ifndef CORDON_DTLS_INTERNAL_ADMISSION_LEDGER_H_
#define CORDON_DTLS_INTERNAL_ADMISSION_LEDGER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/internal/memory_budget.h"
#include "cordon/dtls/internal/source_rate.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls::internal {

// Thread-safe. Its lock is taken when sessions begin and end and when a
// handshake ends, never for a datagram of a session.
class AdmissionLedger {
 public:
  enum class Answer {
    kAdmitted,
    kMaxSessions,
    kMaxSessionMemory,
    kAcceptBacklog,
    kMaxHalfOpenPerSource,
    kHandshakeRate,
    kMaxHalfOpen,
  };

  explicit AdmissionLedger(const ListenerLimits& limits);

  ListenerLimits limits() const;
  void SetLimits(const ListenerLimits& limits);
  // The same for what a reactor was told that binds: what has been set since
  // stays, unless it was told something else than those before it.
  void Configure(const ListenerLimits& limits);

  // What cookies are made with, once somebody has set it; null before. The same
  // again is not a change. It is wiped at its end.
  using Cookies = std::shared_ptr<const CookieParameters>;
  Cookies SetCookieParameters(const CookieParameters& parameters);
  Cookies cookie_parameters() const;

  // Another after each change of the limits or of the cookies.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // Takes a place for one more session of `source`, which is half-open and
  // waits to be accepted, if there is one, and keeps room for it in `memory`.
  Answer Admit(const net::Endpoint& source, bool proven, MemoryBudget& memory,
               absl::Time now);
  // See `Admission::KeepsRate`.
  bool KeepsRate(const net::Endpoint& source, bool proven,
                 absl::Time now) const;

  void AddHalfOpen(const net::Endpoint& source);
  void RemoveHalfOpen(const net::Endpoint& source);
  // So many sessions have gone, or have been accepted.
  void RemoveSessions(size_t count);
  void RemoveWaiting(size_t count);

  size_t half_open() const {
    return half_open_.load(std::memory_order_relaxed);
  }
  size_t HalfOpenOf(const net::Endpoint& source) const;
  size_t sources() const;

  SharedMemory& memory() { return memory_; }
  SharedMemory& reassembly() { return reassembly_; }

 private:
  SourceRate::Limit RateLimit() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void SetLimitsLocked(const ListenerLimits& limits)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddHalfOpenLocked(const net::Endpoint& source)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  SharedMemory memory_;
  SharedMemory reassembly_;
  std::atomic<uint64_t> version_ = 1;
  // Written with `mutex_` held.
  std::atomic<size_t> half_open_ = 0;

  mutable absl::Mutex mutex_;
  ListenerLimits configured_ ABSL_GUARDED_BY(mutex_);
  ListenerLimits limits_ ABSL_GUARDED_BY(mutex_);
  Cookies cookies_ ABSL_GUARDED_BY(mutex_);
  size_t sessions_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<net::Endpoint, size_t> sources_ ABSL_GUARDED_BY(mutex_);
  SourceRate proven_rate_ ABSL_GUARDED_BY(mutex_);
  SourceRate unproven_rate_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_ADMISSION_LEDGER_H_
