// A real reactor on a thread of its own.
//
//   ReactorThread thread;
//   thread.Do([&] { listener.emplace(thread.reactor(), registry, "public"); });
#ifndef CORDON_TESTING_FAKE_LISTENER_REACTOR_THREAD_H_
#define CORDON_TESTING_FAKE_LISTENER_REACTOR_THREAD_H_

#include <memory>
#include <thread>

#include "absl/functional/function_ref.h"
#include "cordon/net/reactor/reactor.h"

namespace cordon::testing {

class ReactorThread {
 public:
  ReactorThread();
  ~ReactorThread();
  ReactorThread(const ReactorThread&) = delete;
  ReactorThread& operator=(const ReactorThread&) = delete;

  net::Reactor& reactor() { return *reactor_; }

  // Runs `function` on the thread and returns when it has run.
  void Do(absl::FunctionRef<void()> function);

 private:
  std::unique_ptr<net::Reactor> reactor_;
  std::thread thread_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FAKE_LISTENER_REACTOR_THREAD_H_
