#include "cordon/testing/fake_listener/reactor_thread.h"

#include <cstdio>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/timeout.h"

namespace cordon::testing {
namespace {

net::Task<absl::Status> UntilStopped() {
  co_return co_await net::SleepFor(absl::InfiniteDuration());
}

}  // namespace

ReactorThread::ReactorThread() {
  absl::StatusOr<std::unique_ptr<net::Reactor>> reactor =
      net::MakeReactor({.backend = net::Backend::kEpoll});
  if (!reactor.ok()) {
    std::fprintf(stderr, "no reactor: %s\n",
                 reactor.status().ToString().c_str());
    std::abort();
  }
  reactor_ = *std::move(reactor);
  thread_ = std::thread([this] { (void)reactor_->Run(UntilStopped()); });
}

ReactorThread::~ReactorThread() {
  reactor_->RequestStop();
  thread_.join();
}

void ReactorThread::Do(absl::FunctionRef<void()> function) {
  absl::Notification done;
  const bool taken = reactor_->Post([&] {
    function();
    done.Notify();
  });
  if (!taken) {
    std::fputs("the reactor has ended\n", stderr);
    std::abort();
  }
  done.WaitForNotification();
}

}  // namespace cordon::testing
