// How much the keys of a session may be used (RFC 9147 section 4.5.3, RFC 8446
// section 5.5). DTLS 1.2 cannot change its keys: when one is used up, the
// session ends.
#ifndef CORDON_DTLS_INTERNAL_KEY_USAGE_H_
#define CORDON_DTLS_INTERNAL_KEY_USAGE_H_

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace cordon::dtls::internal {

// How much a key may seal.
struct SealingLimit {
  // Calls of the block cipher.
  uint64_t blocks = std::numeric_limits<uint64_t>::max();
  // Of these, what a record takes in addition to its message.
  uint64_t blocks_per_record = 1;
};

SealingLimit SealingLimitOf(const SSL_CIPHER& cipher);

// Records that may fail to open with one key: the recommendation for AES-GCM
// and ChaCha20-Poly1305, which the longer tags of HMAC-SHA1 would let us
// exceed.
inline constexpr uint64_t kMaxFailedRecords = uint64_t{1} << 36;

enum class KeyUse {
  kFine,
  kNearlyUsedUp,  // three quarters are gone; told once
  kUsedUp,
};

// Counts what was done with a pair of keys, one for each way.
//
// What the peer seals with its own is not limited: to use a key sparingly is a
// matter of the side that has it.
class KeyUsage {
 public:
  KeyUsage();

  // Before anything has been sealed.
  void LimitSealing(const SealingLimit& limit);
  // Before anything has failed.
  void LimitFailures(uint64_t records);

  // Counts a message that is about to be sealed; or does not, if that is more
  // than the key may seal: `kUsedUp`.
  KeyUse CountSealed(size_t message_bytes) {
    const uint64_t blocks = message_bytes / kBlockBytes +
                            (message_bytes % kBlockBytes != 0 ? 1 : 0) +
                            blocks_per_record_;
    return sealed_.Add(blocks);
  }
  // Counts a record that reached the cipher and did not open. `kUsedUp`: it was
  // the last that may.
  KeyUse CountFailed() {
    const KeyUse use = failed_.Add(1);
    return failed_.full() ? KeyUse::kUsedUp : use;
  }

  uint64_t sealed_blocks() const { return sealed_.count(); }
  uint64_t failed_records() const { return failed_.count(); }

 private:
  static constexpr size_t kBlockBytes = 16;

  class Counter {
   public:
    explicit Counter(uint64_t limit);
    KeyUse Add(uint64_t by) {
      if (by <= mark_ - count_) {
        count_ += by;
        return KeyUse::kFine;
      }
      return Pass(by);
    }
    bool full() const { return count_ >= limit_; }
    uint64_t count() const { return count_; }

   private:
    // Beyond the mark.
    KeyUse Pass(uint64_t by);

    uint64_t count_ = 0;
    uint64_t limit_;
    // Three quarters of the limit, then the limit itself.
    uint64_t mark_;
  };

  uint64_t blocks_per_record_ = 1;
  Counter sealed_;
  Counter failed_;
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_KEY_USAGE_H_
