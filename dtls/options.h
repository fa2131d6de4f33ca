// The options of servers and clients.
//
// Secure unless told otherwise: DTLS 1.2 with AEAD suites, cookies, and
// verification of the peer (a client verifies the server's certificate and
// name; a server asks for client certificates only if told to).
#ifndef CORDON_DTLS_OPTIONS_H_
#define CORDON_DTLS_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/credentials.h"

namespace cordon::dtls {

// The IP packet size that handshake messages are made to fit by default: any
// path of IPv6 carries it.
inline constexpr size_t kDefaultMtu = 1280;
inline constexpr size_t kMinMtu = 256;
inline constexpr size_t kMaxMtu = 65535;
// The largest application message: one record (RFC 5246 section 6.2.1).
inline constexpr size_t kMaxMessageBytes = 16384;

enum class ClientAuthentication {
  kNone,     // no certificate is asked for
  kRequest,  // asked for; one that is sent must be good
  kRequire,  // no session without a good one
};

// What both roles have in common.
struct SessionOptions {
  // Size in bytes of the largest IP packet to send while handshaking, headers
  // included, from `kMinMtu` to `kMaxMtu`. Application messages are not split:
  // each is one record, however large.
  size_t mtu = kDefaultMtu;
  // The whole handshake must be done within this time of its start.
  absl::Duration handshake_deadline = absl::Seconds(30);
  // After this time a flight is sent again; the time doubles with each repeat
  // of the same flight, up to the maximum (RFC 6347 section 4.2.4.1; it allows
  // for 60 s, but then a handshake that is given up after 30 s would be tried
  // six times only). At most 12 times.
  absl::Duration retransmission_timeout = absl::Milliseconds(400);
  absl::Duration max_retransmission_timeout = absl::Seconds(4);
  // Received messages that wait for `RecvDecrypted`; what does not fit is
  // dropped and counted.
  size_t max_queued_messages = 256;
  size_t max_queued_bytes = size_t{1} << 20;
};

struct ServerOptions {
  // At least one of these two. Of several certificates, the first that has the
  // name that the client asks for (SNI) is used, or else the first.
  std::vector<Certificate> certificates = {};
  std::vector<PreSharedKey> pre_shared_keys = {};
  // Tells clients which of their keys to use; often empty.
  std::string psk_identity_hint = {};

  ClientAuthentication client_authentication = ClientAuthentication::kNone;
  // Who may have issued client certificates; needed unless `kNone`.
  TrustAnchors client_trust = {};

  // OpenSSL names, with ":" between them; empty: all AEAD suites. The PSK
  // suites with CBC are used only when named here.
  std::string ciphers = {};
  // Application protocols, the preferred one first (RFC 7301). A client that
  // offers others only is refused; one that offers none is served.
  std::vector<std::string> alpn = {};

  // Demand a cookie before any state is kept (RFC 6347 section 4.2.1).
  bool cookies = true;
  CookieOptions cookie = {};

  SessionOptions session = {};

  // The time that certificates are judged by; the machine's clock by default.
  std::function<absl::Time()> wall_clock = {};
};

struct ClientOptions {
  // Who may have issued the server's certificate; if empty, the system's trust
  // store.
  TrustAnchors trust = {};
  // False: any server, whoever it may be. For tests.
  bool verify_server = true;
  // Ours, if the server asks for one.
  Certificate certificate = {};
  // Offers the suites with a pre-shared key; only those, unless `trust` is set.
  PreSharedKey pre_shared_key = {};
  std::string ciphers = {};
  std::vector<std::string> alpn = {};
  SessionOptions session = {};
  std::function<absl::Time()> wall_clock = {};
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_OPTIONS_H_
