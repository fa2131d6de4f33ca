// One moment, as both clocks tell it.
//
// `net::Clock` never jumps; the machine's clock is set now and then. Whatever
// stays inside of the process is steady time: deadlines, ages, the order of
// events. Whatever leaves the machine is wall-clock time, because others
// compare it with clocks of their own: cookies, tickets, the validity of
// certificates, the times in snapshots. A function that needs both takes a
// `Moment`, so that each use says which one it means.
#ifndef CORDON_DTLS_MOMENT_H_
#define CORDON_DTLS_MOMENT_H_

#include "absl/time/time.h"

namespace cordon::dtls {

struct Moment {
  // Of `net::Clock`.
  absl::Time steady = absl::UnixEpoch();
  // Of the machine's clock, see `ServerOptions::wall_clock`.
  absl::Time wall = absl::UnixEpoch();

  // What the machine's clock, as it is set at this moment, says of `then`, a
  // steady time.
  absl::Time WallTimeOf(absl::Time then) const {
    return wall + (then - steady);
  }
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_MOMENT_H_
