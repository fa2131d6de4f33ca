#include "cordon/dtls/cookie.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/client_hello.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using Reply = std::array<uint8_t, CookieExchange::kReplyBytes>;
using Bytes = std::vector<uint8_t>;

const absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);
const net::Endpoint kPeer = net::Endpoint::V4({192, 0, 2, 7}, 40000);

struct Hello {
  uint64_t record_sequence = 0;
  uint8_t random = 0x11;  // each byte of it
  Bytes session_id = {};
  Bytes cookie = {};
  Bytes suites = {0xc0, 0x2b, 0xc0, 0x2f};
  Bytes extensions = {0x00, 0x00};

  // The datagram; `fragment` is how much of the message is in it.
  Bytes Encode(size_t fragment = SIZE_MAX) const {
    Bytes body = {0xfe, 0xfd};
    body.insert(body.end(), 32, random);
    body.push_back(static_cast<uint8_t>(session_id.size()));
    body.insert(body.end(), session_id.begin(), session_id.end());
    body.push_back(static_cast<uint8_t>(cookie.size()));
    body.insert(body.end(), cookie.begin(), cookie.end());
    body.push_back(0);
    body.push_back(static_cast<uint8_t>(suites.size()));
    body.insert(body.end(), suites.begin(), suites.end());
    body.insert(body.end(), {1, 0});  // compression: null
    body.insert(body.end(), extensions.begin(), extensions.end());
    const size_t length = body.size();
    body.resize(std::min(fragment, length));
    auto u24 = [](Bytes& out, size_t v) {
      out.insert(out.end(),
                 {static_cast<uint8_t>(v >> 16), static_cast<uint8_t>(v >> 8),
                  static_cast<uint8_t>(v)});
    };
    Bytes message = {1};
    u24(message, length);
    message.insert(message.end(), {0, static_cast<uint8_t>(!cookie.empty())});
    u24(message, 0);
    u24(message, body.size());
    message.insert(message.end(), body.begin(), body.end());
    Bytes datagram = {22, 0xfe, 0xff, 0, 0};
    for (int shift = 40; shift >= 0; shift -= 8) {
      datagram.push_back(static_cast<uint8_t>(record_sequence >> shift));
    }
    datagram.push_back(static_cast<uint8_t>(message.size() >> 8));
    datagram.push_back(static_cast<uint8_t>(message.size()));
    datagram.insert(datagram.end(), message.begin(), message.end());
    return datagram;
  }
};

class CookieTest : public ::testing::Test {
 protected:
  CookieTest() : exchange_(*CookieExchange::Create({})) {}

  CookieVerdict Verdict(const Bytes& datagram, absl::Time now = kNow,
                        const net::Endpoint& peer = kPeer) {
    return exchange_.Process(datagram, peer, now, reply_).verdict;
  }
  // The cookie that `hello` is given.
  Bytes CookieFor(const Bytes& datagram, absl::Time now = kNow) {
    EXPECT_EQ(Verdict(datagram, now), CookieVerdict::kReply);
    return {reply_.end() - CookieExchange::kCookieBytes, reply_.end()};
  }

  CookieExchange exchange_;
  Reply reply_;
};

// ACCEPTANCE: HA8
TEST_F(CookieTest, AnswersAHelloByAHelloVerifyRequest) {
  Hello hello;
  hello.record_sequence = 0x010203;
  EXPECT_EQ(Verdict(hello.Encode()), CookieVerdict::kReply);
  const Bytes start = {22,   0xfe, 0xff, 0,  0, 0, 0, 0,  1,
                       2,    3,    0,    47,               // record
                       3,    0,    0,    35,               // type, length
                       0,    0,    0,    0,  0, 0, 0, 35,  // sequence, fragment
                       0xfe, 0xff, 32};                    // version, cookie
  EXPECT_TRUE(std::equal(start.begin(), start.end(), reply_.begin()));
  EXPECT_EQ(exchange_.statistics().sent, 1U);
}

// ACCEPTANCE: QV5, QK3
TEST_F(CookieTest, TakesItsCookieBackAgainAndAgain) {
  Hello hello;
  hello.cookie = CookieFor(hello.Encode());
  hello.record_sequence = 77;
  for (int i = 0; i < 3; ++i) {
    const CookieExchange::Result result =
        exchange_.Process(hello.Encode(), kPeer, kNow, reply_);
    EXPECT_EQ(result.verdict, CookieVerdict::kVerified);
    EXPECT_EQ(result.record_sequence, 77U);
  }
  EXPECT_EQ(exchange_.statistics().accepted, 3U);
}

