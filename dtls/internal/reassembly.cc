#include "cordon/dtls/internal/reassembly.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace cordon::dtls::internal {
namespace {

// What the memory of each is counted as, beside its bytes.
constexpr size_t kRivalBytes = 128;
constexpr size_t kPieceBytes = 64;

}  // namespace

size_t Reassembly::Rival::Cost() const {
  size_t cost = kRivalBytes;
  for (const Piece& piece : pieces) cost += kPieceBytes + piece.bytes.size();
  return cost;
}

bool Reassembly::Rival::Agrees(const HandshakeFragment& fragment) const {
  if (type != fragment.type || message_bytes != fragment.message_bytes) {
    return false;
  }
  const uint32_t end =
      fragment.offset + static_cast<uint32_t>(fragment.body.size());
  for (const Piece& piece : pieces) {
    const uint32_t from = std::max(piece.offset, fragment.offset);
    const uint32_t to = std::min(piece.end(), end);
    if (from < to &&
        std::memcmp(piece.bytes.data() + (from - piece.offset),
                    fragment.body.data() + (from - fragment.offset),
                    to - from) != 0) {
      return false;
    }
  }
  return true;
}

bool Reassembly::Rival::Has(const HandshakeFragment& fragment) const {
  if (message_bytes == 0) return true;
  return std::any_of(pieces.begin(), pieces.end(), [&](const Piece& piece) {
    return piece.offset <= fragment.offset &&
           fragment.offset + fragment.body.size() <= piece.end();
  });
}

// Joins the fragment with the pieces that it touches.
bool Reassembly::Rival::Merge(const HandshakeFragment& fragment) {
  const uint32_t offset = fragment.offset;
  const uint32_t end = offset + static_cast<uint32_t>(fragment.body.size());
  const auto first =
      std::find_if(pieces.begin(), pieces.end(),
                   [&](const Piece& piece) { return piece.end() >= offset; });
  const auto last = std::find_if(first, pieces.end(), [&](const Piece& piece) {
    return piece.offset > end;
  });
  if (first == last) {
    if (pieces.size() >= kMaxPieces) return false;
    pieces.insert(first,
                  {.offset = offset,
                   .bytes = {fragment.body.begin(), fragment.body.end()}});
    return true;
  }
  // Appends what of `from` lies beyond the end of `to`, in memory that at most
  // doubles, and never exceeds the message.
  const auto append = [this](Piece& to, uint32_t at,
                             absl::Span<const uint8_t> from) {
    const uint32_t known = to.end() - at;
    if (known < from.size()) {
      const size_t needed = to.bytes.size() + from.size() - known;
      if (needed > to.bytes.capacity()) {
        to.bytes.reserve(std::max<size_t>(
            needed, std::min<size_t>(2 * needed, message_bytes - to.offset)));
      }
      to.bytes.insert(to.bytes.end(), from.begin() + known, from.end());
    }
  };
  if (first->offset > offset) {
    Piece joined = {.offset = offset,
                    .bytes = {fragment.body.begin(), fragment.body.end()}};
    append(joined, first->offset, first->bytes);
    *first = std::move(joined);
  } else {
    append(*first, offset, fragment.body);
  }
  for (auto next = std::next(first); next != last; ++next) {
    append(*first, next->offset, next->bytes);
  }
  pieces.erase(std::next(first), last);
  return true;
}

