// Accepts connections for gRPC: from those who may, and not too many.
//
// gRPC's own listeners take as many connections as come, and do not tell which
// user is at the other end.
#ifndef CORDON_DTLS_CONTROL_ACCEPTOR_H_
#define CORDON_DTLS_CONTROL_ACCEPTOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::dtls::control {

class Acceptor {
 public:
  // Takes a connection over. Called on the acceptor's thread.
  using HandOver = std::function<void(net::UniqueFd)>;

  struct Port {
    // Listens, without blocking.
    net::UniqueFd socket = {};
    // Who takes this connection; nullptr: nobody, it is closed at once. What
    // is returned must live as long as the acceptor.
    std::function<const HandOver*(int connection)> admit = {};
    // At the same time; further ones are closed at once.
    size_t max_connections = 64;
  };

  struct Statistics {
    uint64_t open = 0;
    uint64_t accepted = 0;
    uint64_t refused = 0;     // nobody took them
    uint64_t over_limit = 0;  // closed because of `max_connections`
  };

  static absl::StatusOr<std::unique_ptr<Acceptor>> Create(
      std::vector<Port> ports);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  // Stops and closes everything.
  ~Acceptor();

  // Accepts on a thread of its own from now on.
  void Start();
  // Closes the listening sockets; connections go on. No connection is handed
  // over afterwards.
  void Stop();
  // After `Stop`: ends all connections, whatever their takers do.
  void CloseConnections();

  // Thread-safe.
  Statistics statistics() const;

 private:
  struct Listening {
    Port port;
    size_t connections = 0;
  };
  struct Connection {
    net::UniqueFd socket;  // a duplicate
    Listening* listening;
  };

  Acceptor() = default;
  bool Watch(int fd, uint32_t events);
  void SetListening(bool on);
  void Run();
  // False if the system lacks descriptors or memory for now.
  bool Accept(Listening& listening);
  void Admit(Listening& listening, net::UniqueFd socket);
  void Forget(int fd);

  net::UniqueFd epoll_;
  net::UniqueFd wake_;
  std::vector<std::unique_ptr<Listening>> ports_;
  // By the duplicate's number.
  absl::flat_hash_map<int, Connection> connections_;
  std::thread thread_;

  std::atomic<uint64_t> open_ = 0;
  std::atomic<uint64_t> accepted_ = 0;
  std::atomic<uint64_t> refused_ = 0;
  std::atomic<uint64_t> over_limit_ = 0;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_ACCEPTOR_H_
