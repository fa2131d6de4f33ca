// Times as messages of the control service.
#ifndef CORDON_DTLS_CONTROL_TIME_PROTO_H_
#define CORDON_DTLS_CONTROL_TIME_PROTO_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace cordon::dtls::control {

// In microseconds. A time before the year 1 or after 9999, which a message
// cannot have but a certificate may say, is the first or the last that it can.
google::protobuf::Timestamp ToTimestamp(absl::Time time);
absl::Time FromProto(const google::protobuf::Timestamp& timestamp);

google::protobuf::Duration ToDuration(absl::Duration duration);
// kInvalidArgument, with the field's name: it is negative, or no duration.
absl::StatusOr<absl::Duration> FromProto(
    const google::protobuf::Duration& duration, absl::string_view field);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_TIME_PROTO_H_
