// The options of servers and clients.
//
// Secure unless told otherwise: DTLS 1.2 with AEAD suites, cookies, and
// verification of the peer (a client verifies the server's certificate and
// name; a server asks for client certificates only if told whom to trust).
#ifndef CORDON_DTLS_OPTIONS_H_
#define CORDON_DTLS_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls {

// The IP packet size that handshake messages are made to fit by default: any
// path of IPv6 carries it.
inline constexpr size_t kDefaultMtu = 1280;
inline constexpr size_t kMinMtu = 256;
inline constexpr size_t kMaxMtu = 65535;
// The largest application message: one record (RFC 5246 section 6.2.1).
inline constexpr size_t kMaxMessageBytes = 16384;
// How many records back a session can tell whether one has come before.
inline constexpr size_t kMinReplayWindow = 64;
inline constexpr size_t kDefaultReplayWindow = 256;
inline constexpr size_t kMaxReplayWindow = 1024;
// A flight is never sent again more often than this.
inline constexpr int kMaxRetransmissions = 12;

// What both roles have in common for each session.
struct SessionOptions {
  // Size in bytes of the largest IP packet to send while handshaking, headers
  // included, from `kMinMtu` to `kMaxMtu`; less is used where the system knows
  // that the path carries less, and after a flight was lost twice.
  size_t mtu = kDefaultMtu;
  // Application messages are not split: each is one record. If true, one that
  // is larger than a packet is left to IP to fragment (and may be up to
  // `kMaxMessageBytes` long). If false, one that does not fit into a packet of
  // the path, as far as it is known, or else of `mtu` bytes, is refused; see
  // `Connection::MaxMessageSize`.
  bool ip_fragmentation = true;
  // The whole handshake must be done within this time of its start, the time
  // that verdicts take included.
  absl::Duration handshake_deadline = absl::Seconds(30);

  // A session whose peer has sent no message for this long, empty ones
  // included, is ended: the peer gets close_notify, `RecvDecrypted`
  // kDeadlineExceeded with the limit "idle_timeout". Off by default, because
  // peers owe no messages: devices sleep, and after a handshake for SRTP (RFC
  // 5764) there are none. Nothing else tells a server that a peer has vanished,
  // so set it where peers are known to speak.
  absl::Duration idle_timeout = absl::InfiniteDuration();

  // A flight that is not answered within this time is sent again; the time
  // grows by the factor with each repetition of the same flight, up to the
  // maximum (RFC 6347 section 4.2.4.1; it allows for 60 s, but then a handshake
  // that is given up after 30 s would be tried six times only).
  absl::Duration retransmission_timeout = absl::Milliseconds(400);
  double retransmission_factor = 2.0;
  absl::Duration max_retransmission_timeout = absl::Seconds(4);
  // So often at most, from 1 to `kMaxRetransmissions`; then the handshake has
  // failed: nobody answers.
  int max_retransmissions = kMaxRetransmissions;
  // Once a round trip was measured, later flights wait for one and a half of
  // it, but not less than the minimum, before they are sent again for the first
  // time (RFC 9147 section 5.8.2).
  bool rtt_based_timeout = true;
  absl::Duration min_retransmission_timeout = absl::Milliseconds(200);

  // A record that comes later than this many newer ones is dropped and counted
  // (`SessionStatistics::records_replayed`), because nobody can tell any more
  // whether it has come before (RFC 6347 section 4.1.2.6); from
  // `kMinReplayWindow` to `kMaxReplayWindow`. Fast traffic over paths of
  // unequal length wants more: the records that are sent in the time by which
  // the slower path is slower.
  size_t replay_window = kDefaultReplayWindow;

  // Received messages that wait for `RecvDecrypted`; what does not fit is
  // dropped and counted.
  size_t max_queued_messages = 256;
  size_t max_queued_bytes = size_t{1} << 20;
};

// Versions of the protocol. Only DTLS 1.2 is spoken now: DTLS 1.0 has no AEAD
// suites, and never will be.
enum class ProtocolVersion : uint8_t { kDtls10, kDtls12, kDtls13 };

// How peers are verified, for both roles.
struct VerificationOptions {
  PeerVerification mode = PeerVerification::kAuto;
  // How many authorities may stand between a peer's certificate and the
  // trusted one, from 0 to 100.
  int max_chain_depth = 10;
  // What a peer's certificates may be at most.
  CertificateLimits limits = {};
  // A chain with one of these certificates, the root included, has the error
  // `kBlocked`. Each entry is one of
  //   the SHA-256 fingerprint of a certificate, in hexadecimal, colons allowed:
  //     it is blocked however it is written, also with the other signature that
  //     ECDSA has for everything;
  //   "spki:" and the SHA-256 fingerprint of a public key: all certificates
  //     that have it;
  //   "serial:SERIAL@ISSUER", the serial number in hexadecimal and the issuer
  //     as `PeerIdentity::issuer` has it, as in "serial:0a1b@CN=Example CA".
  // `FingerprintOf`, `SpkiFingerprintOf` and `IssuerAndSerialOf` read them from
  // certificates.
  std::vector<std::string> blocked = {};
  // Names are looked up in the subject alternative names only (RFC 9525). If
  // true, the subject's common name counts where there is no such name.
  bool common_name_fallback = false;
  // Errors that do not count, for every session.
  std::vector<IgnoredError> ignored = {};
};

