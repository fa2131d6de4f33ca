// A listener on a simulated network with one honest client, and strangers at
// several addresses who send what they like, complete handshakes or not, and
// forge the honest client's address.
//
// Input: steps.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/options.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/fuzz/engine_wire.h"
#include "cordon/testing/fuzz/input.h"
#include "cordon/testing/fuzz/tamper.h"
#include "cordon/testing/served_listener/served_listener.h"

namespace cordon::testing {
namespace {

using Bytes = std::vector<uint8_t>;
using dtls::internal::ClientHelloView;

constexpr size_t kMaxSteps = 80;
constexpr size_t kMaxHistory = 64;
constexpr size_t kMaxSessions = 6;
constexpr size_t kHelloVerifyRequestBytes = dtls::CookieExchange::kReplyBytes;
constexpr size_t kMaxDatagram = dtls::kDefaultMtu - 28;

// Sources of datagrams that cannot be answered; who forges them sees no reply.
const std::vector<net::Endpoint>& Impossible() {
  static const auto* const all = new std::vector<net::Endpoint>{
      net::Endpoint::V4({192, 0, 2, 1}, 0),
      *net::Endpoint::Parse("[2001:db8::1]:0"),
      net::Endpoint::AnyV4(1000),
      net::Endpoint::AnyV6(1000),
      net::Endpoint::V4({224, 0, 0, 1}, 1000),
      *net::Endpoint::Parse("[ff02::1]:1000"),
      net::Endpoint::V4({255, 255, 255, 255}, 1000),
      *net::Endpoint::Parse("[::ffff:192.0.2.1]:0")};
  return *all;
}

struct Stranger {
  net::Endpoint address;
  std::unique_ptr<EngineWire> client = {};
  std::vector<Bytes> inbox = {};
  std::set<Bytes> cookies = {};
  size_t bytes_sent = 0;
  size_t bytes_received = 0;
  // Has sent a hello with a cookie that it had received.
  bool proven = false;
};

dtls::PreSharedKey Key(uint8_t byte) {
  return {.identity = "device", .key = Bytes(16, byte)};
}

// Two strangers have the key, one has another.
const dtls::Context& StrangersContext(size_t who) {
  static const auto* const contexts = [] {
    auto* made = new std::vector<dtls::Context>;
    for (const uint8_t byte : {uint8_t{7}, uint8_t{8}}) {
      dtls::ClientOptions options;
      options.pre_shared_key = Key(byte);
      made->push_back(*dtls::Context::Client(options));
    }
    return made;
  }();
  return (*contexts)[who == 2 ? 1 : 0];
}

class Siege {
 public:
  explicit Siege(Input& input) : input_(input) {
    world_.server_options.certificates.clear();
    world_.server_options.pre_shared_keys = {Key(7)};
    world_.server_options.session_ids = false;
    world_.client_options.trust = {};
    world_.client_options.pre_shared_key = Key(7);
    world_.listener_options.max_sessions = kMaxSessions;
    world_.listener_options.accept_backlog = 4;
    world_.listener_options.max_half_open = 3;
    world_.listener_options.max_half_open_per_source = 2;
    world_.reactor.network().set_filter([this](SimDatagram& datagram) {
      OnDatagram(datagram);
      return true;
    });
  }

  void Run() {
    const absl::Status status =
        world_.Run([this]() -> net::Task<absl::Status> { return Play(); });
    Require(status.ok(), status.ToString());
  }

 private:
  net::Task<absl::Status> Play() {
    dtls::ConnectOptions options;
    options.bind = kVictim;
    CO_ASSIGN_OR_RETURN(dtls::Connection honest,
                        co_await world_.Connect(std::move(options)));
    const size_t held_before = HeldBytes();
    for (size_t i = 0; i < kMaxSteps && !input_.empty(); ++i) {
      const absl::Duration time = Step();
      co_await ServedListener::Pass(time);
      Check();
    }
    Require(
        HeldBytes() <= held_before + kMaxSessions * EngineWire::kMaxHeldBytes,
        "a listener holds a limited amount of memory");
    const absl::Status answered = co_await net::WithTimeout(
        absl::Seconds(5), ServedListener::Ask(honest, "still here"));
    Require(answered.ok(), "an honest client's session goes on");
    co_return co_await honest.Close();
  }

  // Returns the time that passes after it.
  absl::Duration Step() {
    const uint8_t what = input_.Byte();
    const size_t who = what >> 6;
    switch (what & 0x07) {
      case 0:
        if (who < strangers_.size()) Begin(who);
        break;
      case 1:
        if (who < strangers_.size()) SendOwn(strangers_[who]);
        break;
      case 2:
        if (who < strangers_.size()) Forge(strangers_[who]);
        break;
      case 3:
        if (who < strangers_.size()) {
          TakeInbox(strangers_[who]);
        } else if (!history_.empty()) {
          // Also hellos with good cookies, of others.
          world_.reactor.Inject(Impossible()[input_.Below(Impossible().size())],
                                ServedListener::At(),
                                history_[input_.Below(history_.size())]);
        }
        break;
      case 4:
        Inject(who, ToBytes(input_.Take(input_.Byte())));
        break;
      case 5: {
        if (history_.empty()) break;
        Bytes datagram = history_[input_.Below(history_.size())];
        if ((what & 0x08) != 0) Tamper(input_, history_.back(), &datagram);
        Inject(who, datagram);
        break;
      }
      case 6:
        return absl::Milliseconds(1 + input_.Byte() * 16);
      default:
        if (who < strangers_.size()) Act(strangers_[who]);
        break;
    }
    return absl::Milliseconds(1);
  }

