// An engine and what it sends, for targets that drive engines by hand.
#ifndef CORDON_TESTING_FUZZ_ENGINE_WIRE_H_
#define CORDON_TESTING_FUZZ_ENGINE_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/engine.h"

namespace cordon::testing {

// Checks with each call what must hold of any engine, whatever it is sent: its
// datagrams fit into packets, one datagram brings about a few at most, and its
// timers move on.
class EngineWire final : private dtls::EngineOutput {
 public:
  using Bytes = std::vector<uint8_t>;

  // So many bytes may be held for one peer while handshaking.
  static constexpr size_t kMaxHeldBytes = size_t{1} << 20;

  // `max_datagram` is for the handshake. `on_message` is told what arrives.
  EngineWire(std::unique_ptr<dtls::Engine> engine, size_t max_datagram,
             std::function<void(absl::Span<const uint8_t>)> on_message);

  dtls::Engine& engine() { return *engine_; }
  dtls::EngineState state() const { return engine_->state(); }
  bool connected() const { return state() == dtls::EngineState::kConnected; }

  void Start(absl::Time now);
  void Receive(Bytes datagram, absl::Time now);
  // Its deadline, if it has one.
  void Expire(absl::Time now);
  bool Send(absl::Span<const uint8_t> message);
  void Close(absl::Time now);
  // Decides about the peer, if it is asked to.
  void Decide(bool accept, absl::Time now);

  // Datagrams that are on their way, the oldest first; of too many the oldest
  // are lost.
  std::deque<Bytes> sent;
  // The first that were sent, for repetitions.
  std::vector<Bytes> history;

 private:
  // Around each call.
  void Begin() { calls_datagrams_ = 0; }
  void End(absl::Time now);

  absl::Span<uint8_t> Reserve(size_t max_bytes) override;
  void Commit(size_t bytes) override;
  bool OnMessage(absl::Span<const uint8_t> message) override;

  const std::unique_ptr<dtls::Engine> engine_;
  const size_t max_datagram_;
  const std::function<void(absl::Span<const uint8_t>)> on_message_;
  Bytes buffer_;
  size_t calls_datagrams_ = 0;
  bool in_handshake_ = true;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FUZZ_ENGINE_WIRE_H_