struct ServerOptions {
  // At least one of these two, or a `ListenerOptions::psk_lookup`. Of several
  // certificates, the first that has the name that the client asks for (SNI) is
  // used, or else the first.
  std::vector<Certificate> certificates = {};
  std::vector<PreSharedKey> pre_shared_keys = {};
  // Pre-shared keys will come from a `ListenerOptions::psk_lookup`.
  bool psk_lookup = false;
  // Tells clients which of their keys to use; often empty.
  std::string psk_identity_hint = {};

  VerificationOptions verification = {};
  // Who may have issued client certificates.
  TrustAnchors client_trust = {};

  ProtocolVersion min_version = ProtocolVersion::kDtls12;
  ProtocolVersion max_version = ProtocolVersion::kDtls12;
  // OpenSSL names, with ":" between them, the preferred first; empty: all AEAD
  // suites. The PSK suites with CBC are used only when named here.
  std::string ciphers = {};
  // Of the cipher suites that both have, whose preference counts.
  bool prefer_client_ciphers = false;
  // Groups for the key exchange, with ":" between them, the preferred first,
  // such as "X25519:P-256"; empty: X25519, P-256, P-384. ECDSA certificates
  // must be of one of them, too (RFC 8422 section 5.1.1).
  std::string groups = {};
  // Application protocols, the preferred one first (RFC 7301). A client that
  // offers others only is refused; one that offers none is served.
  std::vector<std::string> alpn = {};
  // SRTP protection profiles (RFC 5764), the preferred one first:
  // "SRTP_AEAD_AES_128_GCM", "SRTP_AES128_CM_SHA1_80", ...
  std::vector<std::string> srtp_profiles = {};

  // Demand a cookie before any state is kept (RFC 6347 section 4.2.1); see also
  // `ListenerOptions::half_open_before_cookies`.
  bool cookies = true;
  CookieOptions cookie = {};

  // Whether sessions may be resumed, with tickets (RFC 5077) and with session
  // ids, which cost memory here; and for how long, by the machines' wall
  // clocks: where a clock has been set back, and where a ticket comes from a
  // machine whose clock is ahead, the session is not resumed before its time
  // has come, and there is a whole handshake instead. A peer is judged again
  // when its session is resumed, and its pre-shared key is looked up: if it is
  // gone, or another one now, the session is not resumed.
  bool session_tickets = true;
  bool session_ids = true;
  absl::Duration session_lifetime = absl::Hours(2);
  // How many sessions are kept for their ids, and their bytes, certificates of
  // the peers included. Beyond it the oldest is forgotten, and counted
  // (`Context::session_ids`): its client gets a whole handshake.
  size_t max_session_ids = 20'000;
  size_t max_session_id_bytes = size_t{64} << 20;
  // Tickets are encrypted with a key of this context's own, which is replaced
  // every day; those of the day before are taken. To take tickets on several
  // machines, give all of them the same secret, of 32 bytes or more.
  std::string session_ticket_secret = {};

  SessionOptions session = {};

  // Gets lines in the format of NSS's key log, with which the traffic can be
  // decrypted. For debugging only. Called on the session's thread.
  std::function<void(absl::string_view line)> key_log = {};
  // What the time is to other machines: cookies, tickets and the lifetimes of
  // sessions carry it, certificates are judged by it, snapshots tell it. The
  // machine's clock by default. It may jump; called on any thread.
  std::function<absl::Time()> wall_clock = {};
};

struct ClientOptions {
  // Who may have issued the server's certificate; if empty, the system's trust
  // store.
  TrustAnchors trust = {};
  VerificationOptions verification = {};
  // Ours, if the server asks for one.
  Certificate certificate = {};
  // Offers the suites with a pre-shared key; only those, unless `trust` is set.
  PreSharedKey pre_shared_key = {};
  // Instead of `pre_shared_key`: asked for the key to use with a server that
  // gave this hint, which may be empty. Must not block.
  std::function<absl::StatusOr<PreSharedKey>(const std::string& hint)>
      psk_for_hint = {};

  // These, and the last two, as for servers.
  ProtocolVersion min_version = ProtocolVersion::kDtls12;
  ProtocolVersion max_version = ProtocolVersion::kDtls12;
  std::string ciphers = {};
  std::string groups = {};
  std::vector<std::string> alpn = {};
  std::vector<std::string> srtp_profiles = {};

  SessionOptions session = {};
  std::function<void(absl::string_view line)> key_log = {};
  std::function<absl::Time()> wall_clock = {};
};

// What one session may have of its own, without a context of its own. Fields
// that are not set stay as the context has them.
struct SessionOverrides {
  // A client: another name to verify than the one that is sent as SNI. A
  // server: the name that the client's certificate must have. Empty: any.
  std::optional<std::string> verify_name = {};
  std::optional<PeerVerification> verification_mode = {};
  std::optional<int> max_chain_depth = {};
  std::optional<Certificate> certificate = {};
  std::optional<std::string> ciphers = {};
  std::optional<std::string> groups = {};
  std::optional<std::vector<std::string>> alpn = {};
  std::optional<std::vector<std::string>> srtp_profiles = {};
  std::optional<SessionOptions> session = {};

  bool empty() const {
    return !verify_name && !verification_mode && !max_chain_depth &&
           !certificate && !ciphers && !groups && !alpn && !srtp_profiles &&
           !session;
  }
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_OPTIONS_H_
