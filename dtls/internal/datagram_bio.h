// How BoringSSL reads and writes datagrams while it handshakes: one that was
// handed in, and memory that the engine's output reserves.
#ifndef CORDON_DTLS_INTERNAL_DATAGRAM_BIO_H_
#define CORDON_DTLS_INTERNAL_DATAGRAM_BIO_H_

#include <openssl/bio.h>

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace cordon::dtls::internal {

class DatagramTransport {
 public:
  // Takes what BoringSSL writes, one datagram a call.
  virtual void WriteDatagram(absl::Span<const uint8_t> datagram) = 0;

  // What the next read returns; the one after it has nothing.
  void set_incoming(absl::Span<const uint8_t> bytes) { incoming_ = bytes; }
  absl::Span<const uint8_t> TakeIncoming() {
    absl::Span<const uint8_t> bytes = incoming_;
    incoming_ = {};
    return bytes;
  }

 protected:
  ~DatagramTransport() = default;

 private:
  absl::Span<const uint8_t> incoming_;
};

// A BIO over `transport`, which must outlive it. Null if memory is short.
bssl::UniquePtr<BIO> NewDatagramBio(DatagramTransport* transport);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_DATAGRAM_BIO_H_
