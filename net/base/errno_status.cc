#include "cordon/net/base/errno_status.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace cordon::net {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case ENODEV:
      return absl::StatusCode::kUnavailable;
    case EPERM:
    case EACCES:
      return absl::StatusCode::kPermissionDenied;
    case ENOMEM:
    case ENFILE:
    case EMFILE:
    case ENOBUFS:
    case EAGAIN:
      return absl::StatusCode::kResourceExhausted;
    case EINVAL:
    case EMSGSIZE:
    case EAFNOSUPPORT:
      return absl::StatusCode::kInvalidArgument;
    case ENOSYS:
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
      return absl::StatusCode::kUnimplemented;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  char buffer[128];
  // The GNU form of strerror_r: thread-safe, and returns the text.
  const char* text = strerror_r(error, buffer, sizeof(buffer));
  return absl::Status(CodeOf(error), absl::StrCat(what, ": ", text));
}

}  // namespace cordon::net
