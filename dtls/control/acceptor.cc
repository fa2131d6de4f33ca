#include "cordon/dtls/control/acceptor.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/net/base/errno_status.h"
#include "cordon/net/time/clock.h"

namespace cordon::dtls::control {
namespace {

// How long accepting rests when the process is out of descriptors.
constexpr int kRestMilliseconds = 100;

bool IsExhaustion(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS ||
         error == ENOMEM;
}

// What one attacker has without effort: an IPv4 address, a /64 of IPv6, all
// addresses of this machine.
std::string SourceOf(const net::Endpoint& peer) {
  if (peer.is_loopback()) return "loopback";
  const absl::Span<const uint8_t> bytes = peer.address_bytes();
  const size_t size = peer.is_v4() ? 4 : 8;
  return std::string(reinterpret_cast<const char*>(bytes.data()), size);
}

net::Endpoint WithoutScope(const net::Endpoint& peer) {
  if (!peer.is_v6()) return peer;
  std::array<uint8_t, 16> address;
  std::copy_n(peer.address_bytes().begin(), address.size(), address.begin());
  return net::Endpoint::V6(address, peer.port());
}

}  // namespace

// Lines for the log that are written once the acceptor is unlocked again: it is
// declared before the lock.
class Acceptor::Lines {
 public:
  explicit Lines(const std::function<void(absl::string_view)>& log)
      : log_(log) {}
  ~Lines() {
    for (const std::string& line : lines_) log_(line);
  }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;
  void Add(std::string line) {
    if (log_ != nullptr) lines_.push_back(std::move(line));
  }

 private:
  const std::function<void(absl::string_view)>& log_;
  std::vector<std::string> lines_;
};

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Create(
    std::vector<Port> ports, std::function<void(absl::string_view)> log) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(std::move(log)));
  acceptor->epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  acceptor->wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!acceptor->epoll_.valid() || !acceptor->wake_.valid() ||
      !acceptor->Watch(acceptor->wake_.get(), EPOLLIN)) {
    return net::ErrnoStatus(errno, "cannot prepare to accept connections");
  }
  for (Port& port : ports) {
    if (!acceptor->Watch(port.socket.get(), EPOLLIN)) {
      return net::ErrnoStatus(errno, "cannot prepare to accept connections");
    }
    acceptor->ports_.push_back(std::make_unique<Listening>(std::move(port)));
  }
  return acceptor;
}

Acceptor::~Acceptor() {
  Stop();
  CloseConnections();
}

void Acceptor::Start() {
  // The process's signals are for threads that know what to do about them. With
  // sets and an operation that there are these calls cannot fail.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Acceptor::Stop() {
  if (thread_.joinable()) {
    eventfd_write(wake_.get(), 1);
    thread_.join();
  }
  for (const auto& listening : ports_) listening->port.socket.Reset();
}

void Acceptor::CloseConnections() {
  absl::MutexLock lock(&mutex_);
  for (auto& [fd, connection] : connections_) {
    Leave(connection);
    shutdown(fd, SHUT_RDWR);
  }
  connections_.clear();
}

Acceptor::Statistics Acceptor::statistics() const {
  absl::MutexLock lock(&mutex_);
  return statistics_;
}

bool Acceptor::Watch(int fd, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.fd = fd;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void Acceptor::SetListening(bool on) {
  for (const auto& listening : ports_) {
    epoll_event event = {};
    event.events = on ? EPOLLIN : 0U;
    event.data.fd = listening->port.socket.get();
    // Cannot fail: the socket is open and was added by `Create`.
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, event.data.fd, &event);
  }
}

void Acceptor::Run() {
  bool resting = false;
  while (true) {
    std::array<epoll_event, 64> events;
    int patience = Patience();
    if (resting && (patience < 0 || patience > kRestMilliseconds)) {
      patience = kRestMilliseconds;
    }
    const int count = epoll_wait(epoll_.get(), events.data(),
                                 static_cast<int>(events.size()), patience);
    if (resting) {
      SetListening(true);
      resting = false;
    }
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == wake_.get()) return;
      bool listens = false;
      for (const auto& listening : ports_) {
        if (listening->port.socket.get() != fd) continue;
        listens = true;
        if (!Accept(*listening)) resting = true;
      }
      if (!listens) Forget(fd);
    }
    EndOverdue();
    if (resting) SetListening(false);
  }
}

