#include "cordon/testing/fuzz/engine_wire.h"

#include <string>
#include <utility>

#include "cordon/dtls/verification.h"
#include "cordon/testing/fuzz/input.h"

namespace cordon::testing {
namespace {

using dtls::EngineState;

constexpr size_t kMaxOnTheirWay = 64;
constexpr size_t kMaxHistory = 64;
// A flight of the smallest packets.
constexpr size_t kMaxDatagramsPerCall = 32;

bool HasEnded(EngineState state) {
  return state == EngineState::kFailed || state == EngineState::kClosed;
}

}  // namespace

EngineWire::EngineWire(
    std::unique_ptr<dtls::Engine> engine, size_t max_datagram,
    std::function<void(absl::Span<const uint8_t>)> on_message)
    : engine_(std::move(engine)),
      max_datagram_(max_datagram),
      on_message_(std::move(on_message)) {}

void EngineWire::Start(absl::Time now) {
  Begin();
  engine_->Start(now, *this);
  End(now);
}

void EngineWire::Receive(Bytes datagram, absl::Time now) {
  const bool ended = HasEnded(state());
  Begin();
  engine_->Receive(absl::MakeSpan(datagram), now, *this);
  Require(!ended || (HasEnded(state()) && calls_datagrams_ == 0),
          "an engine that has ended stays so, in silence");
  End(now);
}

void EngineWire::Expire(absl::Time now) {
  const absl::Time deadline = engine_->NextDeadline();
  Begin();
  engine_->OnTimeout(now, *this);
  Require(deadline > now || engine_->NextDeadline() > now,
          "after a timeout the next one lies ahead");
  End(now);
}

bool EngineWire::Send(absl::Span<const uint8_t> message) {
  Begin();
  in_handshake_ = false;
  const bool done = engine_->Send(message, *this).ok();
  in_handshake_ = true;
  Require(calls_datagrams_ == (done ? 1 : 0), "a message is one datagram");
  return done;
}

void EngineWire::Close(absl::Time now) {
  Begin();
  engine_->Close(now, *this);
  Require(HasEnded(state()), "what is closed has ended");
  End(now);
}

void EngineWire::Decide(bool accept, absl::Time now) {
  Begin();
  if (engine_->verdict_wanted()) {
    engine_->GiveVerdict(accept ? dtls::VerificationVerdict::Accept()
                                : dtls::VerificationVerdict::Reject("no"),
                         now, *this);
  } else if (engine_->wanted_psk().has_value()) {
    engine_->GivePsk(
        accept ? std::vector<uint8_t>(16, 7) : std::vector<uint8_t>(), now,
        *this);
  } else if (state() == EngineState::kVerificationFailed) {
    if (accept) {
      (void)engine_->ResumeHandshake(
          dtls::IgnoreExactly(engine_->verification_errors()), now, *this);
    } else {
      (void)engine_->AbortHandshake(now, *this);
    }
  }
  End(now);
}

void EngineWire::End(absl::Time now) {
  Require(state() != EngineState::kFailed || !engine_->error().ok(),
          "a failure has a reason");
  Require(engine_->error().code() != absl::StatusCode::kInternal,
          "nothing that a peer sends is a bug of ours");
  Require(
      !HasEnded(state()) || engine_->NextDeadline() == absl::InfiniteFuture(),
      "an engine that has ended waits for nothing");
  Require(state() != EngineState::kHandshaking ||
              engine_->NextDeadline() < now + absl::Minutes(1),
          "a handshake does not wait forever");
}

absl::Span<uint8_t> EngineWire::Reserve(size_t max_bytes) {
  buffer_.resize(max_bytes);
  return absl::MakeSpan(buffer_);
}

void EngineWire::Commit(size_t bytes) {
  if (bytes == 0) return;
  Require(bytes <= buffer_.size(), "no more is written than there is room");
  Require(!in_handshake_ || bytes <= max_datagram_, "datagrams fit packets");
  Require(++calls_datagrams_ <= kMaxDatagramsPerCall,
          "one call sends a few datagrams at most");
  buffer_.resize(bytes);
  if (history.size() < kMaxHistory) history.push_back(buffer_);
  sent.push_back(buffer_);
  if (sent.size() > kMaxOnTheirWay) sent.pop_front();
}

bool EngineWire::OnMessage(absl::Span<const uint8_t> message) {
  on_message_(message);
  return true;
}

}  // namespace cordon::testing
