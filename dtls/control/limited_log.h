// Lines about what anybody can cause, at a limited rate: some at once, then one
// from time to time. What is left out is counted in the next line.
#ifndef CORDON_DTLS_CONTROL_LIMITED_LOG_H_
#define CORDON_DTLS_CONTROL_LIMITED_LOG_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/net/time/clock.h"

namespace cordon::dtls::control {

// Thread-safe.
class LimitedLog {
 public:
  // Lines that may come at once, and how long it takes until one more may.
  static constexpr size_t kBurst = 20;
  static constexpr absl::Duration kInterval = absl::Seconds(5);

  explicit LimitedLog(net::Clock* clock = net::SteadyClock::Get())
      : clock_(clock), full_(clock->Now()) {}

  // The line to write; nothing if it is to be left out.
  std::optional<std::string> Admit(absl::string_view line);

 private:
  net::Clock* const clock_;
  absl::Mutex mutex_;
  // When `kBurst` lines may come again.
  absl::Time full_ ABSL_GUARDED_BY(mutex_);
  uint64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_LIMITED_LOG_H_
