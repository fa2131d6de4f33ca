#include "cordon/dtls/internal/session_events.h"

#include <string>

#include "absl/status/status.h"

namespace cordon::dtls::internal {
namespace {

std::string ReasonOf(const Session& session) {
  const absl::Status& error = session.engine().error();
  if (!error.ok()) return std::string(error.message());
  return "the service closed it";
}

}  // namespace

void SessionEvents::Emit(SessionEventKind kind, const Session& session) const {
  if (observers_.empty()) return;
  auto now = std::make_shared<SessionSnapshot>();
  session.Describe(*now);
  const std::string reason =
      kind == SessionEventKind::kClosed ? ReasonOf(session) : "";
  for (const std::shared_ptr<SessionObserver>& observer : observers_) {
    observer->OnSessionEvent(kind, now, reason);
  }
}

}  // namespace cordon::dtls::internal
