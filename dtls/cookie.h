// The stateless cookie exchange of DTLS 1.2 (RFC 6347 section 4.2.1): a server
// keeps nothing of a client that has not shown that it receives at its address.
//
//   absl::StatusOr<CookieExchange> cookies = CookieExchange::Create({});
//   std::array<uint8_t, CookieExchange::kReplyBytes> reply;
//   CookieExchange::Result result =
//       cookies->Process(datagram, peer, now, reply);
//   switch (result.verdict) {
//     case CookieVerdict::kReply:
//       Send(peer, reply);
//       break;
//     case CookieVerdict::kVerified:
//       MakeSession(peer, datagram);
//       break;
//     case CookieVerdict::kDropped:
//     case CookieVerdict::kInvalidArgument:
//       break;
//   }
//
// A cookie is bound to the peer's address and port, to the hello's version and
// random, and to its cipher suites where the hello shows them; not to the
// session id, of which Mbed TLS sends another with each hello that has a
// ticket. It expires.
// The keys that cookies are made with are replaced in intervals, and by
// `RotateSecret`; cookies of the key before stay good, because many clients
// answer only one HelloVerifyRequest. Reply and cookie have one size, no larger
// than any hello.
//
// Nothing is kept of a peer: the same hello is verified again and again, by
// every exchange that has the same secret, on this machine or on another whose
// clock is right to a minute. All exchanges that were given no secret share one
// that the process has drawn (as QDtlsClientVerifier's do).
//
// `Listener` does all this by itself.
#ifndef CORDON_DTLS_COOKIE_H_
#define CORDON_DTLS_COOKIE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls {

// Of the HMAC (RFC 2104) that makes cookies.
enum class CookieHash : uint8_t { kSha256, kSha384, kSha512 };

// What two exchanges must have in common to take each other's cookies.
struct CookieParameters {
  CookieHash hash = CookieHash::kSha256;
  // At least `CookieExchange::kMinSecretBytes` bytes. Not set: the process's
  // own.
  std::optional<std::string> secret = std::nullopt;
};

struct CookieOptions {
  CookieParameters parameters = {};
  // How long a cookie is good, from 1 s to 1 h.
  absl::Duration lifetime = absl::Minutes(2);
  // How often the key is replaced, at least `lifetime`.
  absl::Duration rotation = absl::Hours(1);
};

enum class CookieVerdict {
  kVerified,  // a good cookie: this peer receives at this address
  kReply,     // a hello without a good cookie: send the HelloVerifyRequest
  kDropped,   // no ClientHello, or too short to be answered
  // The caller's fault: an empty datagram, or a peer that is no address of one
  // machine (none, any, multicast, broadcast, port 0). Nothing was proven.
  kInvalidArgument,
};

struct CookieStatistics {
  uint64_t sent = 0;
  uint64_t accepted = 0;
  // Hellos whose cookie was not good; each is answered by a new one.
  uint64_t rejected_invalid = 0;
  uint64_t rejected_expired = 0;
  // Datagrams that are no ClientHello.
  uint64_t dropped_malformed = 0;
  // Hellos smaller than the reply, which would amplify.
  uint64_t dropped_too_small = 0;
};

// Thread-compatible; each listener has its own. Wipes its secrets.
class CookieExchange {
 public:
  static constexpr size_t kMinSecretBytes = 16;
  static constexpr size_t kCookieBytes = 32;
  // Record header, handshake header, version, length, cookie.
  static constexpr size_t kReplyBytes = 13 + 12 + 2 + 1 + kCookieBytes;

  struct Result {
    CookieVerdict verdict = CookieVerdict::kDropped;
    // For `kVerified`: the number of the record that the hello came in.
    uint64_t record_sequence = 0;
    // For `kInvalidArgument`: what is wrong.
    absl::string_view why = {};
  };

  // kInvalidArgument: an option is out of its range, or the secret too short.
  static absl::StatusOr<CookieExchange> Create(const CookieOptions& options);
  CookieExchange(CookieExchange&&) noexcept;
  CookieExchange& operator=(CookieExchange&&) noexcept;
  ~CookieExchange();

  // Judges the first datagram of a peer: a whole ClientHello, or the first
  // fragment of one. For `kReply` the HelloVerifyRequest is written to `reply`.
  Result Process(absl::Span<const uint8_t> datagram, const net::Endpoint& peer,
                 absl::Time now, std::array<uint8_t, kReplyBytes>& reply);

  // From now on other parameters. Cookies that were made with those before stay
  // good for their lifetime. kInvalidArgument: the secret is too short, and
  // nothing has changed.
  absl::Status SetParameters(const CookieParameters& parameters);
  CookieHash hash() const { return options_.parameters.hash; }

  // `SetParameters` with a new random secret.
  void RotateSecret();

  const CookieStatistics& statistics() const { return statistics_; }

 private:
  class Key;
  class Secret;
  explicit CookieExchange(const CookieOptions& options);

  CookieOptions options_;
  std::unique_ptr<Secret> current_;
  // As it was before `SetParameters`.
  std::unique_ptr<Secret> previous_;
  CookieStatistics statistics_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_COOKIE_H_