bool Acceptor::Accept(Listening& listening) {
  sockaddr_storage address = {};
  socklen_t length = sizeof(address);
  net::UniqueFd socket(accept4(listening.port.socket.get(),
                               reinterpret_cast<sockaddr*>(&address), &length,
                               SOCK_NONBLOCK | SOCK_CLOEXEC));
  // A connection that is gone again before it was accepted is no error.
  if (!socket.valid()) return !IsExhaustion(errno);
  net::Endpoint peer;
  // None on a Unix socket.
  net::Endpoint::FromSockaddr(reinterpret_cast<const sockaddr*>(&address),
                              length, &peer);
  Admit(listening, std::move(socket), peer);
  return true;
}

void Acceptor::Admit(Listening& listening, net::UniqueFd socket,
                     const net::Endpoint& peer) {
  const Admission admission = listening.port.admit(socket.get());
  // gRPC may go far on this thread, as far as `Authenticated`: not locked.
  if (Register(listening, admission, socket.get(), peer)) {
    (*admission.taker)(std::move(socket));
  }
}

bool Acceptor::Register(Listening& listening, const Admission& admission,
                        int socket, const net::Endpoint& peer) {
  Lines lines(log_);
  absl::MutexLock lock(&mutex_);
  if (admission.taker == nullptr) {
    ++statistics_.refused;
    lines.Add(absl::StrCat("refused a connection: ", admission.refusal));
    return false;
  }
  // With a duplicate it is seen when the connection ends (its taker shuts it
  // down when done), and it can be ended by force.
  net::UniqueFd duplicate(fcntl(socket, F_DUPFD_CLOEXEC, 0));
  const int fd = duplicate.get();
  // EPOLLHUP is always reported, and is all that is wanted.
  if (!duplicate.valid() || !Watch(fd, 0)) {
    ++statistics_.refused;
    lines.Add("refused a connection: the process is out of descriptors");
    return false;
  }
  Connection connection = {.socket = std::move(duplicate),
                           .listening = &listening,
                           .phase = Phase::kKnown,
                           .peer = {},
                           .source = {},
                           .deadline = absl::InfiniteFuture(),
                           .place = {},
                           .client = {}};
  if (admission.client.has_value()) {
    connection.client = *admission.client;
    const ShareVerdict verdict = listening.known.Take(
        connection.client.name, connection.client.is_admin);
    if (verdict != ShareVerdict::kGranted) {
      ++statistics_.over_limit;
      lines.Add(
          absl::StrCat("refused a connection of ", connection.client.name, ": ",
                       listening.known
                           .Explain(verdict, connection.client.name,
                                    connection.client.is_admin, "connections")
                           .message()));
      return false;
    }
  } else {
    connection.phase = Phase::kUnauthenticated;
    connection.peer = WithoutScope(peer);
    connection.source = SourceOf(peer);
    connection.deadline = net::SteadyClock::Get()->Now() +
                          listening.port.limits.authentication_timeout;
    MakeRoom(listening, connection.source, lines);
    ++listening.waiting_by_source[connection.source];
    connection.place = listening.waiting.insert(listening.waiting.end(), fd);
    ++statistics_.unauthenticated;
  }
  ++statistics_.open;
  ++statistics_.accepted;
  connections_.emplace(fd, std::move(connection));
  return true;
}

void Acceptor::MakeRoom(Listening& listening, const std::string& source,
                        Lines& lines) {
  const ConnectionLimits& limits = listening.port.limits;
  const auto own = listening.waiting_by_source.find(source);
  std::string crowded;
  if (own != listening.waiting_by_source.end() &&
      own->second >= limits.max_unauthenticated_per_source) {
    crowded = source;
  } else if (listening.waiting.size() >= limits.max_unauthenticated) {
    size_t most = 0;
    for (const int fd : listening.waiting) {
      const std::string& one = connections_.at(fd).source;
      if (listening.waiting_by_source[one] <= most) continue;
      most = listening.waiting_by_source[one];
      crowded = one;
    }
  } else {
    return;
  }
  const auto oldest =
      std::find_if(listening.waiting.begin(), listening.waiting.end(),
                   [&](int fd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                     return connections_.at(fd).source == crowded;
                   });
  const int fd = *oldest;
  ++statistics_.evicted;
  lines.Add(absl::StrCat(
      "closed a connection from ", connections_.at(fd).peer.ToString(),
      ": it has not authenticated, and too many others wait"));
  End(fd);
}

