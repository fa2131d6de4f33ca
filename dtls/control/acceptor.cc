#include "cordon/dtls/control/acceptor.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "cordon/net/base/errno_status.h"

namespace cordon::dtls::control {
namespace {

// How long accepting rests when the process is out of descriptors.
constexpr int kRestMilliseconds = 100;

bool IsExhaustion(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS ||
         error == ENOMEM;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Create(
    std::vector<Port> ports) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor());
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
    acceptor->ports_.push_back(
        std::make_unique<Listening>(Listening{std::move(port)}));
  }
  return acceptor;
}

Acceptor::~Acceptor() {
  Stop();
  CloseConnections();
}

void Acceptor::Start() {
  // The process's signals are for threads that know what to do about them.
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
  for (auto& [fd, connection] : connections_) shutdown(fd, SHUT_RDWR);
  connections_.clear();
  open_ = 0;
}

Acceptor::Statistics Acceptor::statistics() const {
  return {.open = open_,
          .accepted = accepted_,
          .refused = refused_,
          .over_limit = over_limit_};
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
    event.events = on ? uint32_t{EPOLLIN} : 0;
    event.data.fd = listening->port.socket.get();
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, event.data.fd, &event);
  }
}

void Acceptor::Run() {
  bool resting = false;
  while (true) {
    std::array<epoll_event, 64> events;
    const int count =
        epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                   resting ? kRestMilliseconds : -1);
    if (resting) {
      SetListening(true);
      resting = false;
    }
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == wake_.get()) return;
      if (connections_.contains(fd)) {
        Forget(fd);
        continue;
      }
      for (const auto& listening : ports_) {
        if (listening->port.socket.get() == fd && !Accept(*listening)) {
          resting = true;
        }
      }
    }
    if (resting) SetListening(false);
  }
}

bool Acceptor::Accept(Listening& listening) {
  net::UniqueFd socket(accept4(listening.port.socket.get(), nullptr, nullptr,
                               SOCK_NONBLOCK | SOCK_CLOEXEC));
  // A connection that is gone again before it was accepted is no error.
  if (!socket.valid()) return !IsExhaustion(errno);
  if (listening.connections >= listening.port.max_connections) {
    ++over_limit_;
    return true;
  }
  Admit(listening, std::move(socket));
  return true;
}

void Acceptor::Admit(Listening& listening, net::UniqueFd socket) {
  const HandOver* take = listening.port.admit(socket.get());
  // With a duplicate it is seen when the connection ends (its taker shuts it
  // down when done), and it can be ended by force.
  net::UniqueFd duplicate(
      take == nullptr ? -1 : fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
  // EPOLLHUP is always reported, and is all that is wanted.
  if (!duplicate.valid() || !Watch(duplicate.get(), 0)) {
    ++refused_;
    return;
  }
  ++listening.connections;
  ++open_;
  ++accepted_;
  const int fd = duplicate.get();
  connections_.emplace(fd, Connection{std::move(duplicate), &listening});
  (*take)(std::move(socket));
}

void Acceptor::Forget(int fd) {
  // The connection is still there for its taker, so closing our duplicate
  // would not do.
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  const auto found = connections_.find(fd);
  --found->second.listening->connections;
  --open_;
  connections_.erase(found);
}

}  // namespace cordon::dtls::control
