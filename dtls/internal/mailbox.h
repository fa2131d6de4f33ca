// Datagrams on their way from one reactor of a listener to another.
#ifndef CORDON_DTLS_INTERNAL_MAILBOX_H_
#define CORDON_DTLS_INTERNAL_MAILBOX_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::dtls::internal {

// What may wait in a mailbox, with what it takes to keep it: about what the
// kernel keeps in a socket. SECURITY.md tells it.
inline constexpr size_t kMaxStrayBytes = size_t{4} << 20;

struct Parcel {
  enum class Kind : uint8_t {
    // Of a peer whose session is there, as far as the sender knows.
    kDatagram,
    // A hello with a good cookie, or where none is demanded, to be served there
    // or not at all.
    kHello,
    // The peer's new session is on another reactor: the one there is over.
    kSuperseded,
    // The path to the peer carries packets of `path_mtu` bytes.
    kPathMtu,
  };
  Kind kind = Kind::kDatagram;
  net::Endpoint peer = {};
  net::LocalAddress local = {};
  size_t path_mtu = 0;
  // In the bytes of its batch.
  size_t offset = 0;
  size_t size = 0;
};

// Parcels in their order.
class ParcelBatch {
 public:
  void Add(Parcel parcel, absl::Span<const uint8_t> bytes);
  bool empty() const { return parcels_.empty(); }
  size_t size() const { return parcels_.size(); }
  // With what it takes to keep them.
  size_t cost() const {
    return bytes_.size() + parcels_.size() * sizeof(Parcel);
  }
  void Clear();

  const std::vector<Parcel>& parcels() const { return parcels_; }
  absl::Span<uint8_t> BytesOf(const Parcel& parcel) {
    return absl::MakeSpan(bytes_).subspan(parcel.offset, parcel.size);
  }

 private:
  std::vector<Parcel> parcels_;
  std::vector<uint8_t> bytes_;
};

// Thread-safe, but for what is said to be for the owner: the reactor's thread.
class Mailbox : public std::enable_shared_from_this<Mailbox> {
 public:
  // Its owner, a listener of a reactor.
  class Owner {
   public:
    virtual ~Owner() = default;
    // On the reactor's thread.
    virtual void OnParcel(const Parcel& parcel, absl::Span<uint8_t> bytes) = 0;
    // Since when the oldest handshake has been half-open. On any thread.
    virtual absl::Time OldestHalfOpen() const = 0;
    // Takes its socket out of those that share the port. On the reactor's
    // thread, or on any while the reactor has ended; the mailbox is locked.
    virtual void RetireSocket() = 0;
  };

  // `which` tells listeners apart. The owner calls `Close` before its end.
  Mailbox(net::Reactor& reactor, const void* which, Owner& owner)
      : which_(which), owner_(owner), reactor_(&reactor) {}

  // Takes what there is room for, and empties `batch`. Returns how many
  // datagrams there was no room for, or nobody to receive them.
  size_t Deliver(ParcelBatch& batch);

  const void* which() const { return which_; }
  // Its reactor has not ended, and is another one than `but`, which may be
  // null.
  bool IsServed(const net::Reactor* but) const;
  absl::Time oldest() const;
  // What its reactor would not read any more is for others to have, if it has
  // ended.
  void RetireIfEnded();
  // There is somebody who receives.
  bool alive() const { return alive_.load(std::memory_order_relaxed); }
  // It takes new sessions.
  bool accepting() const {
    return alive() && accepting_.load(std::memory_order_relaxed);
  }

  // For the owner.
  void Retire();
  // Whatever others have done is done when this returns.
  void set_alive(bool alive);
  void set_accepting(bool accepting) { accepting_ = accepting; }
  // Nothing is received any more, and the reactor may go.
  void Close();

 private:
  void Work();

  const void* const which_;
  Owner& owner_;
  std::atomic<bool> alive_ = true;
  std::atomic<bool> accepting_ = true;

  mutable absl::Mutex mutex_;
  // Null after `Close`.
  net::Reactor* reactor_ ABSL_GUARDED_BY(mutex_);
  ParcelBatch waiting_ ABSL_GUARDED_BY(mutex_);
  // For the reactor's thread.
  bool open_ = true;
  // Kept for its memory.
  ParcelBatch working_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_MAILBOX_H_
