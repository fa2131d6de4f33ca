// Which records of an epoch have been received (RFC 6347 section 4.1.2.6).
#ifndef CORDON_DTLS_INTERNAL_REPLAY_WINDOW_H_
#define CORDON_DTLS_INTERNAL_REPLAY_WINDOW_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "cordon/dtls/options.h"

namespace cordon::dtls::internal {

// Remembers the newest record, and of the `size` numbers that end with it which
// ones have come. Checking and adding cost the same for every size.
class ReplayWindow {
 public:
  // From `kMinReplayWindow` to `kMaxReplayWindow` records.
  explicit ReplayWindow(size_t size = kDefaultReplayWindow) : size_(size) {}

  // Whether a record with this number must be dropped: it has come before, or
  // it is too old to tell.
  bool Contains(uint64_t number) const {
    if (end_ == 0 || number >= end_) return false;
    return end_ - number > size_ || (WordOf(number) & BitOf(number)) != 0;
  }

  // The record with this number has come. Only of one that is authentic: a
  // forged number must not move the window.
  void Add(uint64_t number);

 private:
  static constexpr size_t kWordBits = 64;
  // The words are a ring. One more than the largest window has, because the
  // window begins and ends in the middle of a word.
  static constexpr size_t kWords = kMaxReplayWindow / kWordBits + 1;

  uint64_t WordOf(uint64_t number) const {
    return words_[number / kWordBits % kWords];
  }
  static uint64_t BitOf(uint64_t number) {
    return uint64_t{1} << number % kWordBits;
  }

  size_t size_;
  // One more than the newest record's number; 0: none has come.
  uint64_t end_ = 0;
  std::array<uint64_t, kWords> words_ = {};
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_REPLAY_WINDOW_H_
