// SIGINT and SIGTERM as a wish to end in order.
//
//   tools::Interruption interruption([&] { reactor.RequestStop(); });
//   ... run, and close what is open ...
//   interruption.EndAsAsked();
#ifndef CORDON_TOOLS_INTERRUPTION_H_
#define CORDON_TOOLS_INTERRUPTION_H_

#include <csignal>
#include <functional>
#include <thread>

#include "cordon/net/base/unique_fd.h"

namespace cordon::tools {

// To be made before other threads are started, which inherit that they do not
// get the signals; lives until those have ended.
class Interruption {
 public:
  // Calls `wish` on a thread of its own, once, when one of the signals comes.
  // After that they have their usual effect again: who asks twice does not
  // want to wait.
  explicit Interruption(std::function<void()> wish);
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  ~Interruption();

  // No more wishes from now on. If there was one, ends the process by the same
  // signal, so that shells see what has happened.
  void EndAsAsked();

 private:
  void Await(const std::function<void()>& wish);
  void Join();

  sigset_t signals_ = {};
  // By the thread, until it has been joined.
  int asked_by_ = 0;
  net::UniqueFd end_fd_;
  std::thread thread_;
};

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_INTERRUPTION_H_
