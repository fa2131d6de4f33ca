#include "cordon/dtls/internal/plaintext_filter.h"

#include <openssl/ssl.h>

#include <cstdint>
#include <vector>

#include "cordon/dtls/internal/memory_budget.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using Bytes = std::vector<uint8_t>;
using Result = PlaintextFilter::Result;

void Append24(Bytes& out, size_t value) {
  for (int shift : {16, 8, 0}) {
    out.push_back(static_cast<uint8_t>(value >> shift));
  }
}

Bytes Fragment(uint8_t type, uint16_t sequence, size_t message_bytes,
               size_t offset, const Bytes& body) {
  Bytes fragment = {type};
  Append24(fragment, message_bytes);
  fragment.push_back(static_cast<uint8_t>(sequence >> 8));
  fragment.push_back(static_cast<uint8_t>(sequence));
  Append24(fragment, offset);
  Append24(fragment, body.size());
  fragment.insert(fragment.end(), body.begin(), body.end());
  return fragment;
}

// A client's chain of one certificate with `size` bytes in all.
Bytes Chain(size_t size) {
  Bytes chain;
  Append24(chain, size - 3);
  Append24(chain, size - 6);
  chain.insert(chain.end(), {0x30, 0x82, static_cast<uint8_t>((size - 10) >> 8),
                             static_cast<uint8_t>(size - 10)});
  chain.resize(size, 0x5a);
  return chain;
}

class PlaintextFilterTest : public ::testing::Test {
 protected:
  PlaintextFilterTest() {
    awaited_.of_client = true;
    awaited_.sequence = 2;
    awaited_.types = TypeBit(SSL3_MT_CERTIFICATE);
    awaited_.later_types = TypeBit(SSL3_MT_CERTIFICATE) |
                           TypeBit(SSL3_MT_CLIENT_KEY_EXCHANGE) |
                           TypeBit(SSL3_MT_CERTIFICATE_VERIFY);
    awaited_.max_certificate_bytes = kMaxBytes;
  }

  Result Receive(uint8_t type, const Bytes& body) {
    return filter_.Receive({.type = type, .body = body}, awaited_);
  }
  Result Receive(const Bytes& fragment) {
    return Receive(kHandshakeType, fragment);
  }

  static constexpr size_t kMaxBytes = 100'000;
  AwaitedMessage awaited_;
  MemoryShare share_;
  PlaintextFilter filter_{kMaxBytes, share_};
  HandshakeMessage message_;
  size_t malformed_ = 0;
};

TEST_F(PlaintextFilterTest, AMessageIsHandedOverInOrderAndOnce) {
  const Bytes chain = Chain(500);
  const Bytes verify = {4, 3, 0, 2, 1, 2};
  EXPECT_EQ(Receive(Fragment(SSL3_MT_CERTIFICATE_VERIFY, 3, 6, 0, verify)),
            Result::kKept);
  EXPECT_FALSE(filter_.NextMessage(awaited_, &message_, &malformed_));
  EXPECT_EQ(Receive(Fragment(SSL3_MT_CERTIFICATE, 2, 500, 0, chain)),
            Result::kKept);
  ASSERT_TRUE(filter_.NextMessage(awaited_, &message_, &malformed_));
  EXPECT_EQ(message_.type, SSL3_MT_CERTIFICATE);
  EXPECT_EQ(message_.body, chain);
  EXPECT_FALSE(filter_.NextMessage(awaited_, &message_, &malformed_));
  awaited_.sequence = 3;
  awaited_.types = TypeBit(SSL3_MT_CERTIFICATE_VERIFY);
  ASSERT_TRUE(filter_.NextMessage(awaited_, &message_, &malformed_));
  EXPECT_EQ(message_.body, verify);
  EXPECT_EQ(malformed_, 0U);
  EXPECT_EQ(Receive(Fragment(SSL3_MT_CERTIFICATE, 2, 500, 0, chain)),
            Result::kRepeated);
}

