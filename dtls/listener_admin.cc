#include "cordon/dtls/listener_admin.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <utility>

#include "cordon/dtls/error.h"

namespace cordon::dtls {
namespace {

constexpr std::array<absl::string_view, kHandshakeFailures> kFailureIds = {
    "deadline", "no_answer",   "peer_alert", "verification",
    "policy",   "unknown_psk", "aborted",    "protocol",
};

}  // namespace

absl::string_view HandshakeFailureId(HandshakeFailure failure) {
  return kFailureIds[static_cast<size_t>(failure)];
}

std::vector<std::shared_ptr<const SessionSnapshot>> ListenerAdmin::Sessions(
    uint64_t after, size_t max) {
  std::vector<std::shared_ptr<const SessionSnapshot>> sessions;
  while (sessions.size() < max) {
    auto session = std::make_shared<SessionSnapshot>();
    if (ReadSessions(after, absl::MakeSpan(session.get(), 1)) == 0) break;
    after = session->id;
    sessions.push_back(std::move(session));
  }
  return sessions;
}

std::shared_ptr<const SessionSnapshot> ListenerAdmin::FindSession(uint64_t id) {
  auto session = std::make_shared<SessionSnapshot>();
  return ReadSession(id, *session) ? std::move(session) : nullptr;
}

HandshakeFailure FailureOf(const absl::Status& status) {
  const ErrorDetail detail = GetErrorDetail(status).value_or(ErrorDetail());
  if (absl::IsDeadlineExceeded(status)) return HandshakeFailure::kDeadline;
  if (detail.limit == "max_retransmissions") return HandshakeFailure::kNoAnswer;
  if (detail.alert_received) return HandshakeFailure::kPeerAlert;
  if (absl::IsPermissionDenied(status)) return HandshakeFailure::kPolicy;
  if (!detail.verification_errors.empty() || absl::IsUnauthenticated(status)) {
    return HandshakeFailure::kVerification;
  }
  if (detail.alert == SSL_AD_UNKNOWN_PSK_IDENTITY) {
    return HandshakeFailure::kUnknownPsk;
  }
  // The service has given it up.
  if (status.ok() || absl::IsCancelled(status) ||
      detail.limit == "closed_by_admin" || detail.limit == "max_half_open" ||
      detail.limit == "superseded") {
    return HandshakeFailure::kAborted;
  }
  return HandshakeFailure::kProtocol;
}

absl::Duration HandshakeTimes::Bound(size_t i) {
  return i + 1 < kBuckets ? absl::Milliseconds(int64_t{1} << i)
                          : absl::InfiniteDuration();
}

void HandshakeTimes::Add(absl::Duration duration) {
  size_t i = 0;
  while (duration > Bound(i)) ++i;
  ++counts[i];
  sum += duration;
}

bool ListenerHandle::Post(absl::AnyInvocable<void(ListenerAdmin&)> function) {
  absl::AnyInvocable<void()> call = [self = self_.lock(),
                                     function = std::move(function)]() mutable {
    if (self->admin_ != nullptr) function(*self->admin_);
  };
  // Held while posting, so that the reactor is there; but not while a function
  // that was refused is destroyed, which may call anybody.
  absl::MutexLock lock(&mutex_);
  return reactor_ != nullptr && reactor_->Post(std::move(call));
}

bool ListenerHandle::alive() const {
  absl::MutexLock lock(&mutex_);
  return reactor_ != nullptr && !reactor_->ended();
}

void ListenerHandle::Attach(net::Reactor* reactor, ListenerAdmin* admin) {
  absl::MutexLock lock(&mutex_);
  reactor_ = reactor;
  admin_ = admin;
}

void ListenerHandle::Detach() {
  admin_ = nullptr;
  absl::MutexLock lock(&mutex_);
  reactor_ = nullptr;
}

}  // namespace cordon::dtls
