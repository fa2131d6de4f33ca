#include "cordon/dtls/internal/ticket_keys.h"

#include <openssl/cipher.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/hkdf.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>

#include <algorithm>

#include "cordon/dtls/internal/random_bytes.h"

namespace cordon::dtls::internal {

TicketKeys::Key::~Key() {
  OPENSSL_cleanse(hmac.data(), hmac.size());
  OPENSSL_cleanse(cipher.data(), cipher.size());
}

TicketKeys::Key TicketKeys::RandomKey() {
  Key key;
  FillWithRandom(absl::MakeSpan(key.name));
  FillWithRandom(absl::MakeSpan(key.hmac));
  FillWithRandom(absl::MakeSpan(key.cipher));
  return key;
}

std::optional<TicketKeys::Key> TicketKeys::KeyOf(absl::string_view secret) {
  constexpr absl::string_view kLabel = "cordon session tickets";
  Key key;
  std::array<uint8_t, 80> bytes;
  if (HKDF(bytes.data(), bytes.size(), EVP_sha256(),
           reinterpret_cast<const uint8_t*>(secret.data()), secret.size(),
           nullptr, 0, reinterpret_cast<const uint8_t*>(kLabel.data()),
           kLabel.size()) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  std::copy_n(bytes.begin(), 16, key.name.begin());
  std::copy_n(bytes.begin() + 16, 32, key.hmac.begin());
  std::copy_n(bytes.begin() + 48, 32, key.cipher.begin());
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return key;
}

TicketKeys::TicketKeys(net::Clock* clock)
    : clock_(clock),
      current_(RandomKey()),
      expires_(clock->Now() + kLifetime) {}

TicketKeys::~TicketKeys() = default;

void TicketKeys::Replace(const Key& key, absl::Time now, absl::Time wall) {
  previous_.emplace(current_);
  // If nobody was here when the key ended, its tickets have had time already.
  const absl::Duration left =
      kLifetime - std::max(now - expires_, absl::ZeroDuration());
  previous_expires_ = now + left;
  previous_expires_wall_ = wall + left;
  current_ = key;
}

absl::Status TicketKeys::Rotate(absl::string_view secret, absl::Time wall) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_->Now();
  if (secret.empty()) {
    Replace(RandomKey(), now, wall);
    expires_ = now + kLifetime;
    return absl::OkStatus();
  }
  const std::optional<Key> key = KeyOf(secret);
  if (!key.has_value()) {
    return absl::ResourceExhaustedError("out of memory for a ticket key");
  }
  if (key->name != current_.name) Replace(*key, now, wall);
  expires_ = absl::InfiniteFuture();
  return absl::OkStatus();
}

void TicketKeys::RotateIfOld(absl::Time wall) {
  const absl::Time now = clock_->Now();
  if (now >= expires_) {
    Replace(RandomKey(), now, wall);
    expires_ = now + kLifetime;
  }
  if (now >= previous_expires_ || wall >= previous_expires_wall_) {
    previous_.reset();
  }
}

int TicketKeys::Encrypt(uint8_t name[16], uint8_t* iv, EVP_CIPHER_CTX* cipher,
                        HMAC_CTX* hmac, absl::Time wall) {
  absl::MutexLock lock(&mutex_);
  RotateIfOld(wall);
  std::copy(current_.name.begin(), current_.name.end(), name);
  FillWithRandom({iv, EVP_CIPHER_iv_length(EVP_aes_256_cbc())});
  const bool good =
      EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr,
                         current_.cipher.data(), iv) == 1 &&
      HMAC_Init_ex(hmac, current_.hmac.data(), current_.hmac.size(),
                   EVP_sha256(), nullptr) == 1;
  return good ? 1 : -1;
}

int TicketKeys::Decrypt(const uint8_t name[16], const uint8_t* iv,
                        EVP_CIPHER_CTX* cipher, HMAC_CTX* hmac,
                        absl::Time wall) {
  absl::MutexLock lock(&mutex_);
  RotateIfOld(wall);
  const Key* key = nullptr;
  if (std::equal(current_.name.begin(), current_.name.end(), name)) {
    key = &current_;
  } else if (previous_.has_value() &&
             std::equal(previous_->name.begin(), previous_->name.end(), name)) {
    key = &*previous_;
  }
  if (key == nullptr) return 0;
  const bool good = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr,
                                       key->cipher.data(), iv) == 1 &&
                    HMAC_Init_ex(hmac, key->hmac.data(), key->hmac.size(),
                                 EVP_sha256(), nullptr) == 1;
  if (!good) return -1;
  return key == &current_ ? 1 : 2;
}

}  // namespace cordon::dtls::internal
