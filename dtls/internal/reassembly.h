// Handshake messages put together from fragments that anybody may have sent
// (RFC 6347 section 4.2.3).
//
// Memory grows with the bytes that have come, not with those that were
// announced, and is bounded. Fragments that contradict each other, in the type
// or the length of their message or in their bytes, belong to different
// messages: a forged one does not keep the true one from becoming whole.
#ifndef CORDON_DTLS_INTERNAL_REASSEMBLY_H_
#define CORDON_DTLS_INTERNAL_REASSEMBLY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/types/span.h"
#include "cordon/dtls/internal/handshake_message.h"
#include "cordon/dtls/internal/memory_budget.h"

namespace cordon::dtls::internal {

class Reassembly {
 public:
  // Messages that are kept, the next one included: no flight is longer.
  static constexpr uint16_t kWindow = 7;
  // Messages with the same number, of which at most one is the peer's.
  static constexpr size_t kRivals = 4;
  // Parts of one message with gaps between them.
  static constexpr size_t kMaxPieces = 64;

  // Keeps at most about `max_bytes`, of messages and of what it takes to keep
  // them, and no more than has room in `share`, which outlives it.
  Reassembly(size_t max_bytes, MemoryShare& share)
      : max_bytes_(max_bytes), share_(share) {}
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;
  ~Reassembly() { Clear(); }

  // Takes a fragment of a message from `next` on. False if it is not kept,
  // because it is too far ahead or because there is no room.
  bool Add(const HandshakeFragment& fragment, uint16_t next);

  // Moves a whole message with this number into `*message`: that which was
  // whole first. False if there is none.
  bool Take(uint16_t sequence, HandshakeMessage* message);

  // Forgets the messages before `next`.
  void ForgetBefore(uint16_t next);
  void Clear();

  // Memory that is in use, about.
  size_t bytes() const { return bytes_; }

 private:
  struct Piece {
    uint32_t offset = 0;
    std::vector<uint8_t> bytes = {};

    uint32_t end() const {
      return offset + static_cast<uint32_t>(bytes.size());
    }
  };
  // A message of which something has come.
  struct Rival {
    uint8_t type = 0;
    uint32_t message_bytes = 0;
    // Of the last fragment that has added to it, and of that which made it
    // whole.
    uint64_t grown_at = 0;
    uint64_t whole_at = 0;
    // In order, with gaps between them.
    std::vector<Piece> pieces = {};

    bool Agrees(const HandshakeFragment& fragment) const;
    bool Has(const HandshakeFragment& fragment) const;
    bool Merge(const HandshakeFragment& fragment);
    size_t Cost() const;
  };
  using Rivals = std::vector<Rival>;

  // Makes room for `cost` more bytes for a message with number `sequence` by
  // dropping others, later ones first, but not `keep`.
  bool MakeRoom(size_t cost, uint16_t sequence, const Rival* keep);
  bool HasRoomFor(size_t cost) const {
    return bytes_ + cost <= max_bytes_ && share_.HasRoomFor(cost);
  }
  void Drop(Rivals& rivals, size_t index);
  void Count(size_t bytes);
  void Uncount(size_t bytes);

  const size_t max_bytes_;
  MemoryShare& share_;
  size_t bytes_ = 0;
  uint64_t time_ = 0;
  std::map<uint16_t, Rivals> messages_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_REASSEMBLY_H_
