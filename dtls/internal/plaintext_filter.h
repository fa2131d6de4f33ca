// What of the records in the clear a handshake gets to see.
//
// Until both have changed to encryption, anybody who can send from the peer's
// address can send records that look like the peer's, and BoringSSL ends the
// handshake at the first that is wrong. The filter stands before it: it drops
// what cannot be the peer's, puts messages together, and hands them over one by
// one, in order, when they are awaited.
#ifndef CORDON_DTLS_INTERNAL_PLAINTEXT_FILTER_H_
#define CORDON_DTLS_INTERNAL_PLAINTEXT_FILTER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/handshake_message.h"
#include "cordon/dtls/internal/memory_budget.h"
#include "cordon/dtls/internal/reassembly.h"

namespace cordon::dtls::internal {

class PlaintextFilter {
 public:
  enum class Result {
    kDropped,           // cannot be the peer's, now or ever
    kMalformed,         // nor anybody's
    kRepeated,          // messages that were taken before
    kKept,              // fragments; see `NextMessage`
    kChangeCipherSpec,  // to be handed over
    kAlert,             // one that would end the handshake: `alert()`
  };

  // For a handshake whose longest message has `max_message_bytes`. What it
  // keeps counts in `share`, which outlives it.
  PlaintextFilter(size_t max_message_bytes, MemoryShare& share);

  // Takes a record of epoch 0.
  Result Receive(const RecordView& record, const AwaitedMessage& awaited);
  // Of the last record that was one.
  uint8_t alert() const { return alert_; }

  // The message that is awaited, if it is whole. False if it is not; of those
  // that could not be taken, `*malformed` counts how many there were.
  bool NextMessage(const AwaitedMessage& awaited, HandshakeMessage* message,
                   size_t* malformed);

  // The answer to a client's first hello, if `awaited.first_answer_too`: a
  // ServerHello or a HelloVerifyRequest, and the number of the record that it
  // came in, or its last part. False if there is none.
  bool FirstAnswer(const AwaitedMessage& awaited, HandshakeMessage* message,
                   uint64_t* record);

  // Drops all that is kept but the answers to a client's first hello.
  void ForgetMessages() { messages_.Clear(); }

  // Records for BoringSSL, numbered anew: a forged number must not move its
  // window. A message that is long takes several, each with one fragment.
  std::vector<std::vector<uint8_t>> Wrap(const HandshakeMessage& message);
  std::vector<uint8_t> WrapChangeCipherSpec();

  // Memory that fragments use, about.
  size_t bytes() const { return messages_.bytes() + first_answers_.bytes(); }

 private:
  Result ReceiveHandshake(const RecordView& record,
                          const AwaitedMessage& awaited);
  std::vector<uint8_t> WrapRecord(uint8_t type, absl::Span<const uint8_t> head,
                                  absl::Span<const uint8_t> body);

  Reassembly messages_;
  Reassembly first_answers_;
  uint64_t first_answer_record_ = 0;
  uint8_t alert_ = 0;
  uint64_t next_record_ = 0;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_PLAINTEXT_FILTER_H_
