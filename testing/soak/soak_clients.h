// The clients of a soak test, all on one thread.
#ifndef CORDON_TESTING_SOAK_SOAK_CLIENTS_H_
#define CORDON_TESTING_SOAK_SOAK_CLIENTS_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <random>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/soak/lossy_relay.h"
#include "cordon/testing/soak/soak.h"

namespace cordon::testing {

class SoakClients {
 public:
  // The name in the certificate of each tenth client, whom a policy may refuse.
  static constexpr char kGuest[] = "guest.example";

  // Connects to `server`, which has a certificate of `authority` for
  // "localhost".
  SoakClients(const TestAuthority& authority, const net::Endpoint& server,
              const SoakOptions& options);
  ~SoakClients();

  // Runs all clients until `End` is called, on this thread, and adds up what
  // became of their messages.
  absl::Status Run(SoakReport* report);
  // Thread-safe. Every client closes its session in order.
  void End() { ending_ = true; }
  // Thread-safe. Sessions that are established.
  size_t connected() const { return connected_; }

 private:
  struct Session;

  net::Task<absl::Status> All();
  net::Task<absl::Status> Client(size_t number);
  // One session; how it ended says where the next one has to begin.
  net::Task<absl::Status> OneSession(size_t number, dtls::ConnectOptions* next);
  net::Task<absl::Status> Talk(dtls::Connection& connection, Session& session,
                               absl::Time until);
  net::Task<absl::Status> Listen(dtls::Connection& connection,
                                 Session& session);
  void Account(const Session& session, bool in_order, const std::string& cause);
  double Random() {
    return std::uniform_real_distribution<double>(0, 1)(random_);
  }

  const SoakOptions options_;
  const net::Endpoint server_;
  const dtls::Context member_;
  const dtls::Context guest_;
  std::unique_ptr<net::Reactor> reactor_;
  std::unique_ptr<LossyRelay> relay_;
  std::mt19937_64 random_;
  std::atomic<bool> ending_ = false;
  std::atomic<size_t> connected_ = 0;
  SoakReport* report_ = nullptr;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SOAK_SOAK_CLIENTS_H_
