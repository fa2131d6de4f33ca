// A path between clients and a server, over real sockets, that loses, repeats
// and delays datagrams, and knows what became of each message.
#ifndef CORDON_TESTING_SOAK_LOSSY_RELAY_H_
#define CORDON_TESTING_SOAK_LOSSY_RELAY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/udp/udp_socket.h"

namespace cordon::testing {

// Belongs to its reactor's thread.
class LossyRelay {
 public:
  // Probabilities, for each datagram.
  struct Impairments {
    double loss = 0.05;
    double duplicate = 0.02;
    double delay = 0.1;
    absl::Duration max_delay = absl::Milliseconds(60);
    uint64_t seed = 1;
  };
  // The records of application data of one session in one direction, by their
  // sequence numbers, which are in the clear.
  struct Direction {
    absl::flat_hash_set<uint64_t> seen;
    absl::flat_hash_set<uint64_t> passed;  // once or more
  };
  struct Traffic {
    Direction up;  // to the server
    Direction down;
    // The server has said that the session is over.
    bool ended = false;
  };
  struct Statistics {
    uint64_t datagrams = 0;
    uint64_t lost = 0;
    uint64_t duplicated = 0;
    uint64_t delayed = 0;
    uint64_t muted = 0;
    uint64_t strangers = 0;  // of clients that were not announced
    uint64_t refused = 0;    // by a socket
  };

  static absl::StatusOr<std::unique_ptr<LossyRelay>> Open(
      net::Reactor& reactor, const net::Endpoint& server,
      const Impairments& impairments);

  // Carries datagrams until it is stopped.
  net::Task<absl::Status> Run();

  // Where clients find the server.
  const net::Endpoint& endpoint() const { return front_.local_endpoint(); }

  // What `client` sends and receives from now on belongs to a new session.
  void Begin(const net::Endpoint& client, std::shared_ptr<Traffic> traffic);
  // Carries nothing of `client` and to it, as if it were switched off.
  void Mute(const net::Endpoint& client);

  const Statistics& statistics() const { return statistics_; }

 private:
  // A client, and the socket by which the server knows it.
  struct Flow {
    net::Path client;
    net::Path server;
    std::unique_ptr<net::UdpSocket> back;
    std::shared_ptr<Traffic> traffic;
    bool muted = false;
  };

  LossyRelay(net::Reactor& reactor, const net::Endpoint& server,
             const Impairments& impairments, net::UdpSocket front)
      : reactor_(reactor),
        server_(server),
        impairments_(impairments),
        random_(impairments.seed),
        front_(std::move(front)) {}

  net::Task<absl::Status> Front();
  net::Task<absl::Status> Back(Flow* flow);
  bool Happens(double probability);
  void Carry(Flow* flow, bool up, absl::Span<const uint8_t> datagram);
  net::Task<absl::Status> Deliver(Flow* flow, bool up,
                                  std::shared_ptr<Traffic> traffic,
                                  std::string datagram, absl::Duration after);

  net::Reactor& reactor_;
  const net::Endpoint server_;
  const Impairments impairments_;
  std::mt19937_64 random_;
  net::UdpSocket front_;
  absl::flat_hash_map<net::Endpoint, std::unique_ptr<Flow>> flows_;
  net::TaskScope* scope_ = nullptr;
  Statistics statistics_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SOAK_LOSSY_RELAY_H_
