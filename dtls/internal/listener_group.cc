#include "cordon/dtls/internal/listener_group.h"

#include <algorithm>

#include "absl/hash/hash.h"

namespace cordon::dtls::internal {
namespace {

// The groups of the process, by network and address.
struct Groups {
  using Name = std::pair<const void*, net::Endpoint>;

  static Groups& Get() {
    static Groups* const groups = new Groups;
    return *groups;
  }

  absl::Mutex mutex;
  absl::flat_hash_map<Name, std::weak_ptr<ListenerGroup>> by_name
      ABSL_GUARDED_BY(mutex);
};

bool IsAlive(const ListenerGroup::Member& member) {
  return member != nullptr && member->alive();
}

}  // namespace

std::shared_ptr<ListenerGroup> ListenerGroup::Of(const void* network,
                                                 const net::Endpoint& address) {
  Groups& groups = Groups::Get();
  absl::MutexLock lock(&groups.mutex);
  std::weak_ptr<ListenerGroup>& known = groups.by_name[{network, address}];
  std::shared_ptr<ListenerGroup> group = known.lock();
  if (group == nullptr) {
    group = std::make_shared<ListenerGroup>(network, address);
    known = group;
  }
  return group;
}

ListenerGroup::~ListenerGroup() {
  Groups& groups = Groups::Get();
  absl::MutexLock lock(&groups.mutex);
  const auto found = groups.by_name.find(name_);
  // There may be another one by now.
  if (found != groups.by_name.end() && found->second.expired()) {
    groups.by_name.erase(found);
  }
}

std::shared_ptr<AdmissionLedger> ListenerGroup::Ledger(
    const void* registry, const std::string& name,
    const ListenerLimits& limits) {
  absl::MutexLock lock(&mutex_);
  absl::erase_if(ledgers_,
                 [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<AdmissionLedger>& known = ledgers_[{registry, name}];
  std::shared_ptr<AdmissionLedger> ledger = known.lock();
  if (ledger == nullptr) {
    ledger = std::make_shared<AdmissionLedger>(limits);
    known = ledger;
  } else {
    ledger->Configure(limits);
  }
  return ledger;
}

void ListenerGroup::Join(const Member& member) {
  absl::MutexLock lock(&mutex_);
  // One that was left alone when its reactor ended is so no more.
  for (const Member& other : members_) other->RetireIfEnded();
  members_.push_back(member);
  members_count_ = members_.size();
}

void ListenerGroup::Leave(const Member& member) {
  absl::MutexLock lock(&mutex_);
  members_.erase(std::remove(members_.begin(), members_.end(), member),
                 members_.end());
  members_count_ = members_.size();
}

bool ListenerGroup::AnyAlive(const net::Reactor* but) const {
  absl::MutexLock lock(&mutex_);
  return std::any_of(members_.begin(), members_.end(),
                     [&](const Member& m) { return m->IsServed(but); });
}

ListenerGroup::Member ListenerGroup::Accepting(
    const Mailbox& but, const net::Endpoint& peer) const {
  absl::MutexLock lock(&mutex_);
  for (const bool same : {true, false}) {
    const auto fits = [&](const Member& m) {
      return m.get() != &but && m->accepting() &&
             (m->which() == but.which()) == same;
    };
    const auto count = static_cast<size_t>(
        std::count_if(members_.begin(), members_.end(), fits));
    if (count == 0) continue;
    size_t skipped = absl::Hash<net::Endpoint>()(peer) % count;
    for (const Member& member : members_) {
      if (fits(member) && skipped-- == 0) return member;
    }
  }
  return nullptr;
}

ListenerGroup::Member ListenerGroup::WithOldest(const Mailbox& but,
                                                absl::Time since) const {
  absl::MutexLock lock(&mutex_);
  Member oldest;
  for (const Member& member : members_) {
    if (member.get() == &but || member->which() != but.which() ||
        !member->accepting()) {
      continue;
    }
    if (const absl::Time its = member->oldest(); its < since) {
      since = its;
      oldest = member;
    }
  }
  return oldest;
}

const ListenerGroup::Shard& ListenerGroup::ShardOf(const Key& key) const {
  // Not the bits by which the shard's own table finds it.
  return shards_[(absl::Hash<Key>()(key) >> 32) % kShards];
}

ListenerGroup::Owners ListenerGroup::Find(const net::Path& path) const {
  const Key key = KeyOf(path);
  const Shard& shard = ShardOf(key);
  Owners owners;
  {
    absl::ReaderMutexLock lock(&shard.mutex);
    const auto found = shard.owners.find(key);
    if (found == shard.owners.end()) return owners;
    owners = found->second;
  }
  if (!IsAlive(owners.newcomer)) owners.newcomer = nullptr;
  if (!IsAlive(owners.session)) {
    owners.session = std::exchange(owners.newcomer, nullptr);
  }
  return owners;
}

void ListenerGroup::Claim(const net::Path& path, const Member& member) {
  const Key key = KeyOf(path);
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  Owners& owners = shard.owners[key];
  if (!IsAlive(owners.session) && owners.newcomer == nullptr) {
    owners.session = member;
  } else if (owners.session != member) {
    if (owners.newcomer == nullptr) split_peers_.fetch_add(1, kRelaxed);
    owners.newcomer = member;
  }
}

void ListenerGroup::Release(const net::Path& path, const Member& member) {
  const Key key = KeyOf(path);
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.owners.find(key);
  if (found == shard.owners.end()) return;
  Owners& owners = found->second;
  if (owners.session != member && owners.newcomer != member) return;
  if (owners.newcomer != nullptr) split_peers_.fetch_sub(1, kRelaxed);
  if (owners.session == member) owners.session = owners.newcomer;
  owners.newcomer = nullptr;
  if (owners.session == nullptr) shard.owners.erase(found);
}

ListenerGroup::Member ListenerGroup::Establish(const net::Path& path,
                                               const Member& member) {
  const Key key = KeyOf(path);
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.owners.find(key);
  if (found == shard.owners.end() || found->second.newcomer != member) {
    return nullptr;
  }
  split_peers_.fetch_sub(1, kRelaxed);
  found->second.newcomer = nullptr;
  return std::exchange(found->second.session, member);
}

size_t ListenerGroup::peers() const {
  size_t count = 0;
  for (const Shard& shard : shards_) {
    absl::ReaderMutexLock lock(&shard.mutex);
    count += shard.owners.size();
  }
  return count;
}

}  // namespace cordon::dtls::internal
