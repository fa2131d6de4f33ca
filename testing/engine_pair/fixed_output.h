// An engine's output that allocates nothing: for benchmarks, and for tests that
// count allocations.
#ifndef CORDON_TESTING_ENGINE_PAIR_FIXED_OUTPUT_H_
#define CORDON_TESTING_ENGINE_PAIR_FIXED_OUTPUT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "cordon/dtls/engine.h"

namespace cordon::testing {

// Keeps the datagrams of at most `max_datagrams`, until `Clear`; more are lost.
class FixedOutput final : public dtls::EngineOutput {
 public:
  explicit FixedOutput(size_t max_datagrams)
      : buffers_(max_datagrams), sizes_(max_datagrams) {}

  absl::Span<uint8_t> Reserve(size_t max_bytes) override {
    if (count_ == buffers_.size() || max_bytes > kMaxBytes) return {};
    return absl::MakeSpan(buffers_[count_].data(), max_bytes);
  }
  void Commit(size_t bytes) override {
    if (bytes > 0) sizes_[count_++] = bytes;
  }
  bool OnMessage(absl::Span<const uint8_t> message) override {
    ++messages_;
    message_bytes_ += message.size();
    return true;
  }

  size_t count() const { return count_; }
  absl::Span<uint8_t> datagram(size_t i) {
    return absl::MakeSpan(buffers_[i].data(), sizes_[i]);
  }
  void Clear() { count_ = 0; }

  uint64_t messages() const { return messages_; }
  uint64_t message_bytes() const { return message_bytes_; }

 private:
  static constexpr size_t kMaxBytes = 2048;

  std::vector<std::array<uint8_t, kMaxBytes>> buffers_;
  std::vector<size_t> sizes_;
  size_t count_ = 0;
  uint64_t messages_ = 0;
  uint64_t message_bytes_ = 0;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_ENGINE_PAIR_FIXED_OUTPUT_H_
