// Which sessions of a listener are with which peer.
#ifndef CORDON_DTLS_INTERNAL_PEER_TABLE_H_
#define CORDON_DTLS_INTERNAL_PEER_TABLE_H_

#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "cordon/dtls/internal/session.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::dtls::internal {

// Owns no session. For the reactor's thread.
class PeerTable {
 public:
  // Hears which peers have sessions.
  class Watcher {
   public:
    // The first session of a peer has come, and the last has gone.
    virtual void OnPeerAdded(const net::Path& path) = 0;
    virtual void OnPeerGone(const net::Path& path) = 0;
    // A session of it has been established.
    virtual void OnPeerEstablished(const net::Path& path) = 0;

   protected:
    ~Watcher() = default;
  };

  // Who is at an address: one who has a session, one who handshakes, or both.
  // Valid until a session is added or removed.
  struct Peer {
    Session* session = nullptr;
    // Has begun a new handshake, and replaces `session` when it has completed.
    Session* newcomer = nullptr;

    // That which began with this hello, or null.
    Session* FindByRandom(absl::Span<const uint8_t> random) const;
  };

  // `watcher` outlives it; may be null.
  explicit PeerTable(Watcher* watcher = nullptr) : watcher_(watcher) {}

  // Null if there is none.
  Peer* Find(const net::Path& path);
  // A second one of the same peer is the newcomer.
  void Add(Session& session);
  // If it is a newcomer it takes the place of the other, which is returned.
  Session* Establish(Session& session);
  // A no-op if it is not there.
  void Remove(Session& session);

 private:
  // The two ends of a session.
  struct Key {
    net::Endpoint peer;
    net::Endpoint local;

    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.peer, key.local);
    }
  };
  static Key KeyOf(const net::Path& path) {
    return {path.peer, path.local.address};
  }

  Watcher* const watcher_;
  absl::flat_hash_map<Key, Peer> peers_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_PEER_TABLE_H_
