// The reader of hellos, which sees the datagrams of everybody.
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/testing/fuzz/input.h"

namespace cordon::testing {
namespace {

using dtls::internal::ClientHelloView;
using dtls::internal::ReadClientHello;
using dtls::internal::ReadRecord;
using dtls::internal::RecordView;

bool Within(absl::Span<const uint8_t> part, absl::Span<const uint8_t> whole) {
  return part.empty() ||
         (part.data() >= whole.data() &&
          part.data() + part.size() <= whole.data() + whole.size());
}

bool Same(const ClientHelloView& a, const ClientHelloView& b) {
  return a.record_sequence == b.record_sequence &&
         a.message_sequence == b.message_sequence &&
         a.client_version == b.client_version && a.random == b.random &&
         a.session_id == b.session_id && a.cookie == b.cookie &&
         a.cipher_suites == b.cipher_suites;
}

void CheckRecord(absl::Span<const uint8_t> datagram) {
  RecordView record;
  if (!ReadRecord(datagram, &record)) return;
  Require(record.version >> 8 == 0xfe, "the version is one of DTLS");
  Require(record.sequence >> 48 == 0, "a sequence number has 48 bits");
  Require(record.whole.data() == datagram.data() &&
              record.whole.size() <= datagram.size(),
          "a record begins where the datagram does");
  Require(record.whole.size() ==
                  dtls::internal::kRecordHeaderBytes + record.body.size() &&
              Within(record.body, record.whole),
          "header and body are the record");
  RecordView cut;
  Require(!ReadRecord(record.whole.subspan(0, record.whole.size() - 1), &cut),
          "a record that is cut is none");
}

void CheckHello(absl::Span<const uint8_t> datagram) {
  ClientHelloView hello;
  if (!ReadClientHello(datagram, &hello)) return;
  RecordView record;
  Require(ReadRecord(datagram, &record), "a hello is in a record");
  Require(record.epoch == 0 && record.type == dtls::internal::kHandshakeType,
          "a hello is a message in the clear");
  Require(hello.record_sequence == record.sequence, "the number is its own");
  Require(hello.random.size() == 32, "a random has 32 bytes");
  Require(hello.session_id.size() <= 32, "a session id has at most 32 bytes");
  Require(hello.cipher_suites.size() <= record.body.size(), "suites fit");
  for (absl::Span<const uint8_t> part :
       {hello.random, hello.session_id, hello.cookie, hello.cipher_suites}) {
    Require(Within(part, record.body), "fields lie in the record");
  }
  // What comes after the record does not count.
  ClientHelloView alone;
  Require(ReadClientHello(record.whole, &alone) && Same(alone, hello),
          "a hello is the same without what follows it");
}

}  // namespace
}  // namespace cordon::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cordon::testing::CheckRecord({data, size});
  cordon::testing::CheckHello({data, size});
  return 0;
}
