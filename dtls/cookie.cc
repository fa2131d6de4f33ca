#include "cordon/dtls/cookie.h"

#include <openssl/digest.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/random_bytes.h"

namespace cordon::dtls {
namespace {

using internal::ClientHelloView;

// A cookie: the period that its key is made for (the low 7 bits of its number),
// the wall-clock time in seconds (the low 24 bits), the steady time in
// microseconds (the low 40 bits, 12 days), a MAC over what binds it to the
// peer, and a MAC over the same and the cipher suites. 32 bytes are what all
// clients take. The steady time is not for other machines: it tells which of
// two cookies of this process is the newer one, and how old a cookie is after
// the machine's clock was set.
constexpr size_t kHeaderBytes = 9;
constexpr size_t kMacBytes = 14;
constexpr size_t kSuitesMacBytes = 9;
static_assert(kHeaderBytes + kMacBytes + kSuitesMacBytes ==
              CookieExchange::kCookieBytes);

constexpr uint32_t kTimeMask = 0xffffff;
constexpr uint64_t kSteadyMask = (uint64_t{1} << 40) - 1;
constexpr absl::Duration kMaxAhead = absl::Seconds(1);
// A difference between the clocks that has changed by more than this was set,
// and did not come from reading them one after the other.
constexpr absl::Duration kClockWasSet = absl::Seconds(1);
// How far the clocks of machines with the same secret may be apart.
constexpr uint32_t kMaxSkewSeconds = 60;
// The first byte's highest bit: the cipher suites were seen.
constexpr uint8_t kSuitesSeen = 0x80;
constexpr uint8_t kPeriodMask = 0x7f;

uint32_t SecondsOf(absl::Time time) {
  return static_cast<uint32_t>(absl::ToUnixSeconds(time)) & kTimeMask;
}

uint64_t MicrosOf(absl::Time time) {
  return static_cast<uint64_t>(absl::ToUnixMicros(time));
}

uint64_t ReadNumber(absl::Span<const uint8_t> bytes) {
  uint64_t number = 0;
  for (const uint8_t byte : bytes) number = number << 8 | byte;
  return number;
}

void WriteNumber(uint64_t number, absl::Span<uint8_t> bytes) {
  for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte) {
    *byte = static_cast<uint8_t>(number);
    number >>= 8;
  }
}

using Digest = std::array<uint8_t, EVP_MAX_MD_SIZE>;
using Cookie = std::array<uint8_t, CookieExchange::kCookieBytes>;

const EVP_MD* MessageDigest(CookieHash hash) {
  switch (hash) {
    case CookieHash::kSha256:
      break;
    case CookieHash::kSha384:
      return EVP_sha384();
    case CookieHash::kSha512:
      return EVP_sha512();
  }
  return EVP_sha256();
}

// One for the whole process, so that all its exchanges agree.
const std::string& ProcessSecret() {
  static const std::string* const secret = [] {
    auto* bytes = new std::string(32, '\0');
    internal::FillWithRandom(absl::MakeSpan(
        reinterpret_cast<uint8_t*>(bytes->data()), bytes->size()));
    return bytes;
  }();
  return *secret;
}

absl::Status CheckSecret(const CookieParameters& parameters) {
  if (!parameters.secret.has_value() ||
      parameters.secret->size() >= CookieExchange::kMinSecretBytes) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "cookie.secret has ", parameters.secret->size(),
      " bytes; it needs at least ", CookieExchange::kMinSecretBytes));
}

// A MAC that is being made, with memory that serves many of them in turn.
class Mac {
 public:
  // Takes the key, and what was added already.
  void BeginAs(const HMAC_CTX* other) {
    ok_ = HMAC_CTX_copy_ex(context_.get(), other) != 0;
  }
  void BeginAs(const Mac& other) {
    BeginAs(other.context_.get());
    ok_ = ok_ && other.ok_;
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
  // The first bytes of it.
  bool Finish(absl::Span<uint8_t> into) {
    Digest digest;
    unsigned size = 0;
    if (!ok_ || HMAC_Final(context_.get(), digest.data(), &size) == 0) {
      return false;
    }
    std::copy_n(digest.begin(), into.size(), into.begin());
    return true;
  }

 private:
  bssl::ScopedHMAC_CTX context_;
  bool ok_ = false;
};

}  // namespace

