// When a flight of the handshake is sent again (RFC 6347 section 4.2.4).
#ifndef CORDON_DTLS_INTERNAL_RETRANSMISSION_TIMER_H_
#define CORDON_DTLS_INTERNAL_RETRANSMISSION_TIMER_H_

#include "absl/time/time.h"
#include "cordon/dtls/options.h"

namespace cordon::dtls::internal {

// Only a new flight starts it anew: what the peer, or somebody else, sends in
// the meantime does not move it.
class RetransmissionTimer {
 public:
  // A flight left for the first time.
  void OnFlightSent(absl::Time now, const SessionOptions& options);
  // Something of the handshake came, perhaps the answer. The first such time
  // measures the round trip, if the flight was sent once only (Karn's rule).
  void OnAnswer(absl::Time now);
  // The time has come, and the flight left again.
  void OnRepeated(absl::Time now, const SessionOptions& options);
  // There is nothing to wait for.
  void Stop() { deadline_ = absl::InfiniteFuture(); }
  // Of a new session: the round trip is forgotten, too.
  void Reset() { *this = RetransmissionTimer(); }

  bool running() const { return deadline_ != absl::InfiniteFuture(); }
  absl::Time deadline() const { return deadline_; }
  // How often this flight was repeated.
  int repetitions() const { return repetitions_; }
  bool exhausted(const SessionOptions& options) const {
    return repetitions_ >= options.max_retransmissions;
  }
  absl::Duration interval() const { return interval_; }
  // Zero if it was not measured.
  absl::Duration round_trip() const { return round_trip_; }

 private:
  absl::Time deadline_ = absl::InfiniteFuture();
  absl::Time sent_ = absl::InfinitePast();
  absl::Duration interval_ = absl::ZeroDuration();
  absl::Duration round_trip_ = absl::ZeroDuration();
  int repetitions_ = 0;
  bool answered_ = true;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_RETRANSMISSION_TIMER_H_
