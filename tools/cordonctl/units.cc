#include "cordon/tools/cordonctl/units.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cordon::tools::ctl {
namespace {

std::string FormatAt(const google::protobuf::Timestamp& time,
                     absl::string_view format) {
  if (time.seconds() == 0 && time.nanos() == 0) return "-";
  return absl::FormatTime(format, ToTime(time), absl::LocalTimeZone());
}

// Three digits: 1.23, 12.3, 123.
std::string ThreeDigits(double value) {
  return absl::StrFormat("%.*f",
                         value < 9.995   ? 2
                         : value < 99.95 ? 1
                                         : 0,
                         value);
}

}  // namespace

std::string FormatAge(absl::Duration age) {
  if (age == absl::InfiniteDuration()) return "-";
  const int64_t seconds =
      std::max<int64_t>(0, absl::ToInt64Seconds(age + absl::Milliseconds(1)));
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) {
    return absl::StrFormat("%dm%02ds", seconds / 60, seconds % 60);
  }
  const int64_t minutes = seconds / 60;
  if (minutes < 1440) {
    return absl::StrFormat("%dh%02dm", minutes / 60, minutes % 60);
  }
  return absl::StrFormat("%dd%02dh", minutes / 1440, minutes / 60 % 24);
}

std::string FormatShort(absl::Duration duration) {
  if (duration <= absl::ZeroDuration()) return "0s";
  if (duration < absl::Milliseconds(1)) {
    return absl::StrCat(absl::ToInt64Microseconds(duration), "µs");
  }
  if (duration < absl::Seconds(1)) {
    return absl::StrCat(ThreeDigits(absl::ToDoubleMilliseconds(duration)),
                        "ms");
  }
  if (duration < absl::Minutes(1)) {
    return absl::StrCat(ThreeDigits(absl::ToDoubleSeconds(duration)), "s");
  }
  return FormatAge(duration);
}

std::string FormatTime(const google::protobuf::Timestamp& time) {
  return FormatAt(time, "%Y-%m-%d %H:%M:%S");
}

std::string FormatClock(const google::protobuf::Timestamp& time) {
  return FormatAt(time, "%H:%M:%S");
}

std::string FormatBytes(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1023.5) return absl::StrFormat("%.0f B", bytes);
  size_t unit = 0;
  // What would be shown as 1024 is one of the next unit.
  while (bytes >= 1023.5 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", bytes, kUnits[unit]);
}

std::string FormatQuantity(double quantity) {
  if (quantity < 999.5) {
    if (quantity == std::floor(quantity) || quantity >= 99.95) {
      return absl::StrFormat("%.0f", quantity);
    }
    return absl::StrFormat("%.1f", quantity);
  }
  constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P"};
  size_t unit = 0;
  while (quantity >= 999.5 && unit + 1 < std::size(kUnits)) {
    quantity /= 1000;
    ++unit;
  }
  return absl::StrCat(ThreeDigits(quantity), kUnits[unit]);
}

std::string FormatCount(uint64_t count) {
  std::string text = absl::StrCat(count);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration proto;
  const int64_t seconds =
      absl::IDivDuration(duration, absl::Seconds(1), &duration);
  proto.set_seconds(seconds);
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return proto;
}

bool AbslParseFlag(absl::string_view text, ByteCount* flag,
                   std::string* error) {
  const size_t digits = text.find_first_not_of("0123456789.");
  const std::string unit = absl::AsciiStrToUpper(
      digits == absl::string_view::npos ? "" : text.substr(digits));
  constexpr const char* kUnits[] = {"", "K", "M", "G", "T"};
  double factor = 1;
  for (const char* name : kUnits) {
    double number = 0;
    if (unit == name || (*name != '\0' && (unit == absl::StrCat(name, "B") ||
                                           unit == absl::StrCat(name, "IB")))) {
      if (!absl::SimpleAtod(text.substr(0, digits), &number) ||
          number * factor >= 0x1p63) {
        break;
      }
      flag->bytes = static_cast<uint64_t>(number * factor);
      return true;
    }
    factor *= 1024;
  }
  *error = "is not a number of bytes such as 1500, 64K or 1.5M";
  return false;
}

std::string AbslUnparseFlag(const ByteCount& flag) {
  return absl::StrCat(flag.bytes);
}

}  // namespace cordon::tools::ctl
