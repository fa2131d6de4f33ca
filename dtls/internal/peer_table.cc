#include "cordon/dtls/internal/peer_table.h"

namespace cordon::dtls::internal {

Session* PeerTable::Peer::FindByRandom(absl::Span<const uint8_t> random) const {
  for (Session* s : {newcomer, session}) {
    if (s != nullptr && absl::MakeConstSpan(s->begun_by().random) == random) {
      return s;
    }
  }
  return nullptr;
}

PeerTable::Peer* PeerTable::Find(const net::Path& path) {
  auto found = peers_.find(KeyOf(path));
  return found == peers_.end() ? nullptr : &found->second;
}

void PeerTable::Add(Session& session) {
  const auto [at, is_new] = peers_.try_emplace(KeyOf(session.path()));
  Peer& peer = at->second;
  (peer.session == nullptr ? peer.session : peer.newcomer) = &session;
  if (is_new && watcher_ != nullptr) watcher_->OnPeerAdded(session.path());
}

Session* PeerTable::Establish(Session& session) {
  if (watcher_ != nullptr) watcher_->OnPeerEstablished(session.path());
  Peer* const peer = Find(session.path());
  if (peer == nullptr || peer->newcomer != &session) return nullptr;
  peer->newcomer = nullptr;
  return std::exchange(peer->session, &session);
}

void PeerTable::Remove(Session& session) {
  auto found = peers_.find(KeyOf(session.path()));
  if (found == peers_.end()) return;
  Peer& peer = found->second;
  if (peer.newcomer == &session) {
    peer.newcomer = nullptr;
  } else if (peer.session == &session) {
    peer.session = std::exchange(peer.newcomer, nullptr);
    if (peer.session != nullptr) return;
    peers_.erase(found);
    if (watcher_ != nullptr) watcher_->OnPeerGone(session.path());
  }
}

}  // namespace cordon::dtls::internal
