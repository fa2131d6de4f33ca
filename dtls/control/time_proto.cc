#include "cordon/dtls/control/time_proto.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace cordon::dtls::control {

using google::protobuf::util::TimeUtil;

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  // `TimeUtil` throws beyond these.
  constexpr int64_t kFirst = TimeUtil::kTimestampMinSeconds * 1'000'000;
  constexpr int64_t kLast =
      TimeUtil::kTimestampMaxSeconds * 1'000'000 + 999'999;
  return TimeUtil::MicrosecondsToTimestamp(
      std::clamp(absl::ToUnixMicros(time), kFirst, kLast));
}

absl::Time FromProto(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) +
         absl::Nanoseconds(timestamp.nanos());
}

google::protobuf::Duration ToDuration(absl::Duration duration) {
  return TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(duration));
}

absl::StatusOr<absl::Duration> FromProto(
    const google::protobuf::Duration& duration, absl::string_view field) {
  if (duration.seconds() < 0 ||
      duration.seconds() > TimeUtil::kDurationMaxSeconds ||
      duration.nanos() < 0 || duration.nanos() > 999'999'999) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": ", duration.seconds(), " s and ",
                     duration.nanos(), " ns: it must be a time from 0 on"));
  }
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

}  // namespace cordon::dtls::control
