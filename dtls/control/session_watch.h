// Control.WatchSessions.
#ifndef CORDON_DTLS_CONTROL_SESSION_WATCH_H_
#define CORDON_DTLS_CONTROL_SESSION_WATCH_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/session_feed.h"
#include "cordon/dtls/control/session_query.h"
#include "cordon/dtls/control/stream.h"
#include "cordon/dtls/control/worker_pool.h"

namespace cordon::dtls::control {

// Turns the events of a feed into messages, on `pool`'s threads, and only when
// the caller has taken the one before.
class SessionWatch final : public Stream<::cordon::control::v1::SessionEvent> {
 public:
  SessionWatch(SessionQuery query, bool skip_present, WorkerPool* pool,
               std::string caller);

  void Start(Registry& registry);

 private:
  using Message = ::cordon::control::v1::SessionEvent;

  void OnSent() override { Continue(); }
  void OnEnded() override { feed_->Stop(); }

  std::shared_ptr<SessionWatch> Self() {
    return std::static_pointer_cast<SessionWatch>(shared_from_this());
  }
  void Continue();
  void SendNext();
  // Whether the caller is to be told.
  bool Concerns(const SessionFeed::Event& event);

  const SessionQuery query_;
  const bool skip_present_;
  WorkerPool* const pool_;
  const std::string caller_;
  std::shared_ptr<SessionFeed> feed_;
  // Sessions that the caller knows of and that may stop to match.
  absl::flat_hash_set<uint64_t> told_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_SESSION_WATCH_H_
