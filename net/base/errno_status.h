// The one place where errno becomes an `absl::Status`.
#ifndef CORDON_NET_BASE_ERRNO_STATUS_H_
#define CORDON_NET_BASE_ERRNO_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cordon::net {

// "<what>: <the system's text>", with the code that callers decide by:
// kUnavailable (the network or the peer is gone, an address is in use or not
// there), kPermissionDenied, kResourceExhausted (descriptors, memory, buffers),
// kInvalidArgument, kUnimplemented, and kInternal for all else.
absl::Status ErrnoStatus(int error, absl::string_view what);

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_ERRNO_STATUS_H_
