// Lines of a log, for a descriptor that may block: nobody who has something to
// say ever waits for whoever reads it.
//
//   LineWriter::StandardError().Write("server: it rains");
//
// A thread of the writer's own writes them, in order. As many wait for it as
// there is room for; more are lost, as are those that cannot be written. The
// next line that is written again is preceded by one that tells how many.
#ifndef CORDON_NET_BASE_LINE_WRITER_H_
#define CORDON_NET_BASE_LINE_WRITER_H_

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace cordon::net {

// Thread-safe. Has no part in a process that is forked off and executes no
// other program.
class LineWriter {
 public:
  // What may wait to be written, in bytes.
  static constexpr size_t kMaxQueuedBytes = size_t{256} << 10;
  // How long a program that ends waits for those who read its log.
  static constexpr absl::Duration kPatienceAtExit = absl::Seconds(1);

  struct Statistics {
    uint64_t written = 0;  // lines
    uint64_t lost = 0;     // lines
  };

  // `fd` must stay open as long as the writer lives.
  explicit LineWriter(int fd, size_t max_queued_bytes = kMaxQueuedBytes);
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  // Drops what waits; waits itself only for a write that has begun.
  ~LineWriter();

  // The process's. A program that returns from `main` or calls `exit` waits at
  // its end, but not for ever, until all is written.
  static LineWriter& StandardOutput();
  static LineWriter& StandardError();

  // `line` without its line end. Never waits for the descriptor.
  void Write(absl::string_view line);

  // Waits until nothing is left to write, for at most `patience`; false if
  // something is left.
  bool Flush(absl::Duration patience);

  Statistics statistics() const;

 private:
  struct Line {
    std::string text;
    // Lines that were lost since the one before.
    uint64_t lost_before = 0;
  };

  // False if there is no thread and none can be had.
  bool EnsureThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void* RunThread(void* self);
  void Run();
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool MayRun() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return ended_ || HasWork();
  }
  bool Idle() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !writing_ && !HasWork();
  }

  const int fd_;
  const size_t max_queued_bytes_;
  mutable absl::Mutex mutex_;
  pthread_t thread_ ABSL_GUARDED_BY(mutex_) = {};
  bool has_thread_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Line> queue_ ABSL_GUARDED_BY(mutex_);
  // With the line that is being written.
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  // The last write was good.
  bool works_ ABSL_GUARDED_BY(mutex_) = true;
  // Lines that were lost since the last one in the queue.
  uint64_t untold_ ABSL_GUARDED_BY(mutex_) = 0;
  Statistics statistics_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_LINE_WRITER_H_
