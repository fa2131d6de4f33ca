#include "cordon/testing/fake_listener/fake_listener.h"

#include <openssl/pool.h>
#include <openssl/stack.h>

#include <algorithm>
#include <utility>

#include "cordon/net/base/endpoint.h"

namespace cordon::testing {

using dtls::SessionSnapshot;

namespace {

void Copy(const SessionSnapshot& from, SessionSnapshot& to) {
  to.id = from.id;
  to.peer = from.peer;
  to.local = from.local;
  to.state = from.state;
  to.info = from.info;
  to.chain.reset(
      from.chain == nullptr ? nullptr : sk_CRYPTO_BUFFER_dup(from.chain.get()));
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(to.chain.get()); ++i) {
    CRYPTO_BUFFER_up_ref(sk_CRYPTO_BUFFER_value(to.chain.get(), i));
  }
  to.errors = from.errors;
  to.opened = from.opened;
  to.last_activity = from.last_activity;
  to.statistics = from.statistics;
  to.error = from.error;
}

}  // namespace

FakeListener::FakeListener(net::Reactor& reactor, dtls::Registry& registry,
                           const std::string& name)
    : reactor_(reactor),
      registry_(registry),
      handle_(registry.Add(name, net::Endpoint::LoopbackV4(4433), reactor,
                           *this)) {}

FakeListener::~FakeListener() { registry_.Remove(handle_); }

void FakeListener::Open(SessionSnapshot session) {
  auto opened = std::make_shared<const SessionSnapshot>(std::move(session));
  sessions_[opened->id] = opened;
  Tell(dtls::SessionEventKind::kOpened, opened, "");
}

void FakeListener::Change(SessionSnapshot session) {
  auto changed = std::make_shared<const SessionSnapshot>(std::move(session));
  sessions_[changed->id] = changed;
  Tell(dtls::SessionEventKind::kChanged, changed, "");
}

void FakeListener::Close(uint64_t id, absl::string_view reason) {
  auto closed = sessions_.extract(id);
  if (closed.empty()) return;
  Tell(dtls::SessionEventKind::kClosed, closed.mapped(), reason);
}

size_t FakeListener::ReadSessions(uint64_t after,
                                  absl::Span<SessionSnapshot> page) {
  size_t count = 0;
  for (auto at = sessions_.upper_bound(after);
       at != sessions_.end() && count < page.size(); ++at) {
    Copy(*at->second, page[count++]);
  }
  for (; endless_ && count < page.size(); ++count) {
    page[count].id = count == 0 ? after + 1 : page[count - 1].id + 1;
    page[count].state = dtls::EngineState::kConnected;
  }
  ++turns_;
  most_at_once_ = std::max(most_at_once_, count);
  return count;
}

bool FakeListener::ReadSession(uint64_t id, SessionSnapshot& into) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return false;
  Copy(*found->second, into);
  return true;
}

bool FakeListener::CloseSession(uint64_t id, const absl::Status& status,
                                uint8_t) {
  if (!sessions_.contains(id)) return false;
  Close(id, status.message());
  return true;
}

absl::Status FakeListener::SetCookieParameters(
    const dtls::CookieParameters& p) {
  cookie_hash_ = p.hash;
  return absl::OkStatus();
}

void FakeListener::AddObserver(
    std::shared_ptr<dtls::SessionObserver> observer) {
  observers_.push_back(std::move(observer));
}

void FakeListener::RemoveObserver(const dtls::SessionObserver* observer) {
  std::erase_if(observers_,
                [&](const auto& kept) { return kept.get() == observer; });
}

void FakeListener::Tell(dtls::SessionEventKind kind,
                        const std::shared_ptr<const SessionSnapshot>& session,
                        absl::string_view reason) {
  for (const auto& observer : observers_) {
    observer->OnSessionEvent(kind, session, reason);
  }
}

}  // namespace cordon::testing
