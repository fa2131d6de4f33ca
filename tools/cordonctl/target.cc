#include "cordon/tools/cordonctl/target.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cordon/tools/cordonctl/exit_code.h"
#include "cordon/tools/cordonctl/printable.h"

namespace cordon::tools::ctl {
namespace {

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return UsageError(absl::StrCat("the target \"", Printable(text), "\" ", why,
                                 "; give unix:/PATH or HOST:PORT"));
}

bool IsLoopback(const std::string& host) {
  in_addr v4 = {};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return ntohl(v4.s_addr) >> 24 == 127;
  }
  in6_addr v6 = {};
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
    return IN6_IS_ADDR_LOOPBACK(&v6);
  }
  return host == "localhost";
}

}  // namespace

absl::StatusOr<Target> ParseTarget(absl::string_view text) {
  Target target;
  absl::string_view path = text;
  if (absl::ConsumePrefix(&path, "unix:")) {
    // gRPC's other form.
    if (absl::StartsWith(path, "///")) path.remove_prefix(2);
    if (path.empty()) return Bad(text, "has no path");
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
      return Bad(text,
                 absl::StrCat("has a path of more than ",
                              sizeof(sockaddr_un::sun_path) - 1, " bytes"));
    }
    target.uri = absl::StrCat("unix:", path);
    target.is_unix = true;
    return target;
  }
  if (absl::StrContains(text, "/")) return Bad(text, "is not one");
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return Bad(text, "has no port");
  absl::string_view host = text.substr(0, colon);
  uint32_t port = 0;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &port) || port == 0 ||
      port > 65535) {
    return Bad(text, "has a port that is not between 1 and 65535");
  }
  const bool brackets = absl::ConsumePrefix(&host, "[");
  if (brackets != absl::ConsumeSuffix(&host, "]") ||
      (!brackets && absl::StrContains(host, ":"))) {
    return Bad(text, "needs brackets around its IPv6 address");
  }
  if (host.empty()) return Bad(text, "has no host");
  target.host = std::string(host);
  target.is_loopback = IsLoopback(target.host);
  target.uri = absl::StrCat("dns:///", brackets ? "[" : "", host,
                            brackets ? "]" : "", ":", port);
  return target;
}

}  // namespace cordon::tools::ctl
