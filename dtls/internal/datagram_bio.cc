#include "cordon/dtls/internal/datagram_bio.h"

#include <openssl/bio.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace cordon::dtls::internal {
namespace {

DatagramTransport* TransportOf(BIO* bio) {
  return static_cast<DatagramTransport*>(BIO_get_data(bio));
}

int Read(BIO* bio, char* out, int size) {
  BIO_clear_retry_flags(bio);
  const absl::Span<const uint8_t> bytes = TransportOf(bio)->TakeIncoming();
  if (bytes.empty() || size <= 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const size_t copied = std::min(bytes.size(), static_cast<size_t>(size));
  std::memcpy(out, bytes.data(), copied);
  return static_cast<int>(copied);
}

int Write(BIO* bio, const char* in, int size) {
  BIO_clear_retry_flags(bio);
  TransportOf(bio)->WriteDatagram(
      {reinterpret_cast<const uint8_t*>(in), static_cast<size_t>(size)});
  // What the network does not take is lost, as anywhere in UDP.
  return size;
}

long Control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

// Null if there is no memory for it; the next call may have some.
const BIO_METHOD* Method() {
  static std::atomic<BIO_METHOD*> method = nullptr;
  if (const BIO_METHOD* made = method.load(std::memory_order_acquire)) {
    return made;
  }
  BIO_METHOD* const m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "cordon datagram");
  if (m == nullptr) return nullptr;
  BIO_meth_set_read(m, Read);
  BIO_meth_set_write(m, Write);
  BIO_meth_set_ctrl(m, Control);
  BIO_METHOD* others = nullptr;
  if (method.compare_exchange_strong(others, m, std::memory_order_acq_rel)) {
    return m;
  }
  BIO_meth_free(m);
  return others;
}

}  // namespace

bssl::UniquePtr<BIO> NewDatagramBio(DatagramTransport* transport) {
  const BIO_METHOD* const method = Method();
  if (method == nullptr) return nullptr;
  bssl::UniquePtr<BIO> bio(BIO_new(method));
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio.get(), transport);
  BIO_set_init(bio.get(), 1);
  return bio;
}

}  // namespace cordon::dtls::internal
