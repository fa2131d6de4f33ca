#include "cordon/dtls/control/log.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/net/base/line_writer.h"
#include "cordon/net/base/printable.h"

namespace cordon::dtls::control {
namespace {

constexpr absl::string_view kNames[] = {"", "error", "warning", "info",
                                        "debug"};

void ToStandardError(LogLevel level, absl::string_view line) {
  const std::string text =
      absl::StrCat(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(),
                                    absl::UTCTimeZone()),
                   " cordon: ", kNames[static_cast<size_t>(level)], ": ", line);
  net::LineWriter::StandardError().Write(text);
}

}  // namespace

Log::Log(Sink sink, LogLevel level)
    : sink_(sink == nullptr ? Sink(ToStandardError) : std::move(sink)),
      level_(level) {}

void Log::Write(LogLevel level, absl::string_view text) {
  if (level > this->level()) return;
  sink_(level, net::PrintableText(text, net::kMaxLineBytes));
}

}  // namespace cordon::dtls::control
