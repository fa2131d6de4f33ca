#include "cordon/dtls/internal/session_id_cache.h"

#include <openssl/mem.h>

#include <atomic>
#include <iterator>
#include <utility>

namespace cordon::dtls::internal {
namespace {

void Wipe(std::string& secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
}

}  // namespace

SessionIdCache::SessionIdCache(size_t max_sessions, size_t max_bytes)
    : max_sessions_(max_sessions), max_bytes_(max_bytes) {
  static std::atomic<uint64_t> last = 0;
  statistics_.context = last.fetch_add(1, std::memory_order_relaxed) + 1;
}

SessionIdCache::~SessionIdCache() {
  absl::MutexLock lock(&mutex_);
  while (!entries_.empty()) Remove(entries_.begin());
}

void SessionIdCache::Remove(Entries::iterator entry) {
  statistics_.bytes -= entry->bytes();
  --statistics_.sessions;
  by_id_.erase(entry->id);
  Wipe(entry->session);
  entries_.erase(entry);
}

bool SessionIdCache::MakeRoom(size_t bytes, absl::Time now) {
  while (!entries_.empty() && now >= entries_.front().expires) {
    Remove(entries_.begin());
  }
  if (bytes > max_bytes_) {
    ++statistics_.dropped_max_session_id_bytes;
    return false;
  }
  while (entries_.size() >= max_sessions_) {
    if (entries_.empty()) return false;
    ++statistics_.dropped_max_session_ids;
    Remove(entries_.begin());
  }
  while (statistics_.bytes > max_bytes_ - bytes) {
    ++statistics_.dropped_max_session_id_bytes;
    Remove(entries_.begin());
  }
  return true;
}

void SessionIdCache::Add(absl::string_view id, std::string session,
                         absl::Time expires, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (const auto old = by_id_.find(id); old != by_id_.end()) {
    Remove(old->second);
  }
  Entry entry{
      .id = std::string(id), .session = std::move(session), .expires = expires};
  if (!MakeRoom(entry.bytes(), now)) {
    Wipe(entry.session);
    return;
  }
  statistics_.bytes += entry.bytes();
  ++statistics_.sessions;
  entries_.push_back(std::move(entry));
  by_id_[entries_.back().id] = std::prev(entries_.end());
}

std::string SessionIdCache::Find(absl::string_view id, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return "";
  if (now >= found->second->expires) {
    Remove(found->second);
    return "";
  }
  return found->second->session;
}

SessionIdStatistics SessionIdCache::statistics() const {
  absl::MutexLock lock(&mutex_);
  return statistics_;
}

}  // namespace cordon::dtls::internal
