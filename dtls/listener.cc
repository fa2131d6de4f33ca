#include "cordon/dtls/listener.h"

#include <array>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/context_state.h"
#include "cordon/dtls/internal/session.h"
#include "cordon/net/task/wait_queue.h"

namespace cordon::dtls {
namespace {

using internal::Session;

// The two ends of a session.
struct PeerKey {
  net::Endpoint peer;
  net::Endpoint local;

  friend bool operator==(const PeerKey&, const PeerKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const PeerKey& key) {
    return H::combine(std::move(h), key.peer, key.local);
  }
};

void Add(SessionStatistics& sum, const SessionStatistics& s) {
  sum.datagrams_received += s.datagrams_received;
  sum.datagrams_sent += s.datagrams_sent;
  sum.bytes_received += s.bytes_received;
  sum.bytes_sent += s.bytes_sent;
  sum.messages_received += s.messages_received;
  sum.messages_sent += s.messages_sent;
  sum.message_bytes_received += s.message_bytes_received;
  sum.message_bytes_sent += s.message_bytes_sent;
  sum.records_discarded += s.records_discarded;
  sum.messages_dropped_queue_full += s.messages_dropped_queue_full;
  sum.datagrams_not_sent += s.datagrams_not_sent;
  sum.retransmissions += s.retransmissions;
  sum.handshake_duration += s.handshake_duration;
}

}  // namespace

// Outlives the `Listener` as long as there are sessions.
class Listener::Core final : public internal::SessionOwner,
                             public net::DatagramReceiver,
                             public std::enable_shared_from_this<Core> {
 public:
  Core(net::Reactor& reactor, const Context& context,
       const ListenerOptions& options, CookieExchange cookies,
       std::unique_ptr<net::DatagramSocket> socket)
      : reactor_(reactor),
        context_(context),
        options_(options),
        cookies_(std::move(cookies)),
        socket_(std::move(socket)) {
    socket_->StartReceiving(*this);
  }

  net::DatagramSocket& socket() override { return *socket_; }

  void OnHandshakeEnded(const Session& session, bool ok) override {
    ++(ok ? statistics_.handshakes_completed : statistics_.handshakes_failed);
    auto found = peers_.find(KeyOf(session.path()));
    if (!ok || found == peers_.end() || found->second.newcomer != &session) {
      return;
    }
    // It holds the keys of the peer that is there now.
    Session* const old = found->second.session;
    found->second.session = std::exchange(found->second.newcomer, nullptr);
    ++statistics_.sessions_superseded;
    old->Supersede();
  }

  void OnSessionGone(Session& session) override {
    Add(statistics_.ended, session.engine().statistics());
    --statistics_.sessions;
    auto found = peers_.find(KeyOf(session.path()));
    if (found == peers_.end()) return;
    Peer& peer = found->second;
    if (peer.newcomer == &session) {
      peer.newcomer = nullptr;
    } else if (peer.session == &session) {
      peer.session = std::exchange(peer.newcomer, nullptr);
      if (peer.session == nullptr) peers_.erase(found);
    }
  }

  net::Task<absl::Status> CloseSocket() override {
    co_return absl::OkStatus();  // It is everybody's.
  }

  void OnDatagram(const net::Datagram& datagram) override {
    net::Path path;
    path.peer = datagram.peer;
    path.local = datagram.local;
    auto found = peers_.find(KeyOf(path));
    if (found == peers_.end()) {
      OnHello(path, datagram.bytes, nullptr);
      return;
    }
    Peer& peer = found->second;
    if (internal::ClientHelloView hello;
        LooksLikeHello(datagram.bytes) &&
        internal::ReadClientHello(datagram.bytes, &hello)) {
      if (Session* session = peer.FindByRandom(hello.random)) {
        session->OnDatagram(datagram.bytes);
      } else {
        // The peer may have lost its state and begun anew (RFC 6347 section
        // 4.2.8), or somebody pretends so.
        OnHello(path, datagram.bytes, &peer);
      }
      return;
    }
    if (peer.newcomer != nullptr) {
      // While it handshakes it leaves the bytes as they are.
      Session* const newcomer = peer.newcomer;
      newcomer->OnDatagram(datagram.bytes);
      if (peer.newcomer != newcomer) return;
    }
    peer.session->OnDatagram(datagram.bytes);
  }

  net::Task<absl::StatusOr<Connection>> Accept() {
    while (accepted_.empty()) {
      if (!accepting_) {
        co_return absl::FailedPreconditionError(
            "the listener no longer accepts");
      }
      if (const bool woken = co_await acceptors_.Wait(); !woken) {
        co_return net::StoppedStatus("Accept");
      }
    }
    std::unique_ptr<Session> session = std::move(accepted_.front());
    accepted_.pop_front();
    if (!accepted_.empty()) acceptors_.WakeOne();
    ++statistics_.sessions_accepted;
    co_return Connection(std::move(session));
  }

  void StopAccepting() {
    accepting_ = false;
    // Sessions that wait here hold this object.
    std::deque<std::unique_ptr<Session>> dropped = std::exchange(accepted_, {});
    dropped.clear();
    acceptors_.WakeAll();
  }

  ListenerStatistics statistics() const {
    ListenerStatistics statistics = statistics_;
    statistics.cookies = cookies_.statistics();
    statistics.socket = socket_->statistics();
    return statistics;
  }

 private:
  static PeerKey KeyOf(const net::Path& path) {
    return {path.peer, path.local.address};
  }

  // Who is at an address.
  struct Peer {
    Session* session = nullptr;
    // Has begun a new handshake, and replaces `session` when it has completed.
    Session* newcomer = nullptr;

    Session* FindByRandom(absl::Span<const uint8_t> random) const {
      for (Session* s : {newcomer, session}) {
        if (s != nullptr && absl::MakeConstSpan(s->hello_random()) == random) {
          return s;
        }
      }
      return nullptr;
    }
  };

  // A record of a handshake in epoch 0: everything else is not looked at twice.
  static bool LooksLikeHello(absl::Span<const uint8_t> datagram) {
    return datagram.size() > internal::kRecordHeaderBytes &&
           datagram[0] == internal::kHandshakeType && datagram[3] == 0 &&
           datagram[4] == 0;
  }

  // A datagram of a peer without session, or a new hello of one that has one.
  void OnHello(net::Path& path, absl::Span<uint8_t> datagram, Peer* known) {
    if (!accepting_) {
      ++statistics_.dropped_unknown;
      return;
    }
    EngineOptions options;
    options.ipv6 = path.peer.is_v6();
    if (context_.state()->cookies()) {
      std::array<uint8_t, CookieExchange::kReplyBytes> reply;
      const CookieExchange::Result result =
          cookies_.Process(datagram, path.peer, reactor_.Now(), reply);
      if (result.verdict == CookieVerdict::kReply) {
        socket_->Send(path, reply);
        return;
      }
      if (result.verdict == CookieVerdict::kDropped) {
        ++statistics_.dropped_unknown;
        return;
      }
      options.verified_hello = result.record_sequence;
    }
    internal::ClientHelloView hello;
    if (!internal::ReadClientHello(datagram, &hello)) {
      ++statistics_.dropped_unknown;
      return;
    }
    // One newcomer at a time.
    if (known != nullptr && known->newcomer != nullptr) {
      ++statistics_.dropped_unknown;
      return;
    }
    if (statistics_.sessions >= options_.max_sessions) {
      ++statistics_.dropped_max_sessions;
      return;
    }
    if (accepted_.size() >= options_.accept_backlog) {
      ++statistics_.dropped_accept_backlog;
      return;
    }
    absl::StatusOr<std::unique_ptr<Engine>> engine =
        Engine::Create(context_, options);
    if (!engine.ok()) {
      ++statistics_.handshakes_failed;
      return;
    }
    auto session = std::make_unique<Session>(reactor_, shared_from_this(), path,
                                             *std::move(engine));
    session->set_hello_random(hello.random);
    if (known != nullptr) {
      known->newcomer = session.get();
    } else {
      peers_[KeyOf(path)].session = session.get();
    }
    ++statistics_.sessions;
    session->OnDatagram(datagram);
    accepted_.push_back(std::move(session));
    acceptors_.WakeOne();
  }

  net::Reactor& reactor_;
  const Context context_;
  const ListenerOptions options_;
  CookieExchange cookies_;
  ListenerStatistics statistics_;
  bool accepting_ = true;
  absl::flat_hash_map<PeerKey, Peer> peers_;
  std::deque<std::unique_ptr<Session>> accepted_;
  net::WaitQueue acceptors_;
  // Last: it stops calling before the rest goes.
  std::unique_ptr<net::DatagramSocket> socket_;
};

Listener::Listener(std::shared_ptr<Core> core) : core_(std::move(core)) {}
Listener::Listener(Listener&&) noexcept = default;
Listener& Listener::operator=(Listener&& other) noexcept {
  if (this != &other) {
    if (core_ != nullptr) core_->StopAccepting();
    core_ = std::move(other.core_);
  }
  return *this;
}
Listener::~Listener() {
  if (core_ != nullptr) core_->StopAccepting();
}

absl::StatusOr<Listener> Listener::Bind(net::Reactor& reactor,
                                        const net::Endpoint& at,
                                        const Context& context,
                                        const ListenerOptions& options) {
  if (!context.is_server()) {
    return absl::InvalidArgumentError(
        "a listener needs a context made by Context::Server");
  }
  absl::StatusOr<CookieExchange> cookies =
      CookieExchange::Create(context.state()->cookie());
  if (!cookies.ok()) return cookies.status();
  absl::StatusOr<std::unique_ptr<net::DatagramSocket>> socket =
      reactor.OpenSocket({.bind = at,
                          .reuse_port = options.reuse_port,
                          .gso = options.gso,
                          .gro = options.gro,
                          .receive_buffer = options.receive_buffer,
                          .send_buffer = options.send_buffer});
  if (!socket.ok()) return socket.status();
  return Listener(std::make_shared<Core>(
      reactor, context, options, *std::move(cookies), *std::move(socket)));
}

net::Task<absl::StatusOr<Connection>> Listener::Accept() {
  return core_->Accept();
}

void Listener::StopAccepting() { core_->StopAccepting(); }

const net::Endpoint& Listener::local_endpoint() const {
  return core_->socket().local_endpoint();
}

ListenerStatistics Listener::statistics() const { return core_->statistics(); }

}  // namespace cordon::dtls