bool Reassembly::Add(const HandshakeFragment& fragment, uint16_t next) {
  if (fragment.sequence < next || fragment.sequence - next >= kWindow) {
    return false;
  }
  ++time_;
  Rivals& rivals = messages_[fragment.sequence];
  auto rival =
      std::find_if(rivals.begin(), rivals.end(),
                   [&](const Rival& known) { return known.Agrees(fragment); });
  if (rival != rivals.end() && rival->Has(fragment)) return true;

  const size_t cost = fragment.body.size() + kRivalBytes + kPieceBytes;
  if (!MakeRoom(cost, fragment.sequence,
                rival == rivals.end() ? nullptr : &*rival)) {
    if (rivals.empty()) messages_.erase(fragment.sequence);
    return false;
  }
  rival = std::find_if(rivals.begin(), rivals.end(), [&](const Rival& known) {
    return known.Agrees(fragment);
  });
  if (rival == rivals.end()) {
    if (rivals.size() >= kRivals) {
      // That which has not grown for the longest time.
      const auto stale = std::min_element(rivals.begin(), rivals.end(),
                                          [](const Rival& a, const Rival& b) {
                                            return a.grown_at < b.grown_at;
                                          });
      Drop(rivals, static_cast<size_t>(stale - rivals.begin()));
    }
    rivals.push_back(
        {.type = fragment.type, .message_bytes = fragment.message_bytes});
    rival = std::prev(rivals.end());
    Count(rival->Cost());
  }
  const size_t before = rival->Cost();
  const bool merged = fragment.body.empty() || rival->Merge(fragment);
  Uncount(before);
  Count(rival->Cost());
  if (!merged) return false;
  rival->grown_at = time_;
  if (rival->message_bytes == 0 ||
      rival->pieces.front().bytes.size() == rival->message_bytes) {
    rival->whole_at = time_;
  }
  return true;
}

bool Reassembly::Take(uint16_t sequence, HandshakeMessage* message) {
  const auto found = messages_.find(sequence);
  if (found == messages_.end()) return false;
  Rivals& rivals = found->second;
  auto first = rivals.end();
  for (auto rival = rivals.begin(); rival != rivals.end(); ++rival) {
    if (rival->whole_at != 0 &&
        (first == rivals.end() || rival->whole_at < first->whole_at)) {
      first = rival;
    }
  }
  if (first == rivals.end()) return false;
  Uncount(first->Cost());
  message->type = first->type;
  message->sequence = sequence;
  message->body = first->pieces.empty()
                      ? std::vector<uint8_t>()
                      : std::move(first->pieces.front().bytes);
  rivals.erase(first);
  if (rivals.empty()) messages_.erase(found);
  return true;
}

void Reassembly::ForgetBefore(uint16_t next) {
  while (!messages_.empty() && messages_.begin()->first < next) {
    Rivals& rivals = messages_.begin()->second;
    while (!rivals.empty()) Drop(rivals, rivals.size() - 1);
    messages_.erase(messages_.begin());
  }
}

void Reassembly::Clear() {
  messages_.clear();
  Uncount(bytes_);
}

void Reassembly::Drop(Rivals& rivals, size_t index) {
  Uncount(rivals[index].Cost());
  rivals.erase(rivals.begin() + static_cast<std::ptrdiff_t>(index));
}

void Reassembly::Count(size_t bytes) {
  bytes_ += bytes;
  share_.Add(bytes);
}

void Reassembly::Uncount(size_t bytes) {
  bytes_ -= bytes;
  share_.Remove(bytes);
}

bool Reassembly::MakeRoom(size_t cost, uint16_t sequence, const Rival* keep) {
  if (cost > max_bytes_) return false;
  if (bytes_ + cost <= max_bytes_ && !share_.HasRoomFor(cost)) {
    share_.CountRefusal();
  }
  while (!HasRoomFor(cost)) {
    // Later messages will be sent again; those of the same number may be
    // forged, all but one.
    auto last = std::prev(messages_.end());
    while (last->second.empty() && last != messages_.begin()) --last;
    Rivals& rivals = last->second;
    if (last->first < sequence || rivals.empty()) return false;
    if (last->first > sequence) {
      Drop(rivals, rivals.size() - 1);
      if (rivals.empty()) messages_.erase(last);
      continue;
    }
    auto stale = rivals.end();
    for (auto rival = rivals.begin(); rival != rivals.end(); ++rival) {
      if (&*rival != keep &&
          (stale == rivals.end() || rival->grown_at < stale->grown_at)) {
        stale = rival;
      }
    }
    if (stale == rivals.end()) return false;
    // `keep` would move.
    const bool moves = keep != nullptr && &*stale < keep;
    Drop(rivals, static_cast<size_t>(stale - rivals.begin()));
    if (moves) --keep;
  }
  return true;
}

}  // namespace cordon::dtls::internal
