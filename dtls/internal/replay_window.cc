#include "cordon/dtls/internal/replay_window.h"

#include <algorithm>

namespace cordon::dtls::internal {

void ReplayWindow::Add(uint64_t number) {
  if (number >= end_) {
    // The words that the window enters still have what came a round before.
    const uint64_t last_used = end_ == 0 ? 0 : (end_ - 1) / kWordBits;
    const uint64_t entered =
        std::min<uint64_t>(number / kWordBits - last_used, kWords);
    for (uint64_t i = 0; i < entered; ++i) {
      words_[(number / kWordBits - i) % kWords] = 0;
    }
    end_ = number + 1;
  } else if (end_ - number > size_) {
    return;
  }
  words_[number / kWordBits % kWords] |= BitOf(number);
}

}  // namespace cordon::dtls::internal