// ACCEPTANCE: QB1, QK3, HA2
TEST_F(CookieTest, IsBoundToThePeerAndTheHello) {
  const Hello first;
  Hello good = first;
  good.cookie = CookieFor(first.Encode());
  EXPECT_EQ(Verdict(good.Encode()), CookieVerdict::kVerified);

  EXPECT_EQ(Verdict(good.Encode(), kNow, kPeer.WithPort(40001)),
            CookieVerdict::kReply);
  EXPECT_EQ(
      Verdict(good.Encode(), kNow, net::Endpoint::V4({192, 0, 2, 8}, 40000)),
      CookieVerdict::kReply);
  Hello other = good;
  other.random = 0x12;
  EXPECT_EQ(Verdict(other.Encode()), CookieVerdict::kReply);
  other = good;
  other.suites = {0xc0, 0x2b};
  EXPECT_EQ(Verdict(other.Encode()), CookieVerdict::kReply);
  EXPECT_EQ(exchange_.statistics().rejected_invalid, 4U);
}

// As Mbed TLS does it when it has a ticket, against RFC 6347 section 4.2.1.
TEST_F(CookieTest, TheSecondHelloMayHaveAnotherSessionId) {
  Hello first;
  first.session_id = Bytes(32, 1);
  Hello second = first;
  second.session_id = Bytes(32, 2);
  second.cookie = CookieFor(first.Encode());
  EXPECT_EQ(Verdict(second.Encode()), CookieVerdict::kVerified);
}

// The comparison takes the same time whichever byte differs: CRYPTO_memcmp.
// ACCEPTANCE: HA1, QB2, HA4
TEST_F(CookieTest, NoOtherCookieIsTaken) {
  Hello hello;
  const Bytes good = CookieFor(hello.Encode());
  for (size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      hello.cookie = good;
      hello.cookie[i] ^= static_cast<uint8_t>(1 << bit);
      EXPECT_EQ(Verdict(hello.Encode()), CookieVerdict::kReply) << i;
    }
  }
  for (size_t size : {1U, 31U, 33U, 64U, 255U}) {
    hello.cookie = good;
    hello.cookie.resize(size);
    EXPECT_EQ(Verdict(hello.Encode()), CookieVerdict::kReply) << size;
  }
  CookieExchange foreign = *CookieExchange::Create({});
  foreign.RotateSecret();
  Reply reply;
  hello.cookie = {};
  foreign.Process(hello.Encode(), kPeer, kNow, reply);
  hello.cookie = {reply.end() - CookieExchange::kCookieBytes, reply.end()};
  EXPECT_EQ(Verdict(hello.Encode()), CookieVerdict::kReply);
}

// ACCEPTANCE: QB1
TEST_F(CookieTest, Expires) {
  Hello hello;
  hello.cookie = CookieFor(hello.Encode());
  EXPECT_EQ(Verdict(hello.Encode(), kNow + absl::Minutes(2)),
            CookieVerdict::kVerified);
  EXPECT_EQ(Verdict(hello.Encode(), kNow + absl::Minutes(2) + absl::Seconds(1)),
            CookieVerdict::kReply);
  EXPECT_EQ(exchange_.statistics().rejected_expired, 1U);
}

// The machine's clock is set: by a little, by more than a cookie lives, by more
// than a key is used.
class SetClockTest : public CookieTest {
 protected:
  static Moment At(absl::Duration since, absl::Duration ahead) {
    return {.steady = kNow + since, .wall = kNow + since + ahead};
  }
  CookieExchange::Result ProcessAt(const Moment& at) {
    return exchange_.Process(hello_.Encode(), kPeer, at, reply_);
  }
  void TakeCookie(const Moment& at) {
    hello_.cookie = {};
    EXPECT_EQ(ProcessAt(at).verdict, CookieVerdict::kReply);
    hello_.cookie = {reply_.end() - CookieExchange::kCookieBytes, reply_.end()};
  }

  const std::vector<absl::Duration> kSteps = {
      absl::Seconds(2),  -absl::Seconds(2), absl::Minutes(3), -absl::Minutes(3),
      absl::Hours(1),    -absl::Hours(1),   absl::Hours(5),   -absl::Hours(5),
      absl::Hours(9999), -absl::Hours(9999)};
  Hello hello_;
};

