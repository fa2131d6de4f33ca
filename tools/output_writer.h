// The standard output, for coroutines.
#ifndef CORDON_TOOLS_OUTPUT_WRITER_H_
#define CORDON_TOOLS_OUTPUT_WRITER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/wait_queue.h"

namespace cordon::tools {

// Writes on a thread of its own, because files, pipes and terminals block: the
// reactor goes on, whoever reads the output, and nothing is lost.
class OutputWriter {
 public:
  explicit OutputWriter(net::Reactor& reactor);
  OutputWriter(const OutputWriter&) = delete;
  OutputWriter& operator=(const OutputWriter&) = delete;
  // Drops what has not been written.
  ~OutputWriter();

  // Takes `text`, and suspends while more than `kMaxAhead` bytes wait. An error
  // once the output has failed. Stop: kCancelled; `text` is written all the
  // same.
  net::Task<absl::Status> Write(std::string text);
  // Suspends until all is written. Stop: kCancelled.
  net::Task<absl::Status> Flush();
  // Suspends until the output fails: never OK. Stop: kCancelled.
  net::Task<absl::Status> Failure();

  static constexpr size_t kMaxAhead = 65536;

 private:
  // For the reactor's thread. What was posted may run after the writer has
  // gone.
  struct Progress {
    size_t ahead = 0;
    absl::Status failure;
    net::WaitQueue changed;
  };

  // On the thread.
  void Run();
  absl::Status WriteAll(const std::string& text);

  net::Reactor& reactor_;
  const std::shared_ptr<Progress> progress_ = std::make_shared<Progress>();
  absl::Mutex mutex_;
  std::string waiting_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  net::UniqueFd end_fd_;
  std::thread thread_;
};

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_OUTPUT_WRITER_H_