TEST_F(PlaintextFilterTest, ALongMessageGoesIntoSeveralRecords) {
  message_ = {.type = SSL3_MT_CERTIFICATE, .sequence = 2, .body = Chain(40000)};
  const std::vector<Bytes> records = filter_.Wrap(message_);
  ASSERT_EQ(records.size(), 3U);
  PlaintextFilter other(kMaxBytes, share_);
  uint64_t number = 0;
  for (const Bytes& bytes : records) {
    RecordView view;
    ASSERT_TRUE(ReadRecord(bytes, &view));
    EXPECT_EQ(view.whole.size(), bytes.size());
    EXPECT_LE(view.body.size(), 16384U);
    EXPECT_EQ(view.epoch, 0);
    EXPECT_EQ(view.sequence, number++);
    EXPECT_EQ(other.Receive(view, awaited_), Result::kKept);
  }
  HandshakeMessage taken;
  ASSERT_TRUE(other.NextMessage(awaited_, &taken, &malformed_));
  EXPECT_EQ(taken.body, message_.body);
}

TEST_F(PlaintextFilterTest, SeveralMessagesMayShareARecord) {
  Bytes record = Fragment(SSL3_MT_CERTIFICATE, 2, 3, 0, {0, 0, 0});
  const Bytes next = Fragment(SSL3_MT_CLIENT_KEY_EXCHANGE, 3, 3, 0, {2, 1, 1});
  record.insert(record.end(), next.begin(), next.end());
  // What follows them cannot undo them.
  record.push_back(0xff);
  EXPECT_EQ(Receive(record), Result::kKept);
  EXPECT_TRUE(filter_.NextMessage(awaited_, &message_, &malformed_));
  awaited_.sequence = 3;
  awaited_.types = TypeBit(SSL3_MT_CLIENT_KEY_EXCHANGE);
  EXPECT_FALSE(filter_.NextMessage(awaited_, &message_, &malformed_));
  EXPECT_EQ(malformed_, 1U);
}

// ACCEPTANCE: HB9
TEST_F(PlaintextFilterTest, MessagesBeyondAnyFlightAreDropped) {
  const Bytes body = {0, 0, 0};
  for (uint16_t ahead = 0; ahead < 12; ++ahead) {
    EXPECT_EQ(Receive(Fragment(SSL3_MT_CERTIFICATE, 2 + ahead, 3, 0, body)),
              ahead < 7 ? Result::kKept : Result::kDropped)
        << ahead;
  }
}

// ACCEPTANCE: HB3
TEST_F(PlaintextFilterTest, OneByteOfSevenLongMessagesCostsLittle) {
  for (const size_t announced : {size_t{0xffffff}, size_t{16384}}) {
    for (uint16_t ahead = 0; ahead < 7; ++ahead) {
      for (const uint8_t type :
           {SSL3_MT_CERTIFICATE, SSL3_MT_CLIENT_KEY_EXCHANGE,
            SSL3_MT_CERTIFICATE_VERIFY}) {
        Receive(Fragment(type, 2 + ahead, announced, 0, {1}));
      }
    }
    EXPECT_LT(filter_.bytes(), 8192U);
    if (announced > kMaxBytes) {
      EXPECT_EQ(filter_.bytes(), 0U);
    }
  }
}

TEST_F(PlaintextFilterTest, TypesThatAreNotAwaitedAreDropped) {
  for (int type = 0; type < 256; ++type) {
    const auto t = static_cast<uint8_t>(type);
    EXPECT_EQ(Receive(Fragment(t, 2, 3, 0, {0, 0, 0})),
              t == SSL3_MT_CERTIFICATE ? Result::kKept : Result::kDropped)
        << type;
    EXPECT_EQ(Receive(Fragment(t, 3, 3, 0, {0, 0, 0})),
              t == SSL3_MT_CERTIFICATE || t == SSL3_MT_CERTIFICATE_VERIFY ||
                      t == SSL3_MT_CLIENT_KEY_EXCHANGE
                  ? Result::kKept
                  : Result::kDropped)
        << type;
  }
}

