// Tells observers what becomes of the sessions of a listener.
#ifndef CORDON_DTLS_INTERNAL_SESSION_EVENTS_H_
#define CORDON_DTLS_INTERNAL_SESSION_EVENTS_H_

#include <memory>
#include <vector>

#include "cordon/dtls/internal/session.h"
#include "cordon/dtls/listener_admin.h"

namespace cordon::dtls::internal {

// For the reactor's thread.
class SessionEvents {
 public:
  void Add(std::shared_ptr<SessionObserver> observer) {
    observers_.push_back(std::move(observer));
  }
  void Remove(const SessionObserver* observer) {
    std::erase_if(observers_, [&](const std::shared_ptr<SessionObserver>& o) {
      return o.get() == observer;
    });
  }
  void Emit(SessionEventKind kind, const Session& session) const;

 private:
  std::vector<std::shared_ptr<SessionObserver>> observers_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SESSION_EVENTS_H_
