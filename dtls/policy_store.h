// The policies in force in a process, and those before them.
//
//   dtls::PolicyStore& policies = registry->policies();
//   dtls::PolicyStore::Change change;
//   change.policy = policy;
//   change.expected_version = policies.Present("").version;
//   change.author = "alice";
//   absl::StatusOr<uint64_t> version = policies.Set(change);
//
// Listeners follow the store of their registry (registry.h).
//
// A policy applies to all listeners, or to those of one name. Setting one is
// atomic: each handshake that begins after `Set` has returned is judged by the
// new version, each that began before by the old one, from begin to end.
#ifndef CORDON_DTLS_POLICY_STORE_H_
#define CORDON_DTLS_POLICY_STORE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/policy.h"

namespace cordon::dtls {

namespace internal {
class CompiledPolicy;
}  // namespace internal

struct PolicyVersion {
  // Counted from 1 over all listeners.
  uint64_t version = 0;
  // The name of the listeners that it is for; empty: all that have none of
  // their own.
  std::string listener = {};
  std::shared_ptr<const internal::CompiledPolicy> compiled = {};
  std::string author = {};
  std::string comment = {};
  absl::Time time = absl::InfinitePast();
  // The version that this one brought back, or 0.
  uint64_t rolled_back_to = 0;
  // Nobody has set it: it is what the service was started with.
  bool configured = false;
  // See `PolicyStore::Change::apply_to_sessions`.
  bool apply_to_sessions = false;

  // Not to be called for version 0.
  const Policy& policy() const;
};

// Thread-safe.
class PolicyStore {
 public:
  // Versions that are kept for each listener; the oldest are forgotten.
  static constexpr size_t kMaxVersions = 100;

  struct Change {
    std::string listener = {};
    Policy policy = {};
    // The version that this one replaces; 0 if there is none for `listener`.
    uint64_t expected_version = 0;
    std::string author = {};
    std::string comment = {};
    // Handshakes that are going on complete under the policy that they began
    // with; their sessions are then judged by this one, too.
    bool apply_to_sessions = false;
  };

  PolicyStore();
  ~PolicyStore();
  PolicyStore(const PolicyStore&) = delete;
  PolicyStore& operator=(const PolicyStore&) = delete;

  // Puts a policy in force and returns its version. kInvalidArgument: the
  // message begins with the name of the field that is wrong; kAborted: the
  // present version is not the one that is expected.
  absl::StatusOr<uint64_t> Set(const Change& change);
  // Brings an earlier version of the same listener back, as a new version.
  // kNotFound: it is not, or no longer, known.
  absl::StatusOr<uint64_t> RollBack(absl::string_view listener,
                                    uint64_t version, uint64_t expected_version,
                                    absl::string_view author,
                                    absl::string_view comment,
                                    bool apply_to_sessions = false);

  // The policy that listeners of this name use; its version is 0 if there is
  // none.
  PolicyVersion Present(absl::string_view listener) const;
  // The newest first; only those that were set for exactly this name.
  std::vector<PolicyVersion> History(absl::string_view listener) const;

  // Puts a version in force that was kept elsewhere, as it was: with its
  // number, author, comment and time. kInvalidArgument as `Set`;
  // kFailedPrecondition: there is a version with this number, or a later one.
  absl::Status Restore(PolicyVersion version, const Policy& policy);

  // Called with each version that is set, before anybody can see it; an error
  // refuses the change. Other changes wait meanwhile, readers do not. Must not
  // make changes itself. For keeping it in a file.
  using Journal = absl::AnyInvocable<absl::Status(const PolicyVersion&)>;
  void SetJournal(Journal journal);

  // For listeners. Null: there is no policy.
  std::shared_ptr<const internal::CompiledPolicy> ForHandshake(
      absl::string_view listener) const;
  // What a listener's context says of clients; lives for as long as the
  // listener takes new ones.
  using Claim = std::shared_ptr<const Policy>;
  // Takes a name for a listener, or shares it with those that have it already:
  // listeners of one name have one policy, so that their contexts must say the
  // same. kFailedPrecondition: one of them says something else.
  absl::StatusOr<Claim> ClaimName(absl::string_view listener,
                                  const Policy& policy)
      ABSL_LOCKS_EXCLUDED(changes_, mutex_);
  // What a listener's context says, unless somebody has set a policy for it
  // already. The first listener's holds for all; one that another needs for
  // itself holds until somebody sets one for it, or one for all.
  absl::Status EnsurePolicy(absl::string_view listener, const Policy& policy);
  // Whether listeners of the name `listener` follow what is set for `name`,
  // which may be empty: for all that have none of their own.
  bool Follows(absl::string_view listener, absl::string_view name) const;

 private:
  // Checks `policy` and makes it ready as the next version.
  absl::StatusOr<std::shared_ptr<const internal::CompiledPolicy>> Compile(
      const PolicyVersion& version, const Policy& policy) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(changes_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Puts `version` in force, and returns its number.
  absl::StatusOr<uint64_t> Add(PolicyVersion version)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(changes_) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckExpected(absl::string_view listener,
                             uint64_t expected) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  const PolicyVersion* Find(absl::string_view listener) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Which of its own and the one for all counts for a listener, or null.
  const PolicyVersion* InForce(absl::string_view listener) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Whether a policy that somebody sets for all is in force for a listener.
  bool FollowsAll(absl::string_view listener) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  // Held during a change, which takes its time: policies are compiled, and the
  // journal may write to a disk. Reactors only ever wait for `mutex_`.
  absl::Mutex changes_ ABSL_ACQUIRED_BEFORE(mutex_);
  uint64_t last_version_ ABSL_GUARDED_BY(changes_) = 0;
  Journal journal_ ABSL_GUARDED_BY(changes_);
  // By the names of listeners.
  absl::flat_hash_map<std::string, std::weak_ptr<const Policy>> claims_
      ABSL_GUARDED_BY(changes_);
  mutable absl::Mutex mutex_;
  // Written with `changes_` held, too.
  absl::flat_hash_map<std::string, std::deque<PolicyVersion>> versions_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_POLICY_STORE_H_