TEST_F(SetClockTest, CookiesFromBeforeLiveOnAsLongAsTheyShould) {
  for (const absl::Duration step : kSteps) {
    exchange_ = *CookieExchange::Create({});
    TakeCookie(At(absl::ZeroDuration(), absl::ZeroDuration()));
    for (const absl::Duration since :
         {absl::Seconds(1), absl::Seconds(60), absl::Seconds(120)}) {
      const CookieExchange::Result result = ProcessAt(At(since, step));
      EXPECT_EQ(result.verdict, CookieVerdict::kVerified) << step << since;
      EXPECT_EQ(result.made, kNow) << step << since;
    }
    // Later by the wall clock as well, if not at once.
    EXPECT_EQ(ProcessAt(At(absl::Seconds(121) + absl::AbsDuration(step), step))
                  .verdict,
              CookieVerdict::kReply)
        << step;
  }
}

TEST_F(SetClockTest, CookiesFromAfterwardsAreGoodToo) {
  for (const absl::Duration step : kSteps) {
    exchange_ = *CookieExchange::Create({});
    TakeCookie(At(absl::ZeroDuration(), absl::ZeroDuration()));
    TakeCookie(At(absl::Seconds(1), step));
    EXPECT_EQ(ProcessAt(At(absl::Seconds(120), step)).verdict,
              CookieVerdict::kVerified)
        << step;
    EXPECT_EQ(ProcessAt(At(absl::Seconds(130), step)).verdict,
              CookieVerdict::kReply)
        << step;
  }
}

// What a clock says that was never set is not enough for a cookie that has
// expired by the other.
TEST_F(SetClockTest, WithoutAStepTheWallClockDecides) {
  TakeCookie(At(absl::ZeroDuration(), absl::ZeroDuration()));
  EXPECT_EQ(ProcessAt(At(absl::Seconds(121), absl::ZeroDuration())).verdict,
            CookieVerdict::kReply);
  EXPECT_EQ(exchange_.statistics().rejected_expired, 1U);
}

// Two processes that began at other times, one of which before its machine's
// clock was set: what they have in common is the secret and the wall clock.
TEST_F(SetClockTest, MachinesTakeEachOthersCookiesByTheWallClock) {
  for (const absl::Duration step : kSteps) {
    CookieExchange other = *CookieExchange::Create({});
    TakeCookie(At(absl::ZeroDuration(), absl::ZeroDuration()));
    TakeCookie(At(absl::Seconds(10), step));
    // Its steady clock has nothing to do with ours.
    const absl::Time wall = kNow + step;
    Reply reply;
    const auto there = [&](absl::Duration since) {
      return other
          .Process(
              hello_.Encode(), kPeer,
              Moment{.steady = absl::UnixEpoch() + since, .wall = wall + since},
              reply)
          .verdict;
    };
    EXPECT_EQ(there(absl::Seconds(11)), CookieVerdict::kVerified) << step;
    EXPECT_EQ(there(absl::Seconds(130)), CookieVerdict::kVerified) << step;
    EXPECT_EQ(there(absl::Seconds(132)), CookieVerdict::kReply) << step;
  }
}

TEST_F(SetClockTest, TheNewerOfTwoCookiesIsKnown) {
  for (const absl::Duration step : kSteps) {
    exchange_ = *CookieExchange::Create({});
    std::vector<Bytes> cookies;
    // Three at once, before and after.
    for (int i = 0; i < 6; ++i) {
      TakeCookie(i < 3 ? At(absl::ZeroDuration(), absl::ZeroDuration())
                       : At(absl::Seconds(1), step));
      cookies.push_back(hello_.cookie);
    }
    absl::Time before = absl::InfinitePast();
    for (const Bytes& cookie : cookies) {
      hello_.cookie = cookie;
      const CookieExchange::Result result =
          ProcessAt(At(absl::Seconds(2), step));
      EXPECT_EQ(result.verdict, CookieVerdict::kVerified);
      EXPECT_GT(result.made, before);
      before = result.made;
      // Whenever it is asked.
      EXPECT_EQ(ProcessAt(At(absl::Seconds(50), step)).made, result.made);
    }
  }
}

// ACCEPTANCE: HA3, QB1
TEST_F(CookieTest, OutlivesOneRotationOfTheSecretButNotTwo) {
  Hello hello;
  hello.cookie = CookieFor(hello.Encode());
  exchange_.RotateSecret();
  EXPECT_EQ(Verdict(hello.Encode()), CookieVerdict::kVerified);
  exchange_.RotateSecret();
  EXPECT_EQ(Verdict(hello.Encode()), CookieVerdict::kReply);
}

