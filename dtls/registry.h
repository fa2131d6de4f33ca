// The listeners of a process, and the policies that they follow: what a control
// service works on.
//
//   auto registry = std::make_shared<dtls::Registry>();
//   dtls::ListenerOptions options;
//   options.name = "public";
//   options.registry = registry;
//   auto listener = dtls::Listener::Bind(reactor, at, context, options);
//
// On another thread:
//
//   for (const auto& listener : registry->listeners()) {
//     listener->Post([](dtls::ListenerAdmin& admin) {
//       admin.Drain(absl::Seconds(30));
//     });
//   }
#ifndef CORDON_DTLS_REGISTRY_H_
#define CORDON_DTLS_REGISTRY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/dtls/policy_store.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"

namespace cordon::dtls {

// Hears of listeners that come. Called on their reactors' threads: must be
// quick.
class RegistryObserver {
 public:
  virtual ~RegistryObserver() = default;
  virtual void OnListenerAdded(
      const std::shared_ptr<ListenerHandle>& listener) = 0;
};

// Thread-safe. Shared by its listeners.
class Registry {
 public:
  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The policies of all listeners. A listener's options are its policy until
  // somebody sets one.
  PolicyStore& policies() { return policies_; }
  const PolicyStore& policies() const { return policies_; }

  // Those that are there now, in the order in which they came. One whose
  // reactor has ended is not.
  std::vector<std::shared_ptr<ListenerHandle>> listeners() const;
  // Those of one name; of all if it is empty.
  std::vector<std::shared_ptr<ListenerHandle>> listeners(
      absl::string_view name) const;

  absl::Time started() const { return started_; }

  // For as long as it lives.
  void AddObserver(std::weak_ptr<RegistryObserver> observer);

  // For listeners, on their reactor's thread.
  std::shared_ptr<ListenerHandle> Add(const std::string& name,
                                      const net::Endpoint& local,
                                      net::Reactor& reactor,
                                      ListenerAdmin& admin);
  void Remove(const std::shared_ptr<ListenerHandle>& listener);

 private:
  const absl::Time started_ = absl::Now();
  PolicyStore policies_;
  mutable absl::Mutex mutex_;
  std::vector<std::shared_ptr<ListenerHandle>> listeners_
      ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<RegistryObserver>> observers_
      ABSL_GUARDED_BY(mutex_);
  // Reactors in the order in which they were seen first. They are compared,
  // never used.
  std::vector<const net::Reactor*> reactors_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_REGISTRY_H_
