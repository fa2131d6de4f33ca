// Makes the best reactor that this machine allows.
#ifndef CORDON_NET_REACTOR_MAKE_REACTOR_H_
#define CORDON_NET_REACTOR_MAKE_REACTOR_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/net/reactor/reactor.h"

namespace cordon::net {

enum class Backend {
  kAuto,     // io_uring, or epoll where it is refused
  kIoUring,  // io_uring, or an error
  kEpoll,
};

struct ReactorOptions {
  Backend backend = Backend::kAuto;
};

// Finds out which system calls the kernel, or a container's filter, lets this
// thread make, and makes do with them: io_uring, or epoll with recvmmsg and
// sendmmsg, or epoll with a call for each datagram. An error where nothing
// works. What is not the best is said once on stderr, with its reason;
// `Reactor::backend` tells what was chosen.
absl::StatusOr<std::unique_ptr<Reactor>> MakeReactor(
    const ReactorOptions& options);

// "auto", "io_uring" and "epoll", for command lines.
bool AbslParseFlag(absl::string_view text, Backend* backend,
                   std::string* error);
std::string AbslUnparseFlag(Backend backend);

}  // namespace cordon::net

#endif  // CORDON_NET_REACTOR_MAKE_REACTOR_H_
