#include "cordon/dtls/listener.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "absl/container/btree_map.h"
#include "cordon/dtls/internal/accept_queue.h"
#include "cordon/dtls/internal/admission.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/context_state.h"
#include "cordon/dtls/internal/peer_table.h"
#include "cordon/dtls/internal/session.h"
#include "cordon/dtls/internal/session_ender.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::dtls {
namespace {

using internal::PeerTable;
using internal::Session;

constexpr char kClosedByAdmin[] = "closed_by_admin";

ListenerLimits LimitsOf(const ListenerOptions& options) {
  return {.max_sessions = options.max_sessions,
          .max_session_memory = options.max_session_memory,
          .max_reassembly_bytes = options.max_reassembly_bytes,
          .accept_backlog = options.accept_backlog,
          .max_half_open = options.max_half_open,
          .max_half_open_per_source = options.max_half_open_per_source,
          .handshake_rate_per_source = options.handshake_rate_per_source,
          .handshake_burst_per_source = options.handshake_burst_per_source,
          .half_open_before_cookies = options.half_open_before_cookies};
}

std::optional<absl::Duration> IdleTimeoutOf(const ListenerLimits& limits) {
  constexpr size_t kMax = std::numeric_limits<int64_t>::max();
  const size_t seconds = limits.idle_timeout_seconds;
  if (seconds == 0) return std::nullopt;
  return absl::Seconds(static_cast<int64_t>(std::min(seconds, kMax)));
}

std::string ReasonOf(const Session& session) {
  const absl::Status& error = session.engine().error();
  if (!error.ok()) return std::string(error.message());
  return "the service closed it";
}

}  // namespace

