#include "cordon/dtls/listener.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/container/btree_map.h"
#include "cordon/dtls/internal/accept_queue.h"
#include "cordon/dtls/internal/admission.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/context_state.h"
#include "cordon/dtls/internal/group_member.h"
#include "cordon/dtls/internal/listener_settings.h"
#include "cordon/dtls/internal/peer_table.h"
#include "cordon/dtls/internal/session.h"
#include "cordon/dtls/internal/session_ender.h"
#include "cordon/dtls/internal/session_events.h"
#include "cordon/dtls/internal/shared_cookies.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::dtls {
namespace {

using internal::PeerTable;
using internal::Session;

constexpr char kClosedByAdmin[] = "closed_by_admin";

}  // namespace

// Outlives the `Listener` as long as there are sessions.
class Listener::Core final : public internal::SessionOwner,
                             public net::DatagramReceiver,
                             public ListenerAdmin,
                             private internal::SessionEnder::Sessions,
                             private internal::GroupMember::Host,
                             public std::enable_shared_from_this<Core> {
 public:
  Core(net::Reactor& reactor, const Context& context,
       const ListenerOptions& options, CookieExchange cookies,
       std::unique_ptr<net::DatagramSocket> socket,
       const internal::ListenerShares& shares)
      : reactor_(reactor),
        context_(context),
        options_(options),
        admission_(shares.ledger,
                   {.source_prefix_v4 = options.source_prefix_v4,
                    .source_prefix_v6 = options.source_prefix_v6,
                    .half_open_grace = options.half_open_grace},
                   &statistics_),
        cookies_(std::move(cookies), *shares.ledger),
        ender_(reactor, *this),
        socket_(std::move(socket)),
        member_(reactor, shares.group, shares.ledger.get(), *this,
                &statistics_) {
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
    events_.Emit(SessionEventKind::kChanged, session);
  }

  void OnHalfOpenChanged(Session& session) override {
    if (session.half_open()) {
      admission_.Add(session.id(), session.path().peer, reactor_.Now());
    } else {
      admission_.Remove(session.id());
    }
  }

  void OnSessionGone(Session& session) override {
    events_.Emit(SessionEventKind::kClosed, session);
    sessions_.erase(session.id());
    admission_.SetWaiting(accepted_.size());
    admission_.Close(session.id());
    peers_.Remove(session);
    if (sessions_.empty() && !serves()) StopAccepting();
  }

  net::Task<absl::Status> CloseSocket() override {
    co_return absl::OkStatus();  // It is everybody's.
  }

  void OnDatagram(const net::Datagram& datagram) override {
    net::Path path(datagram.peer, datagram.local);
    PeerTable::Peer* const found = peers_.Find(path);
    if (found == nullptr) {
      if (member_.Redirect(path, datagram.bytes)) return;
      return OnHello(path, datagram.bytes, nullptr);
    }
    member_.Mirror(path, datagram.bytes);
    Deliver(path, datagram.bytes, *found);
  }

  // That a peer cannot be reached ends no session: it may be back soon, and
  // anybody may have said so.
  void OnPeerNotice(const net::PeerNotice& notice) override {
    if (notice.path_mtu == 0) return;
    PeerTable::Peer* const found =
        peers_.Find(net::Path(notice.peer, notice.local));
    if (found == nullptr) {
      if (!member_.is_final()) member_.RedirectNotice(notice);
      return;
    }
    for (Session* const session : {found->session, found->newcomer}) {
      if (session != nullptr) session->engine().LowerPathMtu(notice.path_mtu);
    }
  }

  void OnSocketFailed(const absl::Status& status) override {
    accepted_.Close(status);
    // Hearing of it some may close others.
    std::vector<uint64_t> ids;
    for (const auto& [id, session] : sessions_) ids.push_back(id);
    for (const uint64_t id : ids) {
      const auto found = sessions_.find(id);
      if (found != sessions_.end()) found->second->OnSocketFailed(status);
    }
  }

  // Keeps it while it waits, whatever becomes of the listener.
  static net::Task<absl::StatusOr<Connection>> Accept(
      std::shared_ptr<Core> core) {
    absl::StatusOr<std::unique_ptr<Session>> session =
        co_await core->accepted_.Take();
    if (!session.ok()) co_return session.status();
    core->admission_.SetWaiting(core->accepted_.size());
    ++core->statistics_.sessions_accepted;
    co_return Connection(*std::move(session));
  }

  // The right to its name, until it takes no new peers.
  void HoldName(PolicyStore::Claim claim) { name_claim_ = std::move(claim); }

  void StopAccepting() {
    const std::shared_ptr<Core> self = shared_from_this();
    member_.StopAccepting();
    name_claim_.reset();
    accepted_.Close(absl::FailedPreconditionError(
        draining_ ? "the listener was drained"
                  : "the listener no longer accepts"));
    if (sessions_.empty()) member_.Leave();
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
    statistics.session_ids = context_.session_ids();
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
    member_.StopAccepting();
    name_claim_.reset();
    if (sessions_.empty()) {
      StopAccepting();
      return;
    }
    absl::Status why = absl::UnavailableError("the listener is being drained");
    SetErrorDetail(&why, {.limit = kClosedByAdmin});
    ender_.EndAllAt(reactor_.ReadClock() + deadline, std::move(why));
  }

  void AddObserver(std::shared_ptr<SessionObserver> observer) override {
    events_.Add(std::move(observer));
  }
  void RemoveObserver(const SessionObserver* observer) override {
    events_.Remove(observer);
  }

 private:
  // Of a peer that has a session here.
  void Deliver(net::Path& path, absl::Span<uint8_t> datagram,
               PeerTable::Peer& peer) {
    if (internal::ClientHelloView hello;
        internal::ReadClientHello(datagram, &hello)) {
      Session* const session = peer.FindByRandom(hello.random);
      if (session != nullptr && !GoesOnWithCookie(*session, hello)) {
        session->OnDatagram(datagram);
      } else {
        // The peer may have lost its state and begun anew (RFC 6347 section
        // 4.2.8), or somebody pretends so.
        OnHello(path, datagram, &peer);
      }
      return;
    }
    if (peer.newcomer != nullptr) {
      // While it handshakes it leaves the bytes as they are.
      Session* const newcomer = peer.newcomer;
      newcomer->OnDatagram(datagram);
      if (peer.newcomer != newcomer) return;
    }
    peer.session->OnDatagram(datagram);
  }

  // From another reactor.
  void OnParcel(const internal::Parcel& parcel,
                absl::Span<uint8_t> bytes) override {
    net::Path path(parcel.peer, parcel.local);
    PeerTable::Peer* const found = peers_.Find(path);
    switch (parcel.kind) {
      case internal::Parcel::Kind::kDatagram:
      case internal::Parcel::Kind::kHello:
        if (found == nullptr) return OnHello(path, bytes, nullptr);
        return Deliver(path, bytes, *found);
      case internal::Parcel::Kind::kSuperseded:
        if (found == nullptr) return;
        for (Session* const old : {found->newcomer, found->session}) {
          if (old == nullptr) continue;
          ++statistics_.sessions_superseded;
          // From now on its peer's datagrams are the other reactor's.
          peers_.Remove(*old);
          old->Supersede();
        }
        return;
      case internal::Parcel::Kind::kPathMtu:
        OnPeerNotice({.peer = parcel.peer,
                      .local = parcel.local,
                      .path_mtu = parcel.path_mtu});
        return;
    }
  }
  void OpenSocketAgain() override {
    absl::StatusOr<std::unique_ptr<net::DatagramSocket>> socket =
        reactor_.OpenSocket(
            internal::SocketOptionsOf(options_, socket_->local_endpoint()));
    if (!socket.ok()) return StopAccepting();
    socket_ = *std::move(socket);
    socket_->StartReceiving(*this);
  }
  std::shared_ptr<void> Hold() override { return shared_from_this(); }
  absl::Time OldestHalfOpen() const override { return admission_.oldest(); }

  // The client was asked for a cookie, and then a repetition of its first hello
  // was served without one: what is here now is the hello that counts for it.
  bool GoesOnWithCookie(const Session& session,
                        const internal::ClientHelloView& hello) const {
    return context_.state()->cookies() && session.half_open() &&
           !hello.cookie.empty() && !session.engine().cookie_shown();
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
        session.engine().peer_chain().get(), session.engine().psk_identity(),
        context_.state()->WallNow(), context_.state()->certificate_limits());
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
    // It waits for us, not for its peer.
    if (session.engine().resting()) return false;
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
    if (known != nullptr || member_.is_final() || !serves() ||
        admission_.half_open() >= limits().half_open_before_cookies ||
        !admission_.KeepsRate(peer, /*proven=*/false, reactor_.Now())) {
      return true;
    }
    // Whoever was asked for a cookie before counts on it.
    internal::ClientHelloView hello;
    return !internal::ReadClientHello(datagram, &hello) ||
           !hello.cookie.empty();
  }

  // Takes new sessions.
  bool serves() const { return !draining_ && accepted_.open(); }

  // `hello`, which may begin a handshake where `known` are, replaces the
  // handshake that is going on there: whoever began that one is not there any
  // more. An established session stays until the new handshake is complete.
  // False: nothing has changed, because the hello has been heard before, was
  // overtaken by a newer one, or comes too soon. `waiting` is the session that
  // has been waiting for it, or null.
  bool MakeWay(const PeerTable::Peer known, const net::Endpoint& peer,
               bool proven, internal::BegunBy& hello, Session*& waiting) {
    for (Session* const s : {known.session, known.newcomer}) {
      if (s != nullptr && !hello.IsNewerThan(s->begun_by())) {
        ++statistics_.dropped_old_hellos;
        return false;
      }
    }
    // Each replacement counts as a handshake of this source.
    if (!admission_.KeepsRate(peer, proven, reactor_.Now())) {
      ++statistics_.dropped_handshake_rate_per_source;
      return false;
    }
    for (Session* const s : {known.session, known.newcomer}) {
      if (s != nullptr && s->awaits_hello()) waiting = s;
    }
    for (Session* const s : {known.session, known.newcomer}) {
      if (s == nullptr || s == waiting ||
          (s == known.session && !s->half_open())) {
        continue;
      }
      if (s->half_open()) ++statistics_.handshakes_superseded;
      hello.replaced_random = s->begun_by().random;
      peers_.Remove(*s);
      s->Supersede();
      // Nobody is to accept it. If nobody has, it is gone now.
      accepted_.Remove(*s);
    }
    return true;
  }

  // A datagram of a peer without session, or a new hello of one that has one.
  void OnHello(net::Path& path, absl::Span<uint8_t> datagram,
               PeerTable::Peer* known) {
    if (!path.peer.is_answerable()) {
      ++statistics_.dropped_bad_source;
      return;
    }
    if (!serves() && !member_.CanHandOver(path.peer)) {
      ++(draining_ ? statistics_.dropped_draining
                   : statistics_.dropped_unknown);
      return;
    }
    internal::BegunBy begun_by;
    EngineOptions options;
    options.ipv6 = path.peer.is_v6();
    options.ask_for_verdict = options_.verify_peer != nullptr;
    options.ask_for_psk = options_.psk_lookup != nullptr;
    options.amplification_limit = options_.amplification_limit;
    if (DemandsCookie(path.peer, datagram, known)) {
      std::array<uint8_t, CookieExchange::kReplyBytes> reply;
      const CookieExchange::Result result =
          cookies_.Process(datagram, path.peer,
                           context_.state()->MomentOf(reactor_.Now()), reply);
      switch (result.verdict) {
        case CookieVerdict::kVerified:
          options.verified_hello = result.record_sequence;
          begun_by.made = result.made;
          break;
        case CookieVerdict::kReply:
          socket_->Send(path, reply);
          return;
        case CookieVerdict::kDropped:
        case CookieVerdict::kInvalidArgument:
          ++statistics_.dropped_unknown;
          return;
      }
    }
    if (!serves()) {
      member_.HandOver(path, datagram);
      return;
    }
    internal::ClientHelloView hello;
    if (!internal::ReadClientHello(datagram, &hello)) {
      ++statistics_.dropped_unknown;
      return;
    }
    std::copy(hello.random.begin(), hello.random.end(),
              begun_by.random.begin());
    options.policy = PresentPolicy();
    options.idle_timeout = internal::IdleTimeoutOf(limits());
    const bool proven = options.verified_hello.has_value();
    if (known != nullptr) {
      Session* waiting = nullptr;
      if (!MakeWay(*known, path.peer, proven, begun_by, waiting)) return;
      if (waiting != nullptr) {
        waiting->engine().UsePolicy(std::move(options.policy));
        waiting->BeginWith(begun_by, options.verified_hello, datagram);
        return;
      }
    }
    if (!admission_.Admit(
            path.peer, proven, reactor_.Now(),
            [this](uint64_t id) { return GiveWay(id); },
            [&](absl::Time since) {
              return member_.HandOverToOldest(path, datagram, since);
            })) {
      return;
    }
    absl::StatusOr<std::unique_ptr<Engine>> engine =
        Engine::Create(context_, options);
    if (!engine.ok()) {
      admission_.Abandon();
      ++statistics_.handshakes_failed;
      ++statistics_.failures[static_cast<size_t>(HandshakeFailure::kAborted)];
      return;
    }
    auto session = std::make_unique<Session>(reactor_, shared_from_this(), path,
                                             *std::move(engine));
    session->set_begun_by(begun_by);
    session->engine().CountIn(&statistics_.traffic);
    session->CountMemoryIn(&admission_.memory(), &admission_.reassembly());
    sessions_[session->id()] = session.get();
    admission_.Open(session->id(), path.peer, reactor_.Now());
    peers_.Add(*session);
    events_.Emit(SessionEventKind::kOpened, *session);
    session->OnDatagram(datagram);
    accepted_.Push(std::move(session));
  }

  net::Reactor& reactor_;
  const Context context_;
  const ListenerOptions options_;
  ListenerStatistics statistics_;
  internal::Admission admission_;
  internal::SharedCookies cookies_;
  bool draining_ = false;
  internal::SessionEvents events_;
  std::shared_ptr<ListenerHandle> handle_;
  PolicyStore::Claim name_claim_;
  absl::btree_map<uint64_t, Session*> sessions_;
  PeerTable peers_{&member_};
  internal::AcceptQueue accepted_;
  internal::SessionEnder ender_;
  // Last: they stop calling before the rest goes.
  std::unique_ptr<net::DatagramSocket> socket_;
  internal::GroupMember member_;
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
  if (absl::Status status = internal::CheckListenerOptions(context, options);
      !status.ok()) {
    return status;
  }
  absl::StatusOr<CookieExchange> cookies =
      CookieExchange::Create(context.state()->cookie());
  if (!cookies.ok()) return cookies.status();
  absl::StatusOr<std::unique_ptr<net::DatagramSocket>> socket =
      reactor.OpenSocket(internal::SocketOptionsOf(options, at));
  if (!socket.ok()) return socket.status();
  PolicyStore::Claim claim;
  if (options.registry != nullptr) {
    PolicyStore& policies = options.registry->policies();
    const Policy& policy = context.state()->policy();
    absl::StatusOr<PolicyStore::Claim> claimed =
        policies.ClaimName(options.name, policy);
    if (!claimed.ok()) return claimed.status();
    claim = *std::move(claimed);
    if (absl::Status status = policies.EnsurePolicy(options.name, policy);
        !status.ok()) {
      return status;
    }
  }
  const internal::ListenerShares shares =
      internal::SharesOf(options, reactor, (*socket)->local_endpoint());
  auto core =
      std::make_shared<Core>(reactor, context, options, *std::move(cookies),
                             *std::move(socket), shares);
  core->HoldName(std::move(claim));
  return Listener(std::move(core));
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
