#include "cordon/dtls/control/log.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/net/base/line_writer.h"

namespace cordon::dtls::control {
namespace {

constexpr absl::string_view kNames[] = {"", "error", "warning", "info",
                                        "debug"};

// What ends a line or steers a terminal, also as a character of two or three
// bytes (U+0080 to U+009F, U+2028 and U+2029).
std::string Escaped(absl::string_view text) {
  std::string escaped;
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (byte(i) < 0x20 || byte(i) == 0x7f) {
      absl::StrAppend(&escaped, "\\x", absl::Hex(byte(i), absl::kZeroPad2));
    } else if (byte(i) == 0xc2 && byte(i + 1) >= 0x80 && byte(i + 1) < 0xa0) {
      absl::StrAppend(&escaped, "\\x", absl::Hex(byte(++i)));
    } else if (byte(i) == 0xe2 && byte(i + 1) == 0x80 &&
               (byte(i + 2) | 1) == 0xa9) {
      absl::StrAppend(&escaped, "\\u20", absl::Hex(byte(i + 2) - 0x80));
      i += 2;
    } else {
      escaped += text[i];
    }
  }
  return escaped;
}

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
  sink_(level, Escaped(text));
}

}  // namespace cordon::dtls::control
