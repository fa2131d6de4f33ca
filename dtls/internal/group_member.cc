#include "cordon/dtls/internal/group_member.h"

#include <algorithm>

#include "cordon/dtls/internal/client_hello.h"

namespace cordon::dtls::internal {
namespace {

// How long a retired socket must have received nothing, and how often that is
// waited for at most.
constexpr absl::Duration kDry = absl::Milliseconds(20);
constexpr int kMaxWaits = 100;

bool IsHello(absl::Span<const uint8_t> datagram) {
  ClientHelloView hello;
  return ReadClientHello(datagram, &hello);
}

}  // namespace

GroupMember::GroupMember(net::Reactor& reactor,
                         std::shared_ptr<ListenerGroup> group,
                         const void* which, Host& host,
                         ListenerStatistics* statistics)
    : reactor_(reactor),
      group_(std::move(group)),
      host_(host),
      statistics_(*statistics) {
  if (group_ == nullptr) return;
  self_ = std::make_shared<Mailbox>(reactor, which,
                                    static_cast<Mailbox::Owner&>(*this));
  group_->Join(self_);
  joined_ = true;
  reactor.AddObserver(*this);
}

GroupMember::~GroupMember() {
  if (group_ == nullptr) return;
  Send();
  if (joined_) group_->Leave(self_);
  self_->Close();
}

bool GroupMember::Redirect(const net::Path& path,
                           absl::Span<const uint8_t> datagram) {
  if (group_ == nullptr || final_ || (!group_->shared() && !retired_)) {
    return false;
  }
  const ListenerGroup::Owners owners = group_->Find(path);
  if (owners.session == nullptr || owners.session == self_) return false;
  Forward(owners.session, Parcel::Kind::kDatagram, path, datagram);
  if (owners.newcomer != nullptr && owners.newcomer != self_ &&
      !IsHello(datagram)) {
    Forward(owners.newcomer, Parcel::Kind::kDatagram, path, datagram);
  }
  return true;
}

void GroupMember::MirrorToOthers(const net::Path& path,
                                 absl::Span<const uint8_t> datagram) {
  const ListenerGroup::Owners owners = group_->Find(path);
  // Who has the first session decides what comes of a hello.
  if (owners.newcomer == nullptr || IsHello(datagram)) return;
  for (const ListenerGroup::Member& member :
       {owners.session, owners.newcomer}) {
    if (member != self_) {
      Forward(member, Parcel::Kind::kDatagram, path, datagram);
    }
  }
}

void GroupMember::RedirectNotice(const net::PeerNotice& notice) {
  if (group_ == nullptr || !group_->shared()) return;
  const net::Path path(notice.peer, notice.local);
  const ListenerGroup::Owners owners = group_->Find(path);
  for (const ListenerGroup::Member& member :
       {owners.session, owners.newcomer}) {
    if (member != nullptr && member != self_) {
      Forward(member, Parcel::Kind::kPathMtu, path, {}, notice.path_mtu);
    }
  }
}

bool GroupMember::CanHandOver(const net::Endpoint& peer) const {
  return group_ != nullptr && !final_ &&
         group_->Accepting(*self_, peer) != nullptr;
}

bool GroupMember::HandOver(const net::Path& path,
                           absl::Span<const uint8_t> hello) {
  if (group_ == nullptr || final_) return false;
  // One that has begun a handshake with this peer knows its hellos.
  const ListenerGroup::Owners owners = group_->Find(path);
  const ListenerGroup::Member to =
      owners.newcomer != nullptr && owners.newcomer != self_
          ? owners.newcomer
          : group_->Accepting(*self_, path.peer);
  if (to == nullptr) return false;
  Forward(to, Parcel::Kind::kHello, path, hello);
  return true;
}

bool GroupMember::HandOverToOldest(const net::Path& path,
                                   absl::Span<const uint8_t> hello,
                                   absl::Time since) {
  if (group_ == nullptr || final_) return false;
  const ListenerGroup::Member to = group_->WithOldest(*self_, since);
  if (to == nullptr) return false;
  Forward(to, Parcel::Kind::kHello, path, hello);
  return true;
}

void GroupMember::Forward(const ListenerGroup::Member& to, Parcel::Kind kind,
                          const net::Path& path,
                          absl::Span<const uint8_t> bytes, size_t path_mtu) {
  auto found = std::find_if(outgoing_.begin(), outgoing_.end(),
                            [&](const Outgoing& o) { return o.to == to; });
  if (found == outgoing_.end()) {
    outgoing_.push_back({.to = to, .batch = {}});
    found = outgoing_.end() - 1;
  }
  ParcelBatch& batch = found->batch;
  if (kind == Parcel::Kind::kDatagram) {
    ++statistics_.strays_forwarded;
  } else if (kind == Parcel::Kind::kHello) {
    ++statistics_.hellos_handed_over;
  }
  if (batch.cost() + bytes.size() > kMaxStrayBytes &&
      kind != Parcel::Kind::kSuperseded) {
    ++statistics_.strays_dropped;
    return;
  }
  batch.Add({.kind = kind,
             .peer = path.peer,
             .local = path.local,
             .path_mtu = path_mtu},
            bytes);
  // In this turn, after all that has arrived.
  reactor_.executor().timers().Arm(*this, reactor_.Now());
}

void GroupMember::Send() {
  for (Outgoing& outgoing : outgoing_) {
    if (outgoing.batch.empty()) continue;
    statistics_.strays_dropped += outgoing.to->Deliver(outgoing.batch);
  }
  // Those that have gone are kept no longer.
  std::erase_if(outgoing_, [](const Outgoing& o) { return !o.to->alive(); });
}

void GroupMember::OnTimer() {
  Send();
  if (held_ == nullptr) return;
  const uint64_t datagrams = host_.socket().statistics().datagrams_received;
  if (datagrams == std::exchange(seen_datagrams_, datagrams) ||
      ++waits_ == kMaxWaits) {
    // It may be the end of this object.
    const std::shared_ptr<void> held = std::move(held_);
    return;
  }
  reactor_.executor().timers().Arm(*this, reactor_.Now() + kDry);
}

void GroupMember::OnParcel(const Parcel& parcel, absl::Span<uint8_t> bytes) {
  // The listener may end by it.
  const std::shared_ptr<void> held = host_.Hold();
  final_ = parcel.kind == Parcel::Kind::kHello;
  host_.OnParcel(parcel, bytes);
  final_ = false;
}

void GroupMember::StopAccepting() {
  accepting_ = false;
  if (group_ != nullptr) self_->set_accepting(false);
}

void GroupMember::RetireSocket() {
  // Where the kernel refuses, those that share the port lose what it still
  // gives to this one: its peers send handshakes again.
  if (!retired_ && host_.socket().Retire().ok()) retired_ = true;
}

void GroupMember::Leave() {
  if (group_ == nullptr || !joined_) return;
  group_->Leave(self_);
  joined_ = false;
  self_->set_alive(false);
  Send();
  if (!group_->AnyAlive()) return;
  self_->Retire();
  if (!reactor_.running()) return;
  held_ = host_.Hold();
  seen_datagrams_ = ~uint64_t{0};
  reactor_.executor().timers().Arm(*this, reactor_.Now() + kDry);
}

void GroupMember::OnPeerAdded(const net::Path& path) {
  if (group_ != nullptr) group_->Claim(path, self_);
}

void GroupMember::OnPeerGone(const net::Path& path) {
  if (group_ != nullptr) group_->Release(path, self_);
}

void GroupMember::OnPeerEstablished(const net::Path& path) {
  if (group_ == nullptr || group_->split_peers() == 0) return;
  if (const ListenerGroup::Member old = group_->Establish(path, self_)) {
    Forward(old, Parcel::Kind::kSuperseded, path, {});
  }
}

void GroupMember::OnRunBegins() {
  // It has nothing to do any more.
  if (!joined_ && !accepting_) return;
  self_->set_alive(true);
  if (!joined_) group_->Join(self_);
  joined_ = true;
  if (retired_) {
    retired_ = false;
    host_.OpenSocketAgain();
  }
}

bool GroupMember::OnRunEnding() {
  if (joined_ && group_->AnyAlive(&reactor_)) {
    self_->Retire();
    group_->Leave(self_);
    joined_ = false;
    self_->set_alive(false);
  }
  return retired_;
}

void GroupMember::OnRunEnded() {
  Send();
  const std::shared_ptr<void> held = std::move(held_);
}

}  // namespace cordon::dtls::internal
