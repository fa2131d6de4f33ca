#include "cordon/dtls/internal/mailbox.h"

#include <utility>

namespace cordon::dtls::internal {

void ParcelBatch::Add(Parcel parcel, absl::Span<const uint8_t> bytes) {
  parcel.offset = bytes_.size();
  parcel.size = bytes.size();
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  parcels_.push_back(std::move(parcel));
}

void ParcelBatch::Clear() {
  parcels_.clear();
  bytes_.clear();
}

size_t Mailbox::Deliver(ParcelBatch& batch) {
  size_t dropped = 0;
  {
    absl::MutexLock lock(&mutex_);
    const bool first = waiting_.empty();
    for (const Parcel& parcel : batch.parcels()) {
      // There are no more of these than sessions.
      const bool always = parcel.kind == Parcel::Kind::kSuperseded;
      if (reactor_ == nullptr || !alive() ||
          (!always &&
           waiting_.cost() + parcel.size + sizeof(Parcel) > kMaxStrayBytes)) {
        ++dropped;
        continue;
      }
      waiting_.Add(parcel, batch.BytesOf(parcel));
    }
    if (first && !waiting_.empty() &&
        !reactor_->Post([self = shared_from_this()] { self->Work(); })) {
      alive_ = false;
      owner_.RetireSocket();
      dropped += waiting_.size();
      waiting_.Clear();
    }
  }
  batch.Clear();
  return dropped;
}

bool Mailbox::IsServed(const net::Reactor* but) const {
  absl::MutexLock lock(&mutex_);
  return alive() && reactor_ != nullptr && reactor_ != but &&
         !reactor_->ended();
}

absl::Time Mailbox::oldest() const {
  absl::MutexLock lock(&mutex_);
  return reactor_ == nullptr ? absl::InfiniteFuture() : owner_.OldestHalfOpen();
}

void Mailbox::RetireIfEnded() {
  absl::MutexLock lock(&mutex_);
  if (reactor_ == nullptr || !reactor_->ended()) return;
  alive_ = false;
  owner_.RetireSocket();
}

void Mailbox::Retire() {
  absl::MutexLock lock(&mutex_);
  owner_.RetireSocket();
}

void Mailbox::set_alive(bool alive) {
  absl::MutexLock lock(&mutex_);
  alive_ = alive;
}

void Mailbox::Close() {
  alive_ = false;
  open_ = false;
  absl::MutexLock lock(&mutex_);
  reactor_ = nullptr;
  waiting_.Clear();
}

void Mailbox::Work() {
  {
    absl::MutexLock lock(&mutex_);
    std::swap(waiting_, working_);
  }
  for (const Parcel& parcel : working_.parcels()) {
    // What comes of one may be the end of the listener.
    if (!open_) break;
    owner_.OnParcel(parcel, working_.BytesOf(parcel));
  }
  working_.Clear();
}

}  // namespace cordon::dtls::internal
