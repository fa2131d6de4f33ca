// One session whose messages an echo server sends back, each of them numbered
// and checked.
#ifndef CORDON_TOOLS_BENCH_ECHO_SESSION_H_
#define CORDON_TOOLS_BENCH_ECHO_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/message.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/udp_socket.h"

namespace cordon::tools {

// A message that has not come back by then is taken for lost.
inline constexpr absl::Duration kLossTimeout = absl::Milliseconds(200);
// Number, session and slot.
inline constexpr size_t kMinPayloadBytes = 16;

// A clock for latencies: it is only good for differences.
absl::Duration MonotonicNow();

// Lets the reactor's loop turn once: what was sent before leaves by itself, and
// is in no train with what is sent after.
inline net::Sleep NextTurn() { return net::SleepUntil(absl::UnixEpoch()); }

class EchoCounters {
 public:
  virtual void OnEcho(absl::Duration latency) = 0;
  virtual void OnLost() = 0;
  virtual void OnLate() = 0;
  virtual void OnWrong() = 0;

 protected:
  ~EchoCounters() = default;
};

class EchoSession {
 public:
  // A DTLS session that is established, or, to compare with, a connected socket
  // without encryption. What is sent at once leaves in trains, if it is to.
  // `counters` must outlive it.
  using Transport = std::variant<dtls::Connection, net::UdpSocket>;
  EchoSession(Transport transport, uint32_t id, size_t outstanding,
              size_t payload_bytes, bool trains, EchoCounters& counters);
  EchoSession(const EchoSession&) = delete;
  EchoSession& operator=(const EchoSession&) = delete;

  // Sends a message in each slot that is free, if at least `min_free` are.
  net::Task<absl::Status> Fill(size_t min_free = 1);
  // Sends one message that was due at `due`. False if no slot is free.
  net::Task<absl::StatusOr<bool>> SendOne(absl::Duration due);
  // Suspends until some messages have come, and frees their slots.
  net::Task<absl::Status> Receive();
  // Frees the slots whose message is lost. True if there are any.
  bool DropLost(absl::Duration now);

  net::Task<absl::Status> Close();

 private:
  struct Slot {
    uint64_t number = 0;  // 0: free
    absl::Duration sent = absl::ZeroDuration();
  };

  // Makes the next message in a slot that is free.
  absl::Span<const uint8_t> Write(absl::Duration due);
  net::Task<absl::Status> SendBatch();
  void Check(absl::Span<const uint8_t> message, absl::Duration now);

  Transport transport_;
  net::Path path_;
  const uint32_t id_;
  const size_t payload_bytes_;
  const bool trains_;
  EchoCounters& counters_;
  uint64_t next_number_ = 1;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  // A message for each slot, and what all of them are cut from.
  std::vector<uint8_t> buffer_;
  std::vector<uint8_t> pattern_;
  std::vector<absl::Span<const uint8_t>> batch_;
  bool filling_ = false;
  std::vector<dtls::Message> received_;
};

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_BENCH_ECHO_SESSION_H_
