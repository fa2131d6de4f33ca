// Handshake messages of DTLS 1.2 as they come in the clear: their fragments,
// and whether a message has the form that its type prescribes.
#ifndef CORDON_DTLS_INTERNAL_HANDSHAKE_MESSAGE_H_
#define CORDON_DTLS_INTERNAL_HANDSHAKE_MESSAGE_H_

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace cordon::dtls::internal {

// One fragment of a message (RFC 6347 section 4.2.2).
struct HandshakeFragment {
  uint8_t type = 0;
  uint16_t sequence = 0;
  uint32_t message_bytes = 0;
  uint32_t offset = 0;
  absl::Span<const uint8_t> body = {};
};

// Takes the fragment at the start of `*bytes`, the body of a record, and
// removes it from there. False if there is none, or it says that it lies where
// it cannot lie in its message.
bool ReadFragment(absl::Span<const uint8_t>* bytes,
                  HandshakeFragment* fragment);

// A whole message.
struct HandshakeMessage {
  uint8_t type = 0;
  uint16_t sequence = 0;
  std::vector<uint8_t> body = {};
};

// Sets of message types.
constexpr uint32_t TypeBit(uint8_t type) {
  return type < 32 ? uint32_t{1} << type : 0;
}

// What an `ssl` that handshakes can make use of next.
struct AwaitedMessage {
  // False once the peer has changed to encryption: nothing in the clear can be
  // its any more.
  bool in_the_clear = true;
  bool of_client = false;
  uint16_t sequence = 0;
  // The types that the message with this number may have, and those of the
  // messages that follow it.
  uint32_t types = 0;
  uint32_t later_types = 0;
  // A client has answered a HelloVerifyRequest, which may have been forged: the
  // answer to its first hello, number 0, may still come.
  bool first_answer_too = false;
  // Null before it is chosen.
  const SSL_CIPHER* cipher = nullptr;
  // Of a chain of certificates.
  size_t max_certificate_bytes = 0;
  // A hello brings the ticket of an earlier session, which may contain the
  // client's chain.
  size_t max_hello_bytes = 0;
};

AwaitedMessage AwaitedBy(const SSL* ssl);

// The longest body that a message of this type may have.
size_t MaxMessageBytes(uint8_t type, const AwaitedMessage& awaited);

// Whether `body` can be taken apart as a message of `type`. What it says may
// still be nonsense.
bool IsWellFormed(uint8_t type, absl::Span<const uint8_t> body,
                  const AwaitedMessage& awaited);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_HANDSHAKE_MESSAGE_H_
