// A server under load for minutes: hundreds of clients behind a network that
// loses datagrams, who crash and come back, while an operator changes policies,
// certificates and secrets. Nothing may be lost without a cause that has a
// name, and the server's memory must not grow.
#ifndef CORDON_TESTING_SOAK_SOAK_H_
#define CORDON_TESTING_SOAK_SOAK_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/testing/soak/lossy_relay.h"

namespace cordon::testing {

struct SoakOptions {
  size_t clients = 500;
  absl::Duration duration = absl::Minutes(3);
  // Between two acts of the operator.
  absl::Duration interval = absl::Milliseconds(500);
  LossyRelay::Impairments network = {};
  // How long clients stay at most, and how long they wait between messages.
  absl::Duration longest_stay = absl::Seconds(20);
  absl::Duration pause = absl::Milliseconds(400);
  // More flags for the server.
  std::vector<std::string> server_flags = {};
  uint64_t seed = 1;
};

struct SoakReport {
  uint64_t sessions = 0;          // with a complete handshake
  uint64_t sessions_resumed = 0;  // of these
  uint64_t crashes = 0;
  uint64_t same_port = 0;  // of these: came back from the same port
  // Handshakes that failed, by cause.
  std::map<std::string, uint64_t> failed;
  // Messages that clients sent, and that came back.
  uint64_t messages = 0;
  uint64_t echoed = 0;
  // Those that did not, by cause.
  std::map<std::string, uint64_t> lost;
  // Without a cause; and that came twice, or not as they were sent.
  uint64_t unaccounted = 0;
  uint64_t repeated = 0;
  uint64_t wrong = 0;
  // What the operator did, and how often.
  std::map<std::string, uint64_t> acts;
  std::vector<std::string> refused_acts;
  // The server's resident memory in bytes, without sessions: after all clients
  // were there once, and at the end; and the most, with sessions.
  uint64_t resident_before = 0;
  uint64_t resident_after = 0;
  uint64_t resident_most = 0;
  double cpu_seconds = 0;  // of the server
  size_t sessions_left = 0;
  int exit_code = 0;
  std::string last_line;  // what the server said at its end
  LossyRelay::Statistics network;
};

// Runs `server`, the path of echo_server, or of restarting_server. An error: it
// could not be started, or does not answer.
absl::StatusOr<SoakReport> RunSoak(absl::string_view server,
                                   const SoakOptions& options);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SOAK_SOAK_H_
