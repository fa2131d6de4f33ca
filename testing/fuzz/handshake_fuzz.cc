// A client and a server, and somebody between them who delivers, loses,
// repeats, reorders and changes what they send, and adds to it.
//
// Input: which configuration, and then steps. The datagrams are those of a live
// handshake, so that an input goes as deep as the protocol.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/fuzz/engine_wire.h"
#include "cordon/testing/fuzz/input.h"
#include "cordon/testing/fuzz/scenarios.h"
#include "cordon/testing/fuzz/tamper.h"
#include "cordon/testing/sim/virtual_clock.h"

namespace cordon::testing {
namespace {

using Bytes = EngineWire::Bytes;

constexpr size_t kMaxSteps = 120;
// What was lost is sent again in time, if there is this much of it left.
constexpr absl::Duration kEnoughTime = absl::Seconds(15);

// One of the two, and the messages that it was sent.
struct Side {
  std::unique_ptr<EngineWire> wire;
  // By the other side, and not yet received.
  std::set<std::string> expected;
};

class Wire {
 public:
  explicit Wire(Input& input)
      : input_(input),
        which_(input.Byte() % kScenarios),
        scenario_(GetScenario(which_)),
        held_before_(HeldBytes()) {
    Make(server_, scenario_.server_context, scenario_.server);
    Make(client_, scenario_.client_context, scenario_.client);
  }

  void Run() {
    server_.wire->Start(now_);
    client_.wire->Start(now_);
    for (size_t i = 0; i < kMaxSteps && !input_.empty(); ++i) {
      Step();
      Check();
    }
    const bool could = connected_ && !closed_;
    if (!closed_ &&
        (could || (!forged_ && !refused_ && now_ - begin_ < kEnoughTime))) {
      Settle();
      Require(both_connected(), could ? "what was established stays so"
                                      : "what is only lost is sent again");
      Carry(client_, server_);
      Carry(server_, client_);
    }
    Finish();
  }

 private:
  void Make(Side& side, const dtls::Context& context,
            const dtls::EngineOptions& options) {
    side.wire = std::make_unique<EngineWire>(
        *dtls::Engine::Create(context, options), scenario_.max_datagram,
        [&side](absl::Span<const uint8_t> message) {
          Require(side.expected.erase({message.begin(), message.end()}) == 1,
                  "what is delivered was sent by the peer, once");
        });
  }

  bool both_connected() const {
    return client_.wire->connected() && server_.wire->connected();
  }

  void Step() {
    const uint8_t what = input_.Byte();
    const bool up = (what & 0x80) == 0;
    Side& from = up ? client_ : server_;
    Side& to = up ? server_ : client_;
    std::deque<Bytes>& way = from.wire->sent;
    switch (what & 0x0f) {
      case 0:
      case 1:
      case 2:
        Deliver(way, 0, to);
        break;
      case 3:
        Deliver(way, input_.Below(way.size()), to);
        break;
      case 4:
        if (!way.empty()) way.pop_front();
        break;
      case 5:
        if (!way.empty()) way.push_back(way.front());
        break;
      case 6:
      case 7:
      case 8:
        Change(way, to.wire->sent);
        break;
      case 9:
        forged_ = true;
        to.wire->Receive(ToBytes(input_.Take(input_.Byte())), now_);
        break;
      case 10:
        if (!from.wire->history.empty()) {
          const size_t at = input_.Below(from.wire->history.size());
          to.wire->Receive(from.wire->history[at], now_);
        }
        break;
      case 11:
        now_ += absl::Milliseconds(input_.Byte() * 16);
        from.wire->Expire(now_);
        break;
      case 12:
        Expire(*from.wire);
        break;
      case 13:
        Say(from, to);
        break;
      case 14:
        Decide(*from.wire, input_.Byte() % 8 != 0);
        break;
      default:
        if (input_.Byte() % 8 == 0) {
          closed_ = true;
          from.wire->Close(now_);
        } else {
          // All that is on its way, each record in a datagram of its own.
          Separate(way);
        }
        break;
    }
  }

  static Bytes ToBytes(absl::Span<const uint8_t> span) {
    return {span.begin(), span.end()};
  }