// The key of one period.
class CookieExchange::Key {
 public:
  bool Derive(const std::string& secret, const EVP_MD* digest, int64_t period) {
    std::array<uint8_t, 8> number;
    for (size_t i = 0; i < number.size(); ++i) {
      number[i] = static_cast<uint8_t>(period >> (56 - 8 * i));
    }
    Digest key;
    unsigned size = 0;
    valid_ = HMAC(digest, secret.data(), secret.size(), number.data(),
                  number.size(), key.data(), &size) != nullptr &&
             HMAC_Init_ex(keyed_.get(), key.data(), size, digest, nullptr) == 1;
    OPENSSL_cleanse(key.data(), key.size());
    period_ = period;
    return valid_;
  }

  bool valid() const { return valid_; }
  int64_t period() const { return period_; }

  // The cookie that this hello deserves, with the given header.
  bool Compute(const ClientHelloView& hello, const net::Endpoint& peer,
               Cookie* cookie) {
    const absl::Span<uint8_t> all = absl::MakeSpan(*cookie);
    const std::array<uint8_t, 4> port_and_version = {
        static_cast<uint8_t>(peer.port() >> 8),
        static_cast<uint8_t>(peer.port()),
        static_cast<uint8_t>(hello.client_version >> 8),
        static_cast<uint8_t>(hello.client_version)};
    binding_.BeginAs(keyed_.get());
    binding_.Add(all.subspan(0, kHeaderBytes));
    binding_.AddSized(peer.address_bytes());
    binding_.Add(port_and_version);
    binding_.AddSized(hello.random);
    suites_.BeginAs(binding_);
    suites_.AddSized(hello.cipher_suites);
    return binding_.Finish(all.subspan(kHeaderBytes, kMacBytes)) &&
           suites_.Finish(all.subspan(kHeaderBytes + kMacBytes));
  }

 private:
  bssl::ScopedHMAC_CTX keyed_;
  Mac binding_;
  Mac suites_;
  int64_t period_ = 0;
  bool valid_ = false;
};

