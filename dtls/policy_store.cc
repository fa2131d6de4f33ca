#include "cordon/dtls/policy_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cordon/dtls/internal/compiled_policy.h"

namespace cordon::dtls {
namespace {

using internal::CompiledPolicy;

std::string ForWhom(absl::string_view listener) {
  return listener.empty() ? "for all listeners"
                          : absl::StrCat("for the listener \"", listener, "\"");
}

}  // namespace

const Policy& PolicyVersion::policy() const { return compiled->policy(); }

PolicyStore::PolicyStore() = default;
PolicyStore::~PolicyStore() = default;

const PolicyVersion* PolicyStore::Find(absl::string_view listener) const {
  auto found = versions_.find(listener);
  return found == versions_.end() ? nullptr : &found->second.back();
}

bool PolicyStore::FollowsAll(absl::string_view listener) const {
  const PolicyVersion* own = Find(listener);
  // Of what its context says nobody has asked that it be its own.
  return own == nullptr || own->configured;
}

const PolicyVersion* PolicyStore::InForce(absl::string_view listener) const {
  const PolicyVersion* own = Find(listener);
  const PolicyVersion* general = Find("");
  if (own == nullptr) return general;
  if (FollowsAll(listener) && general != nullptr && !general->configured) {
    return general;
  }
  return own;
}

bool PolicyStore::Follows(absl::string_view listener,
                          absl::string_view name) const {
  if (!name.empty()) return listener == name;
  absl::ReaderMutexLock lock(&mutex_);
  return FollowsAll(listener);
}

absl::Status PolicyStore::CheckExpected(absl::string_view listener,
                                        uint64_t expected) const {
  absl::ReaderMutexLock lock(&mutex_);
  const PolicyVersion* present = Find(listener);
  const uint64_t version = present == nullptr ? 0 : present->version;
  if (version == expected) return absl::OkStatus();
  // Who follows the policy for all sees none of its own, even if its context
  // has said something.
  if (expected == 0 && InForce(listener) != present) return absl::OkStatus();
  if (version == 0) {
    return absl::AbortedError(
        absl::StrCat("there is no policy ", ForWhom(listener),
                     " yet, not version ", expected, ": expect version 0"));
  }
  return absl::AbortedError(absl::StrCat(
      "the policy ", ForWhom(listener), " is version ", version, " by ",
      present->author, ", not ", expected, ": look at it and try again"));
}

absl::StatusOr<std::shared_ptr<const CompiledPolicy>> PolicyStore::Compile(
    const PolicyVersion& version, const Policy& policy) const {
  const uint64_t number = last_version_ + 1;
  uint64_t judges_before = version.apply_to_sessions ? number : 0;
  if (!version.apply_to_sessions) {
    absl::ReaderMutexLock lock(&mutex_);
    const PolicyVersion* before = InForce(version.listener);
    if (before != nullptr) judges_before = before->compiled->judges_before();
  }
  return CompiledPolicy::Compile(policy, number, judges_before);
}

absl::StatusOr<uint64_t> PolicyStore::Add(PolicyVersion version) {
  version.version = version.compiled->version();
  version.time = absl::Now();
  if (journal_ != nullptr && !version.configured) {
    if (absl::Status status = journal_(version); !status.ok()) return status;
  }
  last_version_ = version.version;
  absl::MutexLock lock(&mutex_);
  std::deque<PolicyVersion>& versions = versions_[version.listener];
  versions.push_back(std::move(version));
  if (versions.size() > kMaxVersions) versions.pop_front();
  return last_version_;
}

absl::StatusOr<uint64_t> PolicyStore::Set(const Change& change) {
  PolicyVersion version;
  version.listener = change.listener;
  version.author = change.author;
  version.comment = change.comment;
  version.apply_to_sessions = change.apply_to_sessions;
  absl::MutexLock lock(&changes_);
  // What is wrong with a policy is said even if it comes too late.
  absl::StatusOr<std::shared_ptr<const CompiledPolicy>> compiled =
      Compile(version, change.policy);
  if (!compiled.ok()) return compiled.status();
  version.compiled = *std::move(compiled);
  if (absl::Status status =
          CheckExpected(change.listener, change.expected_version);
      !status.ok()) {
    return status;
  }
  return Add(std::move(version));
}

absl::Status PolicyStore::Restore(PolicyVersion version, const Policy& policy) {
  absl::StatusOr<std::shared_ptr<const CompiledPolicy>> compiled =
      CompiledPolicy::Compile(policy, version.version);
  if (!compiled.ok()) return compiled.status();
  version.compiled = *std::move(compiled);
  version.apply_to_sessions = false;
  absl::MutexLock changes(&changes_);
  if (version.version <= last_version_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "version ", version.version, " of the policy ",
        ForWhom(version.listener), " comes after version ", last_version_));
  }
  last_version_ = version.version;
  absl::MutexLock lock(&mutex_);
  versions_[version.listener].push_back(std::move(version));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> PolicyStore::RollBack(absl::string_view listener,
                                               uint64_t version,
                                               uint64_t expected_version,
                                               absl::string_view author,
                                               absl::string_view comment,
                                               bool apply_to_sessions) {
  absl::MutexLock lock(&changes_);
  const std::vector<PolicyVersion> versions = History(listener);
  auto old = std::find_if(
      versions.begin(), versions.end(),
      [&](const PolicyVersion& v) { return v.version == version; });
  if (old == versions.end()) {
    return absl::NotFoundError(absl::StrCat(
        "there is no version ", version, " of the policy ", ForWhom(listener)));
  }
  if (absl::Status status = CheckExpected(listener, expected_version);
      !status.ok()) {
    return status;
  }
  PolicyVersion again;
  again.listener = std::string(listener);
  again.author = std::string(author);
  again.comment = std::string(comment);
  again.rolled_back_to = version;
  again.apply_to_sessions = apply_to_sessions;
  absl::StatusOr<std::shared_ptr<const CompiledPolicy>> compiled =
      Compile(again, old->policy());
  if (!compiled.ok()) return compiled.status();
  again.compiled = *std::move(compiled);
  return Add(std::move(again));
}