  void Deliver(std::deque<Bytes>& way, size_t at, Side& to) {
    if (way.empty()) return;
    const Bytes datagram = std::move(way[at]);
    way.erase(way.begin() + static_cast<ptrdiff_t>(at));
    to.wire->Receive(datagram, now_);
  }

  void Change(std::deque<Bytes>& way, const std::deque<Bytes>& back) {
    if (way.empty()) return;
    forged_ = true;
    Tamper(input_, back.empty() ? way.back() : back.front(), &way.front());
  }

  static void Separate(std::deque<Bytes>& way) {
    std::deque<Bytes> records;
    for (const Bytes& datagram : way) {
      for (Bytes& record : SplitRecords(datagram)) {
        records.push_back(std::move(record));
      }
    }
    way = std::move(records);
  }

  void Expire(EngineWire& wire) {
    const absl::Time deadline = wire.engine().NextDeadline();
    if (deadline == absl::InfiniteFuture()) return;
    now_ = std::max(now_, deadline);
    wire.Expire(now_);
  }

  void Say(Side& from, Side& to) {
    const std::string text = absl::StrCat("message ", ++messages_);
    to.expected.insert(text);
    if (!from.wire->Send(
            {reinterpret_cast<const uint8_t*>(text.data()), text.size()})) {
      to.expected.erase(text);
    }
  }

  void Decide(EngineWire& wire, bool accept) {
    // A server that is not trusted is refused unless somebody insists.
    if (!accept) refused_ = true;
    wire.Decide(accept, now_);
  }

  // What must hold at any time.
  void Check() {
    if (!both_connected()) {
      Require(!connected_ || closed_, "what was established stays so");
      return;
    }
    if (connected_) return;
    connected_ = true;
    const dtls::Engine& client = client_.wire->engine();
    const dtls::Engine& server = server_.wire->engine();
    Require(*client.ExportKeyingMaterial("EXPORTER-test", "", 32) ==
                *server.ExportKeyingMaterial("EXPORTER-test", "", 32),
            "both have the same keys");
    Require(client.negotiated().cipher == scenario_.cipher,
            "nobody but the two has a say in what is negotiated");
  }

  // Nobody interferes any more.
  void Settle() {
    const absl::Time end = begin_ + absl::Seconds(30);
    while (true) {
      while (!client_.wire->sent.empty() || !server_.wire->sent.empty()) {
        Deliver(client_.wire->sent, 0, server_);
        Deliver(server_.wire->sent, 0, client_);
        for (Side* side : {&client_, &server_}) {
          if (NeedsDecision(which_)) side->wire->Decide(true, now_);
        }
      }
      if (both_connected()) return;
      for (Side* side : {&client_, &server_}) side->wire->Decide(true, now_);
      if (!client_.wire->sent.empty() || !server_.wire->sent.empty()) continue;
      const absl::Time next = std::min(client_.wire->engine().NextDeadline(),
                                       server_.wire->engine().NextDeadline());
      if (next >= end) return;
      now_ = std::max(now_, next);
      client_.wire->Expire(now_);
      server_.wire->Expire(now_);
    }
  }

  void Carry(Side& from, Side& to) {
    const size_t before = to.expected.size();
    Say(from, to);
    while (!from.wire->sent.empty()) Deliver(from.wire->sent, 0, to);
    Require(to.expected.size() <= before, "a session carries messages");
  }

  void Finish() {
    for (Side* side : {&client_, &server_}) {
      side->wire->sent.clear();
      side->wire->history = {};
      side->expected.clear();
    }
    const size_t held = HeldBytes();
    Require(held <= held_before_ + 2 * EngineWire::kMaxHeldBytes,
            "two sessions hold a limited amount of memory");
  }

  Input& input_;
  const size_t which_;
  const Scenario& scenario_;
  const size_t held_before_;
  const absl::Time begin_ = VirtualClock::Epoch();
  absl::Time now_ = VirtualClock::Epoch();
  Side server_;
  Side client_;
  size_t messages_ = 0;
  // Something was changed or added, refused, closed.
  bool forged_ = false;
  bool refused_ = false;
  bool closed_ = false;
  // Both were, at the same time.
  bool connected_ = false;
};

}  // namespace
}  // namespace cordon::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cordon::testing::Input input(data, size);
  cordon::testing::Wire(input).Run();
  return 0;
}
