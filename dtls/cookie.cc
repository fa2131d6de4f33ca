#include "cordon/dtls/cookie.h"

#include <openssl/digest.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/client_hello.h"

namespace cordon::dtls {
namespace {

using internal::ClientHelloView;

// A cookie: the generation of the secret, the time in seconds (the low 24
// bits), a MAC over what binds it to the peer, and a MAC over the same and the
// cipher suites. 32 bytes are what all clients take.
constexpr size_t kHeaderBytes = 4;
constexpr size_t kMacBytes = 16;
constexpr size_t kSuitesMacBytes = 12;
static_assert(kHeaderBytes + kMacBytes + kSuitesMacBytes ==
              CookieExchange::kCookieBytes);

constexpr uint32_t kTimeMask = 0xffffff;
// The generation's highest bit: the cipher suites were seen.
constexpr uint8_t kSuitesSeen = 0x80;
constexpr uint8_t kGenerationMask = 0x7f;

uint32_t SecondsOf(absl::Time time) {
  return static_cast<uint32_t>(absl::ToUnixSeconds(time)) & kTimeMask;
}

using Digest = std::array<uint8_t, 32>;
using Cookie = std::array<uint8_t, CookieExchange::kCookieBytes>;

class Mac {
 public:
  explicit Mac(const HMAC_CTX* keyed) {
    ok_ = HMAC_CTX_copy_ex(context_.get(), keyed) != 0;
  }
  void Add(absl::Span<const uint8_t> bytes) {
    ok_ = ok_ && HMAC_Update(context_.get(), bytes.data(), bytes.size()) != 0;
  }
  // Length first, so that no two inputs look the same.
  void AddSized(absl::Span<const uint8_t> bytes) {
    const std::array<uint8_t, 2> size = {
        static_cast<uint8_t>(bytes.size() >> 8),
        static_cast<uint8_t>(bytes.size())};
    Add(size);
    Add(bytes);
  }
  bool Finish(Digest* digest) {
    unsigned size = 0;
    return ok_ && HMAC_Final(context_.get(), digest->data(), &size) != 0;
  }

 private:
  bssl::ScopedHMAC_CTX context_;
  bool ok_ = false;
};

}  // namespace

struct CookieExchange::Secret {
  bssl::ScopedHMAC_CTX keyed;
  uint8_t generation = 0;

  static std::unique_ptr<Secret> Make(uint8_t generation) {
    auto secret = std::make_unique<Secret>();
    std::array<uint8_t, 32> key;
    RAND_bytes(key.data(), key.size());
    HMAC_Init_ex(secret->keyed.get(), key.data(), key.size(), EVP_sha256(),
                 nullptr);
    OPENSSL_cleanse(key.data(), key.size());
    secret->generation = generation & kGenerationMask;
    return secret;
  }

  // The cookie that this hello deserves, with the given header.
  bool Compute(const ClientHelloView& hello, const net::Endpoint& peer,
               Cookie* cookie) const {
    const absl::Span<const uint8_t> header =
        absl::MakeConstSpan(*cookie).subspan(0, kHeaderBytes);
    auto bind = [&](Mac& mac) {
      const std::array<uint8_t, 4> port_and_version = {
          static_cast<uint8_t>(peer.port() >> 8),
          static_cast<uint8_t>(peer.port()),
          static_cast<uint8_t>(hello.client_version >> 8),
          static_cast<uint8_t>(hello.client_version)};
      mac.Add(header);
      mac.AddSized(peer.address_bytes());
      mac.Add(port_and_version);
      mac.AddSized(hello.random);
      mac.AddSized(hello.session_id);
    };
    Digest digest;
    Mac mac(keyed.get());
    bind(mac);
    if (!mac.Finish(&digest)) return false;
    std::copy_n(digest.begin(), kMacBytes, cookie->begin() + kHeaderBytes);
    Mac suites(keyed.get());
    bind(suites);
    suites.AddSized(hello.cipher_suites);
    if (!suites.Finish(&digest)) return false;
    std::copy_n(digest.begin(), kSuitesMacBytes,
                cookie->begin() + kHeaderBytes + kMacBytes);
    return true;
  }
};

absl::StatusOr<CookieExchange> CookieExchange::Create(
    const CookieOptions& options) {
  if (options.lifetime < absl::Seconds(1) ||
      options.lifetime > absl::Hours(1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cookie.lifetime is ", absl::FormatDuration(options.lifetime),
        "; it must be from 1s to 1h"));
  }
  if (options.rotation < options.lifetime) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cookie.rotation is ", absl::FormatDuration(options.rotation),
        "; it must not be less than cookie.lifetime"));
  }
  return CookieExchange(options);
}

