// A listener of one reactor as one of several that share an address.
#ifndef CORDON_DTLS_INTERNAL_GROUP_MEMBER_H_
#define CORDON_DTLS_INTERNAL_GROUP_MEMBER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/internal/listener_group.h"
#include "cordon/dtls/internal/mailbox.h"
#include "cordon/dtls/internal/peer_table.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/time/timer_wheel.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::dtls::internal {

// Sends on what is another reactor's, and receives what others send on. What
// goes to one of them within a turn of the loop goes at once. When its reactor
// ends, or there is nothing left to do, it takes its socket out of those that
// share the port, without a loss: what the kernel has given to it already is
// sent on. For the reactor's thread.
class GroupMember final : public PeerTable::Watcher,
                          public net::RunObserver,
                          private Mailbox::Owner,
                          private net::Timer {
 public:
  // The listener, which outlives it.
  class Host {
   public:
    virtual ~Host() = default;
    // Of the others.
    virtual void OnParcel(const Parcel& parcel, absl::Span<uint8_t> bytes) = 0;
    virtual net::DatagramSocket& socket() = 0;
    // Opens it again, in place of one that was retired.
    virtual void OpenSocketAgain() = 0;
    // Keeps the listener as long as it is held.
    virtual std::shared_ptr<void> Hold() = 0;
    // Since when the oldest session has been half-open. Thread-safe.
    virtual absl::Time OldestHalfOpen() const = 0;
  };

  // Without `group` it shares its address with nobody. `which` tells listeners
  // of one address apart. Counts in `statistics`, which outlives it.
  GroupMember(net::Reactor& reactor, std::shared_ptr<ListenerGroup> group,
              const void* which, Host& host, ListenerStatistics* statistics);
  ~GroupMember();

  // Of a peer without session here: true if it went to where there is one.
  bool Redirect(const net::Path& path, absl::Span<const uint8_t> datagram);
  // A copy of what came from a peer with a session here, for another one that
  // it has elsewhere.
  void Mirror(const net::Path& path, absl::Span<const uint8_t> datagram) {
    if (group_ != nullptr && group_->split_peers() > 0) {
      MirrorToOthers(path, datagram);
    }
  }
  void RedirectNotice(const net::PeerNotice& notice);

  // There is another one that takes new sessions, for what is not of others
  // already: nothing is handed over twice.
  bool CanHandOver(const net::Endpoint& peer) const;
  // A hello that begins no session here, to one that takes it.
  bool HandOver(const net::Path& path, absl::Span<const uint8_t> hello);
  // To one with a session that has been half-open since before `since`.
  bool HandOverToOldest(const net::Path& path, absl::Span<const uint8_t> hello,
                        absl::Time since);
  // What is worked off now was handed over to this one.
  bool is_final() const { return final_; }

  // No new sessions from now on.
  void StopAccepting();
  // There are no sessions, and will be none. The listener is held until the
  // socket has run dry.
  void Leave();

 private:
  // PeerTable::Watcher:
  void OnPeerAdded(const net::Path& path) override;
  void OnPeerGone(const net::Path& path) override;
  void OnPeerEstablished(const net::Path& path) override;
  // RunObserver:
  void OnRunBegins() override;
  bool OnRunEnding() override;
  void OnRunEnded() override;
  // Mailbox::Owner:
  void OnParcel(const Parcel& parcel, absl::Span<uint8_t> bytes) override;
  absl::Time OldestHalfOpen() const override { return host_.OldestHalfOpen(); }
  void RetireSocket() override;
  // Timer:
  void OnTimer() override;

  // What goes to one of the others.
  struct Outgoing {
    ListenerGroup::Member to;
    ParcelBatch batch;
  };

  void MirrorToOthers(const net::Path& path,
                      absl::Span<const uint8_t> datagram);
  // Counts it, as forwarded or as dropped.
  void Forward(const ListenerGroup::Member& to, Parcel::Kind kind,
               const net::Path& path, absl::Span<const uint8_t> bytes,
               size_t path_mtu = 0);
  void Send();

  net::Reactor& reactor_;
  const std::shared_ptr<ListenerGroup> group_;
  Host& host_;
  ListenerStatistics& statistics_;
  ListenerGroup::Member self_;
  bool final_ = false;
  bool accepting_ = true;
  bool joined_ = false;
  // Written with the mailbox locked.
  bool retired_ = false;
  std::vector<Outgoing> outgoing_;
  // Since the socket was retired.
  uint64_t seen_datagrams_ = 0;
  int waits_ = 0;
  std::shared_ptr<void> held_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_GROUP_MEMBER_H_
