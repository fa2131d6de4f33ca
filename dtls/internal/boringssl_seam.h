// What the engine needs of BoringSSL beyond its public interface. This is the
// one place that sees <ssl/internal.h>; it knows the version that Debian
// packages (2023) and the current one (2026).
#ifndef CORDON_DTLS_INTERNAL_BORINGSSL_SEAM_H_
#define CORDON_DTLS_INTERNAL_BORINGSSL_SEAM_H_

#include <openssl/base.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/replay_window.h"

namespace cordon::dtls::internal {

// Prepares a server `ssl`, which has not begun its handshake, for the second
// ClientHello of an exchange whose HelloVerifyRequest was sent without state
// (RFC 6347 section 4.2.1): that hello is message 1, our answer is message 1,
// and the first record that we send continues after `hello_record_sequence`,
// the sequence number of the record of that hello.
void ContinueAfterHelloVerifyRequest(SSL* ssl, uint64_t hello_record_sequence);

// The number of the handshake message that `ssl` reads next, and the epoch of
// the records that it takes.
uint16_t HandshakeReadSequence(const SSL* ssl);
uint16_t ReadEpoch(const SSL* ssl);

// A ClientHello that a client has sent, with what is chosen by chance in it.
struct SentHello {
  std::array<uint8_t, 32> random = {};
  std::vector<uint8_t> session_id = {};
  // With the header of the message; empty: none.
  std::vector<uint8_t> message = {};
};

// The hello that a client `ssl` has sent last. Empty once it has sent anything
// else.
SentHello LastHello(const SSL* ssl);
// The number of the next record that `ssl` sends in epoch 0.
uint64_t NextPlainRecord(const SSL* ssl);
// Puts `hello`, the first of another client's handshake, into the place of that
// which a client `ssl` has just sent: it now awaits the answer to `hello`,
// sends it again if none comes, and numbers its records from `next_record`. The
// two must have the same settings.
void AwaitAnswerTo(SSL* ssl, const SentHello& hello, uint64_t next_record);

// The `ssl` negotiates no SRTP profile, whatever its context has. False if
// there is no memory for that.
[[nodiscard]] bool ClearSrtpProfiles(SSL* ssl);

// BoringSSL's own replay window is too small, and of fixed size: `ReplayWindow`
// stands before it. Whoever hands an encrypted record to `ssl` asks that one
// first, then calls this, and adds the record's number to it if `HasReceived`
// says so afterwards. From here on `ssl` takes any number, once.
void ForgetReceived(SSL* ssl);
// Whether `ssl` has opened the record `number` of its present epoch since then.
bool HasReceived(const SSL* ssl, uint64_t number);

// Keeps `mark` with the session that a server `ssl` is about to make, for as
// long as the session can be resumed. False if there is no memory for it.
bool MarkNewSession(SSL* ssl, absl::Span<const uint8_t> mark);
// What was kept with the session of a server `ssl`; empty: nothing.
absl::Span<const uint8_t> MarkOfSession(const SSL* ssl);
// For a server that has just been told that `ssl` resumes a session, before it
// has answered: a new session is begun instead. `tickets` are used with the
// client. False if there is no memory for it: the handshake must fail.
bool BeginInsteadOfResuming(SSL* ssl, bool tickets);

enum class OpenResult {
  kOpened,     // `*plaintext` is a part of the record, decrypted in place
  kDiscarded,  // a replay, of another epoch, forged, or not a record
  kFailed,     // a fatal violation by a peer that has the keys
};

// Opens one record of application data in place, on an `ssl` that has completed
// its handshake with DTLS 1.2. `record` is exactly one record, `view` what it
// says. What opens is added to `window`, what is in there is a replay.
OpenResult OpenApplicationRecord(SSL* ssl, const RecordView& view,
                                 absl::Span<uint8_t> record,
                                 ReplayWindow& window,
                                 absl::Span<uint8_t>* plaintext);

enum class DiscardReason { kMalformed, kWrongEpoch, kReplay, kBadMac };

// Why `ssl` has just discarded `record`, of an epoch whose records are in
// `window`. `kBadMac`: it came to the cipher, and did not open. Of a record
// that was not discarded it is never said.
DiscardReason ReasonOfDiscard(const SSL* ssl, const RecordView& record,
                              const ReplayWindow& window);

// Bytes that sealing adds to a message.
size_t SealOverhead(const SSL* ssl);

// Seals one record of application data into `out`, which holds at least
// `message.size() + SealOverhead(ssl)` bytes, and returns its size; 0 if the
// sequence numbers are used up but for one, which is left to an alert.
// `message` may not overlap `out`.
size_t SealApplicationRecord(SSL* ssl, absl::Span<const uint8_t> message,
                             absl::Span<uint8_t> out);

// For tests: the next record that is sealed has the number `sequence`.
void SkipToRecord(SSL* ssl, uint64_t sequence);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_BORINGSSL_SEAM_H_
