#include "cordon/dtls/internal/session_ender.h"

#include <cstddef>

namespace cordon::dtls::internal {
namespace {

constexpr size_t kInOneTurn = 256;

}  // namespace

void SessionEnder::EndSoon(uint64_t id, absl::Status why) {
  soon_.emplace_back(id, std::move(why));
  Arm();
}

void SessionEnder::EndAllAt(absl::Time when, absl::Status why) {
  all_at_ = when;
  why_all_ = std::move(why);
  Arm();
}

void SessionEnder::Arm() {
  reactor_.executor().timers().Arm(*this,
                                   soon_.empty() ? all_at_ : reactor_.Now());
}

void SessionEnder::OnTimer() {
  for (size_t i = 0; i < kInOneTurn && !soon_.empty(); ++i) {
    const auto [id, why] = std::move(soon_.front());
    soon_.pop_front();
    sessions_.End(id, why);
  }
  if (!soon_.empty() || reactor_.Now() < all_at_) {
    Arm();
    return;
  }
  for (size_t i = 0; i < kInOneTurn; ++i) {
    const std::optional<uint64_t> next = sessions_.After(ended_up_to_);
    if (!next.has_value()) {
      all_at_ = absl::InfiniteFuture();
      sessions_.OnAllEnded();
      return;
    }
    ended_up_to_ = *next;
    sessions_.End(*next, why_all_);
  }
  Arm();
}

}  // namespace cordon::dtls::internal
