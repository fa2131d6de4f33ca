// One client and one echoing server, from Connect to Close, over a simulated
// network: the base of tests that look at what the two have seen.
#ifndef CORDON_TESTING_CONNECTION_RUN_CONNECTION_RUN_H_
#define CORDON_TESTING_CONNECTION_RUN_CONNECTION_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/net/task/task.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::testing {

absl::Span<const uint8_t> Bytes(const std::string& text);

// Made once.
const TestAuthority& Authority();
// For "localhost", and for a client; both by `Authority`.
const dtls::Certificate& ServerCertificate();
const dtls::Certificate& ClientCertificate();

// When the simulated network's time begins, at which certificates are judged.
absl::Time VirtualNow();

dtls::ServerOptions DefaultServer();
dtls::ClientOptions DefaultClient();

dtls::Context MustMake(absl::StatusOr<dtls::Context> context);

// What the two sides saw.
struct Outcome {
  absl::Status client = absl::UnknownError("not run");
  absl::Status server = absl::UnknownError("not run");
  dtls::SessionInfo client_info;
  dtls::SessionInfo server_info;
  dtls::SessionStatistics client_statistics;
  dtls::SessionStatistics server_statistics;
  dtls::ListenerStatistics listener;
};

// Accepts a client, and sends back what comes until it closes.
net::Task<absl::Status> ServeOne(dtls::Listener& listener, Outcome& outcome);

class ConnectionRun : public ::testing::Test {
 protected:
  // The client asks for the server called `name`, sends each of `texts` until
  // its echo comes, and closes.
  Outcome Run(const dtls::ServerOptions& server,
              const dtls::ClientOptions& client,
              std::vector<std::string> texts = {"hello"},
              const Impairments& impairments = {},
              const std::string& name = "localhost");

  // To be set before `Run`: sees each datagram.
  SimNetwork::Filter filter_;
  // Of the last run.
  SimNetwork::Statistics network_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_CONNECTION_RUN_CONNECTION_RUN_H_
