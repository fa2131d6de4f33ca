#include "cordon/dtls/internal/client_hello.h"

#include <openssl/bytestring.h>

namespace cordon::dtls::internal {
namespace {

constexpr uint8_t kClientHello = 1;
constexpr size_t kRandomBytes = 32;
constexpr size_t kMaxSessionIdBytes = 32;

absl::Span<const uint8_t> ToSpan(const CBS& cbs) {
  return {CBS_data(&cbs), CBS_len(&cbs)};
}

}  // namespace

bool ReadRecord(absl::Span<const uint8_t> datagram, RecordView* record) {
  CBS cbs;
  CBS_init(&cbs, datagram.data(), datagram.size());
  CBS body;
  uint64_t number = 0;
  if (!CBS_get_u8(&cbs, &record->type) ||
      !CBS_get_u16(&cbs, &record->version) || record->version >> 8 != 0xfe ||
      !CBS_get_u64(&cbs, &number) ||
      !CBS_get_u16_length_prefixed(&cbs, &body)) {
    return false;
  }
  record->epoch = static_cast<uint16_t>(number >> 48);
  record->sequence = number & ((uint64_t{1} << 48) - 1);
  record->body = ToSpan(body);
  record->whole = datagram.subspan(0, datagram.size() - CBS_len(&cbs));
  return true;
}

bool ReadClientHello(absl::Span<const uint8_t> datagram,
                     ClientHelloView* hello) {
  // Nearly all datagrams are something else.
  if (datagram.empty() || datagram[0] != kHandshakeType) return false;
  RecordView record;
  if (!ReadRecord(datagram, &record) || record.epoch != 0) return false;
  hello->record_sequence = record.sequence;
  CBS cbs;
  CBS_init(&cbs, record.body.data(), record.body.size());
  uint8_t type = 0;
  uint32_t length = 0;
  uint32_t offset = 0;
  uint32_t fragment_length = 0;
  CBS fragment;
  if (!CBS_get_u8(&cbs, &type) || type != kClientHello ||
      !CBS_get_u24(&cbs, &length) ||
      !CBS_get_u16(&cbs, &hello->message_sequence) ||
      !CBS_get_u24(&cbs, &offset) || offset != 0 ||
      !CBS_get_u24(&cbs, &fragment_length) || fragment_length > length ||
      !CBS_get_bytes(&cbs, &fragment, fragment_length)) {
    return false;
  }
  CBS random;
  CBS session_id;
  CBS cookie;
  if (!CBS_get_u16(&fragment, &hello->client_version) ||
      hello->client_version >> 8 != 0xfe ||
      !CBS_get_bytes(&fragment, &random, kRandomBytes) ||
      !CBS_get_u8_length_prefixed(&fragment, &session_id) ||
      CBS_len(&session_id) > kMaxSessionIdBytes ||
      !CBS_get_u8_length_prefixed(&fragment, &cookie)) {
    return false;
  }
  hello->random = ToSpan(random);
  hello->session_id = ToSpan(session_id);
  hello->cookie = ToSpan(cookie);
  CBS suites;
  hello->cipher_suites = CBS_get_u16_length_prefixed(&fragment, &suites)
                             ? ToSpan(suites)
                             : absl::Span<const uint8_t>();
  // A whole hello that ends before its cipher suites is none.
  return !hello->cipher_suites.empty() || fragment_length < length;
}

}  // namespace cordon::dtls::internal
