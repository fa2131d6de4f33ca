#include "cordon/net/reactor/make_reactor.h"

#include <utility>

#include "absl/base/call_once.h"
#include "absl/strings/str_cat.h"
#include "cordon/net/base/line_writer.h"
#include "cordon/net/epoll/epoll_reactor.h"
#include "cordon/net/uring/uring_reactor.h"

namespace cordon::net {
namespace {

void Say(const std::string& what) {
  LineWriter::StandardError().Write(absl::StrCat("cordon: ", what));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Reactor>> MakeReactor(
    const ReactorOptions& options) {
  if (options.backend != Backend::kEpoll) {
    absl::StatusOr<std::unique_ptr<UringReactor>> uring =
        UringReactor::Create({});
    if (uring.ok()) return *std::move(uring);
    if (options.backend == Backend::kIoUring) return uring.status();
    static absl::once_flag said;
    absl::call_once(said, Say,
                    absl::StrCat("using epoll: ", uring.status().message()));
  }
  absl::StatusOr<std::unique_ptr<EpollReactor>> epoll =
      EpollReactor::Create({});
  if (!epoll.ok()) return epoll.status();
  if (const std::string& limitation = (*epoll)->limitation();
      !limitation.empty()) {
    static absl::once_flag said;
    absl::call_once(
        said, Say,
        absl::StrCat("a system call for each datagram: ", limitation));
  }
  return *std::move(epoll);
}

bool AbslParseFlag(absl::string_view text, Backend* backend,
                   std::string* error) {
  if (text == "auto") {
    *backend = Backend::kAuto;
  } else if (text == "io_uring") {
    *backend = Backend::kIoUring;
  } else if (text == "epoll") {
    *backend = Backend::kEpoll;
  } else {
    *error = absl::StrCat("\"", text, "\" is not auto, io_uring or epoll");
    return false;
  }
  return true;
}

std::string AbslUnparseFlag(Backend backend) {
  switch (backend) {
    case Backend::kAuto:
      return "auto";
    case Backend::kIoUring:
      return "io_uring";
    case Backend::kEpoll:
      return "epoll";
  }
  return "";
}

}  // namespace cordon::net
