// The keys that session tickets are encrypted with (RFC 5077 section 4).
#ifndef CORDON_DTLS_INTERNAL_TICKET_KEYS_H_
#define CORDON_DTLS_INTERNAL_TICKET_KEYS_H_

#include <openssl/base.h>

#include <array>
#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/net/time/clock.h"

namespace cordon::dtls::internal {

// The key in use and the one before it, whose tickets are taken for another
// `kLifetime`, and replaced by new ones. Thread-safe. Wipes its keys.
//
// A key is replaced by the age that a clock which never jumps tells, so that a
// wall clock that was ahead and is set back does not keep a key in use. The key
// before it ends as soon as either clock says so: the wall clock also counts
// the time for which the machine was suspended.
class TicketKeys {
 public:
  static constexpr size_t kMinSecretBytes = 32;
  // Random keys are replaced by themselves after this time.
  static constexpr absl::Duration kLifetime = absl::Hours(24);

  // Random keys. `clock` must live longer; a test may put its own in place of
  // the machine's monotonic one.
  explicit TicketKeys(net::Clock* clock = net::SteadyClock::Get());
  ~TicketKeys();
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;

  // From now on a key that is made of `secret`, at least `kMinSecretBytes`
  // long, and stays until the next call; or a random one if it is empty. With
  // the secret of the key in use nothing changes. kResourceExhausted: there was
  // no memory for it, and the key is what it was.
  absl::Status Rotate(absl::string_view secret, absl::Time wall);

  // `wall` is the wall clock's time in all of these.

  // As SSL_CTX_set_tlsext_ticket_key_cb wants it.
  int Encrypt(uint8_t name[16], uint8_t* iv, EVP_CIPHER_CTX* cipher,
              HMAC_CTX* hmac, absl::Time wall);
  int Decrypt(const uint8_t name[16], const uint8_t* iv, EVP_CIPHER_CTX* cipher,
              HMAC_CTX* hmac, absl::Time wall);

 private:
  struct Key {
    ~Key();
    std::array<uint8_t, 16> name;
    std::array<uint8_t, 32> hmac;
    std::array<uint8_t, 32> cipher;
  };
  static Key RandomKey();
  // None if there is no memory for it.
  static std::optional<Key> KeyOf(absl::string_view secret);
  // `now` is the time of `clock_`.
  void Replace(const Key& key, absl::Time now, absl::Time wall)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RotateIfOld(absl::Time wall) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  net::Clock* const clock_;
  absl::Mutex mutex_;
  Key current_ ABSL_GUARDED_BY(mutex_);
  std::optional<Key> previous_ ABSL_GUARDED_BY(mutex_);
  // When the key in use is replaced, by `clock_`.
  absl::Time expires_ ABSL_GUARDED_BY(mutex_);
  // When the key before it ends, by `clock_` and by the wall clock.
  absl::Time previous_expires_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time previous_expires_wall_ ABSL_GUARDED_BY(mutex_) =
      absl::InfinitePast();
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_TICKET_KEYS_H_