TEST_F(CookieTest, TheKeyIsReplacedByItself) {
  exchange_ = *CookieExchange::Create(
      {.lifetime = absl::Hours(1), .rotation = absl::Hours(1)});
  const absl::Time hour =
      absl::FromUnixSeconds(int64_t{1'750'000'000} / 3600 * 3600);
  Hello hello;
  const Bytes before = CookieFor(hello.Encode(), hour - absl::Seconds(1));
  const Bytes after = CookieFor(hello.Encode(), hour);
  EXPECT_NE(before[0] & 0x7f, after[0] & 0x7f);
  hello.cookie = before;
  EXPECT_EQ(Verdict(hello.Encode(), hour + absl::Minutes(59)),
            CookieVerdict::kVerified);
  // A clock that was set back a little does no harm.
  hello.cookie = after;
  EXPECT_EQ(Verdict(hello.Encode(), hour), CookieVerdict::kVerified);
  // With another life the key of two hours ago is gone for good.
  hello.cookie = before;
  EXPECT_EQ(Verdict(hello.Encode(), hour + absl::Hours(2)),
            CookieVerdict::kReply);
}

// ACCEPTANCE: HA10, QV9
TEST_F(CookieTest, TheFirstFragmentIsEnough) {
  Hello hello;
  hello.extensions = Bytes(1400, 0);
  const Bytes first = hello.Encode(1000);
  hello.cookie = CookieFor(first);
  EXPECT_EQ(Verdict(hello.Encode(1000)), CookieVerdict::kVerified);
  // Also where the suites are seen only the one or the other time.
  EXPECT_EQ(Verdict(hello.Encode(2 + 32 + 1 + 1 + 32)),
            CookieVerdict::kVerified);
  Hello late;
  late.extensions = hello.extensions;
  late.cookie = CookieFor(late.Encode(2 + 32 + 1 + 1));
  EXPECT_EQ(Verdict(late.Encode()), CookieVerdict::kVerified);
}

TEST_F(CookieTest, OtherFragmentsAreDropped) {
  Bytes datagram = Hello().Encode();
  datagram[13 + 6] = 1;  // Fragment offset.
  EXPECT_EQ(Verdict(datagram), CookieVerdict::kDropped);
  EXPECT_EQ(exchange_.statistics().dropped_malformed, 1U);
}

TEST_F(CookieTest, NeverAnswersWithMoreThanItWasSent) {
  // A fragment that ends right after an empty cookie is the smallest hello.
  const Bytes smallest = Hello().Encode(2 + 32 + 1 + 1);
  EXPECT_GE(smallest.size(), size_t{CookieExchange::kReplyBytes});
  EXPECT_EQ(Verdict(smallest), CookieVerdict::kReply);
}

// Whatever is cut off or changed, nothing but a reply or a drop comes of it.
TEST_F(CookieTest, EveryPrefixAndEveryChangedByteIsSafe) {
  Hello hello;
  hello.session_id = Bytes(32, 5);
  hello.cookie = CookieFor(hello.Encode());
  const Bytes good = hello.Encode();
  for (size_t size = 1; size < good.size(); ++size) {
    EXPECT_EQ(Verdict({good.begin(), good.begin() + size}),
              CookieVerdict::kDropped);
  }
  int verified = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    for (int value : {0, 1, 0x7f, 0x80, 0xff}) {
      Bytes changed = good;
      changed[i] = static_cast<uint8_t>(value);
      verified += Verdict(changed) == CookieVerdict::kVerified ? 1 : 0;
    }
  }
  // Only where nothing that counts was changed.
  EXPECT_LT(verified, 300);
}

TEST_F(CookieTest, RandomBytesAreDropped) {
  for (int i = 0; i < 10000; ++i) {
    Bytes noise(1 + i % 300);
    RAND_bytes(noise.data(), noise.size());
    EXPECT_EQ(Verdict(noise), CookieVerdict::kDropped);
  }
}

// ACCEPTANCE: QV2, QV5, QK1
TEST_F(CookieTest, AllExchangesOfAProcessShareASecretByDefault) {
  EXPECT_EQ(exchange_.hash(), CookieHash::kSha256);
  Hello hello;
  hello.cookie = CookieFor(hello.Encode());
  for (int i = 0; i < 2; ++i) {
    CookieExchange fresh = *CookieExchange::Create({});
    EXPECT_EQ(fresh.Process(hello.Encode(), kPeer, kNow, reply_).verdict,
              CookieVerdict::kVerified);
  }
}

// ACCEPTANCE: QV1, QV8, QB1
TEST_F(CookieTest, ExchangesWithTheSameParametersTakeEachOthersCookies) {
  const std::string secret = "abcdefghijklmnopqrstuvwxyz";
  for (CookieHash hash :
       {CookieHash::kSha256, CookieHash::kSha384, CookieHash::kSha512}) {
    CookieOptions options;
    options.parameters = {hash, secret};
    exchange_ = *CookieExchange::Create(options);
    CookieExchange same = *CookieExchange::Create(options);
    options.parameters.secret = secret + "!";
    CookieExchange other_secret = *CookieExchange::Create(options);
    options.parameters = {
        hash == CookieHash::kSha256 ? CookieHash::kSha512 : CookieHash::kSha256,
        secret};
    CookieExchange other_hash = *CookieExchange::Create(options);
    Hello hello;
    hello.cookie = CookieFor(hello.Encode());
    EXPECT_EQ(same.Process(hello.Encode(), kPeer, kNow, reply_).verdict,
              CookieVerdict::kVerified);
    EXPECT_EQ(other_secret.Process(hello.Encode(), kPeer, kNow, reply_).verdict,
              CookieVerdict::kReply);
    EXPECT_EQ(other_hash.Process(hello.Encode(), kPeer, kNow, reply_).verdict,
              CookieVerdict::kReply);
  }
}

TEST_F(CookieTest, TheClockOfAnotherMachineMayBeAMinuteBehind) {
  const absl::Time hour =
      absl::FromUnixSeconds(int64_t{1'750'000'000} / 3600 * 3600);
  Hello hello;
  hello.cookie = CookieFor(hello.Encode(), hour + absl::Seconds(10));
  EXPECT_EQ(Verdict(hello.Encode(), hour - absl::Seconds(40)),
            CookieVerdict::kVerified);
  EXPECT_EQ(Verdict(hello.Encode(), hour - absl::Seconds(80)),
            CookieVerdict::kReply);
}

// ACCEPTANCE: QV3, QK4, QF7
TEST_F(CookieTest, AnEmptyOrShortSecretIsRefusedAndChangesNothing) {
  Hello hello;
  hello.cookie = CookieFor(hello.Encode());
  for (const std::string& secret : {std::string(), std::string(15, 's')}) {
    CookieParameters parameters;
    parameters.hash = CookieHash::kSha512;
    parameters.secret = secret;
    const absl::Status status = exchange_.SetParameters(parameters);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_FALSE(CookieExchange::Create({.parameters = parameters}).ok());
  }
  EXPECT_EQ(exchange_.hash(), CookieHash::kSha256);
  EXPECT_EQ(Verdict(hello.Encode()), CookieVerdict::kVerified);
  CookieParameters good;
  good.secret = "abcdefghijklmnopqrstuvwxyz";
  EXPECT_TRUE(exchange_.SetParameters(good).ok());
  // What was given out before stays good, once.
  EXPECT_EQ(Verdict(hello.Encode()), CookieVerdict::kVerified);
  EXPECT_TRUE(exchange_.SetParameters(good).ok());
  EXPECT_EQ(Verdict(hello.Encode()), CookieVerdict::kReply);
}

// ACCEPTANCE: QV4, QK2
TEST_F(CookieTest, InvalidArgumentsAreToldApartFromBadDatagrams) {
  const Bytes hello = Hello().Encode();
  const std::vector<net::Endpoint> bad = {
      net::Endpoint(),
      net::Endpoint::V4({255, 255, 255, 255}, 4433),
      net::Endpoint::V4({224, 0, 0, 1}, 4433),
      net::Endpoint::AnyV4(4433),
      net::Endpoint::AnyV6(4433),
      *net::Endpoint::Parse("[ff02::1]:4433"),
      kPeer.WithPort(0)};
  for (const net::Endpoint& peer : bad) {
    for (const Bytes& datagram : {hello, Bytes()}) {
      const CookieExchange::Result result =
          exchange_.Process(datagram, peer, kNow, reply_);
      EXPECT_EQ(result.verdict, CookieVerdict::kInvalidArgument) << peer;
      EXPECT_FALSE(result.why.empty());
    }
  }
  EXPECT_EQ(Verdict({}), CookieVerdict::kInvalidArgument);
  EXPECT_EQ(exchange_.statistics().sent, 0U);
  EXPECT_EQ(exchange_.statistics().dropped_malformed, 0U);
  EXPECT_EQ(Verdict(hello), CookieVerdict::kReply);
}

TEST(CookieOptionsTest, MustBeInRange) {
  for (const CookieOptions& options :
       {CookieOptions{.lifetime = absl::ZeroDuration()},
        CookieOptions{.lifetime = absl::Hours(2)},
        CookieOptions{.lifetime = absl::Minutes(2),
                      .rotation = absl::Minutes(1)}}) {
    const absl::Status status = CookieExchange::Create(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_NE(status.message().find("cookie."), absl::string_view::npos);
  }
}

}  // namespace
}  // namespace cordon::dtls
