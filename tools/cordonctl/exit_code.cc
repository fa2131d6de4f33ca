#include "cordon/tools/cordonctl/exit_code.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cordon/tools/cordonctl/printable.h"

namespace cordon::tools::ctl {
namespace {

constexpr char kUsage[] = "cordonctl.usage";

// Of gRPC's account of what it tried, the end, which says what happened.
std::string Cause(const std::string& message) {
  const size_t last = message.rfind("last error: ");
  if (last == std::string::npos) return PrintableText(message);
  absl::string_view cause = absl::string_view(message).substr(last + 12);
  absl::ConsumePrefix(&cause, "UNKNOWN: ");
  return PrintableText(cause);
}

}  // namespace

absl::Status UsageError(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsage, absl::Cord());
  return status;
}

absl::Status LocalError(absl::string_view message) {
  return absl::UnknownError(message);
}

absl::Status FromServer(const grpc::Status& status, absl::string_view target) {
  if (status.ok()) return absl::OkStatus();
  const std::string said = PrintableText(status.error_message());
  // A server of another version may send any number.
  switch (static_cast<int>(status.error_code())) {
    case grpc::StatusCode::UNAVAILABLE:
    // We cancel nothing ourselves: the server did, since it ends.
    case grpc::StatusCode::CANCELLED:
      return absl::UnavailableError(
          absl::StrCat("cannot reach ", Printable(target), ": ",
                       Cause(status.error_message())));
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return absl::DeadlineExceededError(
          absl::StrCat(Printable(target), " did not answer in time (", said,
                       "); --timeout gives it longer"));
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::UnimplementedError(
          absl::StrCat(Printable(target), " cannot do this: ",
                       said.empty() ? "it does not know the method" : said));
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return absl::PermissionDeniedError(
          absl::StrCat("permission denied", said.empty() ? "" : ": ", said));
    default:
      return {static_cast<absl::StatusCode>(status.error_code()),
              said.empty() ? absl::StrCat("the server failed with code ",
                                          status.error_code())
                           : said};
  }
}

ExitCode ExitCodeOf(const absl::Status& status) {
  if (status.GetPayload(kUsage).has_value()) return kExitUsage;
  // Abseil may have more codes one day.
  static constexpr std::pair<absl::StatusCode, ExitCode> kCodes[] = {
      {absl::StatusCode::kOk, kExitOk},
      {absl::StatusCode::kUnavailable, kExitUnreachable},
      {absl::StatusCode::kPermissionDenied, kExitPermissionDenied},
      {absl::StatusCode::kUnauthenticated, kExitPermissionDenied},
      {absl::StatusCode::kNotFound, kExitNotFound},
      {absl::StatusCode::kAborted, kExitAborted},
      {absl::StatusCode::kInvalidArgument, kExitInvalidInput},
      {absl::StatusCode::kOutOfRange, kExitInvalidInput},
      {absl::StatusCode::kDeadlineExceeded, kExitTimeout},
  };
  for (const auto& [code, exit_code] : kCodes) {
    if (code == status.code()) return exit_code;
  }
  return kExitError;
}

std::string ErrorLine(const absl::Status& status) {
  std::string line(status.message());
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return line;
}

}  // namespace cordon::tools::ctl
