// The stateless cookie exchange of DTLS 1.2 (RFC 6347 section 4.2.1): a server
// keeps nothing of a client that has not shown that it receives at its address.
//
//   absl::StatusOr<CookieExchange> cookies = CookieExchange::Create({});
//   std::array<uint8_t, CookieExchange::kReplyBytes> reply;
//   CookieExchange::Result result =
//       cookies->Process(datagram, peer, now, reply);
//   switch (result.verdict) {
//     case CookieVerdict::kReply:     Send(peer, reply);
//     case CookieVerdict::kVerified:  MakeSession(peer, datagram);
//     case CookieVerdict::kDropped:   break;
//   }
//
// A cookie is bound to the peer's address and port, to the hello's random and
// session id, and to its cipher suites where the hello shows them. It expires.
// The secret is replaced in intervals, and by `RotateSecret`; cookies of the
// previous secret stay good, because many clients answer only one
// HelloVerifyRequest. Reply and cookie have one size, no larger than any hello.
//
// `Listener` does all this by itself.
#ifndef CORDON_DTLS_COOKIE_H_
#define CORDON_DTLS_COOKIE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls {

struct CookieOptions {
  // How long a cookie is good, from 1 s to 1 h.
  absl::Duration lifetime = absl::Minutes(2);
  // How often the secret is replaced, at least `lifetime`.
  absl::Duration rotation = absl::Hours(1);
};

enum class CookieVerdict {
  kVerified,  // a good cookie: this peer receives at this address
  kReply,     // a hello without a good cookie: send the HelloVerifyRequest
  kDropped,   // no ClientHello, or too short to be answered
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
  static constexpr size_t kCookieBytes = 32;
  // Record header, handshake header, version, length, cookie.
  static constexpr size_t kReplyBytes = 13 + 12 + 2 + 1 + kCookieBytes;

  struct Result {
    CookieVerdict verdict = CookieVerdict::kDropped;
    // For `kVerified`: the number of the record that the hello came in.
    uint64_t record_sequence = 0;
  };

  // kInvalidArgument: an option is out of its range.
  static absl::StatusOr<CookieExchange> Create(const CookieOptions& options);
  CookieExchange(CookieExchange&&) noexcept;
  CookieExchange& operator=(CookieExchange&&) noexcept;
  ~CookieExchange();

  // Judges the first datagram of a peer: a whole ClientHello, or the first
  // fragment of one. For `kReply` the HelloVerifyRequest is written to `reply`.
  Result Process(absl::Span<const uint8_t> datagram, const net::Endpoint& peer,
                 absl::Time now, std::array<uint8_t, kReplyBytes>& reply);

  // Replaces the secret now. Cookies of the one before stay good.
  void RotateSecret(absl::Time now);

  const CookieStatistics& statistics() const { return statistics_; }

 private:
  struct Secret;
  explicit CookieExchange(const CookieOptions& options);

  CookieOptions options_;
  std::unique_ptr<Secret> current_;
  std::unique_ptr<Secret> previous_;
  absl::Time next_rotation_ = absl::InfinitePast();
  CookieStatistics statistics_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_COOKIE_H_
