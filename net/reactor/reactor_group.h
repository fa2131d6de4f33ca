// Several reactors, each on a thread of its own: a server on many cores.
//
//   absl::StatusOr<net::ReactorGroup> group =
//       net::ReactorGroup::Create({.reactors = 0});   // one per core
//   absl::Status status = group->RunOnEach(
//       [&](net::Reactor& reactor) { return Serve(reactor, at, context); });
//
// The reactors share nothing. A listener on each binds the same port with
// `reuse_port`; the kernel spreads the peers over them, and the listeners see
// to it that nothing is lost when one of them comes or goes (dtls/listener.h).
#ifndef CORDON_NET_REACTOR_REACTOR_GROUP_H_
#define CORDON_NET_REACTOR_REACTOR_GROUP_H_

#include <cstddef>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"

namespace cordon::net {

// More than machines have cores.
inline constexpr size_t kMaxReactors = 1024;

// Move-only. `RunOnEach` is called once; `RequestStop` from anywhere.
class ReactorGroup {
 public:
  struct Options {
    // How many, up to `kMaxReactors`; 0: one for each core that this process
    // may use, by its affinity and by the quotas of its control groups (as of a
    // container with a CPU limit).
    size_t reactors = 0;
    ReactorOptions reactor = {};
    // Bind each thread to a core.
    bool pin = false;
  };

  static absl::StatusOr<ReactorGroup> Create(const Options& options);
  ReactorGroup(ReactorGroup&&) noexcept;
  ReactorGroup& operator=(ReactorGroup&&) noexcept;
  ~ReactorGroup();

  size_t size() const;
  // `index` is below `size()`. On another thread only its thread-safe functions
  // may be called.
  Reactor& reactor(size_t index);

  // Calls `make` once on each reactor's thread and runs the task that it
  // returns. Blocks until all have ended. When one ends with an error, the
  // others are asked to stop; returns the first error.
  absl::Status RunOnEach(
      absl::FunctionRef<Task<absl::Status>(Reactor& reactor)> make);

  // Thread-safe. Asks the tasks of all reactors to stop.
  void RequestStop();

 private:
  struct State;
  explicit ReactorGroup(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_REACTOR_REACTOR_GROUP_H_
