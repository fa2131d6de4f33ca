// Quantities for people, and the way back.
#ifndef CORDON_TOOLS_CORDONCTL_UNITS_H_
#define CORDON_TOOLS_CORDONCTL_UNITS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace cordon::tools::ctl {

// "0s", "12s", "3m12s", "2h05m", "3d04h". Less than nothing is nothing: clocks
// of two machines differ.
std::string FormatAge(absl::Duration age);
// "350µs", "12.3ms", "1.25s", and ages from a minute on.
std::string FormatShort(absl::Duration duration);
// "2024-05-06 07:08:09", in the local time zone; "-" for none.
std::string FormatTime(const google::protobuf::Timestamp& time);
// "07:08:09".
std::string FormatClock(const google::protobuf::Timestamp& time);

// "512 B", "1.5 KiB", "34.1 MiB".
std::string FormatBytes(double bytes);
// "950", "12.3k", "4.56M": short, of three digits or so.
std::string FormatQuantity(double quantity);
// "1,234,567".
std::string FormatCount(uint64_t count);

absl::Duration ToDuration(const google::protobuf::Duration& duration);
absl::Time ToTime(const google::protobuf::Timestamp& time);
google::protobuf::Duration ToProto(absl::Duration duration);

// A flag's value of bytes: "1500", "64K", "1.5MiB". Units are of 1024.
struct ByteCount {
  uint64_t bytes = 0;
};
bool AbslParseFlag(absl::string_view text, ByteCount* flag, std::string* error);
std::string AbslUnparseFlag(const ByteCount& flag);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_UNITS_H_
