#include "cordon/dtls/internal/plaintext_filter.h"

#include <openssl/ssl.h>

#include <algorithm>

#include "cordon/dtls/internal/session_bounds.h"

namespace cordon::dtls::internal {
namespace {

constexpr uint8_t kChangeCipherSpecType = 20;
constexpr uint8_t kAlertType = 21;
constexpr uint8_t kWarning = 1;
constexpr uint8_t kFatal = 2;
// BoringSSL takes no more in one record.
constexpr size_t kMaxRecordBytes = 16384;
constexpr size_t kMaxFragmentBytes = kMaxRecordBytes - kHandshakeHeaderBytes;
constexpr uint32_t kFirstAnswers =
    TypeBit(DTLS1_MT_HELLO_VERIFY_REQUEST) | TypeBit(SSL3_MT_SERVER_HELLO);

void Append24(std::vector<uint8_t>& out, size_t value) {
  for (int shift : {16, 8, 0}) {
    out.push_back(static_cast<uint8_t>(value >> shift));
  }
}

}  // namespace

PlaintextFilter::PlaintextFilter(size_t max_message_bytes, MemoryShare& share)
    : messages_(max_message_bytes + kMaxSpareBytes, share),
      first_answers_(kMaxSpareBytes, share) {}

PlaintextFilter::Result PlaintextFilter::Receive(
    const RecordView& record, const AwaitedMessage& awaited) {
  if (!awaited.in_the_clear) return Result::kDropped;
  switch (record.type) {
    case kHandshakeType:
      return ReceiveHandshake(record, awaited);
    case kChangeCipherSpecType:
      if (record.body.size() != 1 || record.body[0] != SSL3_MT_CCS) {
        return Result::kMalformed;
      }
      // Nothing was agreed on yet: a client's cannot be.
      return (awaited.types & TypeBit(SSL3_MT_CLIENT_HELLO)) != 0
                 ? Result::kDropped
                 : Result::kChangeCipherSpec;
    case kAlertType:
      if (record.body.size() != 2 ||
          (record.body[0] != kWarning && record.body[0] != kFatal)) {
        return Result::kMalformed;
      }
      if (record.body[0] == kWarning && record.body[1] != SSL_AD_CLOSE_NOTIFY) {
        return Result::kDropped;
      }
      alert_ = record.body[1];
      return Result::kAlert;
    default:
      return Result::kDropped;
  }
}

PlaintextFilter::Result PlaintextFilter::ReceiveHandshake(
    const RecordView& record, const AwaitedMessage& awaited) {
  Result result = Result::kDropped;
  absl::Span<const uint8_t> body = record.body;
  if (body.empty()) return Result::kMalformed;
  while (!body.empty()) {
    HandshakeFragment fragment;
    if (!ReadFragment(&body, &fragment)) {
      return result == Result::kDropped ? Result::kMalformed : result;
    }
    if (fragment.sequence == 0 && awaited.first_answer_too) {
      if ((kFirstAnswers & TypeBit(fragment.type)) != 0 &&
          fragment.message_bytes <= MaxMessageBytes(fragment.type, awaited) &&
          first_answers_.Add(fragment, 0)) {
        first_answer_record_ = record.sequence;
        result = Result::kKept;
      }
      continue;
    }
    if (fragment.sequence < awaited.sequence) {
      if (result == Result::kDropped) result = Result::kRepeated;
      continue;
    }
    const uint32_t types = fragment.sequence == awaited.sequence
                               ? awaited.types
                               : awaited.later_types;
    if ((types & TypeBit(fragment.type)) != 0 &&
        fragment.message_bytes <= MaxMessageBytes(fragment.type, awaited) &&
        messages_.Add(fragment, awaited.sequence)) {
      result = Result::kKept;
    }
  }
  return result;
}

bool PlaintextFilter::NextMessage(const AwaitedMessage& awaited,
                                  HandshakeMessage* message,
                                  size_t* malformed) {
  messages_.ForgetBefore(awaited.sequence);
  while (messages_.Take(awaited.sequence, message)) {
    if ((awaited.types & TypeBit(message->type)) != 0 &&
        IsWellFormed(message->type, message->body, awaited)) {
      return true;
    }
    ++*malformed;
  }
  return false;
}

bool PlaintextFilter::FirstAnswer(const AwaitedMessage& awaited,
                                  HandshakeMessage* message, uint64_t* record) {
  if (!awaited.first_answer_too) {
    first_answers_.Clear();
    return false;
  }
  *record = first_answer_record_;
  while (first_answers_.Take(0, message)) {
    if (IsWellFormed(message->type, message->body, awaited)) return true;
  }
  return false;
}

std::vector<std::vector<uint8_t>> PlaintextFilter::Wrap(
    const HandshakeMessage& message) {
  std::vector<std::vector<uint8_t>> records;
  size_t offset = 0;
  do {
    const absl::Span<const uint8_t> part =
        absl::MakeConstSpan(message.body).subspan(offset, kMaxFragmentBytes);
    std::vector<uint8_t> head = {message.type};
    Append24(head, message.body.size());
    head.push_back(static_cast<uint8_t>(message.sequence >> 8));
    head.push_back(static_cast<uint8_t>(message.sequence));
    Append24(head, offset);
    Append24(head, part.size());
    records.push_back(WrapRecord(kHandshakeType, head, part));
    offset += part.size();
  } while (offset < message.body.size());
  return records;
}

std::vector<uint8_t> PlaintextFilter::WrapChangeCipherSpec() {
  constexpr uint8_t kBody[] = {SSL3_MT_CCS};
  return WrapRecord(kChangeCipherSpecType, {}, kBody);
}

std::vector<uint8_t> PlaintextFilter::WrapRecord(
    uint8_t type, absl::Span<const uint8_t> head,
    absl::Span<const uint8_t> body) {
  std::vector<uint8_t> record = {type, 0xfe, 0xfd};
  record.reserve(kRecordHeaderBytes + head.size() + body.size());
  const uint64_t number = next_record_++;
  for (int shift = 56; shift >= 0; shift -= 8) {
    record.push_back(static_cast<uint8_t>(number >> shift));
  }
  const size_t size = head.size() + body.size();
  record.push_back(static_cast<uint8_t>(size >> 8));
  record.push_back(static_cast<uint8_t>(size));
  record.insert(record.end(), head.begin(), head.end());
  record.insert(record.end(), body.begin(), body.end());
  return record;
}

}  // namespace cordon::dtls::internal