// A secret, and the keys of the present period, of the one before, and of the
// one after, because the clocks of two machines differ; and that of the period
// in which the machine's clock was set to another.
class CookieExchange::Secret {
 public:
  Secret(const CookieParameters& parameters, absl::Duration rotation)
      : secret_(parameters.secret.value_or(ProcessSecret())),
        digest_(MessageDigest(parameters.hash)),
        rotation_(rotation) {}
  ~Secret() { OPENSSL_cleanse(secret_.data(), secret_.size()); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  Key& Current(absl::Time now) {
    Update(now);
    return keys_[0];
  }
  // Whether `claimed` is the cookie that this hello got. Writes into `room`.
  bool Made(const ClientHelloView& hello, const net::Endpoint& peer,
            absl::Span<const uint8_t> claimed, absl::Time now, Cookie* room) {
    Update(now);
    std::copy_n(claimed.begin(), kHeaderBytes, room->begin());
    // Where one of the two hellos does not show its suites, only the first MAC
    // can be compared.
    const bool suites =
        (claimed[0] & kSuitesSeen) != 0 && !hello.cipher_suites.empty();
    const size_t compared =
        suites ? claimed.size() : claimed.size() - kSuitesMacBytes;
    for (Key& key : keys_) {
      if (key.valid() &&
          (key.period() & kPeriodMask) == (claimed[0] & kPeriodMask) &&
          key.Compute(hello, peer, room) &&
          CRYPTO_memcmp(room->data(), claimed.data(), compared) == 0) {
        return true;
      }
    }
    return false;
  }

 private:
  void Update(absl::Time now) {
    const int64_t period =
        absl::ToUnixSeconds(now) /
        std::max<int64_t>(1, absl::ToInt64Seconds(rotation_));
    if (keys_[0].valid() && keys_[0].period() == period) return;
    if (keys_[0].valid() && std::abs(keys_[0].period() - period) > 1) {
      keys_[3].Derive(secret_, digest_, keys_[0].period());
    }
    keys_[0].Derive(secret_, digest_, period);
    keys_[1].Derive(secret_, digest_, period - 1);
    keys_[2].Derive(secret_, digest_, period + 1);
  }

  std::string secret_;
  const EVP_MD* const digest_;
  const absl::Duration rotation_;
  std::array<Key, 4> keys_;
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
  if (absl::Status status = CheckSecret(options.parameters); !status.ok()) {
    return status;
  }
  return CookieExchange(options);
}

CookieExchange::CookieExchange(const CookieOptions& options)
    : options_(options),
      current_(std::make_unique<Secret>(options.parameters, options.rotation)) {
  options_.parameters.secret.reset();
}

CookieExchange::CookieExchange(CookieExchange&&) noexcept = default;
CookieExchange& CookieExchange::operator=(CookieExchange&&) noexcept = default;
CookieExchange::~CookieExchange() = default;

absl::Status CookieExchange::SetParameters(const CookieParameters& parameters) {
  if (absl::Status status = CheckSecret(parameters); !status.ok()) {
    return status;
  }
  previous_ = std::exchange(
      current_, std::make_unique<Secret>(parameters, options_.rotation));
  options_.parameters.hash = parameters.hash;
  return absl::OkStatus();
}

void CookieExchange::RotateSecret() {
  CookieParameters parameters;
  parameters.hash = options_.parameters.hash;
  std::string& secret = parameters.secret.emplace(32, '\0');
  internal::FillWithRandom(
      absl::MakeSpan(reinterpret_cast<uint8_t*>(secret.data()), secret.size()));
  (void)SetParameters(parameters);
  OPENSSL_cleanse(secret.data(), secret.size());
}

void CookieExchange::NoteClock(const Moment& now) {
  const absl::Duration ahead = now.wall - now.steady;
  if (!wall_ahead_.has_value()) {
    wall_ahead_ = ahead;
  } else if (absl::AbsDuration(ahead - *wall_ahead_) > kClockWasSet) {
    wall_ahead_ = ahead;
    set_at_ = now.steady;
  }
}

std::optional<absl::Duration> CookieExchange::AgeOf(uint32_t wall_seconds,
                                                    uint64_t steady_micros,
                                                    const Moment& now) const {
  const uint32_t seconds = (SecondsOf(now.wall) - wall_seconds) & kTimeMask;
  // From the future of another machine, a little.
  const absl::Duration by_wall =
      absl::Seconds(seconds > kTimeMask - kMaxSkewSeconds ? 0 : seconds);
  // Cookies that were made in the same microsecond are told apart by numbers
  // that run ahead of the time. What is farther ahead is another process's.
  const int64_t micros = static_cast<int64_t>(
      (MicrosOf(now.steady + kMaxAhead) - steady_micros) & kSteadyMask);
  const absl::Duration by_steady = absl::Microseconds(micros) - kMaxAhead;
  const bool ours = by_steady <= options_.lifetime;
  if (by_wall <= options_.lifetime) return ours ? by_steady : by_wall;
  const bool made_before = now.steady - by_steady <= set_at_;
  if (ours && made_before) return by_steady;
  return std::nullopt;
}

CookieExchange::Result CookieExchange::Process(
    absl::Span<const uint8_t> datagram, const net::Endpoint& peer,
    const Moment& now, std::array<uint8_t, kReplyBytes>& reply) {
  ClientHelloView hello;
  Result result;
  if (datagram.empty() || !peer.is_answerable()) {
    result.verdict = CookieVerdict::kInvalidArgument;
    result.why = datagram.empty()
                     ? "the datagram is empty"
                     : "the peer is no address of one machine and its port";
    return result;
  }
  if (!internal::ReadClientHello(datagram, &hello)) {
    ++statistics_.dropped_malformed;
    return result;
  }
  NoteClock(now);
  Cookie cookie;
  if (hello.cookie.size() == kCookieBytes) {
    const bool genuine =
        current_->Made(hello, peer, hello.cookie, now.wall, &cookie) ||
        (previous_ != nullptr &&
         previous_->Made(hello, peer, hello.cookie, now.wall, &cookie));
    const std::optional<absl::Duration> age =
        AgeOf(static_cast<uint32_t>(ReadNumber(hello.cookie.subspan(1, 3))),
              ReadNumber(hello.cookie.subspan(4, 5)), now);
    if (genuine && age.has_value()) {
      ++statistics_.accepted;
      result.verdict = CookieVerdict::kVerified;
      result.record_sequence = hello.record_sequence;
      result.made = absl::FromUnixMicros(absl::ToUnixMicros(now.steady)) - *age;
      return result;
    }
    ++(genuine ? statistics_.rejected_expired : statistics_.rejected_invalid);
  } else if (!hello.cookie.empty()) {
    ++statistics_.rejected_invalid;
  }

  if (datagram.size() < kReplyBytes) {
    ++statistics_.dropped_too_small;
    return result;
  }
  Key& key = current_->Current(now.wall);
  cookie[0] = static_cast<uint8_t>(key.period() & kPeriodMask) |
              (hello.cipher_suites.empty() ? uint8_t{0} : kSuitesSeen);
  WriteNumber(SecondsOf(now.wall), absl::MakeSpan(cookie).subspan(1, 3));
  last_made_ = std::max(last_made_ + 1, absl::ToUnixMicros(now.steady));
  WriteNumber(static_cast<uint64_t>(last_made_),
              absl::MakeSpan(cookie).subspan(4, 5));
  if (!key.valid() || !key.Compute(hello, peer, &cookie)) return result;

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
