// The sessions that a server keeps so that clients resume them by their ids
// (RFC 5246 section 7.3).
//
// They are kept as bytes, certificates of the peers included, so that what they
// take is known exactly: in BoringSSL's own form a certificate of a stranger
// takes many times its size.
#ifndef CORDON_DTLS_INTERNAL_SESSION_ID_CACHE_H_
#define CORDON_DTLS_INTERNAL_SESSION_ID_CACHE_H_

#include <cstddef>
#include <list>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/resumption.h"

namespace cordon::dtls::internal {

// Thread-safe. Wipes what it forgets: sessions have keys in them.
class SessionIdCache {
 public:
  // What keeping a session takes beside its bytes, about: its id, the tables.
  static constexpr size_t kEntryBytes = 256;

  SessionIdCache(size_t max_sessions, size_t max_bytes);
  ~SessionIdCache();
  SessionIdCache(const SessionIdCache&) = delete;
  SessionIdCache& operator=(const SessionIdCache&) = delete;

  // Keeps `session` until `expires`. The oldest ones make room for it; one that
  // finds no room even so is not kept, which is counted alike.
  void Add(absl::string_view id, std::string session, absl::Time expires,
           absl::Time now);
  // The bytes of a session that has not expired, or none.
  std::string Find(absl::string_view id, absl::Time now);

  SessionIdStatistics statistics() const;

 private:
  struct Entry {
    std::string id;
    std::string session;
    absl::Time expires;

    size_t bytes() const { return kEntryBytes + session.size(); }
  };
  using Entries = std::list<Entry>;

  void Remove(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // False: there is too little for this many bytes.
  bool MakeRoom(size_t bytes, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t max_sessions_;
  const size_t max_bytes_;
  mutable absl::Mutex mutex_;
  // The oldest first.
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  // By the ids in the entries.
  absl::flat_hash_map<absl::string_view, Entries::iterator> by_id_
      ABSL_GUARDED_BY(mutex_);
  SessionIdStatistics statistics_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SESSION_ID_CACHE_H_
