#include "cordon/dtls/internal/session.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace cordon::dtls::internal {
namespace {

// The fragments of a ClientHello, and a repetition.
constexpr size_t kMaxEarlyDatagrams = 8;
constexpr size_t kMaxEarlyBytes = 16384;
// Refusals, each of a flight of ours, before a silent peer is given up.
constexpr int kMaxRefusals = 3;

}  // namespace

Session::Session(net::Reactor& reactor, std::shared_ptr<SessionOwner> owner,
                 const net::Path& path, std::unique_ptr<Engine> engine)
    : reactor_(reactor),
      owner_(std::move(owner)),
      path_(path),
      engine_(std::move(engine)) {}

Session::~Session() {
  if (engine_->state() == EngineState::kHandshaking ||
      engine_->state() == EngineState::kConnected ||
      engine_->state() == EngineState::kPeerClosed) {
    engine_->Close(reactor_.Now(), *this);
    Update();
  }
  owner_->OnSessionGone(*this);
}

absl::Span<uint8_t> Session::Reserve(size_t max_bytes) {
  return socket().Reserve(path_, max_bytes);
}

void Session::Commit(size_t bytes) { socket().Commit(path_, bytes); }

bool Session::OnMessage(absl::Span<const uint8_t> message) {
  const SessionOptions& options = engine_->context().session();
  if (queue_.size() >= options.max_queued_messages ||
      queued_bytes_ + message.size() > options.max_queued_bytes) {
    return false;
  }
  queue_.emplace_back(reactor_.byte_pool().Copy(message));
  queued_bytes_ += message.size();
  receivers_.WakeOne();
  return true;
}

void Session::OnTimer() {
  engine_->OnTimeout(reactor_.Now(), *this);
  Update();
}

void Session::OnDatagram(absl::Span<uint8_t> datagram) {
  if (engine_->state() == EngineState::kNotStarted) {
    if (early_.size() < kMaxEarlyDatagrams &&
        early_bytes_ + datagram.size() <= kMaxEarlyBytes) {
      early_.push_back(reactor_.byte_pool().Copy(datagram));
      early_bytes_ += datagram.size();
    }
    return;
  }
  engine_->Receive(datagram, reactor_.Now(), *this);
  Update();
}

void Session::set_hello_random(absl::Span<const uint8_t> random) {
  std::copy_n(random.begin(), std::min(random.size(), hello_random_.size()),
              hello_random_.begin());
}

void Session::Supersede() {
  engine_->Abort(
      absl::UnavailableError("the peer has begun a new session instead"));
  Update();
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

void Session::Update() {
  const absl::Time deadline = engine_->NextDeadline();
  if (deadline == absl::InfiniteFuture()) {
    reactor_.executor().timers().Cancel(*this);
  } else if (!armed() || deadline != Timer::deadline()) {
    reactor_.executor().timers().Arm(*this, deadline);
  }
  const EngineState state = engine_->state();
  if (state == seen_) return;
  const bool was_handshaking = seen_ == EngineState::kHandshaking;
  seen_ = state;
  if (was_handshaking) {
    // A peer may close at once: the handshake was good all the same.
    established_ =
        state == EngineState::kConnected || state == EngineState::kPeerClosed;
    owner_->OnHandshakeEnded(*this, established_);
  }
  handshakers_.WakeAll();
  receivers_.WakeAll();
}

absl::Status Session::NotEstablished() const {
  switch (engine_->state()) {
    case EngineState::kNotStarted:
    case EngineState::kHandshaking:
      return absl::FailedPreconditionError(
          "the session is not established: await Handshake() first");
    case EngineState::kClosed:
      return absl::FailedPreconditionError("the session was closed");
    default:
      return engine_->error();
  }
}

net::Task<absl::Status> Session::Handshake() {
  if (engine_->state() == EngineState::kNotStarted) {
    engine_->Start(reactor_.Now(), *this);
    seen_ = EngineState::kHandshaking;
    std::deque<net::PooledBytes> early = std::exchange(early_, {});
    for (net::PooledBytes& datagram : early) {
      engine_->Receive(datagram.bytes(), reactor_.Now(), *this);
    }
    Update();
  }
  while (engine_->state() == EngineState::kHandshaking) {
    if (const bool woken = co_await handshakers_.Wait(); !woken) {
      co_return net::StoppedStatus("Handshake");
    }
  }
  if (engine_->state() == EngineState::kClosed) {
    co_return absl::FailedPreconditionError("the session was closed");
  }
  co_return established_ && engine_->state() != EngineState::kFailed
      ? absl::OkStatus()
      : engine_->error();
}

net::Task<absl::StatusOr<size_t>> Session::Receive(
    absl::Span<Message> messages) {
  if (receiving_) {
    co_return absl::FailedPreconditionError(
        "another receive waits on this connection");
  }
  while (queue_.empty()) {
    if (engine_->state() != EngineState::kConnected) co_return NotEstablished();
    receiving_ = true;
    const bool woken = co_await receivers_.Wait();
    receiving_ = false;
    if (!woken) co_return net::StoppedStatus("RecvDecrypted");
  }
  size_t count = 0;
  while (count < messages.size() && !queue_.empty()) {
    messages[count++] = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= messages[count - 1].size();
  }
  co_return count;
}

net::Task<absl::Status> Session::Send(absl::Span<const uint8_t> message) {
  while (true) {
    if (engine_->state() != EngineState::kConnected &&
        engine_->state() != EngineState::kPeerClosed) {
      co_return NotEstablished();
    }
    if (!socket().congested()) break;
    if (const bool woken = co_await socket().writable().Wait(); !woken) {
      co_return net::StoppedStatus("SendEncrypted");
    }
  }
  co_return engine_->Send(message, *this);
}

net::Task<absl::Status> Session::Close() {
  if (engine_->state() != EngineState::kClosed) {
    engine_->Close(reactor_.Now(), *this);
    Update();
  }
  queue_.clear();
  queued_bytes_ = 0;
  early_.clear();
  co_return co_await owner_->CloseSocket();
}

}  // namespace cordon::dtls::internal
