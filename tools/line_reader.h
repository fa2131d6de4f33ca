// The lines of the standard input, for coroutines.
#ifndef CORDON_TOOLS_LINE_READER_H_
#define CORDON_TOOLS_LINE_READER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/channel.h"
#include "cordon/net/task/task.h"

namespace cordon::tools {

// Reads lines on a thread of its own, because files and terminals block, and
// hands them to the reactor, at most `kMaxAhead` ahead of what was taken.
class LineReader {
 public:
  explicit LineReader(net::Reactor& reactor);
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  ~LineReader();

  // kOutOfRange at the end of the input; another code: it cannot be read, or a
  // line has more than `kMaxLineBytes`.
  net::Task<absl::StatusOr<std::string>> Next();

  static constexpr size_t kMaxLineBytes = 65536;

 private:
  static constexpr size_t kMaxAhead = 256;

  // What was posted may run after the reader has gone.
  struct Input {
    net::Channel<std::string> lines{kMaxAhead};
    absl::Status end;
  };

  void Emit(std::string line);
  // Why the input ended.
  absl::Status Read();

  net::Reactor& reactor_;
  const std::shared_ptr<Input> input_ = std::make_shared<Input>();
  absl::Mutex mutex_;
  size_t ahead_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  net::UniqueFd end_fd_;
  std::thread thread_;
};

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_LINE_READER_H_
