// Datagrams on their way from one reactor of a listener to another.
#ifndef CORDON_DTLS_INTERNAL_MAILBOX_H_
#define CORDON_DTLS_INTERNAL_MAILBOX_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
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
  // Called on the reactor's thread.
  using Receive = std::function<void(const Parcel&, absl::Span<uint8_t>)>;

  // `which` tells listeners apart; `oldest` is since when the oldest handshake
  // there has been half-open, for any thread.
  Mailbox(net::Reactor& reactor, const void* which,
          std::function<absl::Time()> oldest, Receive receive)
      : which_(which),
        oldest_(std::move(oldest)),
        reactor_(&reactor),
        receive_(std::move(receive)) {}

  // Takes what there is room for, and empties `batch`. Returns how many
  // datagrams there was no room for, or nobody to receive them.
  size_t Deliver(ParcelBatch& batch);

  const void* which() const { return which_; }
  bool IsOn(const net::Reactor& reactor) const;
  absl::Time oldest() const;
  // There is somebody who receives.
  bool alive() const { return alive_.load(std::memory_order_relaxed); }
  // It takes new sessions.
  bool accepting() const {
    return alive() && accepting_.load(std::memory_order_relaxed);
  }

  // For the owner.
  void set_alive(bool alive) { alive_ = alive; }
  void set_accepting(bool accepting) { accepting_ = accepting; }
  // Nothing is received any more, and the reactor may go.
  void Close();

 private:
  void Work();

  const void* const which_;
  std::atomic<bool> alive_ = true;
  std::atomic<bool> accepting_ = true;

  mutable absl::Mutex mutex_;
  std::function<absl::Time()> oldest_ ABSL_GUARDED_BY(mutex_);
  // Null after `Close`.
  net::Reactor* reactor_ ABSL_GUARDED_BY(mutex_);
  ParcelBatch waiting_ ABSL_GUARDED_BY(mutex_);
  // For the reactor's thread.
  const Receive receive_;
  bool open_ = true;
  // Kept for its memory.
  ParcelBatch working_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_MAILBOX_H_
