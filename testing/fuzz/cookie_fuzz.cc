// The cookie exchange: whatever is sent from wherever and whenever, only who
// has received a cookie passes, with the hello that it was made for.
//
// Input: a hello, and then steps.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/testing/fuzz/input.h"
#include "cordon/testing/fuzz/tamper.h"
#include "cordon/testing/sim/virtual_clock.h"

namespace cordon::testing {
namespace {

using Bytes = std::vector<uint8_t>;
using dtls::CookieExchange;
using dtls::CookieVerdict;
using dtls::internal::ClientHelloView;
using dtls::internal::ReadClientHello;

constexpr absl::Duration kLifetime = absl::Minutes(2);
constexpr size_t kMaxSteps = 200;

Bytes ToBytes(absl::Span<const uint8_t> span) {
  return {span.begin(), span.end()};
}

// A cookie, and what it was made for.
struct Issued {
  Bytes cookie;
  net::Endpoint peer;
  uint16_t version;
  Bytes random;
  Bytes suites;
  absl::Time at;
  // How often the secret had been replaced.
  size_t generation;

  bool IsFor(const ClientHelloView& hello, const net::Endpoint& from) const {
    return peer == from && version == hello.client_version &&
           random == ToBytes(hello.random) &&
           (suites.empty() || hello.cipher_suites.empty() ||
            suites == ToBytes(hello.cipher_suites));
  }
};

class Exchange {
 public:
  explicit Exchange(Input& input)
      : input_(input),
        cookies_(*CookieExchange::Create({.lifetime = kLifetime})),
        hello_(ToBytes(input.Counted())) {
    hello_.resize(std::min(hello_.size(), size_t{2048}));
  }

  void Run() {
    for (size_t i = 0; i < kMaxSteps && !input_.empty(); ++i) {
      Step();
      Require(++steps_ == Answered(), "each datagram is counted once");
    }
  }

 private:
  static net::Endpoint Peer(uint8_t which) {
    // Some that cannot be answered.
    switch (which) {
      case 0xf0:
        return net::Endpoint::V4({192, 0, 2, 1}, 0);
      case 0xf1:
        return net::Endpoint::AnyV6(1000);
      case 0xf2:
        return net::Endpoint::V4({224, 0, 0, 1}, 1000);
      case 0xf3:
        return net::Endpoint::V4({255, 255, 255, 255}, 1000);
      default:
        break;
    }
    return which % 4 == 3
               ? net::Endpoint::LoopbackV6(static_cast<uint16_t>(1000))
               : net::Endpoint::V4({192, 0, 2, static_cast<uint8_t>(which & 1)},
                                   static_cast<uint16_t>(1000 + (which & 2)));
  }

  uint64_t Answered() const {
    const dtls::CookieStatistics& s = cookies_.statistics();
    return s.sent + s.accepted + s.dropped_malformed + s.dropped_too_small +
           unanswerable_;
  }

  void Step() {
    const uint8_t what = input_.Byte();
    const net::Endpoint peer = Peer(input_.Byte());
    Bytes datagram = hello_;
    switch (what % 8) {
      case 0:
      case 1:
        break;
      case 2:
      case 3:
      case 4:
        if (!issued_.empty()) {
          datagram = WithCookie(issued_[input_.Below(issued_.size())].cookie);
        }
        if (what % 8 == 4) Tamper(input_, hello_, &datagram);
        break;
      case 5:
        Tamper(input_, hello_, &datagram);
        break;
      case 6:
        now_ += absl::Seconds(input_.Word() % 300);
        break;
      default:
        if (input_.Byte() % 4 == 0) {
          cookies_.RotateSecret();
          ++generation_;
        }
        break;
    }
    Send(datagram, peer);
  }

  // The hello, with a cookie in it.
  Bytes WithCookie(const Bytes& cookie) const {
    ClientHelloView hello;
    if (!ReadClientHello(hello_, &hello)) return hello_;
    Bytes made = hello_;
    // An empty cookie has no place: the byte of its length has.
    const size_t length_at = dtls::internal::kRecordHeaderBytes +
                             dtls::internal::kHandshakeHeaderBytes + 2 + 32 +
                             1 + hello.session_id.size();
    const auto begin = made.begin() + static_cast<ptrdiff_t>(length_at) + 1;
    made.erase(begin, begin + static_cast<ptrdiff_t>(hello.cookie.size()));
    made.insert(made.begin() + static_cast<ptrdiff_t>(length_at) + 1,
                cookie.begin(), cookie.end());
    made[length_at] = static_cast<uint8_t>(cookie.size());
    const auto more = static_cast<ptrdiff_t>(cookie.size()) -
                      static_cast<ptrdiff_t>(hello.cookie.size());
    AddTo(made, 11, 2, more);
    AddTo(made, 14, 3, more);
    AddTo(made, 22, 3, more);
    return made;
  }

