// DTLS without I/O: datagrams and the time go in; datagrams, messages and the
// next deadline come out. No sockets, no coroutines, no clock, no thread: the
// same inputs give the same states.
//
//   absl::StatusOr<std::unique_ptr<Engine>> engine =
//       Engine::Create(context, {});
//   (*engine)->Start(now, output);
//   ... for each datagram of the peer:
//   (*engine)->Receive(datagram, now, output);
//   ... and when (*engine)->NextDeadline() has come:
//   (*engine)->OnTimeout(now, output);
//
// `Connection` is what most programs want: it does all this on a reactor.
#ifndef CORDON_DTLS_ENGINE_H_
#define CORDON_DTLS_ENGINE_H_

#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/stack.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/internal/boringssl_seam.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/compiled_policy.h"
#include "cordon/dtls/internal/datagram_bio.h"
#include "cordon/dtls/internal/handshake_message.h"
#include "cordon/dtls/internal/kept_records.h"
#include "cordon/dtls/internal/key_usage.h"
#include "cordon/dtls/internal/memory_budget.h"
#include "cordon/dtls/internal/plaintext_filter.h"
#include "cordon/dtls/internal/replay_window.h"
#include "cordon/dtls/internal/retransmission_timer.h"
#include "cordon/dtls/internal/send_allowance.h"
#include "cordon/dtls/internal/session_bounds.h"
#include "cordon/dtls/internal/ssl_callbacks.h"
#include "cordon/dtls/resumption.h"
#include "cordon/dtls/session_info.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls {

enum class EngineState {
  kNotStarted,
  kHandshaking,
  // The peer could not be verified. The handshake rests: nothing that depends
  // on the verdict has left. `ResumeHandshake` or `AbortHandshake` follows.
  kVerificationFailed,
  kConnected,
  kPeerClosed,  // close_notify received; sending is still possible
  kClosed,      // close_notify sent
  kFailed,      // see `Engine::error`
};

// Before the end of a handshake that may still succeed.
constexpr bool IsHalfOpen(EngineState state) {
  switch (state) {
    case EngineState::kNotStarted:
    case EngineState::kHandshaking:
    case EngineState::kVerificationFailed:
      return true;
    case EngineState::kConnected:
    case EngineState::kPeerClosed:
    case EngineState::kClosed:
    case EngineState::kFailed:
      break;
  }
  return false;
}

// Where an engine's results go. Called from within the engine's functions.
class EngineOutput {
 public:
  // Room for a datagram of at most `max_bytes`, to be completed by `Commit`.
  // Empty if the network takes nothing: the datagram is lost.
  virtual absl::Span<uint8_t> Reserve(size_t max_bytes) = 0;
  virtual void Commit(size_t bytes) = 0;
  // A message of the peer; valid during the call. False if there is no room
  // for it: it is dropped and counted.
  virtual bool OnMessage(absl::Span<const uint8_t> message) = 0;

 protected:
  ~EngineOutput() = default;
};

struct EngineOptions {
  // Client: the name that the server's certificate must have, a DNS name (also
  // sent as SNI) or an IP address. Needed if the context verifies servers.
  std::string server_name = {};
  // Client: begins by resuming this session, if the server agrees.
  ResumableSession resume = {};
  // Server: the hello to come has shown a good cookie; its record's number.
  std::optional<uint64_t> verified_hello = std::nullopt;
  // Server: without such a hello, so many times as many bytes as have come may
  // be sent before the handshake is complete, and the rest of a flight waits;
  // 0: any number.
  size_t amplification_limit = 0;
  // IPv6 leaves less room in a packet.
  bool ipv6 = false;
  // The largest IP packet that the path carries, if that is known, else 0.
  size_t path_mtu = 0;
  // Each certificate chain waits for `GiveVerdict`.
  bool ask_for_verdict = false;
  // Server: keys of unknown PSK identities come by `GivePsk`.
  bool ask_for_psk = false;
  // Server: judges clients instead of what the context says, from begin to end.
  std::shared_ptr<const internal::CompiledPolicy> policy = {};
  // Instead of the context's `SessionOptions::idle_timeout`. What the session
  // has of its own, see `SessionOverrides`, comes before it.
  std::optional<absl::Duration> idle_timeout = std::nullopt;
};

