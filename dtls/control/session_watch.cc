#include "cordon/dtls/control/session_watch.h"

#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "cordon/net/base/printable.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;
using Kind = SessionFeed::Event::Kind;

// Events that are looked at before others get their turn.
constexpr int kEventsAtOnce = 256;

v1::SessionEvent::Kind KindOf(Kind kind) {
  switch (kind) {
    case Kind::kPresent:
      return v1::SessionEvent::PRESENT;
    case Kind::kOpened:
      return v1::SessionEvent::OPENED;
    case Kind::kChanged:
      return v1::SessionEvent::CHANGED;
    case Kind::kClosed:
      return v1::SessionEvent::CLOSED;
    case Kind::kSynced:
      return v1::SessionEvent::SYNCED;
    case Kind::kMissed:
      return v1::SessionEvent::MISSED;
  }
  return v1::SessionEvent::KIND_UNSPECIFIED;
}

v1::SessionEvent MessageOf(const SessionFeed::Event& event) {
  v1::SessionEvent message;
  message.set_kind(KindOf(event.kind));
  if (event.row.session != nullptr) {
    *message.mutable_session() = ToProto(event.row);
  }
  message.set_reason(net::PrintableText(event.reason, net::kMaxLineBytes));
  *message.mutable_time() = ToTimestamp(event.time);
  message.set_missed(event.missed);
  return message;
}

}  // namespace

SessionWatch::SessionWatch(SessionQuery query, bool skip_present,
                           WorkerPool* pool, std::string caller)
    : query_(std::move(query)),
      skip_present_(skip_present),
      pool_(pool),
      caller_(std::move(caller)) {}

void SessionWatch::Start(Registry& registry) {
  std::weak_ptr<SessionWatch> weak = Self();
  feed_ = std::make_shared<SessionFeed>(query_.listener(), skip_present_,
                                        [weak = std::move(weak)] {
                                          if (auto watch = weak.lock())
                                            watch->Continue();
                                        });
  feed_->Start(registry);
  Continue();
}

void SessionWatch::Continue() {
  // One task for each watch at most, so there is always room.
  pool_->Submit(caller_, [self = Self()] { self->SendNext(); });
}

bool SessionWatch::Concerns(const SessionFeed::Event& event) {
  if (event.kind == Kind::kMissed) told_.clear();
  if (event.row.session == nullptr || query_.matches_all()) return true;
  const uint64_t id = event.row.session->id;
  const bool matches = query_.Matches(event.row, absl::Now());
  if (event.kind == Kind::kClosed) return told_.erase(id) > 0 || matches;
  if (matches) {
    told_.insert(id);
    return true;
  }
  // The last that the caller hears of it, until it matches again.
  return told_.erase(id) > 0;
}

void SessionWatch::SendNext() {
  for (int i = 0; i < kEventsAtOnce; ++i) {
    if (ended()) return;
    std::optional<SessionFeed::Event> event = feed_->Next();
    if (!event.has_value()) return;
    if (Concerns(*event)) {
      Send(MessageOf(*event));
      return;
    }
  }
  Continue();
}

}  // namespace cordon::dtls::control
