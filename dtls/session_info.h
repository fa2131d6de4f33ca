// What was negotiated, and what has happened since.
#ifndef CORDON_DTLS_SESSION_INFO_H_
#define CORDON_DTLS_SESSION_INFO_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cordon/dtls/error.h"

namespace cordon::dtls {

// Complete once the handshake is; empty fields were not negotiated.
struct SessionInfo {
  std::string version = {};              // "DTLSv1.2"
  std::string cipher = {};               // OpenSSL's name
  std::string group = {};                // of the key exchange, as "X25519"
  std::string signature_algorithm = {};  // that the peer signed with
  std::string alpn = {};
  std::string server_name = {};  // SNI
  // A pre-shared key was used; its identity may be empty.
  bool psk = false;
  std::string psk_identity = {};
  std::string psk_identity_hint = {};  // a client: the server's
  std::string srtp_profile = {};       // "SRTP_AEAD_AES_128_GCM"
  // The session was begun earlier and is resumed.
  bool resumed = false;
  // The peer's chain was judged and nothing was wrong with it.
  bool peer_verified = false;
  // The policy that let it pass, of a server that has one.
  uint64_t policy_version = 0;
  // What was wrong with it, but was ignored.
  std::vector<VerificationError> ignored_errors = {};
  // The peer's certificates in DER, its own first.
  std::vector<std::string> peer_chain = {};
  // The subject of the first, readable.
  std::string peer_subject = {};
};

// Counters of one session, or of several. Plain numbers; read them on the
// reactor's thread.
struct SessionStatistics {
  uint64_t datagrams_received = 0;
  uint64_t datagrams_sent = 0;
  uint64_t bytes_received = 0;  // UDP payloads
  uint64_t bytes_sent = 0;
  uint64_t messages_received = 0;
  uint64_t messages_sent = 0;
  uint64_t message_bytes_received = 0;
  uint64_t message_bytes_sent = 0;
  // Records that were not accepted, in all; and of these: repetitions, those
  // that do not decrypt, those of another epoch, and garbage.
  uint64_t records_discarded = 0;
  uint64_t records_replayed = 0;
  uint64_t records_bad_mac = 0;
  uint64_t records_wrong_epoch = 0;
  uint64_t records_malformed = 0;
  // Messages dropped because nobody had taken those before them.
  uint64_t messages_dropped_queue_full = 0;
  // Datagrams that the network did not take.
  uint64_t datagrams_not_sent = 0;
  // Datagrams that waited for the peer to send more, because it had not shown
  // yet that it receives at its address.
  uint64_t datagrams_held_back = 0;
  // Keys of which three quarters are used up: ours by what it has encrypted,
  // the peer's by records that did not decrypt with it. At the limit, which
  // SECURITY.md tells, the session ends.
  uint64_t keys_nearly_used_up = 0;
  // Flights sent again because the peer did not answer.
  uint64_t retransmissions = 0;
  // From the first to the last message of the handshake.
  absl::Duration handshake_duration = absl::ZeroDuration();
  // As measured while handshaking; zero if it was not.
  absl::Duration round_trip = absl::ZeroDuration();
  // How long the present flight waits before it is sent again.
  absl::Duration retransmission_timeout = absl::ZeroDuration();
  // The largest IP packet that handshake messages are put in, in bytes.
  size_t mtu = 0;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_SESSION_INFO_H_
