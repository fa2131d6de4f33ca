// The beginning of a ClientHello, read from a datagram without keeping state.
#ifndef CORDON_DTLS_INTERNAL_CLIENT_HELLO_H_
#define CORDON_DTLS_INTERNAL_CLIENT_HELLO_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace cordon::dtls::internal {

inline constexpr size_t kRecordHeaderBytes = 13;
inline constexpr size_t kHandshakeHeaderBytes = 12;
inline constexpr uint8_t kHandshakeType = 22;
inline constexpr uint8_t kApplicationDataType = 23;

// A record at the start of a datagram (RFC 6347 section 4.1).
struct RecordView {
  uint8_t type = 0;
  uint16_t version = 0;
  uint16_t epoch = 0;
  uint64_t sequence = 0;
  absl::Span<const uint8_t> body = {};
  // Header and body.
  absl::Span<const uint8_t> whole = {};
};

// False if `datagram` does not begin with a whole record of a DTLS 1.x version.
bool ReadRecord(absl::Span<const uint8_t> datagram, RecordView* record);

// The fields of a ClientHello that a cookie is bound to (RFC 6347 section
// 4.2.1), and its cookie. Spans point into the datagram.
struct ClientHelloView {
  uint64_t record_sequence = 0;
  uint16_t message_sequence = 0;
  uint16_t client_version = 0;
  absl::Span<const uint8_t> random = {};
  absl::Span<const uint8_t> session_id = {};
  absl::Span<const uint8_t> cookie = {};
  // Empty if they lie beyond the first fragment.
  absl::Span<const uint8_t> cipher_suites = {};
};

// Reads the first record of `datagram`, which must hold a ClientHello in epoch
// 0, whole or its first fragment up to and including the cookie. False if it is
// anything else.
bool ReadClientHello(absl::Span<const uint8_t> datagram,
                     ClientHelloView* hello);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_CLIENT_HELLO_H_
