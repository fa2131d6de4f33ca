#include "cordon/dtls/internal/key_usage.h"

namespace cordon::dtls::internal {
namespace {

// The RFCs say 2^24.5 records of full size, which have 2^34.5 blocks: with so
// many an attacker's advantage, q^2 / 2^129, is 2^-60, whatever the size of the
// records. It is rounded down, which leaves room for the few records that are
// not counted: those of the handshake, and alerts.
constexpr uint64_t kGcmBlocks = 24'000'000'000;

// In CBC two inputs of the cipher may be equal, which tells of both messages;
// the chance with q blocks is about q^2 / 2^129. No analysis is agreed upon for
// DTLS, so it is kept eight times smaller than that of GCM, below 2^-63.
constexpr uint64_t kCbcBlocks = uint64_t{1} << 33;
// The HMAC of 20 bytes, and the padding.
constexpr uint64_t kCbcBlocksPerRecord = 2;

}  // namespace

SealingLimit SealingLimitOf(const SSL_CIPHER& cipher) {
  switch (SSL_CIPHER_get_cipher_nid(&cipher)) {
    case NID_chacha20_poly1305:
      // Its sequence numbers end before.
      return {};
    case NID_aes_128_gcm:
    case NID_aes_256_gcm:
      return {.blocks = kGcmBlocks};
    default:  // CBC.
      return {.blocks = kCbcBlocks, .blocks_per_record = kCbcBlocksPerRecord};
  }
}

KeyUsage::Counter::Counter(uint64_t limit)
    : limit_(limit), mark_(limit - limit / 4) {}

KeyUse KeyUsage::Counter::Pass(uint64_t by) {
  if (by > limit_ - count_) return KeyUse::kUsedUp;
  count_ += by;
  mark_ = limit_;
  return KeyUse::kNearlyUsedUp;
}

KeyUsage::KeyUsage()
    : sealed_(SealingLimit().blocks), failed_(kMaxFailedRecords) {}

void KeyUsage::LimitSealing(const SealingLimit& limit) {
  blocks_per_record_ = limit.blocks_per_record;
  sealed_ = Counter(limit.blocks);
}

void KeyUsage::LimitFailures(uint64_t records) { failed_ = Counter(records); }

}  // namespace cordon::dtls::internal
