// Runs a task and interrupts it at one of the points at which it rests.
//
//   Interrupter interrupter(reactor);
//   Outcome whole = co_await interrupter.Run(Work(), {});
//   for (size_t step = 0; step < whole.steps.size(); ++step) {
//     const Interruption at = {Interruption::kStop, step, whole.steps[step]};
//     Outcome outcome = co_await interrupter.Run(Work(), at);
//     ...
//   }
//
// Steps are turns of the reactor's loop. An interruption comes when what woke
// the task in that turn, a datagram or a timer, has been delivered and the task
// has not run yet: both what waits and what is about to go on is interrupted.
#ifndef CORDON_TESTING_LIFE_INTERRUPTER_H_
#define CORDON_TESTING_LIFE_INTERRUPTER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"

namespace cordon::testing {

struct Interruption {
  enum Kind {
    kNone,
    kStop,
    kTimeout,
    kDestroy,
    // And, with it, what it works on.
    kDestroyOwner,
  };
  Kind kind = kNone;
  size_t step = 0;
  // For `kTimeout`: how long after the beginning that step is.
  absl::Duration after = absl::ZeroDuration();
};

absl::string_view NameOf(Interruption::Kind kind);

struct Outcome {
  // False if the task was destroyed before.
  bool returned = false;
  absl::Status status;
  // How long after the beginning each step was.
  std::vector<absl::Duration> steps;

  bool done() const { return returned && status.ok(); }
};

// Whether a task that was interrupted in this way may have ended so: as if
// nothing had been, or with the error that belongs to the interruption.
bool Fits(Interruption::Kind kind, const Outcome& outcome);

class Interrupter {
 public:
  // Nothing simulated ever takes as long.
  static constexpr absl::Duration kPatience = absl::Minutes(10);

  // On a reactor that is not simulated only those turns are steps in which the
  // number that `progress` yields has changed.
  explicit Interrupter(net::Reactor& reactor,
                       std::function<uint64_t()> progress = nullptr)
      : reactor_(reactor), progress_(std::move(progress)) {}

  // `destroy_owner` is called, outside of any coroutine, after the task was
  // destroyed.
  net::Task<Outcome> Run(net::Task<absl::Status> task,
                         Interruption interruption,
                         std::function<void()> destroy_owner = nullptr);

 private:
  struct Running;

  static net::Task<absl::Status> Observe(Running& running,
                                         net::Task<absl::Status> task);
  void AwaitNextTurn(std::shared_ptr<Running> running);
  void OnTurn(Running& running);

  net::Reactor& reactor_;
  const std::function<uint64_t()> progress_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_LIFE_INTERRUPTER_H_
