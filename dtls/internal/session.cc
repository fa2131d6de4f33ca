#include "cordon/dtls/internal/session.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/internal/context_state.h"
#include "cordon/dtls/internal/session_bounds.h"
#include "cordon/dtls/moment.h"

namespace cordon::dtls::internal {
namespace {

// Refusals, each of a flight of ours, before a silent peer is given up.
constexpr int kMaxRefusals = 3;

// Ids are of the process, so that nobody takes a session for another.
uint64_t NextId() {
  static std::atomic<uint64_t> last = 0;
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

absl::Status Destroyed() {
  return absl::FailedPreconditionError("the connection was destroyed");
}

}  // namespace

bool BegunBy::IsNewerThan(const BegunBy& other) const {
  if (made != other.made) return made > other.made;
  return made == absl::InfinitePast() && random != other.random &&
         random != other.replaced_random;
}

Session::Session(net::Reactor& reactor, std::shared_ptr<SessionOwner> owner,
                 const net::Path& path, std::unique_ptr<Engine> engine)
    : reactor_(reactor),
      owner_(std::move(owner)),
      id_(NextId()),
      opened_(reactor.Now()),
      last_activity_(opened_),
      path_(path),
      engine_(std::move(engine)) {
  memory_.Add(kSessionBytes);
}

Session::~Session() {
  hooks_.reset();
  old_hooks_.reset();
  if (engine_->state() == EngineState::kHandshaking ||
      engine_->state() == EngineState::kVerificationFailed ||
      engine_->state() == EngineState::kConnected ||
      engine_->state() == EngineState::kPeerClosed) {
    engine_->Close(reactor_.ReadClock(), *this);
    Update();
  }
  owner_->OnSessionGone(*this);
}

absl::Span<uint8_t> Session::Reserve(size_t max_bytes) {
  return socket().Reserve(path_, max_bytes);
}

void Session::Commit(size_t bytes) { socket().Commit(path_, bytes); }

bool Session::OnMessage(absl::Span<const uint8_t> message) {
  const SessionOptions& options = engine_->session_options();
  if (queue_.size() >= options.max_queued_messages ||
      queued_bytes_ + message.size() > options.max_queued_bytes) {
    return false;
  }
  Message copy(reactor_.byte_pool().Copy(message));
  if (!queue_.empty() && !memory_.HasRoomFor(copy.capacity())) return false;
  memory_.Add(copy.capacity());
  queue_.push_back(std::move(copy));
  queued_bytes_ += message.size();
  receivers_.WakeOne();
  return true;
}

void Session::ClearQueue() {
  while (!queue_.empty()) memory_.Remove(queue_.pop_front().capacity());
  queued_bytes_ = 0;
}

void Session::OnTimer() {
  engine_->OnTimeout(reactor_.ReadClock(), *this);
  Update();
}

void Session::OnDatagram(absl::Span<uint8_t> datagram) {
  // What a handshake answers is repeated after a while that counts from now:
  // others of the same turn may have taken long. In an established session it
  // is the receipt that counts, and the clock is not read for each datagram.
  last_activity_ = std::max(last_activity_,
                            half_open_ ? reactor_.ReadClock() : reactor_.Now());
  if (engine_->state() == EngineState::kNotStarted) {
    if (early_.size() < kMaxEarlyDatagrams &&
        early_bytes_ + datagram.size() <= kMaxEarlyDatagramBytes) {
      KeepEarly(datagram);
    }
    return;
  }
  // Of the session before.
  if (awaits_hello_) return;
  engine_->Receive(datagram, last_activity_, *this);
  Update();
}

void Session::KeepEarly(absl::Span<const uint8_t> datagram) {
  net::PooledBytes copy = reactor_.byte_pool().Copy(datagram);
  if (!early_memory_.HasRoomFor(copy.capacity())) {
    early_memory_.CountRefusal();
    return;
  }
  early_memory_.Add(copy.capacity());
  early_.push_back(std::move(copy));
  early_bytes_ += datagram.size();
}

net::RingQueue<net::PooledBytes> Session::TakeEarly() {
  early_bytes_ = 0;
  early_memory_.Clear();
  return std::exchange(early_, {});
}

void Session::BeginWith(const BegunBy& hello,
                        std::optional<uint64_t> verified_hello,
                        absl::Span<uint8_t> datagram) {
  awaits_hello_ = false;
  begun_by_ = hello;
  if (verified_hello.has_value()) engine_->ExpectVerifiedHello(*verified_hello);
  OnDatagram(datagram);
}

void Session::Supersede() {
  absl::Status why = absl::UnavailableError(
      half_open_ ? "the peer has begun a new handshake instead"
                 : "the peer has begun a new session instead");
  SetErrorDetail(&why, {.limit = "superseded"});
  EndWith(std::move(why));
}

void Session::EndWith(absl::Status status) {
  over_ = true;
  TakeEarly();
  if (engine_->state() != EngineState::kFailed &&
      engine_->state() != EngineState::kClosed) {
    engine_->Abort(std::move(status));
  }
  Update();
}

void Session::Terminate(const absl::Status& status, uint8_t alert) {
  over_ = true;
  TakeEarly();
  if (engine_->state() == EngineState::kNotStarted) {
    engine_->Abort(status);
  } else {
    engine_->Terminate(status, alert, reactor_.ReadClock(), *this);
  }
  Update();
}

void Session::Describe(SessionSnapshot& snapshot) const {
  snapshot.id = id_;
  snapshot.peer = path_.peer;
  snapshot.local = local();
  snapshot.state = engine_->state();
  snapshot.info = engine_->negotiated();
  snapshot.chain = engine_->peer_chain();
  snapshot.limits = engine_->context().state()->certificate_limits();
  snapshot.errors = engine_->verification_errors();
  const Moment now = engine_->context().state()->MomentOf(reactor_.Now());
  snapshot.opened = now.WallTimeOf(opened_);
  snapshot.last_activity = now.WallTimeOf(last_activity_);
  snapshot.statistics = engine_->statistics();
  snapshot.error = engine_->error();
}

net::Endpoint Session::local() const {
  const net::Endpoint& bound = owner_->socket().local_endpoint();
  const net::Endpoint& address = path_.local.address;
  return address.is_none() ? bound : address.WithPort(bound.port());
}

void Session::OnRefused(const absl::Status& status) {
  if (engine_->state() != EngineState::kHandshaking ||
      engine_->statistics().datagrams_received > 0) {
    return;
  }
  if (++refusals_ < kMaxRefusals) return;
  engine_->Abort(absl::UnavailableError(
      absl::StrCat("nobody listens at ", status.message())));
  Update();
}

bool Session::CountPeer() {
  const size_t bytes = engine_->peer_bytes();
  const bool fits =
      bytes <= peer_bytes_ || memory_.HasRoomFor(bytes - peer_bytes_);
  memory_.Remove(peer_bytes_);
  peer_bytes_ = bytes;
  memory_.Add(peer_bytes_);
  return fits;
}

void Session::Update() {
  // Later nothing is added to it. What makes no room ends by itself.
  if ((handshaking_ || engine_->state() != seen_) && !CountPeer() && !over_) {
    memory_.CountRefusal();
    absl::Status status = absl::ResourceExhaustedError(
        absl::StrCat("there is no memory left for the ", peer_bytes_,
                     " bytes that the peer's certificates take"));
    SetErrorDetail(&status, {.limit = "max_session_memory"});
    Terminate(status, SSL_AD_INTERNAL_ERROR);
    return;
  }
  const absl::Time deadline = engine_->NextDeadline();
  if (deadline == absl::InfiniteFuture()) {
    reactor_.executor().timers().Cancel(*this);
  } else if (!armed() || deadline != Timer::deadline()) {
    reactor_.executor().timers().Arm(*this, deadline);
  }
  if (engine_->question() != asked_) Ask();
  const EngineState state = engine_->state();
  if (state == seen_) return;
  const EngineState before = std::exchange(seen_, state);
  if (state != EngineState::kHandshaking) {
    if (hooks_ != nullptr) hooks_->RequestStop();
    if (handshaking_ && state != EngineState::kVerificationFailed) {
      handshaking_ = false;
      awaits_hello_ = false;
      // A peer may close at once: the handshake was good all the same.
      established_ =
          state == EngineState::kConnected || state == EngineState::kPeerClosed;
      absl::Status how = established_ ? absl::OkStatus() : engine_->error();
      if (!established_ && how.ok()) {
        how = before == EngineState::kVerificationFailed
                  ? absl::UnauthenticatedError("the peer was not accepted")
                  : absl::CancelledError("the handshake was given up");
      }
      owner_->OnHandshakeEnded(*this, how);
    }
  }
  SetHalfOpen(IsHalfOpen(state));
  owner_->OnStateChanged(*this);
  handshakers_.WakeAll();
  receivers_.WakeAll();
  senders_.WakeAll();
}

void Session::SetHalfOpen(bool half_open) {
  if (half_open == half_open_) return;
  half_open_ = half_open;
  owner_->OnHalfOpenChanged(*this);
}

void Session::Ask() {
  asked_ = engine_->question();
  if (!engine_->verdict_wanted() && !engine_->wanted_psk().has_value()) return;
  if (hooks_ != nullptr) hooks_->RequestStop();
  old_hooks_ = std::exchange(
      hooks_, std::make_unique<net::TaskScope>(reactor_.executor()));
  hooks_->Spawn(engine_->verdict_wanted() ? Judge(asked_) : LookUpPsk(asked_));
}

bool Session::TooLate(uint64_t question) const {
  return question != engine_->question() || hooks_->stop_requested();
}

net::Task<void> Session::Judge(uint64_t question) {
  if (TooLate(question)) co_return;
  PeerIdentity identity = engine_->peer_identity();
  identity.endpoint = path_.peer;
  const VerificationVerdict verdict = co_await owner_->verify_peer()(identity);
  if (TooLate(question)) co_return;
  engine_->GiveVerdict(verdict, reactor_.ReadClock(), *this);
  Update();
}

net::Task<void> Session::LookUpPsk(uint64_t question) {
  if (TooLate(question)) co_return;
  const std::string identity = *engine_->wanted_psk();
  absl::StatusOr<std::vector<uint8_t>> key =
      co_await owner_->psk_lookup()(identity);
  if (TooLate(question)) co_return;
  engine_->GivePsk(key.ok() ? *std::move(key) : std::vector<uint8_t>(),
                   reactor_.ReadClock(), *this);
  Update();
}

absl::Status Session::NotEstablished() const {
  switch (engine_->state()) {
    case EngineState::kNotStarted:
    case EngineState::kHandshaking:
      return absl::FailedPreconditionError(
          "the session is not established: await Handshake() first");
    case EngineState::kVerificationFailed:
      return absl::FailedPreconditionError(
          "the session is not established: its peer could not be verified");
    case EngineState::kClosed:
      return absl::FailedPreconditionError("the session was closed");
    case EngineState::kConnected:
    case EngineState::kPeerClosed:
    case EngineState::kFailed:
      break;
  }
  return engine_->error();
}

// To `kHandshaking`, with a new session if there was one.
absl::Status Session::Begin() {
  if (engine_->state() != EngineState::kNotStarted) {
    if (absl::Status status = engine_->Restart(); !status.ok()) return status;
  }
  // What was said before the first handshake; a later one begins with the
  // peer's next hello.
  awaits_hello_ = handshook_ && engine_->context().is_server();
  handshook_ = true;
  // None has this random yet; but what is not newer has been heard before.
  if (awaits_hello_) begun_by_.random = {};
  hooks_.reset();
  old_hooks_.reset();
  refusals_ = 0;
  established_ = false;
  ClearQueue();
  handshaking_ = true;
  seen_ = EngineState::kHandshaking;
  SetHalfOpen(true);
  owner_->OnHandshakeBegun();
  engine_->Start(reactor_.ReadClock(), *this);
  owner_->OnStateChanged(*this);
  net::RingQueue<net::PooledBytes> early = TakeEarly();
  while (!early.empty()) {
    net::PooledBytes datagram = early.pop_front();
    engine_->Receive(datagram.bytes(), reactor_.ReadClock(), *this);
  }
  Update();
  return absl::OkStatus();
}

net::Task<absl::Status> Session::Handshake() {
  switch (engine_->state()) {
    case EngineState::kHandshaking:
    case EngineState::kConnected:
      break;
    case EngineState::kVerificationFailed:
      co_return absl::FailedPreconditionError(
          "the handshake rests because the peer could not be verified: resume "
          "or abort it");
    case EngineState::kNotStarted:
    case EngineState::kPeerClosed:
    case EngineState::kClosed:
    case EngineState::kFailed:
      if (over_) {
        co_return engine_->state() == EngineState::kFailed
            ? engine_->error()
            : absl::FailedPreconditionError("the connection was closed");
      }
      if (absl::Status status = Begin(); !status.ok()) co_return status;
  }
  co_return co_await AwaitHandshake();
}

net::Task<absl::Status> Session::AwaitHandshake() {
  while (engine_->state() == EngineState::kHandshaking) {
    const net::Lifeline::Watch watch(lifeline_);
    const bool woken = co_await handshakers_.Wait();
    if (!watch.alive()) co_return Destroyed();
    if (!woken) co_return net::StoppedStatus("Handshake");
  }
  switch (engine_->state()) {
    case EngineState::kNotStarted:
      co_return absl::CancelledError("the handshake was aborted");
    case EngineState::kClosed:
      co_return absl::FailedPreconditionError("the session was closed");
    case EngineState::kPeerClosed:
      if (established_) co_return absl::OkStatus();
      break;
    case EngineState::kConnected:  // `error` is OK.
    case EngineState::kHandshaking:
    case EngineState::kVerificationFailed:
    case EngineState::kFailed:
      break;
  }
  co_return engine_->error();
}

net::Task<absl::Status> Session::ResumeHandshake(
    std::vector<IgnoredError> ignored) {
  absl::Status status =
      engine_->ResumeHandshake(ignored, reactor_.ReadClock(), *this);
  if (!status.ok()) co_return status;
  Update();
  co_return co_await AwaitHandshake();
}

net::Task<absl::Status> Session::AbortHandshake() {
  absl::Status status = engine_->AbortHandshake(reactor_.ReadClock(), *this);
  Update();
  co_return status;
}

net::Task<absl::Status> Session::Shutdown() {
  if (engine_->state() != EngineState::kConnected &&
      engine_->state() != EngineState::kPeerClosed) {
    co_return NotEstablished();
  }
  engine_->Close(reactor_.ReadClock(), *this);
  Update();
  co_return absl::OkStatus();
}

net::Task<absl::StatusOr<size_t>> Session::Receive(
    absl::Span<Message> messages) {
  if (!receivers_.unused()) {
    co_return absl::FailedPreconditionError(
        "another receive waits on this connection");
  }
  if (messages.empty()) {
    co_return absl::InvalidArgumentError("there is room for no message");
  }
  const net::StopToken stop = co_await net::CurrentStopToken();
  if (stop.stop_requested()) co_return net::StoppedStatus("RecvDecrypted");
  while (queue_.empty()) {
    if (engine_->state() != EngineState::kConnected) co_return NotEstablished();
    const net::Lifeline::Watch watch(lifeline_);
    const bool woken = co_await receivers_.Wait();
    if (!watch.alive()) co_return Destroyed();
    if (!woken) co_return net::StoppedStatus("RecvDecrypted");
  }
  size_t count = 0;
  while (count < messages.size() && !queue_.empty()) {
    Message& message = messages[count++];
    message = queue_.pop_front();
    queued_bytes_ -= message.size();
    memory_.Remove(message.capacity());
  }
  co_return count;
}

net::Task<absl::Status> Session::Send(absl::Span<const uint8_t> message) {
  for (bool waited = false;;) {
    if (engine_->state() != EngineState::kConnected &&
        engine_->state() != EngineState::kPeerClosed) {
      co_return NotEstablished();
    }
    if (!socket().status().ok()) co_return socket().status();
    if ((waited || senders_.unused()) &&
        socket().MaySend(path_, message.size() + engine_->overhead())) {
      break;
    }
    socket().Enqueue(senders_, path_);
    const net::Lifeline::Watch watch(lifeline_);
    waited = co_await senders_.Wait();
    if (!watch.alive()) co_return Destroyed();
    if (!waited) co_return net::StoppedStatus("SendEncrypted");
  }
  last_activity_ = std::max(last_activity_, reactor_.Now());
  absl::Status status = engine_->Send(message, *this);
  // Its key may be used up, and the session over.
  if (!status.ok()) Update();
  senders_.Pass();
  co_return status;
}

net::Task<absl::Status> Session::Close() {
  if (engine_->state() != EngineState::kClosed) {
    engine_->Close(reactor_.ReadClock(), *this);
    Update();
  }
  over_ = true;
  ClearQueue();
  TakeEarly();
  co_return co_await owner_->CloseSocket();
}

}  // namespace cordon::dtls::internal