PolicyVersion PolicyStore::Present(absl::string_view listener) const {
  absl::ReaderMutexLock lock(&mutex_);
  const PolicyVersion* present = InForce(listener);
  return present == nullptr ? PolicyVersion() : *present;
}

std::vector<PolicyVersion> PolicyStore::History(
    absl::string_view listener) const {
  absl::ReaderMutexLock lock(&mutex_);
  auto found = versions_.find(listener);
  if (found == versions_.end()) return {};
  return {found->second.rbegin(), found->second.rend()};
}

void PolicyStore::SetJournal(Journal journal) {
  absl::MutexLock lock(&changes_);
  journal_ = std::move(journal);
}

std::shared_ptr<const CompiledPolicy> PolicyStore::ForHandshake(
    absl::string_view listener) const {
  absl::ReaderMutexLock lock(&mutex_);
  const PolicyVersion* present = InForce(listener);
  return present == nullptr ? nullptr : present->compiled;
}

absl::StatusOr<PolicyStore::Claim> PolicyStore::ClaimName(
    absl::string_view listener, const Policy& policy) {
  absl::MutexLock changes(&changes_);
  absl::erase_if(claims_,
                 [](const auto& claim) { return claim.second.expired(); });
  std::weak_ptr<const Policy>& present = claims_[std::string(listener)];
  if (Claim shared = present.lock(); shared != nullptr) {
    if (*shared == policy) return shared;
    return absl::FailedPreconditionError(absl::StrCat(
        "a listener called \"", listener,
        "\" is there already, whose context says something else of its "
        "clients, "
        "and listeners of one name have one policy: give this one another name "
        "(ListenerOptions::name), or the same verification and client_trust"));
  }
  auto claim = std::make_shared<const Policy>(policy);
  present = claim;
  // Those who had the name before it are gone, and what they said with them.
  absl::MutexLock lock(&mutex_);
  auto kept = versions_.find(listener);
  if (kept != versions_.end() && kept->second.back().configured &&
      kept->second.back().policy() != policy) {
    kept->second.pop_back();
    if (kept->second.empty()) versions_.erase(kept);
  }
  return claim;
}

absl::Status PolicyStore::EnsurePolicy(absl::string_view listener,
                                       const Policy& policy) {
  absl::MutexLock changes(&changes_);
  PolicyVersion version;
  {
    absl::ReaderMutexLock lock(&mutex_);
    if (Find(listener) != nullptr) return absl::OkStatus();
    const PolicyVersion* general = Find("");
    if (general != nullptr &&
        (!general->configured || general->policy() == policy)) {
      return absl::OkStatus();
    }
    if (general != nullptr) version.listener = std::string(listener);
  }
  version.author = "configuration";
  version.comment = "as the service was started";
  version.configured = true;
  absl::StatusOr<std::shared_ptr<const CompiledPolicy>> compiled =
      Compile(version, policy);
  if (!compiled.ok()) return compiled.status();
  version.compiled = *std::move(compiled);
  return Add(std::move(version)).status();
}

}  // namespace cordon::dtls
