// What a session is taken for, and what its handshake may keep of the peer's
// records before it can use them. SECURITY.md tells them.
#ifndef CORDON_DTLS_INTERNAL_SESSION_BOUNDS_H_
#define CORDON_DTLS_INTERNAL_SESSION_BOUNDS_H_

#include <cstddef>

namespace cordon::dtls::internal {

// The memory of a session, apart from the messages that wait in it: the engine
// with BoringSSL's state, the tables, and the coroutines that are waiting. As
// measured, rounded up: session_memory_test.cc compares it with the heap.
inline constexpr size_t kSessionBytes = 16'384;

// What a handshake may keep even if all together keep as much as they may: the
// messages of an ordinary one, so that it goes on whatever strangers do.
inline constexpr size_t kHandshakeOwnBytes = 8192;

// Parts of messages, beside the longest.
inline constexpr size_t kMaxSpareBytes = 16'384;

// Datagrams before `Connection::Handshake`: the fragments of a ClientHello, and
// a repetition.
inline constexpr size_t kMaxEarlyDatagrams = 8;
inline constexpr size_t kMaxEarlyDatagramBytes = 16'384;

// Encrypted records before the ChangeCipherSpec: a Finished, its repetition,
// and the first messages that follow it.
inline constexpr size_t kMaxEarlyRecords = 8;
inline constexpr size_t kMaxEarlyRecordBytes = 8192;

// Records while the handshake rests: two flights of a client with a long chain.
inline constexpr size_t kMaxHeldRecords = 64;
inline constexpr size_t kMaxHeldRecordBytes = 32'768;

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SESSION_BOUNDS_H_
