#include "cordon/testing/fuzz/datagram_script.h"

#include <algorithm>
#include <cstddef>

#include "absl/time/time.h"
#include "cordon/testing/fuzz/engine_wire.h"
#include "cordon/testing/sim/virtual_clock.h"

namespace cordon::testing {
namespace {

constexpr size_t kMaxSteps = 64;
enum : uint8_t { kDatagram, kTime, kDeadline, kKinds };

}  // namespace

void PlayToEngine(Input& input, const dtls::Context& context,
                  const dtls::EngineOptions& options, size_t max_datagram) {
  const size_t held_before = HeldBytes();
  EngineWire wire(*dtls::Engine::Create(context, options), max_datagram,
                  [](absl::Span<const uint8_t>) {
                    Require(false, "nobody sent a message");
                  });
  absl::Time now = VirtualClock::Epoch();
  wire.Start(now);
  for (size_t i = 0; i < kMaxSteps && !input.empty(); ++i) {
    switch (input.Byte() % kKinds) {
      case kDatagram: {
        const absl::Span<const uint8_t> datagram = input.Counted();
        wire.Receive({datagram.begin(), datagram.end()}, now);
        break;
      }
      case kTime:
        now += absl::Milliseconds(input.Word());
        wire.Expire(now);
        break;
      default:
        if (wire.engine().NextDeadline() == absl::InfiniteFuture()) break;
        now = std::max(now, wire.engine().NextDeadline());
        wire.Expire(now);
        break;
    }
    wire.Decide(true, now);
    Require(!wire.connected(), "there is no session without keys");
  }
  wire.sent.clear();
  wire.history = {};
  Require(HeldBytes() <= held_before + EngineWire::kMaxHeldBytes,
          "a handshake holds a limited amount of memory");
}

std::vector<uint8_t> WriteScript(
    absl::Span<const std::vector<uint8_t>> datagrams) {
  std::vector<uint8_t> script;
  for (const std::vector<uint8_t>& datagram : datagrams) {
    script.push_back(kDatagram);
    script.push_back(static_cast<uint8_t>(datagram.size() >> 8));
    script.push_back(static_cast<uint8_t>(datagram.size()));
    script.insert(script.end(), datagram.begin(), datagram.end());
  }
  return script;
}

}  // namespace cordon::testing
