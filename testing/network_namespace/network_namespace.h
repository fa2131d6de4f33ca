// A piece of a test that runs in a network of its own, with nothing in it but a
// loopback interface, of which it is the administrator.
//
//   const NamespaceResult result = RunInNetworkNamespace([] {
//     EXPECT_EQ(SetLoopbackUp(false), absl::OkStatus());
//     ...
//   });
//   if (!result.allowed) GTEST_SKIP() << result.reason;
//   EXPECT_TRUE(result.passed);
#ifndef CORDON_TESTING_NETWORK_NAMESPACE_NETWORK_NAMESPACE_H_
#define CORDON_TESTING_NETWORK_NAMESPACE_NETWORK_NAMESPACE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::testing {

struct NamespaceResult {
  // False where the system gives nobody like us a network; then `reason` says
  // why.
  bool allowed = false;
  std::string reason;
  // `body` ran to its end, without a failure.
  bool passed = false;
};

// Runs `body` in a child process, which takes over this process's only thread:
// call it before others are started.
NamespaceResult RunInNetworkNamespace(absl::FunctionRef<void()> body);

// For `body`.
absl::Status SetLoopbackUp(bool up);
// Says, as a router would, that the last datagram from `from` to `to` was too
// large for a path of `mtu` bytes (ICMP type 3 code 4, ICMPv6 type 2).
absl::Status SendPathMtuNotice(const net::Endpoint& from,
                               const net::Endpoint& to, size_t mtu);
// Likewise, that nobody listens at `to` (ICMP type 3 code 3, ICMPv6 type 1
// code 4).
absl::Status SendRefusal(const net::Endpoint& from, const net::Endpoint& to);
// Sends a datagram to `to` as if `from`, IPv4 addresses of this network both,
// had sent it.
absl::Status SendDatagramAs(const net::Endpoint& from, const net::Endpoint& to,
                            absl::Span<const uint8_t> bytes);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_NETWORK_NAMESPACE_NETWORK_NAMESPACE_H_
