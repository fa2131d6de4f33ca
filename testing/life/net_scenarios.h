// Everything in net/ that a coroutine can wait for, as scenarios to interrupt.
#ifndef CORDON_TESTING_LIFE_NET_SCENARIOS_H_
#define CORDON_TESTING_LIFE_NET_SCENARIOS_H_

#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/channel.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/udp_socket.h"
#include "cordon/testing/life/interrupter.h"

namespace cordon::testing {

class IgnoringReceiver final : public net::DatagramReceiver {
 public:
  void OnDatagram(const net::Datagram&) override {}
};

// What the scenarios of net/ work with.
struct NetWorld {
  explicit NetWorld(net::Reactor& on) : reactor(on) {}

  net::Reactor& reactor;
  // Scenarios may destroy what is waited for.
  std::optional<net::Channel<int>> channel{std::in_place, 1};
  std::optional<net::Event> event{std::in_place};
  std::optional<net::WaitQueue> queue{std::in_place};
  std::optional<net::TaskScope> scope;
  std::optional<net::UdpSocket> near;
  std::optional<net::UdpSocket> far;
  IgnoringReceiver ignorer;
  std::unique_ptr<net::DatagramSocket> socket;
  // Frames of coroutines that are alive.
  int alive = 0;
  // What the coroutine beside the one that is interrupted has received.
  std::vector<int> received;
};

struct NetScenario {
  using Step = net::Task<absl::Status> (*)(NetWorld&);

  std::string name;
  // What of the public headers it waits for.
  std::vector<std::string> covers;
  // Before; what is interrupted; and beside it, from its beginning on.
  Step prepare = nullptr;
  Step act = nullptr;
  Step beside = nullptr;
  // Close, and destroy, what `act` waits for, while it waits: it then ends with
  // an error. Null where there is nothing of the kind.
  void (*close)(NetWorld&) = nullptr;
  void (*destroy)(NetWorld&) = nullptr;
  // Whether everything is as it must be when both have ended.
  absl::Status (*check)(NetWorld&, const Outcome& outcome) = nullptr;

  friend void PrintTo(const NetScenario& scenario, std::ostream* out) {
    *out << scenario.name;
  }
};

const std::vector<NetScenario>& NetScenarios();

}  // namespace cordon::testing

#endif  // CORDON_TESTING_LIFE_NET_SCENARIOS_H_