  // A message that says to be as long as one can be stays so: a fragment that
  // is longer than its message would be no hello.
  static void AddTo(Bytes& bytes, size_t at, size_t size, ptrdiff_t more) {
    ptrdiff_t value = 0;
    for (size_t i = 0; i < size; ++i) value = value << 8 | bytes[at + i];
    value = std::min(value + more, (ptrdiff_t{1} << (8 * size)) - 1);
    for (size_t i = 0; i < size; ++i) {
      bytes[at + i] = static_cast<uint8_t>(value >> (8 * (size - 1 - i)));
    }
  }

  void Send(const Bytes& datagram, const net::Endpoint& peer) {
    std::array<uint8_t, CookieExchange::kReplyBytes> reply = {};
    const CookieExchange::Result result =
        cookies_.Process(datagram, peer, now_, reply);
    ClientHelloView hello;
    const bool is_hello = ReadClientHello(datagram, &hello);
    switch (result.verdict) {
      case CookieVerdict::kVerified:
        Require(peer.is_answerable(), "nobody receives there");
        Require(is_hello, "only a hello passes");
        Require(result.record_sequence == hello.record_sequence,
                "the record's number is told");
        Require(std::any_of(issued_.begin(), issued_.end(),
                            [&](const Issued& issued) {
                              return MayPass(issued, hello, peer);
                            }),
                "who passes has received this cookie, for this hello");
        break;
      case CookieVerdict::kReply:
        Require(is_hello, "only a hello is answered");
        Require(datagram.size() >= reply.size(), "nobody gets more than sent");
        Remember(hello, peer, reply);
        if (datagram == hello_) UseLast(peer);
        break;
      case CookieVerdict::kDropped:
        Require(!is_hello || datagram.size() < reply.size(),
                "a hello is answered");
        break;
      case CookieVerdict::kInvalidArgument:
        Require(datagram.empty() || !peer.is_answerable(),
                "who can be answered is judged");
        ++unanswerable_;
        break;
    }
  }

  // What was sent back at once must pass.
  void UseLast(const net::Endpoint& peer) {
    std::array<uint8_t, CookieExchange::kReplyBytes> reply = {};
    const Bytes datagram = WithCookie(issued_.back().cookie);
    Require(cookies_.Process(datagram, peer, now_, reply).verdict ==
                CookieVerdict::kVerified,
            "a new cookie is good");
    ++steps_;
  }

  bool MayPass(const Issued& issued, const ClientHelloView& hello,
               const net::Endpoint& peer) const {
    // Comparing all of it would ask for the suites that one of both may lack.
    const bool same =
        hello.cookie.size() == issued.cookie.size() &&
        std::equal(hello.cookie.begin(), hello.cookie.begin() + 20,
                   issued.cookie.begin());
    return same && issued.IsFor(hello, peer) &&
           now_ - issued.at <= kLifetime + absl::Seconds(1) &&
           generation_ - issued.generation <= 1;
  }

  void Remember(const ClientHelloView& hello, const net::Endpoint& peer,
                const std::array<uint8_t, CookieExchange::kReplyBytes>& reply) {
    issued_.push_back(
        {Bytes(reply.end() - CookieExchange::kCookieBytes, reply.end()), peer,
         hello.client_version, ToBytes(hello.random),
         ToBytes(hello.cipher_suites), now_, generation_});
  }

  Input& input_;
  CookieExchange cookies_;
  Bytes hello_;
  absl::Time now_ = VirtualClock::Epoch();
  std::vector<Issued> issued_;
  size_t generation_ = 0;
  uint64_t steps_ = 0;
  uint64_t unanswerable_ = 0;
};

}  // namespace
}  // namespace cordon::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cordon::testing::Input input(data, size);
  cordon::testing::Exchange(input).Run();
  return 0;
}
