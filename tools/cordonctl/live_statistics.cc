#include "cordon/tools/cordonctl/live_statistics.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <deque>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/tools/cordonctl/live_view.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/rates.h"
#include "cordon/tools/cordonctl/screen.h"
#include "cordon/tools/cordonctl/style.h"

namespace cordon::tools::ctl {
namespace {

// Reads the stream on a thread of its own, and wakes the one that draws.
class Reader {
 public:
  Reader(const pb::WatchStatisticsRequest& request, Connection* connection)
      : wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        thread_([this, request, connection] { Run(request, connection); }) {}
  ~Reader() {
    context_.TryCancel();
    thread_.join();
  }

  int wake_fd() const { return wake_.get(); }

  // What has come since the last time. Then the status is that of the end of
  // the stream, if it has ended.
  std::pair<std::deque<pb::Statistics>, std::optional<absl::Status>> Take() {
    uint64_t times = 0;
    (void)!read(wake_.get(), &times, sizeof(times));
    absl::MutexLock lock(&mutex_);
    return {std::exchange(come_, {}), end_};
  }

 private:
  void Run(const pb::WatchStatisticsRequest& request, Connection* connection) {
    absl::Status end =
        connection->Watch<pb::WatchStatisticsRequest, pb::Statistics>(
            &Stub::WatchStatistics, request, &context_,
            [this](const pb::Statistics& statistics) {
              {
                absl::MutexLock lock(&mutex_);
                come_.push_back(statistics);
              }
              Wake();
              return true;
            });
    {
      absl::MutexLock lock(&mutex_);
      end_ = std::move(end);
    }
    Wake();
  }

  void Wake() {
    const uint64_t once = 1;
    (void)!write(wake_.get(), &once, sizeof(once));
  }

  grpc::ClientContext context_;
  const net::UniqueFd wake_;
  absl::Mutex mutex_;
  std::deque<pb::Statistics> come_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  // Last, since it uses the others.
  std::thread thread_;
};

}  // namespace

absl::Status ShowLiveStatistics(const pb::WatchStatisticsRequest& request,
                                uint64_t count, Connection* connection) {
  // Before the screen is taken, so that its errors are seen as others are.
  if (absl::Status status = connection->Reach(); !status.ok()) return status;
  const Style style = StyleOf(STDOUT_FILENO);
  const std::string target = Printable(connection->target());
  History history;
  uint64_t shown = 0;
  Reader reader(request, connection);
  Screen screen;
  while (true) {
    const Screen::Event event = screen.Wait(reader.wake_fd());
    if (event == Screen::Event::kQuit) return absl::OkStatus();
    if (event == Screen::Event::kWoken) {
      auto [come, end] = reader.Take();
      for (const pb::Statistics& statistics : come) {
        history.Add(statistics);
        if (++shown == count) {
          screen.Draw(DrawFrame(history, target, screen.size(), style));
          return absl::OkStatus();
        }
      }
      if (end.has_value()) return *end;
    }
    if (shown > 0) {
      screen.Draw(DrawFrame(history, target, screen.size(), style));
    }
  }
}

}  // namespace cordon::tools::ctl
