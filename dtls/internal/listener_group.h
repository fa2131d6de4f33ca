// The listeners of a process that share one address, usually one on each
// reactor, and which of them has the session with a peer.
//
// The kernel chooses by a hash who gets a datagram, and chooses anew when a
// socket comes or goes. So datagrams reach reactors that do not know their
// peer; here they learn who does.
#ifndef CORDON_DTLS_INTERNAL_LISTENER_GROUP_H_
#define CORDON_DTLS_INTERNAL_LISTENER_GROUP_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/admission_ledger.h"
#include "cordon/dtls/internal/mailbox.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::dtls::internal {

// Thread-safe. Its locks are taken when sessions begin and end, and for
// datagrams of peers that the reactor does not know.
class ListenerGroup {
 public:
  using Member = std::shared_ptr<Mailbox>;
  // Who has the peer's sessions; null for nobody, or nobody who is alive.
  struct Owners {
    Member session;
    // Another one, where the peer has begun a new handshake because the first
    // takes no new sessions.
    Member newcomer;
  };

  // That of an address of a network, see `net::Reactor::network`.
  static std::shared_ptr<ListenerGroup> Of(const void* network,
                                           const net::Endpoint& address);
  ListenerGroup(const void* network, const net::Endpoint& address)
      : name_(network, address) {}
  ~ListenerGroup();

  // What the listeners of one registry and name have admitted; see
  // `AdmissionLedger::Configure`.
  std::shared_ptr<AdmissionLedger> Ledger(const void* registry,
                                          const std::string& name,
                                          const ListenerLimits& limits);

  void Join(const Member& member);
  void Leave(const Member& member);
  // More than one has joined.
  bool shared() const { return members_count_.load(kRelaxed) > 1; }
  // One is alive, on another reactor than `but`.
  bool AnyAlive(const net::Reactor* but = nullptr) const;

  // Of those that take new sessions, but not `but`: one that `peer` is given
  // to, of the same listener if there is one. Null if there is none.
  Member Accepting(const Mailbox& but, const net::Endpoint& peer) const;
  // Of those of the same listener: the one with the oldest half-open session,
  // if that is from before `since`.
  Member WithOldest(const Mailbox& but, absl::Time since) const;

  Owners Find(const net::Path& path) const;
  // `member` has the peer's first session, there; and has no more.
  void Claim(const net::Path& path, const Member& member);
  void Release(const net::Path& path, const Member& member);
  // The peer's session at `member` is its present one. Returns who had the one
  // before, if that is another.
  Member Establish(const net::Path& path, const Member& member);

  // Peers that have sessions on two reactors.
  size_t split_peers() const { return split_peers_.load(kRelaxed); }
  size_t peers() const;

 private:
  static constexpr auto kRelaxed = std::memory_order_relaxed;
  static constexpr size_t kShards = 64;

  struct Key {
    net::Endpoint peer;
    net::Endpoint local;

    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.peer, key.local);
    }
  };
  struct Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<Key, Owners> owners ABSL_GUARDED_BY(mutex);
  };
  // Of a network and an address.
  using Name = std::pair<const void*, net::Endpoint>;

  static Key KeyOf(const net::Path& path) {
    return {path.peer, path.local.address};
  }
  const Shard& ShardOf(const Key& key) const;
  Shard& ShardOf(const Key& key) {
    return const_cast<Shard&>(std::as_const(*this).ShardOf(key));
  }

  const Name name_;
  std::array<Shard, kShards> shards_;
  std::atomic<size_t> split_peers_ = 0;
  std::atomic<size_t> members_count_ = 0;

  mutable absl::Mutex mutex_;
  std::vector<Member> members_ ABSL_GUARDED_BY(mutex_);
  // By registry and name.
  absl::flat_hash_map<std::pair<const void*, std::string>,
                      std::weak_ptr<AdmissionLedger>>
      ledgers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_LISTENER_GROUP_H_
