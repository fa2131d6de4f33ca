// What wakes a reactor that waits in the kernel: an eventfd(2).
#ifndef CORDON_NET_BASE_WAKE_FD_H_
#define CORDON_NET_BASE_WAKE_FD_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::net {

// `Wake` is for any thread, the rest for the reactor's.
class WakeFd {
 public:
  absl::Status Open();
  int get() const { return fd_.get(); }

  // Makes the descriptor readable until `Clear`.
  void Wake();
  void Clear();
  // Waits for `Wake`, for at most `duration`: for a reactor that cannot wait
  // in its own way any more.
  void Wait(absl::Duration duration);

 private:
  UniqueFd fd_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_WAKE_FD_H_
