// A flood of hellos from thousands of addresses, and one honest client who
// wants to get in meanwhile.
#ifndef CORDON_TESTING_SOAK_FLOOD_H_
#define CORDON_TESTING_SOAK_FLOOD_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace cordon::testing {

struct FloodOptions {
  // Of 127.0.0.0/8.
  size_t addresses = 20'000;
  size_t hellos_per_second = 40'000;
  absl::Duration duration = absl::Seconds(10);
  // Honest clients, one after the other.
  size_t clients = 20;
  // More flags for the server.
  std::vector<std::string> server_flags = {};
};

struct FloodReport {
  uint64_t hellos = 0;       // sent
  uint64_t cookies = 0;      // that the server sent
  size_t sessions_most = 0;  // half-open ones included
  uint64_t resident_before = 0;
  uint64_t resident_after = 0;
  absl::Duration cpu_per_hello;  // of the server's processor time
  // The honest clients': those that got in, and of all of them the most.
  size_t connected = 0;
  uint64_t retransmissions_most = 0;
  absl::Duration handshake_most;
};

// Runs `server`, the path of echo_server, or of restarting_server.
absl::StatusOr<FloodReport> RunFlood(absl::string_view server,
                                     const FloodOptions& options);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SOAK_FLOOD_H_