// Outlives the `Listener` as long as there are sessions.
class Listener::Core final : public internal::SessionOwner,
                             public net::DatagramReceiver,
                             public ListenerAdmin,
                             private internal::SessionEnder::Sessions,
                             public std::enable_shared_from_this<Core> {
 public:
  Core(net::Reactor& reactor, const Context& context,
       const ListenerOptions& options, CookieExchange cookies,
       std::unique_ptr<net::DatagramSocket> socket)
      : reactor_(reactor),
        context_(context),
        options_(options),
        admission_(LimitsOf(options),
                   {.source_prefix_v4 = options.source_prefix_v4,
                    .source_prefix_v6 = options.source_prefix_v6,
                    .half_open_grace = options.half_open_grace},
                   &statistics_),
        cookies_(std::move(cookies)),
        ender_(reactor, *this),
        socket_(std::move(socket)) {
    if (options_.registry != nullptr) {
      handle_ = options_.registry->Add(options_.name, socket_->local_endpoint(),
                                       reactor_, *this);
    }
    socket_->StartReceiving(*this);
  }
  ~Core() override {
    if (handle_ != nullptr) options_.registry->Remove(handle_);
  }

  net::DatagramSocket& socket() override { return *socket_; }
  const VerifyPeer& verify_peer() const override {
    return options_.verify_peer;
  }
  const PskLookup& psk_lookup() const override { return options_.psk_lookup; }

  void OnHandshakeBegun() override { ++statistics_.handshakes_begun; }

  void OnHandshakeEnded(Session& session, const absl::Status& how) override {
    if (!how.ok()) {
      ++statistics_.handshakes_failed;
      ++statistics_.failures[static_cast<size_t>(FailureOf(how))];
      return;
    }
    ++statistics_.handshakes_completed;
    statistics_.handshake_times.Add(
        session.engine().statistics().handshake_duration);
    statistics_.handshakes_resumed += session.engine().resumed() ? 1 : 0;
    statistics_.verification_errors_ignored +=
        session.engine().ignored_errors().size();
    JudgeByNewerPolicy(session);
    if (Session* const old = peers_.Establish(session)) {
      // The newer one holds the keys of the peer that is there now.
      ++statistics_.sessions_superseded;
      old->Supersede();
    }
  }

  void OnStateChanged(Session& session) override {
    if (session.engine().state() == EngineState::kFailed &&
        absl::IsDeadlineExceeded(session.engine().error()) &&
        GetErrorDetail(session.engine().error())->limit == "idle_timeout") {
      ++statistics_.sessions_idle;
    }
    Emit(SessionEventKind::kChanged, session);
  }

  void OnHalfOpenChanged(Session& session) override {
    if (session.half_open()) {
      admission_.Add(session.id(), session.path().peer, reactor_.Now());
    } else {
      admission_.Remove(session.id());
    }
  }

  void OnSessionGone(Session& session) override {
    Emit(SessionEventKind::kClosed, session);
    sessions_.erase(session.id());
    --statistics_.sessions;
    admission_.Remove(session.id());
    peers_.Remove(session);
    if (draining_ && sessions_.empty()) StopAccepting();
  }

  net::Task<absl::Status> CloseSocket() override {
    co_return absl::OkStatus();  // It is everybody's.
  }

  void OnDatagram(const net::Datagram& datagram) override {
    net::Path path;
    path.peer = datagram.peer;
    path.local = datagram.local;
    PeerTable::Peer* const found = peers_.Find(path);
    if (found == nullptr) {
      OnHello(path, datagram.bytes, nullptr);
      return;
    }
    PeerTable::Peer& peer = *found;
    if (internal::ClientHelloView hello;
        LooksLikeHello(datagram.bytes) &&
        internal::ReadClientHello(datagram.bytes, &hello)) {
      Session* const session = peer.FindByRandom(hello.random);
      if (session != nullptr && !GoesOnWithCookie(*session, hello)) {
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

  // That a peer cannot be reached ends no session: it may be back soon, and
  // anybody may have said so.
  void OnPeerNotice(const net::PeerNotice& notice) override {
    if (notice.path_mtu == 0) return;
    net::Path path;
    path.peer = notice.peer;
    path.local = notice.local;
    PeerTable::Peer* const found = peers_.Find(path);
    if (found == nullptr) return;
    for (Session* const session : {found->session, found->newcomer}) {
      if (session != nullptr) session->engine().LowerPathMtu(notice.path_mtu);
    }
  }

  // Keeps it while it waits, whatever becomes of the listener.
  static net::Task<absl::StatusOr<Connection>> Accept(
      std::shared_ptr<Core> core) {
    absl::StatusOr<std::unique_ptr<Session>> session =
        co_await core->accepted_.Take();
    if (!session.ok()) co_return session.status();
    ++core->statistics_.sessions_accepted;
    co_return Connection(*std::move(session));
  }

  void StopAccepting() {
    accepted_.Close(absl::FailedPreconditionError(
        draining_ ? "the listener was drained"
                  : "the listener no longer accepts"));
  }

  ListenerStatistics statistics() const override {
    ListenerStatistics statistics = statistics_;
    statistics.cookies = cookies_.statistics();
    statistics.socket = socket_->statistics();
    statistics.session_memory = admission_.memory().used();
    statistics.dropped_max_session_memory += admission_.memory().refusals();
    statistics.reassembly_bytes = admission_.reassembly().used();
    statistics.dropped_max_reassembly_bytes =
        admission_.reassembly().refusals();
    return statistics;
  }

  size_t ReadSessions(uint64_t after,
                      absl::Span<SessionSnapshot> page) override {
    size_t count = 0;
    for (auto at = sessions_.upper_bound(after);
         at != sessions_.end() && count < page.size(); ++at) {
      at->second->Describe(page[count++]);
    }
    return count;
  }

  bool ReadSession(uint64_t id, SessionSnapshot& into) override {
    auto found = sessions_.find(id);
    if (found == sessions_.end()) return false;
    found->second->Describe(into);
    return true;
  }

  bool CloseSession(uint64_t id, const absl::Status& status,
                    uint8_t alert) override {
    auto found = sessions_.find(id);
    if (found == sessions_.end()) return false;
    absl::Status why = status.ok() ? absl::UnavailableError(
                                         "the session was closed by the "
                                         "administration")
                                   : status;
    ErrorDetail detail = GetErrorDetail(why).value_or(ErrorDetail());
    if (detail.limit.empty()) detail.limit = kClosedByAdmin;
    SetErrorDetail(&why, detail);
    EndSession(*found->second, why, alert);
    return true;
  }

  ListenerLimits limits() const override { return admission_.limits(); }
  void SetLimits(const ListenerLimits& limits) override {
    admission_.set_limits(limits);
  }

  absl::Status SetCookieParameters(const CookieParameters& p) override {
    return cookies_.SetParameters(p);
  }
  CookieHash cookie_hash() const override { return cookies_.hash(); }

  const Context& context() const override { return context_; }
  net::Reactor& reactor() override { return reactor_; }
  bool draining() const override { return draining_; }

  void Drain(absl::Duration deadline) override {
    draining_ = true;
    if (sessions_.empty()) {
      StopAccepting();
      return;
    }
    absl::Status why = absl::UnavailableError("the listener is being drained");
    SetErrorDetail(&why, {.limit = kClosedByAdmin});
    ender_.EndAllAt(reactor_.Now() + deadline, std::move(why));
  }

  void AddObserver(std::shared_ptr<SessionObserver> observer) override {
    observers_.push_back(std::move(observer));
  }
  void RemoveObserver(const SessionObserver* observer) override {
    observers_.erase(
        std::remove_if(observers_.begin(), observers_.end(),
                       [&](const std::shared_ptr<SessionObserver>& o) {
                         return o.get() == observer;
                       }),
        observers_.end());
  }

 private:
  // A record of a handshake in epoch 0: everything else is not looked at twice.
  static bool LooksLikeHello(absl::Span<const uint8_t> datagram) {
    return datagram.size() > internal::kRecordHeaderBytes &&
           datagram[0] == internal::kHandshakeType && datagram[3] == 0 &&
           datagram[4] == 0;
  }

  // The client was asked for a cookie, and then a repetition of its first hello
  // was served without one: what is here now is the hello that counts for it.
  bool GoesOnWithCookie(const Session& session,
                        const internal::ClientHelloView& hello) const {
    return context_.state()->cookies() && session.half_open() &&
           !hello.cookie.empty() && !session.engine().cookie_shown();
  }

  void Emit(SessionEventKind kind, const Session& session) {
    if (observers_.empty()) return;
    auto now = std::make_shared<SessionSnapshot>();
    session.Describe(*now);
    const std::string reason =
        kind == SessionEventKind::kClosed ? ReasonOf(session) : "";
    for (const std::shared_ptr<SessionObserver>& observer : observers_) {
      observer->OnSessionEvent(kind, now, reason);
    }
  }

  std::shared_ptr<const internal::CompiledPolicy> PresentPolicy() const {
    return options_.registry == nullptr
               ? nullptr
               : options_.registry->policies().ForHandshake(options_.name);
  }

  // Of a session whose handshake was going on when a policy was set that is to
  // judge those that are there.
  void JudgeByNewerPolicy(Session& session) {
    const std::shared_ptr<const internal::CompiledPolicy> policy =
        PresentPolicy();
    if (policy == nullptr ||
        session.engine().policy_version() >= policy->judges_before()) {
      return;
    }
    const std::vector<VerificationError> errors = policy->JudgeSession(
        session.engine().peer_chain().get(),
        session.engine().negotiated().psk_identity, context_.state()->WallNow(),
        context_.state()->certificate_limits());
    if (errors.empty()) return;
    // Not from within its own call.
    ender_.EndSoon(session.id(), policy->Refusal(errors));
  }

  void EndSession(Session& session, const absl::Status& why, uint8_t alert) {
    const EngineState state = session.engine().state();
    if (state != EngineState::kFailed && state != EngineState::kClosed) {
      ++statistics_.sessions_closed_by_admin;
    }
    session.Terminate(why, alert);
    // Nobody is to accept a session that is over: its place is another's.
    accepted_.Remove(session);
  }

  void End(uint64_t id, const absl::Status& why) override {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    EndSession(*found->second, why,
               GetErrorDetail(why)->alert.value_or(SSL_AD_CLOSE_NOTIFY));
  }
  std::optional<uint64_t> After(uint64_t id) const override {
    const auto next = sessions_.upper_bound(id);
    if (next == sessions_.end()) return std::nullopt;
    return next->first;
  }
  void OnAllEnded() override { StopAccepting(); }

  // Ends a half-open session for another's sake.
  bool GiveWay(uint64_t id) {
    auto found = sessions_.find(id);
    if (found == sessions_.end()) return false;
    Session& session = *found->second;
    if (session.engine().state() == EngineState::kVerificationFailed ||
        session.engine().verdict_wanted()) {
      return false;
    }
    absl::Status why = absl::ResourceExhaustedError(
        "there were too many handshakes, and this one was the oldest");
    SetErrorDetail(&why, {.limit = "max_half_open"});
    session.Terminate(why, SSL_AD_INTERNAL_ERROR);
    accepted_.Remove(session);
    return true;
  }

  bool DemandsCookie(const net::Endpoint& peer,
                     absl::Span<const uint8_t> datagram,
                     const PeerTable::Peer* known) const {
    if (!context_.state()->cookies()) return false;
    if (known != nullptr ||
        admission_.half_open() >= limits().half_open_before_cookies ||
        !admission_.KeepsRate(peer, /*proven=*/false, reactor_.Now())) {
      return true;
    }
    // Whoever was asked for a cookie before counts on it.
    internal::ClientHelloView hello;
    return !internal::ReadClientHello(datagram, &hello) ||
           !hello.cookie.empty();
  }

  // A datagram of a peer without session, or a new hello of one that has one.
  void OnHello(net::Path& path, absl::Span<uint8_t> datagram,
               PeerTable::Peer* known) {
    if (draining_) {
      ++statistics_.dropped_draining;
      return;
    }
    if (!accepted_.open()) {
      ++statistics_.dropped_unknown;
      return;
    }
    EngineOptions options;
    options.ipv6 = path.peer.is_v6();
    options.ask_for_verdict = options_.verify_peer != nullptr;
    options.ask_for_psk = options_.psk_lookup != nullptr;
    options.amplification_limit = options_.amplification_limit;
    if (DemandsCookie(path.peer, datagram, known)) {
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
    options.policy = PresentPolicy();
    options.idle_timeout = IdleTimeoutOf(limits());
    if (known != nullptr && known->session->awaits_hello()) {
      known->session->engine().UsePolicy(std::move(options.policy));
      known->session->BeginWith(hello.random, options.verified_hello, datagram);
      return;
    }
    // One newcomer at a time.
    if (known != nullptr && known->newcomer != nullptr) {
      ++statistics_.dropped_unknown;
      return;
    }
    const bool proven = options.verified_hello.has_value();
    if (!admission_.Admit(path.peer, proven, accepted_.size(), reactor_.Now(),
                          [this](uint64_t id) { return GiveWay(id); })) {
      return;
    }
    absl::StatusOr<std::unique_ptr<Engine>> engine =
        Engine::Create(context_, options);
    if (!engine.ok()) {
      ++statistics_.handshakes_failed;
      ++statistics_.failures[static_cast<size_t>(HandshakeFailure::kAborted)];
      return;
    }
    auto session = std::make_unique<Session>(reactor_, shared_from_this(), path,
                                             *std::move(engine));
    session->set_hello_random(hello.random);
    session->engine().CountIn(&statistics_.traffic);
    session->CountMemoryIn(&admission_.memory(), &admission_.reassembly());
    sessions_[session->id()] = session.get();
    admission_.Add(session->id(), path.peer, reactor_.Now());
    peers_.Add(*session);
    ++statistics_.sessions;
    Emit(SessionEventKind::kOpened, *session);
    session->OnDatagram(datagram);
    accepted_.Push(std::move(session));
  }

  net::Reactor& reactor_;
  const Context context_;
  const ListenerOptions options_;
  ListenerStatistics statistics_;
  internal::Admission admission_;
  CookieExchange cookies_;
  bool draining_ = false;
  std::vector<std::shared_ptr<SessionObserver>> observers_;
  std::shared_ptr<ListenerHandle> handle_;
  absl::btree_map<uint64_t, Session*> sessions_;
  PeerTable peers_;
  internal::AcceptQueue accepted_;
  internal::SessionEnder ender_;
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
  if (context.state()->psk_lookup() != (options.psk_lookup != nullptr)) {
    return absl::InvalidArgumentError(
        "ServerOptions::psk_lookup and ListenerOptions::psk_lookup go "
        "together: "
        "set both or none");
  }
  if (options.name.empty()) {
    return absl::InvalidArgumentError("ListenerOptions::name is empty");
  }
  if (options.source_prefix_v4 < 0 || options.source_prefix_v4 > 32 ||
      options.source_prefix_v6 < 0 || options.source_prefix_v6 > 128) {
    return absl::InvalidArgumentError(
        "ListenerOptions::source_prefix_v4 is from 0 to 32, source_prefix_v6 "
        "from 0 to 128");
  }
  absl::StatusOr<CookieExchange> cookies =
      CookieExchange::Create(context.state()->cookie());
  if (!cookies.ok()) return cookies.status();
  absl::StatusOr<std::unique_ptr<net::DatagramSocket>> socket =
      reactor.OpenSocket({.bind = at,
                          .reuse_port = options.reuse_port,
                          .gso = options.gso,
                          .gro = options.gro,
                          .peer_notices = true,
                          .receive_buffer = options.receive_buffer,
                          .send_buffer = options.send_buffer});
  if (!socket.ok()) return socket.status();
  if (options.registry != nullptr) {
    if (absl::Status status = options.registry->policies().EnsurePolicy(
            options.name, context.state()->policy());
        !status.ok()) {
      return status;
    }
  }
  return Listener(std::make_shared<Core>(
      reactor, context, options, *std::move(cookies), *std::move(socket)));
}

net::Task<absl::StatusOr<Connection>> Listener::Accept() {
  return Core::Accept(core_);
}

void Listener::StopAccepting() { core_->StopAccepting(); }

const net::Endpoint& Listener::local_endpoint() const {
  return core_->socket().local_endpoint();
}

ListenerStatistics Listener::statistics() const { return core_->statistics(); }

}  // namespace cordon::dtls