void Acceptor::Leave(Connection& connection) {
  Listening& listening = *connection.listening;
  switch (connection.phase) {
    case Phase::kUnauthenticated: {
      listening.waiting.erase(connection.place);
      const auto count = listening.waiting_by_source.find(connection.source);
      if (--count->second == 0) listening.waiting_by_source.erase(count);
      --statistics_.unauthenticated;
      --statistics_.open;
      break;
    }
    case Phase::kKnown:
      listening.known.Return(connection.client.name,
                             connection.client.is_admin);
      --statistics_.open;
      break;
    case Phase::kEnding:
      break;
  }
  connection.phase = Phase::kEnding;
}

void Acceptor::End(int fd) {
  Leave(connections_.at(fd));
  // Its taker notices, and so do we, by EPOLLHUP.
  shutdown(fd, SHUT_RDWR);
}

void Acceptor::Authenticated(
    const net::Endpoint& peer,
    absl::FunctionRef<std::optional<Client>()> identify) {
  const net::Endpoint wanted = WithoutScope(peer);
  Lines lines(log_);
  absl::MutexLock lock(&mutex_);
  for (const auto& listening : ports_) {
    const auto found =
        std::find_if(listening->waiting.begin(), listening->waiting.end(),
                     [&](int fd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                       return connections_.at(fd).peer == wanted;
                     });
    if (found == listening->waiting.end()) continue;
    const int fd = *found;
    std::optional<Client> client = identify();
    if (!client.has_value()) return;
    const ShareVerdict verdict =
        listening->known.Take(client->name, client->is_admin);
    if (verdict != ShareVerdict::kGranted) {
      ++statistics_.over_limit;
      lines.Add(absl::StrCat(
          "closed a connection of ", client->name, " from ", peer.ToString(),
          ": ",
          listening->known
              .Explain(verdict, client->name, client->is_admin, "connections")
              .message()));
      End(fd);
      return;
    }
    Connection& connection = connections_.at(fd);
    Leave(connection);
    connection.phase = Phase::kKnown;
    connection.client = *std::move(client);
    ++statistics_.open;
    return;
  }
}

int Acceptor::Patience() {
  absl::MutexLock lock(&mutex_);
  absl::Time next = absl::InfiniteFuture();
  for (const auto& listening : ports_) {
    if (listening->waiting.empty()) continue;
    next = std::min(next, connections_.at(listening->waiting.front()).deadline);
  }
  if (next == absl::InfiniteFuture()) return -1;
  const absl::Duration left =
      std::clamp(next - net::SteadyClock::Get()->Now() + absl::Milliseconds(1),
                 absl::ZeroDuration(), absl::Hours(1));
  return static_cast<int>(absl::ToInt64Milliseconds(left));
}

void Acceptor::EndOverdue() {
  Lines lines(log_);
  absl::MutexLock lock(&mutex_);
  const absl::Time now = net::SteadyClock::Get()->Now();
  for (const auto& listening : ports_) {
    while (!listening->waiting.empty()) {
      const int fd = listening->waiting.front();
      const Connection& connection = connections_.at(fd);
      if (now < connection.deadline) break;
      ++statistics_.timed_out;
      lines.Add(absl::StrCat(
          "closed a connection from ", connection.peer.ToString(),
          ": it has not authenticated within ",
          absl::FormatDuration(listening->port.limits.authentication_timeout)));
      End(fd);
    }
  }
}

void Acceptor::Forget(int fd) {
  Lines lines(log_);
  absl::MutexLock lock(&mutex_);
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  // The connection is still there for its taker, so closing our duplicate
  // would not do.
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  if (found->second.phase == Phase::kUnauthenticated) {
    ++statistics_.gave_up;
    lines.Add(absl::StrCat("a connection from ", found->second.peer.ToString(),
                           " has ended without having authenticated"));
  }
  Leave(found->second);
  connections_.erase(found);
}

}  // namespace cordon::dtls::control
