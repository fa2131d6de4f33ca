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
// A cookie carries wall-clock time, for other machines. When the machine's
// clock is set, the cookies that this process made before stay good for their
// lifetime, as its steady clock measures it. Of another machine, those cookies
// are good whose time is right by the clock as it is now. After the clock was
// set back, what had expired in the time that comes again is good again.
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
#include "cordon/dtls/moment.h"
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
    // For `kVerified`: when the cookie was made, in steady time. Of two hellos
    // of one peer that with the later time is the newer one: no two cookies of
    // one exchange have the same. Of another process's cookie it is known to a
    // minute only.
    absl::Time made = absl::InfinitePast();
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
                 const Moment& now, std::array<uint8_t, kReplyBytes>& reply);
  // For programs with one clock, the machine's, that is never set.
  Result Process(absl::Span<const uint8_t> datagram, const net::Endpoint& peer,
                 absl::Time now, std::array<uint8_t, kReplyBytes>& reply) {
    return Process(datagram, peer, Moment{.steady = now, .wall = now}, reply);
  }

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
  // Sees whether the machine's clock was set since the last call.
  void NoteClock(const Moment& now);
  // Of a cookie with these times, whoever made it. Nothing: it has expired.
  std::optional<absl::Duration> AgeOf(uint32_t wall_seconds,
                                      uint64_t steady_micros,
                                      const Moment& now) const;

  CookieOptions options_;
  std::unique_ptr<Secret> current_;
  // As it was before `SetParameters`.
  std::unique_ptr<Secret> previous_;
  // How far the machine's clock is ahead of the steady one, and when, in steady
  // time, it was set last.
  std::optional<absl::Duration> wall_ahead_;
  absl::Time set_at_ = absl::InfinitePast();
  // The steady time in the last cookie, in microseconds.
  int64_t last_made_ = 0;
  CookieStatistics statistics_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_COOKIE_H_