  void Begin(size_t who) {
    dtls::EngineOptions options;
    options.server_name = "localhost";
    strangers_[who].client = std::make_unique<EngineWire>(
        *dtls::Engine::Create(StrangersContext(who), options), kMaxDatagram,
        [](absl::Span<const uint8_t>) {});
    strangers_[who].client->Start(Now());
  }

  void SendOwn(Stranger& stranger) {
    if (stranger.client == nullptr) return;
    for (const Bytes& datagram : std::exchange(stranger.client->sent, {})) {
      SendFrom(stranger, datagram);
    }
  }

  void Forge(Stranger& stranger) {
    if (stranger.client == nullptr || stranger.client->sent.empty()) return;
    Bytes datagram = std::move(stranger.client->sent.front());
    stranger.client->sent.pop_front();
    Tamper(input_, history_.empty() ? datagram : history_.back(), &datagram);
    SendFrom(stranger, datagram);
  }

  void TakeInbox(Stranger& stranger) {
    for (Bytes& datagram : std::exchange(stranger.inbox, {})) {
      if (stranger.client != nullptr) {
        stranger.client->Receive(std::move(datagram), Now());
      }
    }
  }

  void Act(Stranger& stranger) {
    if (stranger.client == nullptr) return;
    switch (input_.Byte() % 4) {
      case 0:
        stranger.client->Close(Now());
        break;
      case 1:
        stranger.client->Expire(Now());
        break;
      default:
        stranger.client->Send({reinterpret_cast<const uint8_t*>("hello"), 5});
        break;
    }
  }

  void Inject(size_t who, const Bytes& datagram) {
    if (who < strangers_.size()) {
      SendFrom(strangers_[who], datagram);
    } else {
      world_.reactor.Inject(kVictim, ServedListener::At(), datagram);
    }
  }

  void SendFrom(Stranger& stranger, const Bytes& datagram) {
    stranger.bytes_sent += datagram.size();
    ClientHelloView hello;
    if (dtls::internal::ReadClientHello(datagram, &hello) &&
        stranger.cookies.contains(ToBytes(hello.cookie))) {
      stranger.proven = true;
    }
    Remember(datagram);
    world_.reactor.Inject(stranger.address, ServedListener::At(), datagram);
  }

  // Of those that sockets send: the listener's and the honest client's.
  void OnDatagram(const SimDatagram& datagram) {
    Require(datagram.to.is_answerable(), "only who can receive is answered");
    for (Stranger& stranger : strangers_) {
      if (datagram.to != stranger.address) continue;
      stranger.bytes_received += datagram.bytes.size();
      stranger.inbox.push_back(datagram.bytes);
      if (datagram.bytes.size() == kHelloVerifyRequestBytes) {
        stranger.cookies.insert(
            Bytes(datagram.bytes.end() - dtls::CookieExchange::kCookieBytes,
                  datagram.bytes.end()));
      }
    }
    Remember(datagram.bytes);
  }

  void Remember(const Bytes& datagram) {
    if (history_.size() < kMaxHistory) history_.push_back(datagram);
  }

  void Check() {
    for (const Stranger& stranger : strangers_) {
      Require(
          stranger.proven || stranger.bytes_received <= stranger.bytes_sent,
          "who has not shown that it receives there gets no more than it sent");
    }
    const dtls::ListenerStatistics statistics = world_.listener().statistics();
    Require(statistics.sessions <= kMaxSessions, "sessions are limited");
    Require(statistics.sessions >= 1, "the honest client is there");
    const bool any_proven =
        std::any_of(strangers_.begin(), strangers_.end(),
                    [](const Stranger& stranger) { return stranger.proven; });
    Require(any_proven || statistics.sessions == 1,
            "without a cookie there is no session");
  }

  static Bytes ToBytes(absl::Span<const uint8_t> span) {
    return {span.begin(), span.end()};
  }
  absl::Time Now() { return world_.reactor.Now(); }

  static inline const net::Endpoint kVictim =
      net::Endpoint::V4({127, 0, 0, 1}, 50000);

  Input& input_;
  ServedListener world_;
  std::array<Stranger, 3> strangers_ = {
      Stranger{.address = net::Endpoint::V4({192, 0, 2, 1}, 1000)},
      Stranger{.address = net::Endpoint::V4({192, 0, 2, 1}, 1001)},
      Stranger{.address = net::Endpoint::V4({198, 51, 100, 7}, 5000)}};
  std::vector<Bytes> history_;
};

}  // namespace
}  // namespace cordon::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cordon::testing::Input input(data, size);
  cordon::testing::Siege(input).Run();
  return 0;
}
