// Records that come in, while handshaking and afterwards.
#include <openssl/ssl.h>

#include <utility>

#include "cordon/dtls/engine.h"
#include "cordon/dtls/internal/boringssl_seam.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/handshake_message.h"
#include "cordon/dtls/internal/plaintext_filter.h"

namespace cordon::dtls {
namespace {

// A peer that has sent an alert says nothing more; of one that has not, the
// answer to our flight, or a repetition of its own, comes within this time.
constexpr absl::Duration kAlertPatience = absl::Milliseconds(1500);

// New hellos of a client in one handshake, beside the first.
constexpr int kMaxNewBeginnings = 4;

}  // namespace

void Engine::Receive(absl::Span<uint8_t> datagram, absl::Time now,
                     EngineOutput& output) {
  Count(&SessionStatistics::datagrams_received);
  Count(&SessionStatistics::bytes_received, datagram.size());
  Call call(*this, output);
  const uint64_t datagrams_before =
      statistics_.datagrams_sent + statistics_.datagrams_not_sent;
  const uint64_t messages_before = messages();
  if (allowance_ != nullptr) Allow(datagram.size());
  // Records stand on their own: one that is bad leaves the others alone.
  while (!datagram.empty()) {
    internal::RecordView record;
    if (!internal::ReadRecord(datagram, &record)) {
      Count(&SessionStatistics::records_discarded);
      Count(&SessionStatistics::records_malformed);
      break;
    }
    ReceiveRecord(record, datagram.subspan(0, record.whole.size()), now);
    datagram.remove_prefix(record.whole.size());
  }
  if (messages() > messages_before) last_message_ = now;
  if (state_ != EngineState::kConnected || timer_.running()) {
    UpdateTimer(now, datagrams_before);
  }
}

void Engine::ReceiveRecord(const internal::RecordView& view,
                           absl::Span<uint8_t> record, absl::Time now) {
  if (resting()) {
    ReceiveWhileResting(view, now);
  } else if (state_ == EngineState::kHandshaking) {
    ReceiveWhileHandshaking(view, now);
  } else if (state_ != EngineState::kConnected) {
    Count(&SessionStatistics::records_discarded);
  } else if (view.type == internal::kApplicationDataType) {
    OpenInPlace(view, record);
  } else if (!Offer(view)) {
    CountDiscarded(view);
  } else {
    Read();
    if (WasForged(view)) CountDiscarded(view);
  }
}

void Engine::ReceiveWhileHandshaking(const internal::RecordView& view,
                                     absl::Time now) {
  if (view.epoch == 0) {
    ReceiveInTheClear(view, now);
    return;
  }
  if (!early_.Keep(view.whole)) Count(&SessionStatistics::records_discarded);
  // Early data would be thrown away.
  if (view.type != internal::kApplicationDataType) Feed(view.whole, now);
}

void Engine::ReceiveInTheClear(const internal::RecordView& view,
                               absl::Time now) {
  using Result = internal::PlaintextFilter::Result;
  const internal::AwaitedMessage awaited = internal::AwaitedBy(ssl_.get());
  switch (filter_->Receive(view, awaited)) {
    case Result::kMalformed:
      Count(&SessionStatistics::records_discarded);
      Count(&SessionStatistics::records_malformed);
      return;
    case Result::kDropped:
      Count(&SessionStatistics::records_discarded);
      if (!awaited.in_the_clear) Count(&SessionStatistics::records_wrong_epoch);
      return;
    case Result::kRepeated:
      return;
    case Result::kAlert:
      NoteAlert(filter_->alert(), now);
      return;
    case Result::kChangeCipherSpec:
      timer_.OnAnswer(now);
      Feed(filter_->WrapChangeCipherSpec(), now);
      break;
    case Result::kKept:
      timer_.OnAnswer(now);
      FeedMessages(now);
      break;
  }
  FeedEarly(now);
}

bool Engine::Offer(const internal::RecordView& view) {
  offered_.reset();
  if (view.epoch != 0 && view.epoch == internal::ReadEpoch(ssl_.get())) {
    if (received_.Contains(view.sequence)) return false;
    internal::ForgetReceived(ssl_.get());
    offered_ = view.sequence;
  }
  set_incoming(view.whole);
  return true;
}

void Engine::NoteReceived() {
  if (!offered_.has_value()) return;
  const uint64_t number = *std::exchange(offered_, std::nullopt);
  if (internal::HasReceived(ssl_.get(), number)) received_.Add(number);
}

void Engine::Feed(absl::Span<const uint8_t> record, absl::Time now) {
  const auto reached = [this] {
    return std::pair(internal::ReadEpoch(ssl_.get()),
                     internal::HandshakeReadSequence(ssl_.get()));
  };
  const auto before = reached();
  // First: the record may be one of `early_`, which do not outlive the
  // handshake.
  internal::RecordView view;
  if (!internal::ReadRecord(record, &view) || !Offer(view)) return;
  Drive(now);
  if (WasForged(view)) CountForged();
  if (state_ == EngineState::kHandshaking && reached() != before) {
    ForgetAlert();
  }
}

void Engine::FeedMessages(absl::Time now) {
  if (!context_.is_server()) NoteFirstAnswer(now);
  while (state_ == EngineState::kHandshaking && !resting()) {
    if (!waiting_.has_value()) {
      internal::HandshakeMessage message;
      size_t malformed = 0;
      const bool whole = filter_->NextMessage(internal::AwaitedBy(ssl_.get()),
                                              &message, &malformed);
      Count(&SessionStatistics::records_discarded, malformed);
      Count(&SessionStatistics::records_malformed, malformed);
      if (!whole) return;
      waiting_ = std::move(message);
      ForgetAlert();
      if (RestsBefore(*waiting_)) return;
    }
    const internal::HandshakeMessage message = *std::move(waiting_);
    waiting_.reset();
    if (message.type == DTLS1_MT_HELLO_VERIFY_REQUEST) {
      cookie_request_ = message.body;
      second_hello_record_ = internal::NextPlainRecord(ssl_.get());
      // No answer to a hello comes before it: what is kept was for somebody
      // else at this address, whose handshake is still going on at the server.
      filter_->ForgetMessages();
    }
    for (const std::vector<uint8_t>& record : filter_->Wrap(message)) {
      if (state_ == EngineState::kHandshaking) Feed(record, now);
    }
  }
}

void Engine::NoteFirstAnswer(absl::Time now) {
  internal::HandshakeMessage message;
  uint64_t record = 0;
  while (state_ == EngineState::kHandshaking && !resting() &&
         !waiting_.has_value() &&
         filter_->FirstAnswer(internal::AwaitedBy(ssl_.get()), &message,
                              &record)) {
    if (message.type == SSL3_MT_SERVER_HELLO) {
      GoBackToFirstHello(now);
      if (state_ != EngineState::kHandshaking) return;
      waiting_ = std::move(message);
      return;
    } else if (message.body != cookie_request_ &&
               record >= second_hello_record_) {
      // It has the number of the record that it answers (RFC 6347 section
      // 4.2.1). A lower one is that of a repeated first hello: the handshake
      // goes on, and one that began anew would mix up the answers to both.
      cookie_refused_ = true;
    }
  }
}

bool Engine::MakeSslAgain() {
  const size_t mtu = mtu_;
  notes_.Reset();
  ResetIgnored();
  ForgetAttempt();
  if (absl::Status status = Init(); !status.ok()) {
    // Only memory can be short: it was made before with the same settings.
    Fail(std::move(status));
    return false;
  }
  mtu_ = mtu;
  ApplyMtu();
  return true;
}

void Engine::GoBackToFirstHello(absl::Time now) {
  const uint64_t next_record = internal::NextPlainRecord(ssl_.get());
  if (!MakeSslAgain()) return;
  // Its hello is replaced by the one that was sent.
  EngineOutput* const output = std::exchange(output_, nullptr);
  Drive(now);
  output_ = output;
  if (state_ != EngineState::kHandshaking) return;
  internal::AwaitAnswerTo(ssl_.get(), first_hello_, next_record);
  went_back_ = true;
}

bool Engine::BeginAgain(absl::Time now) {
  if (context_.is_server() || new_beginnings_ >= kMaxNewBeginnings ||
      !MakeSslAgain()) {
    return false;
  }
  ++new_beginnings_;
  BeginHandshake(now);
  timer_.OnFlightSent(now, session_options());
  return true;
}

void Engine::FeedEarly(absl::Time now) {
  for (size_t i = 0;
       i < early_.size() && !resting() && state_ == EngineState::kHandshaking &&
       internal::ReadEpoch(ssl_.get()) > 0;
       ++i) {
    if (early_[i][0] != internal::kApplicationDataType) Feed(early_[i], now);
  }
}

void Engine::NoteAlert(uint8_t alert, absl::Time now) {
  // Without a flight of ours there is nothing that it could be about.
  if (alert_ >= 0 || !timer_.running()) {
    Count(&SessionStatistics::records_discarded);
    return;
  }
  alert_ = alert;
  if (!resting()) WaitAfterAlert(now);
}

void Engine::WaitAfterAlert(absl::Time now) {
  alert_deadline_ = now + kAlertPatience;
}

void Engine::ForgetAlert() {
  alert_ = -1;
  alert_deadline_ = absl::InfiniteFuture();
}

void Engine::OpenInPlace(const internal::RecordView& view,
                         absl::Span<uint8_t> record) {
  absl::Span<uint8_t> message;
  switch (internal::OpenApplicationRecord(ssl_.get(), view, record, received_,
                                          &message)) {
    case internal::OpenResult::kOpened:
      Deliver(message);
      return;
    case internal::OpenResult::kDiscarded:
      CountDiscarded(view);
      return;
    case internal::OpenResult::kFailed:
      Fail(absl::UnavailableError("the peer violated the protocol"));
      return;
  }
}

void Engine::CountDiscarded(const internal::RecordView& view) {
  Count(&SessionStatistics::records_discarded);
  switch (internal::ReasonOfDiscard(ssl_.get(), view, received_)) {
    case internal::DiscardReason::kMalformed:
      Count(&SessionStatistics::records_malformed);
      return;
    case internal::DiscardReason::kWrongEpoch:
      Count(&SessionStatistics::records_wrong_epoch);
      return;
    case internal::DiscardReason::kReplay:
      Count(&SessionStatistics::records_replayed);
      return;
    case internal::DiscardReason::kBadMac:
      Count(&SessionStatistics::records_bad_mac);
      CountForged();
      return;
  }
}

}  // namespace cordon::dtls
