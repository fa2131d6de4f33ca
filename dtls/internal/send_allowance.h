// How much may be sent to a peer that has not shown that it receives at its
// address: so many times as much as has come from there (RFC 9147 section 5.1),
// so that forged addresses gain nothing.
#ifndef CORDON_DTLS_INTERNAL_SEND_ALLOWANCE_H_
#define CORDON_DTLS_INTERNAL_SEND_ALLOWANCE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"

namespace cordon::dtls::internal {

// What cannot be sent yet waits here, in order. That is one flight at most,
// whose size is ours to choose: its repetition is not made while some of it
// waits.
class SendAllowance {
 public:
  enum class Verdict : uint8_t { kSend, kWaits, kDropped };
  using Send = absl::FunctionRef<void(absl::Span<const uint8_t> datagram)>;

  explicit SendAllowance(size_t factor) : factor_(factor) {}

  // The peer sent `bytes`: sends what may go for that.
  void OnReceived(size_t bytes, Send send);
  // What becomes of `datagram`. An alert, which is worth nothing later, does
  // not wait.
  Verdict Offer(absl::Span<const uint8_t> datagram);
  // The peer has shown where it is: sends all.
  void SendAll(Send send);

  bool waiting() const { return !waiting_.empty(); }

 private:
  bool Spend(size_t bytes);

  const size_t factor_;
  // What may be sent still.
  uint64_t bytes_ = 0;
  std::vector<std::vector<uint8_t>> waiting_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SEND_ALLOWANCE_H_
