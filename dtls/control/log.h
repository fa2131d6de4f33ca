// What the control service tells of itself: who changed what, and what it could
// not do. No secrets.
#ifndef CORDON_DTLS_CONTROL_LOG_H_
#define CORDON_DTLS_CONTROL_LOG_H_

#include <atomic>
#include <functional>

#include "absl/strings/string_view.h"

namespace cordon::dtls::control {

enum class LogLevel { kError = 1, kWarning = 2, kInfo = 3, kDebug = 4 };

// Thread-safe.
class Log {
 public:
  using Sink = std::function<void(LogLevel level, absl::string_view line)>;

  // Without `sink`, lines go to the standard error output; nobody waits for
  // whoever reads it, and lines that cannot be written are counted there. A
  // `sink` is called by whoever has something to say, and must not block.
  explicit Log(Sink sink = nullptr, LogLevel level = LogLevel::kInfo);

  LogLevel level() const { return level_.load(std::memory_order_relaxed); }
  void set_level(LogLevel level) { level_.store(level); }

  // One line, if `level` is told at all, as `net::PrintableText` writes it and
  // of at most `net::kMaxLineBytes`: a caller cannot write a line that looks
  // like another's.
  void Write(LogLevel level, absl::string_view text);

 private:
  const Sink sink_;
  std::atomic<LogLevel> level_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_LOG_H_
