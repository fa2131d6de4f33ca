#include "cordon/dtls/registry.h"

#include <algorithm>
#include <utility>

namespace cordon::dtls {

std::vector<std::shared_ptr<ListenerHandle>> Registry::listeners() const {
  std::vector<std::shared_ptr<ListenerHandle>> alive;
  absl::ReaderMutexLock lock(&mutex_);
  for (const std::shared_ptr<ListenerHandle>& listener : listeners_) {
    if (listener->alive()) alive.push_back(listener);
  }
  return alive;
}

std::vector<std::shared_ptr<ListenerHandle>> Registry::listeners(
    absl::string_view name) const {
  std::vector<std::shared_ptr<ListenerHandle>> found = listeners();
  if (!name.empty()) {
    found.erase(std::remove_if(found.begin(), found.end(),
                               [&](const std::shared_ptr<ListenerHandle>& l) {
                                 return l->name() != name;
                               }),
                found.end());
  }
  return found;
}

std::shared_ptr<ListenerHandle> Registry::Add(const std::string& name,
                                              const net::Endpoint& local,
                                              net::Reactor& reactor,
                                              ListenerAdmin& admin) {
  std::shared_ptr<ListenerHandle> handle;
  std::vector<std::weak_ptr<RegistryObserver>> observers;
  {
    absl::MutexLock lock(&mutex_);
    auto seen = std::find(reactors_.begin(), reactors_.end(), &reactor);
    const auto index = static_cast<uint32_t>(seen - reactors_.begin());
    if (seen == reactors_.end()) reactors_.push_back(&reactor);
    handle =
        std::make_shared<ListenerHandle>(name, index, local, reactor.backend());
    handle->self_ = handle;
    handle->Attach(&reactor, &admin);
    listeners_.push_back(handle);
    observers = observers_;
  }
  for (const std::weak_ptr<RegistryObserver>& weak : observers) {
    if (auto observer = weak.lock()) observer->OnListenerAdded(handle);
  }
  return handle;
}

void Registry::AddObserver(std::weak_ptr<RegistryObserver> observer) {
  absl::MutexLock lock(&mutex_);
  observers_.erase(
      std::remove_if(observers_.begin(), observers_.end(),
                     [](const std::weak_ptr<RegistryObserver>& weak) {
                       return weak.expired();
                     }),
      observers_.end());
  observers_.push_back(std::move(observer));
}

void Registry::Remove(const std::shared_ptr<ListenerHandle>& listener) {
  listener->Detach();
  absl::MutexLock lock(&mutex_);
  listeners_.erase(std::remove(listeners_.begin(), listeners_.end(), listener),
                   listeners_.end());
}

}  // namespace cordon::dtls