CookieExchange::CookieExchange(const CookieOptions& options)
    : options_(options) {
  uint8_t generation = 0;
  RAND_bytes(&generation, 1);
  current_ = Secret::Make(generation);
}

CookieExchange::CookieExchange(CookieExchange&&) noexcept = default;
CookieExchange& CookieExchange::operator=(CookieExchange&&) noexcept = default;
CookieExchange::~CookieExchange() = default;

void CookieExchange::RotateSecret(absl::Time now) {
  previous_ = std::move(current_);
  current_ = Secret::Make(previous_->generation + 1);
  next_rotation_ = now + options_.rotation;
}

CookieExchange::Result CookieExchange::Process(
    absl::Span<const uint8_t> datagram, const net::Endpoint& peer,
    absl::Time now, std::array<uint8_t, kReplyBytes>& reply) {
  if (next_rotation_ == absl::InfinitePast()) {
    next_rotation_ = now + options_.rotation;
  } else if (now >= next_rotation_) {
    RotateSecret(now);
  }

  ClientHelloView hello;
  Result result;
  if (!internal::ReadClientHello(datagram, &hello)) {
    ++statistics_.dropped_malformed;
    return result;
  }
  if (hello.cookie.size() == kCookieBytes) {
    Cookie expected;
    std::copy_n(hello.cookie.begin(), kHeaderBytes, expected.begin());
    const uint32_t made =
        uint32_t{expected[1]} << 16 | uint32_t{expected[2]} << 8 | expected[3];
    const absl::Duration age =
        absl::Seconds((SecondsOf(now) - made) & kTimeMask);
    const Secret* secret = nullptr;
    for (const Secret* s : {current_.get(), previous_.get()}) {
      if (s != nullptr && s->generation == (expected[0] & kGenerationMask)) {
        secret = s;
      }
    }
    if (secret != nullptr && secret->Compute(hello, peer, &expected)) {
      // Where one of the two hellos does not show its suites, only the first
      // MAC can be compared.
      const bool suites =
          (expected[0] & kSuitesSeen) != 0 && !hello.cipher_suites.empty();
      const size_t compared =
          suites ? kCookieBytes : kCookieBytes - kSuitesMacBytes;
      if (CRYPTO_memcmp(expected.data(), hello.cookie.data(), compared) == 0) {
        if (age <= options_.lifetime) {
          ++statistics_.accepted;
          return {CookieVerdict::kVerified, hello.record_sequence};
        }
        ++statistics_.rejected_expired;
      } else {
        ++statistics_.rejected_invalid;
      }
    } else {
      ++statistics_.rejected_invalid;
    }
  } else if (!hello.cookie.empty()) {
    ++statistics_.rejected_invalid;
  }

  if (datagram.size() < kReplyBytes) {
    ++statistics_.dropped_too_small;
    return result;
  }
  Cookie cookie;
  const uint32_t seconds = SecondsOf(now);
  cookie[0] = current_->generation |
              (hello.cipher_suites.empty() ? uint8_t{0} : kSuitesSeen);
  cookie[1] = static_cast<uint8_t>(seconds >> 16);
  cookie[2] = static_cast<uint8_t>(seconds >> 8);
  cookie[3] = static_cast<uint8_t>(seconds);
  if (!current_->Compute(hello, peer, &cookie)) return result;

  // The record has the number of the hello's record, the message is the first,
  // and the version is that of DTLS 1.0, whatever will be negotiated.
  constexpr size_t kBodyBytes = 2 + 1 + kCookieBytes;
  constexpr size_t kMessageBytes = internal::kHandshakeHeaderBytes + kBodyBytes;
  constexpr std::array<uint8_t, 5> kRecordStart = {internal::kHandshakeType,
                                                   0xfe, 0xff, 0, 0};
  uint8_t* out =
      std::copy(kRecordStart.begin(), kRecordStart.end(), reply.begin());
  for (int shift = 40; shift >= 0; shift -= 8) {
    *out++ = static_cast<uint8_t>(hello.record_sequence >> shift);
  }
  constexpr uint8_t kHelloVerifyRequest = 3;
  const std::array<uint8_t, 2 + internal::kHandshakeHeaderBytes + 3> message = {
      0,
      kMessageBytes,  // length of the record
      kHelloVerifyRequest,
      0,
      0,
      kBodyBytes,  // type, length
      0,
      0,  // message sequence
      0,
      0,
      0,  // fragment offset
      0,
      0,
      kBodyBytes,  // fragment length
      0xfe,
      0xff,
      kCookieBytes,
  };
  out = std::copy(message.begin(), message.end(), out);
  std::copy(cookie.begin(), cookie.end(), out);
  ++statistics_.sent;
  result.verdict = CookieVerdict::kReply;
  return result;
}

}  // namespace cordon::dtls