// Thread-compatible: for one thread at a time.
class Engine final : private internal::DatagramTransport {
 public:
  // A server's or a client's, by the context. kInvalidArgument: a client that
  // verifies servers needs a `server_name`.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(
      const Context& context, const EngineOptions& options,
      const SessionOverrides& overrides = {});
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  // Settings of this session alone; replaces what was given before. Only in
  // `kNotStarted`, else kFailedPrecondition; kInvalidArgument says what is
  // wrong. After an error everything is as it was.
  absl::Status Configure(const SessionOverrides& overrides);
  // The largest packet for handshake messages from now on, in any state.
  // kInvalidArgument unless it is from `kMinMtu` to `kMaxMtu`.
  absl::Status SetMtu(size_t mtu);
  // What the network says that the path carries now, see
  // `EngineOptions::path_mtu`; the next flight, or repetition, heeds it.
  void SetPathMtu(size_t mtu);
  // The same, of one who may be anybody: heeded only if it is less than what
  // the path is taken to carry.
  void LowerPathMtu(size_t mtu);

  // A client sends its ClientHello; a server waits for one from now on.
  void Start(absl::Time now, EngineOutput& output);
  // Forgets the session and goes back to `kNotStarted`, with the same settings.
  // kFailedPrecondition while a session or a handshake is going on.
  absl::Status Restart();
  // Server, before anything has come: see `EngineOptions::verified_hello`.
  void ExpectVerifiedHello(uint64_t record_sequence);
  // Server, before anything has come: see `EngineOptions::policy`.
  void UsePolicy(std::shared_ptr<const internal::CompiledPolicy> policy);

  // Takes a datagram of the peer, which is decrypted in place. Garbage is
  // counted and otherwise without effect, until 2^36 records have not decrypted
  // (RFC 9147 section 4.5.3): the session then fails with kResourceExhausted,
  // and the peer gets the alert bad_record_mac.
  void Receive(absl::Span<uint8_t> datagram, absl::Time now,
               EngineOutput& output);

  // When `OnTimeout` wants to be called: `InfiniteFuture` if never.
  absl::Time NextDeadline() const;
  // Sends the flight again, or gives up. Calling it early is harmless.
  void OnTimeout(absl::Time now, EngineOutput& output);

  // What is wrong with the peer's chain and not ignored: in
  // `kVerificationFailed`, and afterwards if nobody insists on it (`kQuery`).
  const std::vector<VerificationError>& verification_errors() const {
    return notes_.errors;
  }
  // Replaces the errors that are ignored in addition to those of the context;
  // an empty list ignores none. kFailedPrecondition when the peer has been
  // accepted already.
  absl::Status IgnoreVerificationErrors(std::vector<IgnoredError> ignored);
  // In `kVerificationFailed`: goes on if all errors are ignored, by what was
  // said before or by `ignored`. Otherwise kUnauthenticated names those that
  // are not, and nothing has changed.
  absl::Status ResumeHandshake(absl::Span<const IgnoredError> ignored,
                               absl::Time now, EngineOutput& output);
  // Tells the peer by an alert that it is refused or, while handshaking, that
  // we have changed our mind, and goes back to `kNotStarted`.
  absl::Status AbortHandshake(absl::Time now, EngineOutput& output);

  // The handshake rests because somebody has to decide: what is in
  // `kVerificationFailed`, or the answer to a question below.
  bool resting() const {
    return state_ == EngineState::kVerificationFailed || verdict_wanted_ ||
           wanted_psk_.has_value();
  }
  // True while the application is to judge `peer_identity()`, or to find the
  // key of `wanted_psk()`; the handshake rests until it has.
  bool verdict_wanted() const { return verdict_wanted_; }
  // The number of that question; grows with each, also when a handshake begins
  // again and asks what was answered before. 0: there was none yet.
  uint64_t question() const { return question_; }
  PeerIdentity peer_identity() const;
  void GiveVerdict(const VerificationVerdict& verdict, absl::Time now,
                   EngineOutput& output);
  const std::optional<std::string>& wanted_psk() const { return wanted_psk_; }
  // An empty key: there is none.
  void GivePsk(std::vector<uint8_t> key, absl::Time now, EngineOutput& output);

  // Sends one message as one record. kFailedPrecondition unless connected;
  // kInvalidArgument if it is larger than `MaxMessageSize`; kUnavailable if
  // the network does not take it now; kResourceExhausted if our key may not
  // encrypt so much more (RFC 9147 section 4.5.3), or has no sequence number
  // left: the session has failed then, and the peer has got close_notify.
  absl::Status Send(absl::Span<const uint8_t> message, EngineOutput& output);
  // The largest message that can be sent, in bytes; 0 unless connected.
  size_t MaxMessageSize() const;

  // Sends close_notify, once. Nothing is sent after it. During a handshake it
  // refuses the peer as `AbortHandshake` does, and ends it.
  void Close(absl::Time now, EngineOutput& output);

  // Ends the session without a word to the peer: `error()` is `status`.
  void Abort(absl::Status status) { Fail(std::move(status)); }
  // The same, but tells the peer by `alert`: SSL_AD_CLOSE_NOTIFY, or a fatal
  // one.
  void Terminate(absl::Status status, uint8_t alert, absl::Time now,
                 EngineOutput& output);

  // Key material for another protocol (RFC 5705). kFailedPrecondition unless
  // connected.
  absl::StatusOr<std::vector<uint8_t>> ExportKeyingMaterial(
      absl::string_view label, std::optional<absl::string_view> context,
      size_t bytes) const;
  // Client: to be resumed later. kFailedPrecondition unless connected;
  // kNotFound if the server does not resume.
  absl::StatusOr<ResumableSession> Session() const;

  EngineState state() const { return state_; }
  // Why the state is `kFailed`; kOutOfRange (`IsClosed`) when the peer closed.
  const absl::Status& error() const { return error_; }

  // Bytes that sealing adds to a message.
  size_t overhead() const;
  SessionInfo info() const;
  // The same without the peer's certificates: costs little.
  SessionInfo negotiated() const;
  bool resumed() const { return SSL_session_reused(ssl_.get()) != 0; }
  // Of the pre-shared key that was used, and may be empty; nothing: there was
  // none.
  std::optional<absl::string_view> psk_identity() const;
  const std::vector<VerificationError>& ignored_errors() const {
    return notes_.tolerated;
  }
  // A server's session began with a hello that had shown a good cookie.
  bool cookie_shown() const { return options_.verified_hello.has_value(); }
  uint64_t policy_version() const {
    return options_.policy == nullptr ? 0 : options_.policy->version();
  }
  // Bytes of memory that the peer's certificates take, and what was found wrong
  // with them: nothing of an ordinary session, see `kSessionBytes`.
  size_t peer_bytes() const;
  // The peer's certificates, shared; null if it has none.
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> peer_chain() const;
  SessionStatistics statistics() const;
  // Everything is counted in `totals`, too, which must outlive the engine.
  void CountIn(SessionStatistics* totals) { totals_ = totals; }
  // What the handshake keeps of the peer until it can be used, beyond
  // `internal::kHandshakeOwnBytes`, counts in `budget`, which must outlive the
  // engine. What finds no room there is dropped.
  void CountKeptIn(internal::MemoryBudget* budget) { kept_.CountIn(budget); }
  const Context& context() const { return context_; }
  const SessionOptions& session_options() const {
    return overrides_ != nullptr && overrides_->session.has_value()
               ? *overrides_->session
               : context_.session();
  }

 private:
  // For tests, see testing/engine_inspector.
  friend class EngineInspector;

  // Points to an output for the length of a call, and shows BoringSSL the wall
  // clock. (`now` is steady time; nothing of it leaves the engine.)
  class Call {
   public:
    Call(Engine& engine, EngineOutput& output);
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    const internal::ScopedWallClock clock_;
    EngineOutput** slot_;
  };

  Engine(const Context& context, const EngineOptions& options);
  // Makes a new SSL with all settings.
  absl::Status Init();
  absl::Status ApplyOverrides(SSL* ssl);
  absl::Status ApplyPolicy(SSL* ssl);
  // Errors that are ignored: by the context, and for this session.
  void ResetIgnored();
  void ApplyMtu();
  // What the path is taken to carry.
  size_t PacketBytes() const;
  void ApplyVerificationMode(SSL* ssl);

  void WriteDatagram(absl::Span<const uint8_t> datagram) override;
  void SendDatagram(absl::Span<const uint8_t> datagram);
  // False if it waits, or is dropped.
  bool MaySend(absl::Span<const uint8_t> datagram);
  // What the peer has sent allows to send more.
  void Allow(size_t received);
  // The peer has shown that it receives at its address.
  void OnAddressProven();
  // Of the peer, those that were dropped included.
  uint64_t messages() const {
    return statistics_.messages_received +
           statistics_.messages_dropped_queue_full;
  }
  // Some of a flight waits for the peer to send more.
  bool held_back() const {
    return allowance_ != nullptr && allowance_->waiting();
  }

  void BeginHandshake(absl::Time now);
  // Lets BoringSSL work on the incoming record, if there is one.
  void Drive(absl::Time now);
  void ReceiveRecord(const internal::RecordView& view,
                     absl::Span<uint8_t> record, absl::Time now);
  void ReceiveWhileHandshaking(const internal::RecordView& view,
                               absl::Time now);
  void ReceiveInTheClear(const internal::RecordView& view, absl::Time now);
  // Hands a record to BoringSSL's next call. False if it is a replay.
  bool Offer(const internal::RecordView& view);
  // After that call: a record that was opened is not taken again.
  void NoteReceived();
  // Lets BoringSSL work on a record of the handshake.
  void Feed(absl::Span<const uint8_t> record, absl::Time now);
  // The messages that are whole and awaited.
  void FeedMessages(absl::Time now);
  void FeedEarly(absl::Time now);

  // A client whose hello was answered by somebody else than the server: goes
  // back to its first hello, and awaits another answer; or begins with a new
  // hello, so often as it may.
  void NoteFirstAnswer(absl::Time now);
  void GoBackToFirstHello(absl::Time now);
  bool BeginAgain(absl::Time now);
  bool MakeSslAgain();
  // What is of one attempt at a handshake goes with it, whether it is followed
  // by another one or not.
  void ForgetAttempt();
  // The handshake, or the session, has ended.
  void StopHandshake();

  // An alert in the clear, which may be forged: it counts when nothing else
  // comes.
  void NoteAlert(uint8_t alert, absl::Time now);
  void WaitAfterAlert(absl::Time now);
  void ForgetAlert();
  void OpenInPlace(const internal::RecordView& view,
                   absl::Span<uint8_t> record);
  void CountDiscarded(const internal::RecordView& view);
  // The record that was just read came to the cipher and did not open.
  bool WasForged(const internal::RecordView& view) const;
  // Counts it towards the limit of its key.
  void CountForged();
  // No message can be sent any more.
  absl::Status EndOfSending(internal::KeyUse use, EngineOutput& output);
  void Count(uint64_t SessionStatistics::* counter, uint64_t by = 1) {
    statistics_.*counter += by;
    if (totals_ != nullptr) totals_->*counter += by;
  }
  void Read();
  void OnFinished(absl::Time now);
  void OnConnected(absl::Time now);
  void Deliver(absl::Span<const uint8_t> message);
  void Fail(absl::Status status);
  // The same, but tells the peer, as `Terminate` does.
  void End(absl::Status status, uint8_t alert);
  // Translates BoringSSL's error, and what the callbacks noted.
  absl::Status FailureStatus();

  void ReceiveWhileResting(const internal::RecordView& view, absl::Time now);
  // Looks into a message that is about to be processed for what must be decided
  // first. True: the handshake rests.
  bool RestsBefore(const internal::HandshakeMessage& message);
  // Of a client without certificate where one is required. True: the handshake
  // rests; false: that is ignored.
  bool RefusesAnonymous();
  void OnVerdictPending();
  void GoOn(absl::Time now);
  void Refuse(absl::Status status);
  // Of a session that was begun with a pre-shared key. True: the handshake
  // rests until the key was looked up.
  bool JudgeResumedPsk();
  void RefuseResumedPsk();
  absl::Status RefusalStatus() const;
  uint8_t RefusalAlert() const;
  // Sends the alert that ends a handshake which is not complete.
  void SendRefusal();
  void SendFatalAlert(uint8_t alert);
  void SendCloseNotify();
  void ForgetSession();
  // A new session in the place of the old. If there is no memory for it the
  // engine has failed, and can be restarted later.
  absl::Status BeginAnew();

  // Starts, keeps or ends the retransmission timer after BoringSSL has worked;
  // `datagrams_before` were sent before that.
  void UpdateTimer(absl::Time now, uint64_t datagrams_before);
  // Ends the session if its peer has been silent for too long.
  void CheckIdle(absl::Time now);
  absl::Duration idle_timeout() const;
  void BackOffMtu();

  const Context context_;
  EngineOptions options_;
  std::unique_ptr<SessionOverrides> overrides_;
  std::vector<IgnoredError> ignored_;
  internal::HandshakeNotes notes_;
  bssl::UniquePtr<SSL> ssl_;
  EngineState state_ = EngineState::kNotStarted;
  absl::Status error_;
  absl::Time started_ = absl::InfinitePast();
  absl::Time handshake_deadline_ = absl::InfiniteFuture();
  internal::RetransmissionTimer timer_;
  // When the peer was last heard. It moves with each message; the time to look
  // at it does not.
  absl::Time last_message_ = absl::InfinitePast();
  absl::Time idle_check_ = absl::InfiniteFuture();
  // Until the peer has shown that it receives at its address; null after that.
  std::unique_ptr<internal::SendAllowance> allowance_;
  size_t mtu_hint_ = 0;  // By `SetMtu`.
  size_t mtu_ = 0;       // In use.
  bool verdict_wanted_ = false;
  uint64_t question_ = 0;
  std::optional<std::string> wanted_psk_;
  bool psk_looked_up_ = false;
  // The peer's empty certificate message is ignored.
  bool anonymous_accepted_ = false;
  // The handshake is over but for the verdict on a resumed session.
  bool finished_ = false;
  // All that follows and is kept of the peer until it can be used.
  internal::MemoryShare kept_{internal::kHandshakeOwnBytes};
  // Records that came while the handshake rests.
  internal::KeptRecords held_{internal::kMaxHeldRecords,
                              internal::kMaxHeldRecordBytes, kept_};
  // Encrypted records that came while the handshake was going on, perhaps
  // before the ChangeCipherSpec that they need: tried again after each record
  // in the clear. They cannot be told from forged ones, so there are few.
  internal::KeptRecords early_{internal::kMaxEarlyRecords,
                               internal::kMaxEarlyRecordBytes, kept_};
  internal::KeyUsage usage_;
  // Of the records that the peer encrypts, all of which are of one epoch.
  internal::ReplayWindow received_;
  // The number of the one that BoringSSL gets next.
  std::optional<uint64_t> offered_;
  // While handshaking: what comes in the clear, and the message that the
  // handshake rests before.
  std::unique_ptr<internal::PlaintextFilter> filter_;
  std::optional<internal::HandshakeMessage> waiting_;
  // A client's first hello, what it was told to send a second one for, and the
  // number of that one's record.
  internal::SentHello first_hello_;
  std::vector<uint8_t> cookie_request_;
  uint64_t second_hello_record_ = 0;
  // The server wants another cookie; or none at all, so that the request was
  // forged.
  bool cookie_refused_ = false;
  bool went_back_ = false;
  int new_beginnings_ = 0;
  // The alert that came in the clear, or -1, and when it counts.
  int alert_ = -1;
  absl::Time alert_deadline_ = absl::InfiniteFuture();
  // Of the call that is running.
  EngineOutput* output_ = nullptr;
  SessionStatistics statistics_;
  SessionStatistics* totals_ = nullptr;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_ENGINE_H_
