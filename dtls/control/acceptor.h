// Accepts connections for gRPC: from those who may, and not too many.
//
// gRPC's own listeners take as many connections as come, and do not tell which
// user is at the other end.
//
// A connection is known from the beginning, as on a Unix socket, or has to
// authenticate: until `Authenticated` is called for it. Connections that are
// not authenticated are counted by themselves, and never keep out one that may
// authenticate: when there are too many, the oldest one is ended. Those that
// are known share `ConnectionLimits::known`.
#ifndef CORDON_DTLS_CONTROL_ACCEPTOR_H_
#define CORDON_DTLS_CONTROL_ACCEPTOR_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/shares.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::dtls::control {

// Of one port.
struct ConnectionLimits {
  // Connections of clients that are known.
  ShareLimits known = {
      .total = 64, .per_reader = 32, .per_admin = 48, .for_admins = 16};
  // Connections that are not authenticated yet: in all, and of one source,
  // which is an IPv4 address, a /64 of IPv6, or this machine.
  size_t max_unauthenticated = 64;
  size_t max_unauthenticated_per_source = 32;
  // How long a connection may be there without being authenticated.
  absl::Duration authentication_timeout = absl::Seconds(10);
};

class Acceptor {
 public:
  // Takes a connection over. Called on the acceptor's thread.
  using HandOver = std::function<void(net::UniqueFd)>;

  // Who is at the other end.
  struct Client {
    std::string name = {};
    bool is_admin = false;
  };

  // What becomes of a connection.
  struct Admission {
    // Must live as long as the acceptor. nullptr: nobody takes the connection,
    // and it is closed at once.
    const HandOver* taker = nullptr;
    // Nothing: the connection has to authenticate.
    std::optional<Client> client = {};
    // Who is refused, and why: for the log.
    std::string refusal = {};
  };

  struct Port {
    // Listens, without blocking.
    net::UniqueFd socket = {};
    std::function<Admission(int connection)> admit = {};
    ConnectionLimits limits = {};
  };

  struct Statistics {
    uint64_t open = 0;             // now
    uint64_t unauthenticated = 0;  // of these
    uint64_t accepted = 0;
    uint64_t refused = 0;     // nobody took them
    uint64_t over_limit = 0;  // closed because of `ConnectionLimits::known`
    // Ended without having authenticated: because they were too many, because
    // they took too long, or by themselves.
    uint64_t evicted = 0;
    uint64_t timed_out = 0;
    uint64_t gave_up = 0;
  };

  // `log` is told of each connection that is closed because of who is at its
  // other end or of a limit, on any thread.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Create(
      std::vector<Port> ports,
      std::function<void(absl::string_view)> log = nullptr);
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

  // The connection from `peer` may go on, if it has to authenticate and
  // `identify` says who it is. It is closed if that client has too many.
  // Thread-safe.
  void Authenticated(const net::Endpoint& peer,
                     absl::FunctionRef<std::optional<Client>()> identify);

  // Thread-safe.
  Statistics statistics() const;

 private:
  class Lines;
  struct Listening {
    explicit Listening(Port p) : port(std::move(p)), known(port.limits.known) {}

    Port port;
    Shares known;
    // Connections that are not authenticated, the oldest first, by the number
    // of the duplicate; and how many of each source.
    std::list<int> waiting;
    absl::flat_hash_map<std::string, size_t> waiting_by_source;
  };
  enum class Phase {
    kUnauthenticated,
    kKnown,
    kEnding,  // has been shut down, and counts no more
  };
  struct Connection {
    net::UniqueFd socket;  // a duplicate
    Listening* listening;
    Phase phase;
    // Of those that are not authenticated.
    net::Endpoint peer;
    std::string source;
    absl::Time deadline;
    std::list<int>::iterator place;
    // Of those that are known.
    Client client;
  };

  explicit Acceptor(std::function<void(absl::string_view)> log)
      : log_(std::move(log)) {}
  bool Watch(int fd, uint32_t events);
  void SetListening(bool on);
  void Run();
  // False if the system lacks descriptors or memory for now.
  bool Accept(Listening& listening);
  void Admit(Listening& listening, net::UniqueFd socket,
             const net::Endpoint& peer);
  // Whether it is to be handed over.
  bool Register(Listening& listening, const Admission& admission, int socket,
                const net::Endpoint& peer);
  // Makes room for one more of `source`.
  void MakeRoom(Listening& listening, const std::string& source, Lines& lines)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The connection counts no more in its phase.
  void Leave(Connection& connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(int fd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndOverdue();
  // How long nothing will be overdue, in milliseconds for epoll_wait; -1: for
  // ever.
  int Patience();
  void Forget(int fd);

  const std::function<void(absl::string_view)> log_;
  net::UniqueFd epoll_;
  net::UniqueFd wake_;
  std::vector<std::unique_ptr<Listening>> ports_;
  std::thread thread_;

  mutable absl::Mutex mutex_;
  // By the duplicate's number.
  absl::flat_hash_map<int, Connection> connections_ ABSL_GUARDED_BY(mutex_);
  Statistics statistics_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_ACCEPTOR_H_