TEST_F(PlaintextFilterTest, OnceThePeerEncryptsNothingInTheClearIsIts) {
  awaited_.in_the_clear = false;
  EXPECT_EQ(Receive(21, {2, 40}), Result::kDropped);
  EXPECT_EQ(Receive(20, {1}), Result::kDropped);
  EXPECT_EQ(Receive(Fragment(SSL3_MT_CERTIFICATE, 2, 3, 0, {0, 0, 0})),
            Result::kDropped);
}

TEST_F(PlaintextFilterTest, AnAlertIsToldIfItWouldEndTheHandshake) {
  EXPECT_EQ(Receive(21, {2, 48}), Result::kAlert);
  EXPECT_EQ(filter_.alert(), 48);
  EXPECT_EQ(Receive(21, {1, 0}), Result::kAlert);
  EXPECT_EQ(filter_.alert(), 0);
  EXPECT_EQ(Receive(21, {1, 90}), Result::kDropped);
  EXPECT_EQ(Receive(21, {3, 40}), Result::kMalformed);
  EXPECT_EQ(Receive(21, {2, 40, 0}), Result::kMalformed);
}

TEST(IsWellFormedTest, WhatIsCutOffOrHasTooMuchIsNot) {
  struct Case {
    uint8_t type;
    Bytes body;
  };
  Bytes hello = {0xfe, 0xfd};
  hello.resize(34, 7);  // random
  Bytes client_hello = hello;
  client_hello.insert(client_hello.end(),
                      {1, 9, 0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 4, 0, 23, 0, 0});
  Bytes server_hello = hello;
  server_hello.insert(server_hello.end(),
                      {1, 9, 0xc0, 0x2b, 0, 0, 4, 0, 23, 0, 0});
  const Case cases[] = {
      {SSL3_MT_CLIENT_HELLO, client_hello},
      {SSL3_MT_SERVER_HELLO, server_hello},
      {DTLS1_MT_HELLO_VERIFY_REQUEST, {0xfe, 0xff, 3, 1, 2, 3}},
      {SSL3_MT_CERTIFICATE, {0, 0, 5, 0, 0, 2, 0x30, 0}},
      {SSL3_MT_CERTIFICATE_STATUS, {1, 0, 0, 1, 7}},
      {SSL3_MT_CERTIFICATE_REQUEST, {1, 64, 0, 2, 4, 3, 0, 3, 0, 1, 0x30}},
      {SSL3_MT_CERTIFICATE_VERIFY, {4, 3, 0, 2, 1, 2}},
      {SSL3_MT_NEW_SESSION_TICKET, {0, 0, 0, 9, 0, 2, 1, 2}},
      {SSL3_MT_SERVER_HELLO_DONE, {}},
      {SSL3_MT_CLIENT_KEY_EXCHANGE, {0, 2, 1, 2}},
  };
  const AwaitedMessage awaited;
  for (const auto& [type, body] : cases) {
    EXPECT_TRUE(IsWellFormed(type, body, awaited)) << int{type};
    for (size_t size = 0; size < body.size(); ++size) {
      // Extensions may be left out.
      if ((type == SSL3_MT_CLIENT_HELLO || type == SSL3_MT_SERVER_HELLO) &&
          size + 6 == body.size()) {
        continue;
      }
      EXPECT_FALSE(IsWellFormed(
          type, absl::MakeConstSpan(body).subspan(0, size), awaited))
          << int{type} << " " << size;
    }
    Bytes longer = body;
    longer.push_back(0);
    EXPECT_FALSE(IsWellFormed(type, longer, awaited)) << int{type};
  }
  EXPECT_FALSE(IsWellFormed(SSL3_MT_FINISHED, Bytes(12, 0), awaited));
  EXPECT_FALSE(IsWellFormed(SSL3_MT_HELLO_REQUEST, {}, awaited));
  // Only a client may have no certificate.
  EXPECT_FALSE(IsWellFormed(SSL3_MT_CERTIFICATE, {0, 0, 0}, awaited));
}

}  // namespace
}  // namespace cordon::dtls::internal
