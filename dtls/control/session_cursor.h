// Goes through the sessions of several listeners without stopping any of their
// reactors for long.
#ifndef CORDON_DTLS_CONTROL_SESSION_CURSOR_H_
#define CORDON_DTLS_CONTROL_SESSION_CURSOR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/call_end.h"
#include "cordon/dtls/control/session_proto.h"
#include "cordon/dtls/listener_admin.h"

namespace cordon::dtls::control {

// For a thread that may block.
class SessionCursor {
 public:
  // Sessions that are taken from a reactor in one turn of its loop.
  static constexpr size_t kChunk = 64;

  // Sessions with larger ids than `after`. Each turn of a reactor may be waited
  // for as long as `patience`, and not beyond `end`.
  SessionCursor(const std::vector<std::shared_ptr<ListenerHandle>>& listeners,
                uint64_t after, absl::Duration patience,
                CallEnd end = absl::InfiniteFuture());

  // The session with the next larger id, over all listeners; nothing: that was
  // the last. A listener that has ended has no more sessions.
  // kDeadlineExceeded: one does not answer, or the end has come; or why that
  // was cancelled.
  absl::StatusOr<std::optional<SessionRow>> Next();

 private:
  struct Source {
    std::shared_ptr<ListenerHandle> listener;
    uint64_t after = 0;
    std::shared_ptr<std::vector<SessionSnapshot>> chunk = {};
    size_t size = 0;
    size_t next = 0;
    bool exhausted = false;
  };
  absl::Status Fill(Source& source);

  const absl::Duration patience_;
  const CallEnd end_;
  std::vector<Source> sources_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_SESSION_CURSOR_H_
