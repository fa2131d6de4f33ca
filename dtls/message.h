// A decrypted message.
#ifndef CORDON_DTLS_MESSAGE_H_
#define CORDON_DTLS_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cordon/net/base/byte_pool.h"

namespace cordon::dtls {

// One message, as the peer sent it: boundaries are kept, order and arrival are
// not promised. Move-only; its memory returns to the reactor's pool, on whose
// thread it must be destroyed.
class Message {
 public:
  Message() = default;
  explicit Message(net::PooledBytes bytes) : bytes_(std::move(bytes)) {}

  absl::Span<const uint8_t> bytes() const { return bytes_.bytes(); }
  size_t size() const { return bytes_.size(); }
  // Bytes of memory that it takes.
  size_t capacity() const { return bytes_.capacity(); }
  // The bytes as characters.
  absl::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  net::PooledBytes bytes_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_MESSAGE_H_
